#include "workflow/calls.hpp"

#include <pawl/codec.hpp>

namespace pawl::engine {

namespace {

std::string call_id(const run_uid& uid, std::uint32_t number) { return to_text(uid) + "/" + std::to_string(number); }

outgoing start_of(const instance& i, const event& e) {
  const auto& c = *e.child;
  start_command start;
  start.facts.workflow_id = c.workflow_id;
  start.facts.type = e.name;
  start.facts.version = c.version;
  start.facts.digest = c.digest;
  start.facts.code = c.code;
  start.facts.deadline = c.deadline;
  start.input = e.payload;
  const return_address back{.workflow_id = i.facts.workflow_id, .uid = i.facts.uid, .number = e.number};
  if (!c.detached) start.facts.parent = back;
  outgoing out;
  out.workflow_id = c.workflow_id;
  out.command = {.id = call_id(i.facts.uid, e.number), .body = std::move(start), .back = back, .only_child_of = {}};
  return out;
}

outgoing message_of(const instance& i, const event& e) {
  outgoing out;
  out.workflow_id = e.target;
  out.command.id = call_id(i.facts.uid, e.number);
  const auto reason = e.cause == sent_cancel ? decode<std::string>(e.payload) : std::string{};
  if (e.cause == sent_cancel)
    out.command.body =
        cancel_command{"workflow '" + i.facts.workflow_id + "' asked for it" + (reason.empty() ? "" : ": " + reason)};
  else
    out.command.body = signal_command{.name = e.name, .payload = e.payload};
  out.command.back = return_address{.workflow_id = i.facts.workflow_id, .uid = i.facts.uid, .number = e.number};
  return out;
}

// Nobody waits for it: it is told what its parent's call said should become of it.
std::optional<outgoing> drop_of(const instance& i, std::uint32_t number, const std::string& child,
                                std::string_view policy) {
  if (policy == to_text(child_policy::abandon)) return std::nullopt;
  const auto why = "its parent, workflow '" + i.facts.workflow_id + "', does not wait for it any more";
  outgoing out;
  out.workflow_id = child;
  out.command.id = call_id(i.facts.uid, number) + "/drop";
  if (policy == to_text(child_policy::kill))
    out.command.body = kill_command{why};
  else
    out.command.body = cancel_command{why};
  out.command.only_child_of = return_address{.workflow_id = {}, .uid = i.facts.uid, .number = number};
  return out;
}

call_end end_of(event_kind k) {
  switch (k) {
    case event_kind::run_completed:
      return call_end::completed;
    case event_kind::run_cancelled:
      return call_end::cancelled;
    case event_kind::run_killed:
      return call_end::killed;
    default:
      return call_end::failed;
  }
}

outgoing result_of(const instance& i, const event& e) {
  const auto& parent = *i.facts.parent;
  call_ended end{.run = parent.uid, .number = parent.number, .end = end_of(e.kind)};
  if (end.end == call_end::completed)
    end.payload = e.payload;
  else
    end.error = e.error;
  outgoing out;
  out.workflow_id = parent.workflow_id;
  out.command.id = to_text(i.facts.uid) + "/end";
  out.command.body = std::move(end);
  return out;
}

}  // namespace

std::vector<outgoing> calls_of(const instance& i, std::span<const event> events) {
  std::vector<outgoing> out;
  const auto drop = [&](std::uint32_t number, const std::string& child, std::string_view policy) {
    if (auto d = drop_of(i, number, child, policy)) out.push_back(std::move(*d));
  };
  for (const auto& e : events) {
    if (e.kind == event_kind::child_asked && e.child->version != 0) out.push_back(start_of(i, e));
    if (e.kind == event_kind::signal_sent && !e.cause.empty()) out.push_back(message_of(i, e));
    if (e.kind == event_kind::child_dropped) drop(e.number, e.target, e.cause);
    if (!is_terminal(e.kind)) continue;
    for (const auto& c : i.calls)
      if (c.is_child) drop(c.number, c.workflow_id, to_text(c.policy));
    if (i.facts.parent && !is_handed_on(e.kind)) out.push_back(result_of(i, e));
  }
  return out;
}

std::optional<outgoing> answer_to_caller(const command& c, const outcome& o) {
  if (!c.back || o.result == command_result::duplicate) return std::nullopt;
  const bool applied = o.result == command_result::applied;
  const auto* start = std::get_if<start_command>(&c.body);
  if (applied && start && start->facts.parent) return std::nullopt;
  call_ended end{.run = c.back->uid, .number = c.back->number, .end = applied ? call_end::accepted : call_end::refused};
  if (!applied) end.error = failure{.code = std::string(to_text(o.result)), .message = o.message, .permanent = true};
  outgoing out;
  out.workflow_id = c.back->workflow_id;
  out.command.id = call_id(c.back->uid, c.back->number) + "/answer";
  out.command.body = std::move(end);
  return out;
}

}  // namespace pawl::engine
