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
  e.name = i.definition->steps[step].name;
  return e;
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
  const auto& s = i.definition->steps[step];
  return undo ? s.undo_options : s.options;
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
          .message = "step '" + i.definition->steps[s.step].name + "' did not complete within its deadline" +
                     (s.last_error ? "; its last error: " + s.last_error->message : std::string{}),
          .permanent = true};
}

// What a spent step makes of the run: a pause or the way to compensation, as its policy says.
event exhaust(const instance& i, const step_state& s, failure error) {
  const auto policy = s.attempt > 0 ? s.policy.exhausted : options_of(i, s.step, s.undo).exhausted;
  if (s.undo) return pause_at(i, s, paused_undo_exhausted, std::move(error));
  if (policy == when_exhausted::pause) return pause_at(i, s, paused_exhausted, std::move(error));
  auto e = of_step(event_kind::step_exhausted, i, s.step, s.undo);
  e.attempt = s.attempt;
  e.error = std::move(error);
  return e;
}

std::optional<event> trouble(const instance& i, bool of_undo, time_point now) {
  for (const auto& s : i.steps) {
    if (s.undo != of_undo) continue;
    if (convicted(s))
      return pause_at(i, s, paused_killer,
                      {.code = std::string(paused_killer),
                       .message = "step '" + i.definition->steps[s.step].name + "' ended its process " +
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

events finish(const instance& i, const want& w) {
  if (w.kind != want_kind::finish) return {pause(paused_broken, {.code = "broken", .message = std::string(w.message)})};
  auto e = plain(event_kind::run_completed);
  const auto& returns = i.definition->returns;
  e.payload = returns && returns->is_input() ? i.input : std::string(w.result);
  if (e.payload.empty()) e.payload.assign(1, '\xc0');  // msgpack nil
  return {std::move(e)};
}

event no_room(const instance& i, std::uint32_t step, const step_state* s, const limits& l) {
  auto e = of_step(event_kind::step_exhausted, i, step, false);
  if (s) e.attempt = s->attempt;
  e.error =
      failure{.code = "too_large",
              .message = "the history has " + std::to_string(i.last_seq) + " events and " +
                         std::to_string(i.history_bytes) + " bytes; limits.history_events is " +
                         std::to_string(l.history_events) + ", limits.history_bytes " + std::to_string(l.history_bytes),
              .permanent = true};
  return e;
}

events advance_running(const instance& i, allowance& a, time_point now) {
  if (const auto d = run_deadline(i); d && now >= *d) {
    auto e = plain(event_kind::deadline_passed);
    e.error =
        failure{.code = "deadline_exceeded", .message = "the run did not end within its deadline", .permanent = true};
    return {std::move(e)};
  }
  if (i.paused) return {};
  if (i.facts.start_at && now < *i.facts.start_at) return {};
  if (auto e = trouble(i, false, now)) return {std::move(*e)};
  const auto wants = i.program->wants();
  for (const auto& w : wants)
    if (w.kind != want_kind::step) return finish(i, w);
  events out;
  std::size_t bytes = 0;
  for (const auto& w : wants) {
    const auto* s = i.find(w.step, false);
    if (!is_open_want(s) || (s && s->status == step_status::waiting && now < s->due)) continue;
    if (history_is_full(i, a.limits)) return {no_room(i, w.step, s, a.limits)};
    auto e = begin(i, w.step, false, false, a);
    if (!e) continue;
    bytes += size_of(*e);
    out.push_back(std::move(*e));
    if (out.size() >= a.limits.wants || bytes >= decision_bytes(a.limits)) break;
  }
  return out;
}

bool to_undo(const instance& i, const step_state& s) {
  if (s.undo || !i.definition->steps[s.step].undo) return false;
  if (s.status == step_status::completed || s.status == step_status::skipped) return true;
  const auto when = s.attempt > 0 ? s.policy.undo : i.definition->steps[s.step].options.undo;
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

events advance_stopping(const instance& i) {
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
  const auto* next = next_undo(i);
  if (!next) return {end_of(i)};
  const auto* undo = i.find(*next, true);
  if (undo && undo->status == step_status::running) return {};
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
  if (same_definition(i) && i.paused && i.pause_cause == paused_mismatch) {
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
  if (!same_definition(i)) return {};
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
      return advance_stopping(i);
    case phase::compensating:
      return advance_compensating(i, a, now);
    default:
      return {};
  }
}

outstanding_work outstanding(const instance& i, const allowance& a, time_point now) {
  outstanding_work out;
  if (i.phase == phase::none || is_closed(i.phase) || !i.broken.empty()) return out;
  for (const auto& s : i.steps)
    if (s.status == step_status::running) out.attempts.push_back(&s);
  if (!same_definition(i)) return out;
  auto at = [&](time_point t) { out.wake_at = out.wake_at ? std::min(*out.wake_at, t) : t; };
  if (i.phase == phase::running)
    if (const auto d = run_deadline(i)) at(*d);
  if (i.paused || (i.phase != phase::running && i.phase != phase::compensating)) return out;
  if (i.phase == phase::running && i.facts.start_at && now < *i.facts.start_at) {
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
  if (i.phase == phase::running) {
    for (const auto& w : i.program->wants())
      if (w.kind == want_kind::step)
        if (const auto* s = i.find(w.step, false); is_open_want(s)) wait_for(s);
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
