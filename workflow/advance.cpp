// advance and outstanding: what follows from a state, and what must stand outside of it. Both read the same rules, so
// they live side by side.
#include <algorithm>

#include "workflow/decide.hpp"

namespace pawl::engine {

namespace {

using events = std::vector<event>;

event plain(event_kind kind) {
  event e;
  e.kind = kind;
  return e;
}

event of_step(event_kind kind, const instance& i, std::uint32_t step, bool undo) {
  auto e = plain(kind);
  e.step = step;
  e.undo = undo;
  e.name = i.program->step(step).name;
  return e;
}

event of_timer(event_kind kind, const want& w) {
  auto e = plain(kind);
  e.number = w.number;
  if (kind == event_kind::timer_started) {
    e.due = w.due;
    e.name = w.text;
  }
  return e;
}

// Why a child cannot be started; nothing when it can. What its start would be refused for on its own partition, where
// nobody may be left to tell.
std::optional<failure> misfit_of_child(const want& w, const std::optional<child_type>& type, const limits& l) {
  const auto refused = [](const char* code, std::string message) {
    return failure{.code = code, .message = std::move(message), .permanent = true};
  };
  const auto& c = *w.call;
  const auto named = std::string(w.text) + (c.version == 0 ? "" : " version " + std::to_string(c.version));
  if (!type) return refused("no_such_type", "this node has no workflow type " + named);
  if (c.workflow_id.size() > l.id_length)
    return refused("too_large", "the child's workflow id has " + std::to_string(c.workflow_id.size()) +
                                    " bytes, limits.id_length is " + std::to_string(l.id_length));
  if (c.payload.size() > l.payload)
    return refused("too_large", "the child's input has " + std::to_string(c.payload.size()) +
                                    " bytes, limits.payload is " + std::to_string(l.payload));
  if (c.deadline > longest_duration) return refused("invalid", "the deadline of a child is at most 2,000 years");
  return std::nullopt;
}

// Asked, and where that cannot be, answered at once.
void ask_for_child(const want& w, const allowance& a, events& out) {
  const auto type = a.find_type(w.text, w.call->version);
  auto wrong = misfit_of_child(w, type, a.limits);
  auto asked = plain(event_kind::child_asked);
  asked.number = w.number;
  asked.name = w.text;
  asked.payload = w.call->payload;
  asked.child = child_facts{.workflow_id = w.call->workflow_id,
                            .policy = w.call->policy,
                            .detached = w.call->detached,
                            .deadline = w.call->deadline};
  if (wrong) {
    asked.payload.clear();
    asked.child->deadline = milliseconds{0};
  } else {
    asked.child->version = type->version;
    asked.child->digest = type->digest;
    asked.child->code = type->code;
  }
  out.push_back(std::move(asked));
  if (!wrong) return;
  auto answer = plain(event_kind::child_ended);
  answer.number = w.number;
  answer.cause = to_text(call_end::refused);
  answer.error = std::move(wrong);
  out.push_back(std::move(answer));
}

void tell_other(const want& w, const limits& l, events& out) {
  auto sent = plain(event_kind::signal_sent);
  sent.number = w.number;
  sent.name = w.text;
  sent.target = w.call->workflow_id;
  sent.cause = w.call->cancels ? sent_cancel : sent_signal;
  std::optional<failure> wrong;
  if (sent.target.size() > l.id_length)
    wrong = failure{.code = "too_large",
                    .message = "the workflow id has " + std::to_string(sent.target.size()) +
                               " bytes, limits.id_length is " + std::to_string(l.id_length),
                    .permanent = true};
  else if (w.call->payload.size() > l.payload)
    wrong = failure{.code = "too_large",
                    .message = "the signal has " + std::to_string(w.call->payload.size()) +
                               " bytes, limits.payload is " + std::to_string(l.payload),
                    .permanent = true};
  else
    sent.payload = w.call->payload;
  if (wrong) sent.cause.clear();  // it goes nowhere
  out.push_back(std::move(sent));
  if (!wrong) return;
  auto answer = plain(event_kind::signal_answered);
  answer.number = w.number;
  answer.error = std::move(wrong);
  out.push_back(std::move(answer));
}

event pause(std::string_view cause, failure error) {
  auto e = plain(event_kind::run_paused);
  e.cause = cause;
  e.error = std::move(error);
  return e;
}

event pause_at(const instance& i, const step_state& s, std::string_view cause, failure error) {
  auto e = of_step(event_kind::run_paused, i, s.step, s.undo);
  e.cause = cause;
  e.error = std::move(error);
  return e;
}

const step_options& options_of(const instance& i, std::uint32_t step, bool undo) {
  const auto s = i.program->step(step);
  return undo ? *s.undo_options : *s.options;
}

// The deadline that holds for a step which is not running: by the policy on record, or by this binary's before the
// first.
std::optional<time_point> deadline_of(const instance& i, const step_state& s) {
  const auto d = s.attempt > 0 ? s.policy.deadline : options_of(i, s.step, s.undo).deadline.value_or(milliseconds{0});
  if (d.count() == 0) return std::nullopt;
  return s.first_scheduled + d;
}

bool is_open_want(const step_state* s) {
  return !s || s->status == step_status::scheduled || s->status == step_status::waiting;
}

bool convicted(const step_state& s) {
  return s.status == step_status::waiting && s.child_deaths >= convicting_child_deaths;
}

// A step starts its first or next attempt, if a slot is there; else its first want is put on record without one.
std::optional<event> begin(const instance& i, std::uint32_t step, bool undo, bool may_still_run, allowance& a) {
  const auto* s = i.find(step, undo);
  const auto& options = options_of(i, step, undo);
  const bool in_child = a.children && s && s->suspect;
  if (!a.take_slot(
          {.run = &i, .step = step, .undo = undo, .in_child = in_child, .max_concurrent = options.max_concurrent})) {
    if (s) return std::nullopt;
    return of_step(event_kind::step_scheduled, i, step, undo);
  }
  auto e = of_step(event_kind::attempt_started, i, step, undo);
  e.attempt = s ? s->attempt + 1 : 1;
  e.begun = attempt_facts{.policy = resolve(options, a.defaults),
                          .incarnation = a.incarnation,
                          .epoch = a.epoch,
                          .in_child = in_child,
                          .may_still_run = may_still_run};
  if (s) e.payload = s->details;
  return e;
}

failure too_late(const instance& i, const step_state& s) {
  return {.code = "deadline_exceeded",
          .message = "step '" + std::string(i.program->step(s.step).name) + "' did not complete within its deadline" +
                     (s.last_error ? "; its last error: " + s.last_error->message : std::string{}),
          .permanent = true};
}

// What a spent step makes of the run: a pause or the way to compensation, as its policy says. Code is told instead of
// compensation.
event exhaust(const instance& i, const step_state& s, failure error) {
  const auto policy = s.attempt > 0 ? s.policy.exhausted : options_of(i, s.step, s.undo).exhausted;
  if (s.undo) return pause_at(i, s, paused_undo_exhausted, std::move(error));
  if (policy == when_exhausted::pause) return pause_at(i, s, paused_exhausted, std::move(error));
  auto e = of_step(i.program->catches() ? event_kind::step_failed : event_kind::step_exhausted, i, s.step, s.undo);
  e.attempt = s.attempt;
  e.error = std::move(error);
  return e;
}

std::optional<event> trouble(const instance& i, bool of_undo, time_point now) {
  for (auto n = i.first_open; n < i.steps.size(); ++n) {
    const auto& s = i.steps[n];
    if (s.undo != of_undo || s.abandoned) continue;
    if (convicted(s))
      return pause_at(i, s, paused_killer,
                      {.code = std::string(paused_killer),
                       .message = "step '" + std::string(i.program->step(s.step).name) + "' ended its process " +
                                  std::to_string(s.child_deaths) + " times in a row" +
                                  (s.last_error ? ": " + s.last_error->message : std::string{})});
    if (s.status == step_status::spent) return exhaust(i, s, s.last_error.value_or(failure{}));
    if (s.status != step_status::scheduled && s.status != step_status::waiting) continue;
    if (const auto d = deadline_of(i, s); d && now >= *d) return exhaust(i, s, too_late(i, s));
  }
  return std::nullopt;
}

std::optional<time_point> run_deadline(const instance& i) {
  if (i.facts.deadline.count() == 0) return std::nullopt;
  return std::max(i.facts.start_at.value_or(i.started), i.started) + i.facts.deadline;
}

// The end of a program, or of what can be followed of it. Attempts that it did not wait for end before the run does.
events finish(const instance& i, const want& w, const limits& l) {
  if (w.kind == want_kind::broken) return {pause(i.program->catches() ? w.error->code : paused_broken, *w.error)};
  if (w.kind == want_kind::fail) {
    auto e = plain(event_kind::code_failed);
    e.error = cut(*w.error);
    return {std::move(e)};
  }
  if (w.text.size() > l.payload) {
    auto e = plain(event_kind::code_failed);
    e.error =
        failure{.code = "too_large",
                .message = std::string(w.kind == want_kind::renew ? "the next run's input" : "the result") + " has " +
                           std::to_string(w.text.size()) + " bytes, limits.payload is " + std::to_string(l.payload),
                .permanent = true};
    return {std::move(e)};
  }
  if (i.running_attempts > 0) return {};
  auto e = plain(w.kind == want_kind::renew ? event_kind::run_continued : event_kind::run_completed);
  e.payload = w.text;
  if (e.payload.empty()) e.payload.assign(1, '\xc0');  // msgpack nil
  return {std::move(e)};
}

failure too_long(const instance& i, const limits& l) {
  return {.code = "too_large",
          .message = "the history has " + std::to_string(i.last_seq) + " events and " +
                     std::to_string(i.history_bytes) + " bytes; limits.history_events is " +
                     std::to_string(l.history_events) + ", limits.history_bytes " + std::to_string(l.history_bytes),
          .permanent = true};
}

// Nothing new can be put on record. Code is not asked what follows: it would only want something new.
event no_room(const instance& i, const want& w, const limits& l) {
  if (i.program->catches()) {
    auto e = plain(event_kind::code_failed);
    e.error = too_long(i, l);
    return e;
  }
  auto e = of_step(event_kind::step_exhausted, i, w.step, false);
  if (const auto* s = i.find(w.step, false)) e.attempt = s->attempt;
  e.error = too_long(i, l);
  return e;
}

// Whether there is something to put on record about a want now.
bool is_unserved(const instance& i, const want& w, time_point now) {
  switch (w.kind) {
    case want_kind::step: {
      const auto* s = i.find(w.step, false);
      return is_open_want(s) && !(s && s->status == step_status::waiting && now < s->due);
    }
    case want_kind::timer:
      return !i.find_timer(w.number);
    case want_kind::drop_step:
    case want_kind::drop_timer:
    case want_kind::drop_child:
    case want_kind::publish:
    case want_kind::child:
    case want_kind::message:
    case want_kind::note_change:  // only when there is no room for it: it comes first otherwise
    case want_kind::answer:
      return true;
    default:
      return false;
  }
}

// What takes something off the run goes on record although its history is full.
bool is_let_in(const want& w) {
  return w.kind == want_kind::drop_step || w.kind == want_kind::drop_timer || w.kind == want_kind::drop_child ||
         w.kind == want_kind::answer;
}

// An answer that does not fit is a refusal: one thing fails, not the run.
event answer(const instance& i, const want& w, const limits& l) {
  auto e = plain(event_kind::update_answered);
  e.answers = w.seq;
  if (const auto* u = i.find_update(w.seq)) e.name = u->name;
  if (w.error) {
    e.error = cut(*w.error);
  } else if (w.text.size() > l.payload || i.history_bytes + w.text.size() > l.history_bytes) {
    e.error =
        failure{.code = "too_large",
                .message = "the answer has " + std::to_string(w.text.size()) + " bytes; limits.payload is " +
                           std::to_string(l.payload) + ", limits.history_bytes " + std::to_string(l.history_bytes),
                .permanent = true};
  } else {
    e.payload = w.text;
  }
  return e;
}

void serve(const instance& i, const want& w, allowance& a, events& out) {
  switch (w.kind) {
    case want_kind::step:
      if (auto e = begin(i, w.step, false, false, a)) out.push_back(std::move(*e));
      return;
    case want_kind::timer:
      return out.push_back(of_timer(event_kind::timer_started, w));
    case want_kind::drop_timer:
      return out.push_back(of_timer(event_kind::timer_cancelled, w));
    case want_kind::drop_step: {
      auto e = of_step(event_kind::step_abandoned, i, w.step, false);
      if (const auto* s = i.find(w.step, false)) e.attempt = s->attempt;
      return out.push_back(std::move(e));
    }
    case want_kind::drop_child: {
      auto e = plain(event_kind::child_dropped);
      e.number = w.number;
      e.target = w.call->workflow_id;
      e.cause = to_text(w.call->policy);
      return out.push_back(std::move(e));
    }
    case want_kind::child:
      return ask_for_child(w, a, out);
    case want_kind::message:
      return tell_other(w, a.limits, out);
    case want_kind::answer:
      return out.push_back(answer(i, w, a.limits));
    case want_kind::publish: {
      auto e = plain(event_kind::status_published);
      e.payload = w.text;
      return out.push_back(std::move(e));
    }
    default:
      return;
  }
}

// The timer that fires next among those that are due; null when none is.
const want* next_due(const instance& i, std::span<const want> wants, time_point now) {
  const want* next = nullptr;
  for (const auto& w : wants)
    if (w.kind == want_kind::timer && now >= w.due && i.find_timer(w.number) && (!next || w.due < next->due)) next = &w;
  return next;
}

bool is_end(const want& w) {
  return w.kind == want_kind::finish || w.kind == want_kind::fail || w.kind == want_kind::broken ||
         w.kind == want_kind::renew;
}

events serve_wants(const instance& i, allowance& a, time_point now) {
  const auto wants = i.program->wants();
  events out;
  std::size_t bytes = 0;
  for (const auto& w : wants) {
    if (is_end(w)) return out.empty() && i.phase == phase::running ? finish(i, w, a.limits) : out;
    if (!is_unserved(i, w, now)) continue;
    if (!is_let_in(w) && history_is_full(i, a.limits)) return {no_room(i, w, a.limits)};
    const auto before = out.size();
    serve(i, w, a, out);
    for (auto n = before; n < out.size(); ++n) bytes += size_of(out[n]);
    if (out.size() >= a.limits.wants || bytes >= decision_bytes(a.limits)) return out;
  }
  // It may change all other wants.
  if (const auto* due = out.empty() ? next_due(i, wants, now) : nullptr)
    out.push_back(of_timer(event_kind::timer_fired, *due));
  return out;
}

events serve_program(const instance& i, allowance& a, time_point now) {
  if (is_broken(i)) return finish(i, i.program->wants().front(), a.limits);
  if (auto e = trouble(i, false, now)) return {std::move(*e)};
  return serve_wants(i, a, now);
}

events advance_running(const instance& i, allowance& a, time_point now) {
  if (const auto d = run_deadline(i); d && now >= *d) {
    auto e = plain(event_kind::deadline_passed);
    e.error =
        failure{.code = "deadline_exceeded", .message = "the run did not end within its deadline", .permanent = true};
    return {std::move(e)};
  }
  if (i.paused) return {};
  // Code has a timer of its own until then.
  if (i.facts.start_at && now < *i.facts.start_at && !i.program->catches()) return {};
  return serve_program(i, a, now);
}

bool to_undo(const instance& i, const step_state& s) {
  if (s.undo) return false;
  const auto step = i.program->step(s.step);
  if (!step.undo_options) return false;
  if (s.status == step_status::completed || s.status == step_status::skipped) return true;
  const auto when = s.attempt > 0 ? s.policy.undo : step.options->undo;
  return s.outcome_unknown && when == undo_when::may_have_run;
}

// Newest first by the seq of the event that closed the step; where the run stopped before any did, by the end of its
// newest attempt.
std::vector<std::uint32_t> order_of_undoing(const instance& i) {
  std::vector<std::pair<std::uint64_t, std::uint32_t>> closed;
  for (const auto& s : i.steps)
    if (to_undo(i, s)) closed.emplace_back(s.closed_seq > 0 ? s.closed_seq : s.ended_seq, s.step);
  std::sort(closed.rbegin(), closed.rend());
  std::vector<std::uint32_t> out;
  for (const auto& c : closed) out.push_back(c.second);
  return out;
}

event end_of(const instance& i) {
  auto e = plain(i.stop && i.stop->cancelled ? event_kind::run_cancelled : event_kind::run_failed);
  if (i.stop) e.error = i.stop->error;
  return e;
}

// Code that is cancelled cleans up first.
events advance_stopping(const instance& i, allowance& a, time_point now) {
  if (i.program->catches() && !i.program->has_ended()) return i.paused ? events{} : serve_program(i, a, now);
  if (i.program->catches())
    if (auto left = serve_wants(i, a, now); !left.empty()) return left;
  if (i.running_attempts > 0) return {};
  auto order = order_of_undoing(i);
  if (order.empty()) return {end_of(i)};
  auto e = plain(event_kind::compensation_started);
  e.cause = i.stop && i.stop->cancelled ? "cancelled" : "failed";
  e.order = std::move(order);
  return {std::move(e)};
}

// The undo that is next, if any; null when all are done.
const std::uint32_t* next_undo(const instance& i) {
  for (const auto& k : i.undo_order) {
    const auto* s = i.find(k, true);
    if (!s || (s->status != step_status::completed && s->status != step_status::skipped)) return &k;
  }
  return nullptr;
}

// Until when an undo waits for a function of its step that has not returned: once more the step's timeout.
time_point patience(const step_state& step) { return step.ended + step.policy.timeout; }

events advance_compensating(const instance& i, allowance& a, time_point now) {
  if (i.paused) return {};
  // Its undos are what other code made.
  if (i.program->catches() && is_broken(i)) return finish(i, i.program->wants().front(), a.limits);
  const auto* next = next_undo(i);
  if (!next) return {end_of(i)};
  const auto* undo = i.find(*next, true);
  if (undo && undo->status == step_status::running) return {};
  if (!i.program->step(*next).undo_options) {
    auto e = of_step(event_kind::run_paused, i, *next, true);
    e.cause = paused_undo_exhausted;
    e.error =
        failure{.code = "no_undo",
                .message = "step #" + std::to_string(*next) +
                           " is to be undone, and this binary has no undo for it; start one that has, and resume"};
    return {std::move(e)};
  }
  if (auto e = trouble(i, true, now)) return {std::move(*e)};
  if (undo && undo->status == step_status::waiting && now < undo->due) return {};
  const auto* step = i.find(*next, false);
  const bool still = step && step->outcome_unknown && a.still_running(i, *next);
  if (still && now < patience(*step)) return {};
  events out;
  if (auto e = begin(i, *next, true, still, a)) out.push_back(std::move(*e));
  return out;
}

std::optional<event> code_matters(const instance& i) {
  if (!i.definition) {
    if (i.lacks_code) return std::nullopt;
    auto e = plain(event_kind::waiting_for_code);
    e.error =
        failure{.code = "waiting_for_code",
                .message = "no node has workflow type " + i.facts.type + " version " + std::to_string(i.facts.version)};
    return e;
  }
  if (i.lacks_code) return plain(event_kind::code_found);
  // A run that is paused already stays as it is: a mismatch on top of it would hide what it was paused for, and the
  // right definition would then let go on what a person has to look at. It shows when the run is resumed.
  if (!same_definition(i) && !i.paused)
    return pause(paused_mismatch, {.code = std::string(paused_mismatch),
                                   .message = "the run started with another definition of " + i.facts.type +
                                              " version " + std::to_string(i.facts.version) +
                                              " than this binary has (steps, edges or types differ); give the changed "
                                              "definition a new version, or start a binary that has the old one"});
  const bool mended = i.pause_cause == paused_mismatch || (is_of_code(i.pause_cause) && !is_broken(i));
  if (same_definition(i) && i.paused && mended) {
    auto e = plain(event_kind::run_resumed);
    e.cause = resumed_by_code;
    return e;
  }
  return std::nullopt;
}

}  // namespace

std::vector<event> advance(const instance& i, allowance& a, time_point now) {
  if (i.phase == phase::none || is_closed(i.phase) || !i.broken.empty()) return {};
  if (auto e = code_matters(i)) return {std::move(*e)};
  if (!i.program || !same_definition(i)) return {};
  if (auto e = change_to_note(i, a.limits)) return {std::move(*e)};
  if (i.paused && i.pause_step != no_step) {
    // The step that stopped the run has been skipped since.
    const auto* s = i.find(i.pause_step, i.pause_undo);
    if (s && s->status == step_status::skipped) {
      auto e = plain(event_kind::run_resumed);
      e.cause = resumed_by_skip;
      return {std::move(e)};
    }
  }
  const auto& l = a.limits;
  if (!i.warned && (i.last_seq >= l.history_events / 2 || i.history_bytes >= l.history_bytes / 2))
    return {plain(event_kind::history_warning)};
  switch (i.phase) {
    case phase::running:
      return advance_running(i, a, now);
    case phase::stopping:
      return advance_stopping(i, a, now);
    case phase::compensating:
      return advance_compensating(i, a, now);
    default:
      return {};
  }
}

outstanding_work outstanding(const instance& i, const allowance& a, time_point now) {
  outstanding_work out;
  if (i.phase == phase::none || is_closed(i.phase) || !i.broken.empty()) return out;
  for (auto n = i.first_open; n < i.steps.size(); ++n)
    if (i.steps[n].status == step_status::running) out.attempts.push_back(&i.steps[n]);
  if (!i.program || !same_definition(i)) return out;
  auto at = [&](time_point t) { out.wake_at = out.wake_at ? std::min(*out.wake_at, t) : t; };
  if (i.phase == phase::running)
    if (const auto d = run_deadline(i)) at(*d);
  const bool cleans_up = i.phase == phase::stopping && i.program->catches() && !i.program->has_ended();
  const bool of_program = i.phase == phase::running || cleans_up;
  if (i.paused || (!of_program && i.phase != phase::compensating)) return out;
  if (i.phase == phase::running && i.facts.start_at && now < *i.facts.start_at && !i.program->catches()) {
    at(*i.facts.start_at);
    return out;
  }
  const auto wait_for = [&](const step_state* s) {
    if (s && s->status == step_status::waiting && now < s->due)
      at(s->due);
    else
      out.wants_slot = true;
    if (!s) return;
    if (const auto d = deadline_of(i, *s)) at(*d);
  };
  if (of_program) {
    for (const auto& w : i.program->wants()) {
      if (w.kind == want_kind::answer) out.wants_slot = true;  // more than fit into one decision
      if (w.kind == want_kind::timer) at(w.due);
      if (w.kind != want_kind::step) continue;
      if (const auto* s = i.find(w.step, false); is_open_want(s)) wait_for(s);
    }
    return out;
  }
  const auto* next = next_undo(i);
  if (!next) return out;
  const auto* undo = i.find(*next, true);
  if (undo && undo->status != step_status::scheduled && undo->status != step_status::waiting) return out;
  const auto* step = i.find(*next, false);
  if (step && step->outcome_unknown && a.still_running(i, *next) && now < patience(*step))
    at(patience(*step));
  else
    wait_for(undo);
  return out;
}

}  // namespace pawl::engine
