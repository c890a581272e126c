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

void graph_program::start() {
  open_ = definition_->steps.size();
  results_.resize(open_);
  closed_.resize(open_);
  missing_ = definition_->waits;
  for (std::uint32_t k = 0; k < open_; ++k)
    if (missing_[k] == 0) wants_.push_back({.kind = want_kind::step, .step = k});
}

void graph_program::close(const event& e) {
  if (e.step >= closed_.size() || closed_[e.step]) {
    wants_.assign(1,
                  {.kind = want_kind::broken, .message = "the history ends a step that this graph does not have open"});
    return;
  }
  closed_[e.step] = true;
  results_[e.step] = e.payload;
  std::erase_if(wants_, [&](const want& w) { return w.step == e.step; });
  for (const auto k : definition_->successors[e.step])
    if (--missing_[k] == 0) wants_.push_back({.kind = want_kind::step, .step = k});
  if (--open_ == 0 && wants_.empty()) {
    want w{.kind = want_kind::finish};
    if (definition_->returns && !definition_->returns->is_input()) w.result = results_[definition_->returns->step];
    wants_.push_back(w);
  }
}

void graph_program::on(const event& e) noexcept {
  if (e.undo) return;
  switch (e.kind) {
    case event_kind::run_started:
      start();
      if (open_ == 0) wants_.push_back({.kind = want_kind::finish});
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
