#include <pawl/registry.hpp>

#include "workflow/graph_program.hpp"

namespace pawl {
namespace {

/// More than this many problems of one workflow are only counted.
constexpr std::size_t max_shown_problems = 20;

std::string describe(const detail::graph_definition& graph, const std::vector<std::string>& problems) {
  const auto where = "workflow '" + graph.type + "' version " + std::to_string(graph.options.version) + ": ";
  std::string text;
  for (std::size_t i = 0; i < problems.size() && i < max_shown_problems; ++i) {
    text += (i ? "\n" : "") + where + problems[i];
  }
  if (problems.size() > max_shown_problems) {
    text += "\n" + where + "and " + std::to_string(problems.size() - max_shown_problems) + " more problems";
  }
  return text;
}

}  // namespace

registry& registry::add(const detail::graph_definition& graph, std::span<const std::string> problems) {
  std::vector<std::string> all(problems.begin(), problems.end());
  for (auto& found : detail::check_graph(graph)) all.push_back(std::move(found));
  if (find(graph.type, graph.options.version)) {
    all.push_back("is registered already: give this one another .version, or another type");
  }
  if (!all.empty()) throw definition_error(describe(graph, all));

  auto copy = std::make_shared<detail::graph_definition>(graph);
  copy->digest = detail::digest_of(graph);
  engine::plan_graph(*copy);
  graphs_[graph.type].emplace(graph.options.version, std::move(copy));
  return *this;
}

std::shared_ptr<const detail::graph_definition> registry::find(std::string_view type, std::uint32_t version) const {
  const auto of_type = graphs_.find(type);
  if (of_type == graphs_.end()) return nullptr;
  const auto found = of_type->second.find(version);
  return found == of_type->second.end() ? nullptr : found->second;
}

std::shared_ptr<const detail::graph_definition> registry::latest(std::string_view type) const {
  const auto of_type = graphs_.find(type);
  return of_type == graphs_.end() ? nullptr : of_type->second.rbegin()->second;
}

std::vector<std::string> registry::types() const {
  std::vector<std::string> out;
  out.reserve(graphs_.size());
  for (const auto& [type, versions] : graphs_) out.push_back(type);
  return out;
}

std::vector<std::uint32_t> registry::versions(std::string_view type) const {
  std::vector<std::uint32_t> out;
  if (const auto of_type = graphs_.find(type); of_type != graphs_.end()) {
    for (const auto& [version, graph] : of_type->second) out.push_back(version);
  }
  return out;
}

}  // namespace pawl
