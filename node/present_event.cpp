// One event of a history as JSON.
#include "node/json_writer.hpp"
#include "node/present.hpp"

namespace pawl::node {

namespace {

using engine::event_kind;

/// What the payload of an event is called.
const char* payload_name(event_kind k) {
  switch (k) {
    case event_kind::run_started:
    case event_kind::child_asked:
    case event_kind::run_continued:  // of the next run
      return "input";
    case event_kind::attempt_completed:
    case event_kind::step_skipped:
    case event_kind::run_completed:
    case event_kind::child_ended:
      return "result";
    case event_kind::attempt_started:
      return "details";  // of the last heartbeat of an attempt before it
    case event_kind::status_published:
      return "status";
    case event_kind::update_answered:
      return "answer";
    default:
      return "payload";
  }
}

/// What the name of an event is a name of.
const char* name_of_name(event_kind k) {
  switch (k) {
    case event_kind::signal_received:
    case event_kind::signal_sent:
      return "signal";
    case event_kind::child_asked:
      return "child_type";
    case event_kind::update_received:
    case event_kind::update_answered:
      return "update";
    case event_kind::timer_started:
      return "timer_for";
    case event_kind::change_noted:
      return "change";
    default:
      return "step";
  }
}

// Each says it to a writer of json_writer.hpp.

template <class Writer>
void say_failure(const engine::failure& f, Writer& out) {
  out.begin_object();
  out.member("code", f.code);
  out.member("message", f.message);
  out.member("permanent", f.permanent);
  if (f.retry_in) out.member("retry_in_ms", f.retry_in->count());
  out.end_object();
}

bool is_of_call(event_kind k) { return k >= event_kind::child_asked && k <= event_kind::signal_answered; }

template <class Writer>
void say_child(const engine::child_facts& c, Writer& out) {
  out.begin_object();
  out.member("workflow_id", c.workflow_id);
  if (c.version != 0) out.member("version", c.version);
  if (c.detached)
    out.member("detached", true);
  else
    out.member("when_dropped", plain_text{to_text(c.policy)});
  if (c.deadline.count() > 0) out.member("deadline_ms", c.deadline.count());
  out.end_object();
}

template <class Writer>
void say_start(const engine::start_facts& f, Writer& out) {
  out.begin_object();
  out.member("type", f.type);
  out.member("version", f.version);
  out.member("digest", plain_text{std::to_string(f.digest)});
  out.member("run", f.run);
  out.member("run_uid", plain_text{to_text(f.uid)});
  if (f.code) out.member("code", true);
  if (f.start_at) out.member("start_at", plain_text{time_to_text(*f.start_at)});
  if (f.deadline.count() > 0) out.member("deadline_ms", f.deadline.count());
  if (f.parent) {
    out.name("parent");
    out.begin_object();
    out.member("workflow_id", f.parent->workflow_id);
    out.member("run_uid", to_text(f.parent->uid));
    out.member("call", f.parent->number);
    out.end_object();
  }
  if (f.origin) {
    out.name("origin");
    out.begin_object();
    out.member("kind", to_text(f.origin->kind));
    out.member("run_uid", to_text(f.origin->uid));
    out.member("seq", f.origin->seq);
    if (f.origin->kind != engine::origin_kind::continued) {
      out.member("workflow_id", f.origin->workflow_id);
      out.member("run", f.origin->run);
    }
    out.end_object();
  }
  out.end_object();
}

template <class Writer>
void say_policy(const engine::policy& p, Writer& out) {
  out.begin_object();
  out.member("timeout_ms", p.timeout.count());
  if (p.heartbeat.count() > 0) out.member("heartbeat_ms", p.heartbeat.count());
  if (p.deadline.count() > 0) out.member("deadline_ms", p.deadline.count());
  out.member("max_attempts", p.max_attempts);
  out.member("first_delay_ms", p.first_delay.count());
  out.member("factor", p.factor);
  out.member("max_delay_ms", p.max_delay.count());
  out.member("exhausted", plain_text{p.exhausted == when_exhausted::pause ? "pause" : "compensate"});
  out.member("undo", plain_text{p.undo == undo_when::completed ? "completed" : "may_have_run"});
  out.end_object();
}

bool has_payload(const engine::event& e) {
  return !e.payload.empty() || e.kind == event_kind::run_started || e.kind == event_kind::run_completed ||
         e.kind == event_kind::signal_received || e.kind == event_kind::run_continued ||
         e.kind == event_kind::update_received || (e.kind == event_kind::update_answered && !e.error) ||
         (e.kind == event_kind::attempt_completed && !e.undo);
}

template <class Writer>
void say_order(const engine::event& e, const pawl::detail::workflow_definition* definition, Writer& out) {
  const auto* graph = definition != nullptr ? definition->as_graph() : nullptr;
  out.begin_list();
  for (const auto k : e.order)
    out.value(graph != nullptr && k < graph->steps.size() ? graph->steps[k].name : "#" + std::to_string(k));
  out.end_list();
}

template <class Writer>
void say_event(const engine::event& e, const std::string& at, const pawl::detail::workflow_definition* definition,
               bool with_payload, Writer& out) {
  out.member("seq", e.seq);
  out.member("at", plain_text{at});
  out.member("kind", plain_text{to_text(e.kind)});
  if (!e.name.empty())
    out.member(name_of_name(e.kind), e.name);
  else if (e.step != engine::no_step)
    out.member("step", "#" + std::to_string(e.step));
  if (e.step != engine::no_step) out.member("step_number", e.step);
  if (e.undo) out.member("undo", true);
  if (e.attempt != 0) out.member("attempt", e.attempt);
  if (!e.command_id.empty()) out.member("command_id", e.command_id);
  if (!e.cause.empty()) out.member("cause", e.cause);
  if (e.error) out.name("error"), say_failure(*e.error, out);
  if (e.kind == event_kind::run_reset)
    out.member("to_run", e.number), out.member("to_seq", e.answers);
  else if (e.number != 0)
    out.member(is_of_call(e.kind) ? "call" : "timer", e.number);
  if (e.child) out.name("child"), say_child(*e.child, out);
  if (!e.target.empty()) out.member("other_workflow_id", e.target);
  if (e.answers != 0 && e.kind != event_kind::run_reset) out.member("answers", e.answers);
  if (e.due)
    out.member(e.kind == event_kind::timer_started ? "due_at" : "next_attempt_at", plain_text{time_to_text(*e.due)});
  if (e.start) out.name("start"), say_start(*e.start, out);
  if (e.begun) {
    out.name("policy");
    say_policy(e.begun->policy, out);
    out.member("incarnation", plain_text{std::to_string(e.begun->incarnation)});
    if (e.begun->epoch != 0) out.member("epoch", e.begun->epoch);
    if (e.begun->in_child) out.member("in_child", true);
    if (e.begun->may_still_run) out.member("may_still_run", true);
  }
  if (e.kind == event_kind::compensation_started) out.name("order"), say_order(e, definition, out);
  if (with_payload && has_payload(e)) out.name(payload_name(e.kind)), out.msgpack(e.payload);
}

}  // namespace

json present_failure(const engine::failure& f) {
  json_tree_writer out;
  say_failure(f, out);
  return out.take();
}

json present_event(const engine::event& e, const pawl::detail::workflow_definition* definition) {
  json_tree_writer out;
  out.begin_object();
  say_event(e, time_to_text(e.at), definition, true, out);
  out.end_object();
  return out.take();
}

void write_event(const engine::event& e, const std::string& at, const pawl::detail::workflow_definition* definition,
                 bool with_payload, json_text_writer& out) {
  say_event(e, at, definition, with_payload, out);
}

}  // namespace pawl::node
