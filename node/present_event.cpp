// One event of a history as JSON.
#include "node/present.hpp"

namespace pawl::node {

namespace {

using engine::event_kind;

/// What the payload of an event is called.
const char* payload_name(event_kind k) {
  switch (k) {
    case event_kind::run_started:
      return "input";
    case event_kind::attempt_completed:
    case event_kind::step_skipped:
    case event_kind::run_completed:
      return "result";
    case event_kind::attempt_started:
      return "details";  // of the last heartbeat of an attempt before it
    default:
      return "payload";
  }
}

json present_start(const engine::start_facts& f) {
  json out{{"type", f.type},
           {"version", f.version},
           {"digest", std::to_string(f.digest)},
           {"run", f.run},
           {"run_uid", to_text(f.uid)}};
  if (f.start_at) out["start_at"] = time_to_text(*f.start_at);
  if (f.deadline.count() > 0) out["deadline_ms"] = f.deadline.count();
  return out;
}

json present_policy(const engine::policy& p) {
  json out{{"timeout_ms", p.timeout.count()}};
  if (p.heartbeat.count() > 0) out["heartbeat_ms"] = p.heartbeat.count();
  if (p.deadline.count() > 0) out["deadline_ms"] = p.deadline.count();
  out["max_attempts"] = p.max_attempts;
  out["first_delay_ms"] = p.first_delay.count();
  out["factor"] = p.factor;
  out["max_delay_ms"] = p.max_delay.count();
  out["exhausted"] = p.exhausted == when_exhausted::pause ? "pause" : "compensate";
  out["undo"] = p.undo == undo_when::completed ? "completed" : "may_have_run";
  return out;
}

bool has_payload(const engine::event& e) {
  return !e.payload.empty() || e.kind == event_kind::run_started || e.kind == event_kind::run_completed ||
         (e.kind == event_kind::attempt_completed && !e.undo);
}

}  // namespace

json present_event(const engine::event& e, const pawl::detail::graph_definition* graph) {
  json out{{"seq", e.seq}, {"at", time_to_text(e.at)}, {"kind", to_text(e.kind)}};
  if (!e.name.empty())
    out["step"] = e.name;
  else if (e.step != engine::no_step)
    out["step"] = "#" + std::to_string(e.step);
  if (e.undo) out["undo"] = true;
  if (e.attempt != 0) out["attempt"] = e.attempt;
  if (!e.command_id.empty()) out["command_id"] = e.command_id;
  if (!e.cause.empty()) out["cause"] = e.cause;
  if (e.error) out["error"] = present_failure(*e.error);
  if (e.due) out["next_attempt_at"] = time_to_text(*e.due);
  if (e.start) out["start"] = present_start(*e.start);
  if (e.begun) {
    out["policy"] = present_policy(e.begun->policy);
    out["incarnation"] = std::to_string(e.begun->incarnation);
    if (e.begun->epoch != 0) out["epoch"] = e.begun->epoch;
    if (e.begun->in_child) out["in_child"] = true;
    if (e.begun->may_still_run) out["may_still_run"] = true;
  }
  if (e.kind == event_kind::compensation_started) {
    auto order = json::array();
    for (const auto k : e.order)
      order.push_back(graph != nullptr && k < graph->steps.size() ? graph->steps[k].name : "#" + std::to_string(k));
    out["order"] = std::move(order);
  }
  if (has_payload(e)) out[payload_name(e.kind)] = to_json(e.payload);
  return out;
}

}  // namespace pawl::node
