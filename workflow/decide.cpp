#include "workflow/decide.hpp"

#include <algorithm>

#include <pawl/registry.hpp>

#include "workflow/branch.hpp"

namespace pawl::engine {

namespace {

decision refuse(command_result result, std::string message) {
  return {.events = {}, .outcome = {.result = result, .seq = 0, .message = std::move(message)}};
}

decision apply(event e) {
  decision d;
  d.events.push_back(std::move(e));
  return d;
}

event of_command(event_kind kind, const command& c) {
  event e;
  e.kind = kind;
  e.command_id = c.id;
  return e;
}

std::string in_phase(const instance& i) {
  return "workflow '" + i.facts.workflow_id + "' is " + std::string(to_text(i.phase)) + (i.paused ? " and paused" : "");
}

event of_signal(const signal_command& s, std::string command_id) {
  event e;
  e.kind = event_kind::signal_received;
  e.command_id = std::move(command_id);
  e.name = s.name;
  e.payload = s.payload.empty() ? std::string(1, '\xc0') : s.payload;  // msgpack nil
  return e;
}

std::optional<decision> misfit_of_signal(bool code, const signal_command& s, const limits& l) {
  if (!code) return refuse(command_result::invalid, "the workflow is a graph of steps, which takes no signals");
  if (s.name.empty() || s.name.size() > max_name_length)
    return refuse(command_result::invalid, "the name of a signal has 1 to 128 bytes");
  if (s.payload.size() > l.payload)
    return refuse(command_result::too_large, "the signal has " + std::to_string(s.payload.size()) +
                                                 " bytes, limits.payload is " + std::to_string(l.payload));
  return std::nullopt;
}

decision decide_signal(const instance& i, const signal_command& s, const command& c, const allowance& a) {
  if (auto wrong = misfit_of_signal(i.facts.code, s, a.limits)) return std::move(*wrong);
  if (i.phase == phase::compensating || (i.phase == phase::stopping && i.program && i.program->has_ended()))
    return refuse(command_result::conflict, in_phase(i) + ": its code has ended, and reads no signal any more");
  if (history_is_full(i, a.limits) || i.history_bytes + s.payload.size() > a.limits.history_bytes)
    return refuse(command_result::too_large, "the history is full, " + in_phase(i));
  if (i.program && same_definition(i))
    if (auto why = i.program->refusal_of_signal(s.name, s.payload); !why.empty())
      return refuse(command_result::invalid, "signal '" + s.name + "': " + why);
  return apply(of_signal(s, c.id));
}

decision decide_update(const instance& i, const update_command& u, const command& c, const allowance& a) {
  if (!i.facts.code) return refuse(command_result::invalid, "the workflow is a graph of steps, which takes no updates");
  if (u.name.empty() || u.name.size() > max_name_length)
    return refuse(command_result::invalid, "the name of an update has 1 to 128 bytes");
  if (u.payload.size() > a.limits.payload)
    return refuse(command_result::too_large, "the update has " + std::to_string(u.payload.size()) +
                                                 " bytes, limits.payload is " + std::to_string(a.limits.payload));
  if (i.phase == phase::compensating || (i.phase == phase::stopping && i.program && i.program->has_ended()))
    return refuse(command_result::conflict, in_phase(i) + ": its code has ended, and answers no update any more");
  if (history_is_full(i, a.limits) || i.history_bytes + u.payload.size() > a.limits.history_bytes)
    return refuse(command_result::too_large, "the history is full, " + in_phase(i));
  if (i.updates.size() >= most_open_updates)
    return refuse(command_result::conflict, in_phase(i) + " and has " + std::to_string(i.updates.size()) +
                                                " updates that its code has not answered; send it again under another "
                                                "command id when it has answered some");
  if (i.program && same_definition(i))
    if (auto why = i.program->refusal_of_update(u.name, u.payload); !why.empty())
      return refuse(command_result::invalid, "update '" + u.name + "': " + why);
  auto e = of_command(event_kind::update_received, c);
  e.name = u.name;
  e.payload = u.payload.empty() ? std::string(1, '\xc0') : u.payload;  // msgpack nil
  return apply(std::move(e));
}

decision decide_start(const instance& i, const start_command& s, const command& c, const allowance& a, time_point now) {
  const bool runs = i.phase != phase::none && !is_closed(i.phase);
  if (runs && s.signal && s.facts.type == i.facts.type) return decide_signal(i, *s.signal, c, a);
  if (i.phase != phase::none) return refuse(command_result::conflict, in_phase(i));
  const auto& id = s.facts.workflow_id;
  if (id.empty()) return refuse(command_result::invalid, "a workflow id is at least one character long");
  if (id.size() > a.limits.id_length)
    return refuse(command_result::too_large, "the workflow id has " + std::to_string(id.size()) +
                                                 " bytes, limits.id_length is " + std::to_string(a.limits.id_length));
  if (s.facts.deadline < milliseconds{0} || s.facts.deadline > longest_duration)
    return refuse(command_result::invalid, "the deadline of a run is between 0 and 2,000 years");
  if (s.facts.start_at && (to_micros(*s.facts.start_at) < 0 || *s.facts.start_at > latest_time))
    return refuse(command_result::invalid, "the time of a start is after 1970 and before the year 36000");
  if (s.input.size() > a.limits.payload)
    return refuse(command_result::too_large, "the input has " + std::to_string(s.input.size()) +
                                                 " bytes, limits.payload is " + std::to_string(a.limits.payload));
  if (s.signal)
    if (auto wrong = misfit_of_signal(s.facts.code, *s.signal, a.limits)) return std::move(*wrong);
  if (auto wrong = misfit_of_kept(s, a.limits, i.definition, now); !wrong.empty())
    return refuse(command_result::invalid, std::move(wrong));
  auto e = of_command(event_kind::run_started, c);
  e.payload = s.input;
  e.start = s.facts;
  if (!s.kept.empty()) e.at = s.kept.front().at;
  auto d = apply(std::move(e));
  if (!s.kept.empty()) d.events.insert(d.events.end(), s.kept.begin() + 1, s.kept.end());
  if (s.signal) d.events.push_back(of_signal(*s.signal, {}));
  return d;
}

decision decide_cancel(const instance& i, const cancel_command& b, const command& c) {
  if (i.phase != phase::running) return refuse(command_result::conflict, in_phase(i) + " and cannot be cancelled");
  auto e = of_command(event_kind::cancel_requested, c);
  e.error = cut(failure{.code = "cancelled", .message = b.reason});
  return apply(std::move(e));
}

decision decide_kill(const kill_command& b, const command& c) {
  auto e = of_command(event_kind::run_killed, c);
  e.error = cut(failure{.code = "killed", .message = b.reason});
  return apply(std::move(e));
}

// What the next run begins with is checked by whoever reads the history; its start carries the command's id.
decision decide_reset(const instance& i, const reset_command& b) {
  event e;
  e.kind = event_kind::run_reset;
  e.number = b.run == 0 ? i.facts.run : b.run;
  e.answers = b.seq;
  e.error = cut(failure{.code = "reset", .message = b.reason});
  return apply(std::move(e));
}

decision decide_pause(const instance& i, const pause_command& b, const command& c, const allowance& a) {
  if (i.paused) return refuse(command_result::conflict, in_phase(i) + " already");
  if (history_is_full(i, a.limits)) return refuse(command_result::too_large, "the history is full, " + in_phase(i));
  auto e = of_command(event_kind::run_paused, c);
  e.cause = b.cause;
  e.error = cut(failure{.code = b.cause == paused_requested ? "paused" : std::string(b.cause), .message = b.reason});
  return apply(std::move(e));
}

decision decide_resume(const instance& i, const command& c) {
  if (!i.paused) return refuse(command_result::conflict, in_phase(i) + ", not paused");
  if (i.pause_cause == paused_mismatch && !same_definition(i))
    return refuse(command_result::conflict, "this node still has another definition of " + i.facts.type + " version " +
                                                std::to_string(i.facts.version) + " than the run started with");
  if (is_of_code(i.pause_cause) && is_broken(i)) {
    const auto& why = *i.program->wants().front().error;
    return refuse(command_result::conflict,
                  why.code == paused_side_effect
                      ? "the code that this node has still does what code must not: " + why.message
                      : "the code that this node has still asks for something else than the history "
                        "holds; start a binary that has the code that it was written with");
  }
  auto e = of_command(event_kind::run_resumed, c);
  e.cause = resumed_requested;
  return apply(std::move(e));
}

decision decide_skip(const instance& i, const skip_command& b, const command& c, const allowance& a) {
  if (b.result.size() > a.limits.payload)
    return refuse(command_result::too_large, "the result has " + std::to_string(b.result.size()) +
                                                 " bytes, limits.payload is " + std::to_string(a.limits.payload));
  if (i.history_bytes + b.result.size() > a.limits.history_bytes)
    return refuse(command_result::too_large,
                  "the history would pass limits.history_bytes, " + std::to_string(a.limits.history_bytes));
  if (!same_definition(i))
    return refuse(command_result::conflict, in_phase(i) + ", and this node does not have its code");
  const auto named = i.program->step_named(b.step);
  if (!named) return refuse(command_result::invalid, "workflow type " + i.facts.type + " has no step '" + b.step + "'");
  const auto k = *named;
  const auto* s = i.find(k, b.undo);
  const bool stopped_by = i.paused && i.pause_step == k && i.pause_undo == b.undo;
  const bool pending = s && (s->status == step_status::scheduled || s->status == step_status::waiting);
  const bool of_phase = b.undo ? i.phase == phase::compensating : s && is_wanted(i, *s);
  if (!s || !of_phase || !(s->status == step_status::spent || (stopped_by && pending)))
    return refuse(command_result::conflict, "step '" + b.step + "' of workflow '" + i.facts.workflow_id +
                                                "' is not exhausted, so it cannot be skipped");
  if (auto why = b.undo ? std::string{} : i.program->refusal_of_result(k, b.result); !why.empty())
    return refuse(command_result::invalid, "the result of step '" + b.step + "': " + why);
  auto e = of_command(event_kind::step_skipped, c);
  e.step = k;
  e.undo = b.undo;
  e.name = b.step;
  e.payload = b.result;
  return apply(std::move(e));
}

event_kind kind_of(attempt_end end) {
  switch (end) {
    case attempt_end::completed:
      return event_kind::attempt_completed;
    case attempt_end::failed:
      return event_kind::attempt_failed;
    case attempt_end::timed_out:
      return event_kind::attempt_timed_out;
    case attempt_end::lost:
    case attempt_end::child_died:
      return event_kind::attempt_lost;
    case attempt_end::interrupted:
      return event_kind::attempt_interrupted;
    case attempt_end::not_begun:
      return event_kind::attempt_not_begun;
  }
  return event_kind::attempt_lost;
}

// Sets `due` when another attempt follows the failure; leaves it unset when the step is spent.
void plan_retry(const instance& i, const step_state& s, event& e, const allowance& a, time_point now) {
  const auto failures = s.counted + 1;
  const bool ends_here = e.error && e.error->permanent;
  // A run that is stopping starts nothing again, but for what its code cleans up with.
  if (ends_here || !is_wanted(i, s) || failures >= s.policy.max_attempts || history_is_full(i, a.limits)) return;
  const auto seed = stable_hash(to_text(i.facts.uid),
                                (std::uint64_t{s.step} << 33) + (std::uint64_t{s.attempt} << 1) + (s.undo ? 1 : 0));
  const auto due = now + retry_delay(s.policy, failures, seed, e.error ? e.error->retry_in : std::nullopt);
  if (s.policy.deadline.count() > 0 && due >= s.first_scheduled + s.policy.deadline) return;
  e.due = due;
}

// An empty result always fits: an undo must be able to complete when the history is full.
std::optional<failure> too_large(const instance& i, const attempt_ended& b, const limits& l) {
  const auto size = b.result.size();
  if (size > l.payload)
    return failure{
        .code = "too_large",
        .message = "the result has " + std::to_string(size) + " bytes, limits.payload is " + std::to_string(l.payload),
        .permanent = true};
  if (size > 0 && i.history_bytes + size > l.history_bytes)
    return failure{.code = "too_large",
                   .message = "the history would pass limits.history_bytes, " + std::to_string(l.history_bytes),
                   .permanent = true};
  return std::nullopt;
}

decision decide_attempt_ended(const instance& i, const attempt_ended& b, const allowance& a, time_point now) {
  const auto* s = i.find(b.step, b.undo);
  if (!s || s->status != step_status::running || s->attempt != b.attempt)
    return refuse(command_result::late, "attempt " + std::to_string(b.attempt) + " is not under way any more");
  event e;
  e.kind = kind_of(b.end);
  e.step = b.step;
  e.undo = b.undo;
  e.attempt = b.attempt;
  if (i.program && same_definition(i)) e.name = i.program->step(b.step).name;
  if (b.error) e.error = cut(*b.error);
  if (b.end == attempt_end::child_died) e.cause = lost_with_child;
  if (b.end == attempt_end::completed) {
    if (auto error = too_large(i, b, a.limits)) {
      e.kind = event_kind::attempt_failed;
      e.cause = failed_too_large;
      e.error = std::move(error);
    } else {
      e.payload = b.result;
    }
  }
  if (e.kind == event_kind::attempt_failed || e.kind == event_kind::attempt_timed_out) plan_retry(i, *s, e, a, now);
  return apply(std::move(e));
}

bool is_child_of(const instance& i, const return_address& call) {
  return i.facts.parent && i.facts.parent->uid == call.uid && i.facts.parent->number == call.number;
}

// The answer of another workflow. One that nobody waits for any more is dropped, and that is the recorded outcome.
decision decide_call_ended(const instance& i, const call_ended& c, const allowance& a) {
  if (c.run != i.facts.uid)
    return refuse(command_result::late, "it is for another run of workflow '" + i.facts.workflow_id + "'");
  const auto* call = i.find_call(c.number);
  if (!call || !is_code_phase(i))
    return refuse(command_result::late, "call " + std::to_string(c.number) + " of workflow '" + i.facts.workflow_id +
                                            "' is not waited for any more");
  event e;  // without the command's id: the number of the call tells a repeat
  e.kind = call->is_message ? event_kind::signal_answered : event_kind::child_ended;
  e.number = c.number;
  if (!call->is_message) e.cause = to_text(c.end);
  if (c.end != call_end::completed && c.end != call_end::accepted)
    e.error = cut(c.error.value_or(failure{.code = std::string(to_text(c.end)), .message = "it gave no reason"}));
  if (c.end == call_end::completed) {
    if (i.history_bytes + c.payload.size() > a.limits.history_bytes) {
      e.error = failure{.code = "too_large",
                        .message = "with the child's result the history would pass limits.history_bytes, " +
                                   std::to_string(a.limits.history_bytes),
                        .permanent = true};
    } else {
      e.payload = c.payload;
    }
  }
  return apply(std::move(e));
}

// What happened in another run has its times, and the code goes through it as in any replay.
void replay_kept(instance& i, std::vector<event>& events, carried& out) {
  for (auto& e : events) {
    e.seq = i.last_seq + 1;
    evolve(i, e);
    if (!i.broken.empty()) return;
    out.events.push_back(std::move(e));
  }
  out.kept = out.events.size();
  if (i.program) i.program->go_live();
}

}  // namespace

bool is_broken(const instance& i) {
  if (!i.program || !same_definition(i)) return false;
  const auto wants = i.program->wants();
  return !wants.empty() && wants.front().kind == want_kind::broken;
}

bool history_is_full(const instance& i, const limits& l) {
  return i.last_seq >= l.history_events || i.history_bytes >= l.history_bytes;
}

decision decide(const instance& i, const command& c, const allowance& a, time_point now) {
  if (std::holds_alternative<wake>(c.body)) return {};
  if (!i.broken.empty()) return refuse(command_result::conflict, "the history cannot be followed: " + i.broken);
  if (const auto seq = i.applied_at(c.id)) {
    auto d = refuse(command_result::duplicate, "command " + c.id + " has been applied already");
    d.outcome.seq = seq;
    return d;
  }
  if (c.id.size() > a.limits.id_length)
    return refuse(command_result::too_large, "the command id is longer than limits.id_length");
  if (const auto* s = std::get_if<start_command>(&c.body)) return decide_start(i, *s, c, a, now);
  if (const auto* s = std::get_if<attempt_ended>(&c.body))
    return is_closed(i.phase) ? refuse(command_result::late, in_phase(i)) : decide_attempt_ended(i, *s, a, now);
  if (i.phase == phase::none) return refuse(command_result::not_found, "no such workflow");
  if (const auto* s = std::get_if<call_ended>(&c.body))
    return is_closed(i.phase) ? refuse(command_result::late, in_phase(i)) : decide_call_ended(i, *s, a);
  if (is_closed(i.phase)) return refuse(command_result::conflict, in_phase(i) + " already");
  if (c.only_child_of && !is_child_of(i, *c.only_child_of))
    return refuse(command_result::conflict, "workflow '" + i.facts.workflow_id + "' is not the child that is meant");
  // These come at most once a run each, so they are always possible.
  if (const auto* s = std::get_if<cancel_command>(&c.body)) return decide_cancel(i, *s, c);
  if (const auto* s = std::get_if<kill_command>(&c.body)) return decide_kill(*s, c);
  if (const auto* s = std::get_if<reset_command>(&c.body)) return decide_reset(i, *s);
  if (i.command_ids && i.command_ids->size() >= a.limits.command_ids)
    return refuse(command_result::too_large,
                  "the run has had limits.command_ids commands, " + std::to_string(a.limits.command_ids));
  if (const auto* s = std::get_if<signal_command>(&c.body)) return decide_signal(i, *s, c, a);
  if (const auto* s = std::get_if<update_command>(&c.body)) return decide_update(i, *s, c, a);
  if (const auto* s = std::get_if<pause_command>(&c.body)) return decide_pause(i, *s, c, a);
  if (const auto* s = std::get_if<skip_command>(&c.body)) return decide_skip(i, *s, c, a);
  return decide_resume(i, c);
}

std::vector<event> next_run(const instance& i, const allowance& a, const run_uid& uid) {
  std::vector<event> out;
  event e;
  e.kind = event_kind::run_started;
  e.payload = i.continues_with;
  e.start = i.facts;
  auto& f = *e.start;
  if (const auto type = a.find_type(f.type, 0)) {
    f.version = type->version;
    f.digest = type->digest;
    f.code = type->code;
  }
  f.run = i.facts.run + 1;
  f.uid = uid;
  f.start_at.reset();
  if (f.origin) f.deadline -= f.origin->longer;
  f.origin = run_origin{.kind = origin_kind::continued, .uid = i.facts.uid, .seq = i.last_seq};
  out.push_back(std::move(e));
  for (auto& unread : i.program->unread()) out.push_back(std::move(unread));
  std::uint64_t seq = 0;
  for (auto& n : out) {
    n.seq = ++seq;
    n.at = i.last_time;
  }
  return out;
}

std::optional<event> change_to_note(const instance& i, const limits& l) {
  const bool code_goes_on = i.phase == phase::running || i.phase == phase::stopping;
  if (!code_goes_on || !i.broken.empty() || !i.program || !same_definition(i) || history_is_full(i, l))
    return std::nullopt;
  const auto wants = i.program->wants();
  if (wants.empty() || wants.front().kind != want_kind::note_change) return std::nullopt;
  event e;
  e.kind = event_kind::change_noted;
  e.name = wants.front().text;
  return e;
}

carried carry_out(instance& i, const command& c, allowance& a, time_point now) {
  carried out;
  out.events.reserve(4);  // few decisions have more
  now = std::max(now, i.last_time);
  const auto* start = std::get_if<start_command>(&c.body);
  const bool keeps = start && !start->kept.empty() && i.phase == phase::none;
  if (i.program && !keeps) i.program->go_live();
  std::size_t bytes = 0;
  // What evolve does not accept must not reach the journal: the run would be broken for ever.
  auto take_one = [&](event& e) {
    e.seq = i.last_seq + 1;
    e.at = now;
    evolve(i, e);
    if (!i.broken.empty()) return false;
    bytes += size_of(e);
    out.events.push_back(std::move(e));
    return true;
  };
  // A changed place is noted at once, before whatever else comes in the same decision: behind it, it is too late.
  auto note_changes = [&] {
    while (auto note = change_to_note(i, a.limits))
      if (!take_one(*note)) return false;
    return true;
  };
  auto take = [&](std::vector<event>& events) {
    for (auto& e : events)
      if (!take_one(e) || !note_changes()) return;
  };
  if (!note_changes()) return out;
  auto first = decide(i, c, a, now);
  out.outcome = std::move(first.outcome);
  if (!first.events.empty()) out.outcome.seq = i.last_seq + 1;
  if (keeps) {
    replay_kept(i, first.events, out);
    now = std::max(now, i.last_time);  // of another partition, whose clock may be a little ahead
  } else {
    take(first.events);
  }
  if (!i.broken.empty() && !first.events.empty())
    out.outcome = {
        .result = command_result::conflict, .seq = 0, .message = "the history cannot be followed: " + i.broken};
  if (out.outcome.result != command_result::applied || i.phase == phase::none || !i.broken.empty()) return out;
  if (keeps && !note_changes()) return out;
  while (out.events.size() - out.kept < a.limits.wants && bytes < decision_bytes(a.limits)) {
    auto next = advance(i, a, now);
    if (next.empty()) return out;
    take(next);
    if (!i.broken.empty()) return out;
  }
  out.more = true;
  return out;
}

}  // namespace pawl::engine
