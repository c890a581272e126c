#include <pawl/registry.hpp>

#include "workflow/graph_program.hpp"

namespace pawl {
namespace {

/// More than this many problems of one workflow are only counted.
constexpr std::size_t max_shown_problems = 20;

std::string describe(const detail::workflow_definition& d, const std::vector<std::string>& problems) {
  const auto where = "workflow '" + d.type + "' version " + std::to_string(d.options.version) + ": ";
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

registry& registry::keep(std::shared_ptr<const detail::workflow_definition> definition,
                         const std::vector<std::string>& problems) {
  auto all = problems;
  if (find(definition->type, definition->options.version)) {
    all.push_back("is registered already: give this one another .version, or another type");
  }
  if (!all.empty()) throw definition_error(describe(*definition, all));
  definitions_[definition->type].emplace(definition->options.version, std::move(definition));
  return *this;
}

registry& registry::add(const detail::graph_definition& graph, std::span<const std::string> problems) {
  std::vector<std::string> all(problems.begin(), problems.end());
  for (auto& found : detail::check_graph(graph)) all.push_back(std::move(found));
  auto copy = std::make_shared<detail::graph_definition>(graph);
  copy->digest = detail::digest_of(graph);
  if (all.empty()) engine::plan_graph(*copy);
  return keep(std::move(copy), all);
}

registry& registry::add(const detail::code_definition& code) {
  auto problems = detail::check_head(code);
  if (!code.call) problems.emplace_back("has no function: give it one that is not null");
  auto copy = std::make_shared<detail::code_definition>(code);
  copy->digest = detail::digest_of(code);
  return keep(std::move(copy), problems);
}

std::shared_ptr<const detail::workflow_definition> registry::find(std::string_view type, std::uint32_t version) const {
  const auto of_type = definitions_.find(type);
  if (of_type == definitions_.end()) return nullptr;
  const auto found = of_type->second.find(version);
  return found == of_type->second.end() ? nullptr : found->second;
}

std::shared_ptr<const detail::workflow_definition> registry::latest(std::string_view type) const {
  const auto of_type = definitions_.find(type);
  return of_type == definitions_.end() ? nullptr : of_type->second.rbegin()->second;
}

std::vector<std::string> registry::types() const {
  std::vector<std::string> out;
  out.reserve(definitions_.size());
  for (const auto& [type, versions] : definitions_) out.push_back(type);
  return out;
}

std::vector<std::uint32_t> registry::versions(std::string_view type) const {
  std::vector<std::uint32_t> out;
  if (const auto of_type = definitions_.find(type); of_type != definitions_.end()) {
    for (const auto& [version, definition] : of_type->second) out.push_back(version);
  }
  return out;
}

namespace detail {

std::shared_ptr<const graph_definition> as_graph(const std::shared_ptr<const workflow_definition>& d) {
  const auto* g = d ? d->as_graph() : nullptr;
  return g ? std::shared_ptr<const graph_definition>(d, g) : nullptr;
}

std::shared_ptr<const code_definition> as_code(const std::shared_ptr<const workflow_definition>& d) {
  const auto* c = d ? d->as_code() : nullptr;
  return c ? std::shared_ptr<const code_definition>(d, c) : nullptr;
}

}  // namespace detail
}  // namespace pawl
