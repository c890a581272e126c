#include "actors/branch_source.hpp"

#include <utility>

namespace pawl::actors {

namespace {

engine::branch refuse(engine::command_result result, std::string message) {
  return {.events = {}, .refusal = {.result = result, .seq = 0, .message = std::move(message)}};
}

}  // namespace

sourced_branch source_branch(store::view& view, const registry& types, const branch_ask& asked,
                             const engine::limits& limits, engine::time_point now) {
  const auto workflow = "workflow '" + asked.workflow_id + "'";
  const auto row = asked.run == 0 ? view.find(asked.workflow_id) : view.find(asked.workflow_id, asked.run);
  if (!row)
    return {.branch =
                refuse(engine::command_result::not_found,
                       "there is no " + (asked.run == 0 ? "" : "run " + std::to_string(asked.run) + " of ") + workflow),
            .run = asked.run};
  sourced_branch out{.branch = {}, .run = row->header.run};
  auto cut = asked.cut;
  if (asked.version != 0) {
    const auto found = types.find(row->header.type, asked.version);
    if (!found) {
      out.branch = refuse(engine::command_result::invalid, "this node has no version " + std::to_string(asked.version) +
                                                               " of workflow type '" + row->header.type + "'");
      return out;
    }
    cut.type = engine::child_type{
        .version = found->options.version, .digest = found->digest, .code = found->as_code() != nullptr};
  }
  const auto history = view.history(row->key);
  if (!history.error.empty()) {
    out.branch =
        refuse(engine::command_result::conflict,
               "the history of " + workflow + " run " + std::to_string(out.run) + " cannot be read: " + history.error);
    return out;
  }
  out.branch = engine::branch_of(history.events, cut, limits, now);
  if (!out.branch.events.empty()) {
    auto start = start_of(std::move(out.branch));
    auto wrong = engine::misfit_of_kept(start, limits, types.find(start.facts.type, start.facts.version), now);
    if (wrong.empty())
      out.branch = {.events = std::move(start.kept), .refusal = {}};
    else
      out.branch = refuse(engine::command_result::conflict, std::move(wrong));
  }
  if (out.branch.events.empty())
    out.branch.refusal.message =
        workflow + " run " + std::to_string(out.run) + ": " + std::move(out.branch.refusal.message);
  return out;
}

engine::start_command start_of(engine::branch b) {
  engine::start_command start;
  start.facts = *b.events.front().start;
  start.facts.parent.reset();
  start.input = b.events.front().payload;
  start.kept = std::move(b.events);
  return start;
}

}  // namespace pawl::actors
