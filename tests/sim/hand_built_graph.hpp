// Graphs without the public builder: steps by index, functions that nobody calls.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <pawl/definition.hpp>

#include "workflow/graph_program.hpp"
#include "workflow/ids.hpp"

namespace pawl::sim {

using definition_ptr = std::shared_ptr<const pawl::detail::graph_definition>;

class hand_built_graph {
 public:
  using indices = std::vector<std::uint32_t>;

  explicit hand_built_graph(std::string type = "graph", std::uint32_t version = 1) {
    graph_.type = std::move(type);
    graph_.options.version = version;
  }

  /// A step that takes the results of `arguments` (none: the input) and follows `after`.
  std::uint32_t step(std::string name, const step_options& options = {}, const indices& arguments = {},
                     const indices& after = {}) {
    pawl::detail::step_definition s;
    s.name = std::move(name);
    for (const auto k : arguments) s.arguments.push_back({.step = k});
    if (arguments.empty()) s.arguments.push_back({});
    s.after = after;
    s.options = options;
    graph_.steps.push_back(std::move(s));
    return static_cast<std::uint32_t>(graph_.steps.size() - 1);
  }
  void undo(std::uint32_t step, const step_options& options = {}) {
    graph_.steps[step].undo = [](step_context&, pawl::detail::byte_views, std::optional<std::string_view>) {};
    graph_.steps[step].undo_options = options;
  }
  void returns(std::uint32_t step) { graph_.returns = pawl::detail::source{.step = step}; }
  void returns_input() { graph_.returns = pawl::detail::source{}; }

  definition_ptr build() const {
    auto g = std::make_shared<pawl::detail::graph_definition>(graph_);
    engine::plan_graph(*g);
    g->digest = digest(*g);
    return g;
  }

 private:
  static std::uint64_t digest(const pawl::detail::graph_definition& g) {
    std::string text = g.type + '\n';
    for (const auto& s : g.steps) {
      text += s.name + (s.undo ? "~" : ":");
      for (const auto& a : s.arguments) text += std::to_string(a.step) + ',';
      for (const auto b : s.after) text += '>' + std::to_string(b);
    }
    return engine::stable_hash(text);
  }

  pawl::detail::graph_definition graph_;
};

/// What a changed definition under the same version may look like: its last step is gone.
inline definition_ptr changed(const definition_ptr& right) {
  auto g = std::make_shared<pawl::detail::graph_definition>(*right);
  if (!g->steps.empty()) g->steps.pop_back();
  if (g->returns && !g->returns->is_input() && g->returns->step >= g->steps.size()) g->returns.reset();
  engine::plan_graph(*g);
  g->digest = right->digest + 1;
  return g;
}

}  // namespace pawl::sim
