#include "workflow/graph_program.hpp"

#include <algorithm>

namespace pawl::engine {

void plan_graph(pawl::detail::graph_definition& definition) {
  definition.successors.assign(definition.steps.size(), {});
  definition.waits.clear();
  for (std::uint32_t k = 0; k < definition.steps.size(); ++k) {
    const auto& step = definition.steps[k];
    std::vector<std::uint32_t> before(step.after);
    for (const auto& a : step.arguments)
      if (!a.is_input()) before.push_back(a.step);
    std::sort(before.begin(), before.end());
    before.erase(std::unique(before.begin(), before.end()), before.end());
    for (const auto b : before) definition.successors[b].push_back(k);
    definition.waits.push_back(static_cast<std::uint32_t>(before.size()));
  }
}

graph_program::graph_program(std::shared_ptr<const pawl::detail::graph_definition> definition)
    : definition_(std::move(definition)) {}

void graph_program::start(const event& e) {
  open_ = definition_->steps.size();
  results_.resize(open_);
  closed_.resize(open_);
  missing_ = definition_->waits;
  for (std::uint32_t k = 0; k < open_; ++k)
    if (missing_[k] == 0) wants_.push_back({.kind = want_kind::step, .step = k});
  if (definition_->returns && definition_->returns->is_input()) input_ = e.payload;
  if (open_ == 0) wants_.push_back(finish());
}

want graph_program::finish() const {
  want w{.kind = want_kind::finish};
  if (const auto& r = definition_->returns) w.text = r->is_input() ? input_ : results_[r->step];
  return w;
}

void graph_program::close(const event& e) {
  if (e.step >= closed_.size() || closed_[e.step]) {
    broken_ = std::make_unique<failure>(
        failure{.code = "broken", .message = "the history ends a step that this graph does not have open"});
    wants_.assign(1, {.kind = want_kind::broken, .error = broken_.get()});
    return;
  }
  closed_[e.step] = true;
  results_[e.step] = e.payload;
  std::erase_if(wants_, [&](const want& w) { return w.step == e.step; });
  for (const auto k : definition_->successors[e.step])
    if (--missing_[k] == 0) wants_.push_back({.kind = want_kind::step, .step = k});
  if (--open_ == 0 && wants_.empty()) wants_.push_back(finish());
}

step_info graph_program::step(std::uint32_t k) const {
  if (k >= definition_->steps.size()) return {};
  const auto& s = definition_->steps[k];
  return {.name = s.name, .options = &s.options, .undo_options = s.undo ? &s.undo_options : nullptr};
}

std::optional<std::uint32_t> graph_program::step_named(std::string_view name) const {
  const auto& steps = definition_->steps;
  const auto at = std::find_if(steps.begin(), steps.end(), [&](const auto& s) { return s.name == name; });
  if (at == steps.end()) return std::nullopt;
  return static_cast<std::uint32_t>(at - steps.begin());
}

// Arguments are the input and what the steps before it returned.
step_call graph_program::call(std::uint32_t k, bool undo, const std::string& input) const {
  const auto& s = definition_->steps[k];
  step_call c;
  const auto& sources = undo ? s.undo_arguments : s.arguments;
  c.arguments.reserve(sources.size());
  for (const auto& from : sources) c.arguments.emplace_back(from.is_input() ? input : value_of(from.step));
  if (undo) {
    c.undo = {definition_, &s.undo};
    if (k < closed_.size() && closed_[k]) c.result = results_[k];
  } else {
    c.invoke = {definition_, &s.invoke};
  }
  c.returns = s.result;
  return c;
}

void graph_program::on(const event& e) noexcept {
  if (e.undo) return;
  switch (e.kind) {
    case event_kind::run_started:
      start(e);
      break;
    case event_kind::attempt_completed:
    case event_kind::step_skipped:
      close(e);
      break;
    default:
      break;  // the engine alone deals with attempts that end otherwise
  }
}

}  // namespace pawl::engine
