// evolve: the only code that changes an instance. One function an event kind; each says what state the fact leaves.
//
//      none --run_started--> running --(step_exhausted | deadline_passed | cancel_requested)--> stopping
//      running --run_completed--> completed          stopping --compensation_started--> compensating
//      of code, which is told of failed steps and of cancelling: running --code_failed--> stopping, and while its code
//      cleans up, steps and timers go on in stopping as they do in running
//      stopping, compensating --run_failed | run_cancelled--> failed | cancelled      any --run_killed--> killed
//      any --run_reset--> continued
//
// Paused lies across it: a flag that holds back new attempts in running and compensating.
#include "workflow/instance.hpp"

namespace pawl::engine {

namespace {

step_state& state_of(instance& i, const event& e) {
  if (auto* known = i.find(e.step, e.undo)) return *known;
  const auto at = std::size_t{2} * e.step + (e.undo ? 1 : 0);
  if (i.step_index.size() <= at) i.step_index.resize(at + 1, -1);
  i.step_index[at] = static_cast<std::int32_t>(i.steps.size());
  auto& s = i.steps.emplace_back();
  s.step = e.step;
  s.undo = e.undo;
  s.first_scheduled = e.at;
  return s;
}

void on_started(instance& i, const event& e) {
  i.facts = *e.start;
  i.input = e.payload;
  i.start_command = e.command_id;
  i.started = e.at;
  i.phase = phase::running;
}

void on_attempt_started(instance& i, const event& e) {
  auto& s = state_of(i, e);
  s.status = step_status::running;
  s.attempt = e.attempt;
  s.policy = e.begun->policy;
  s.incarnation = e.begun->incarnation;
  s.epoch = e.begun->epoch;
  s.in_child = e.begun->in_child;
  s.token = e.seq;
  s.began = e.at;
  ++i.running_attempts;
}

void end_attempt(instance& i, step_state& s, const event& e) {
  if (s.status == step_status::running) --i.running_attempts;
  s.ended = e.at;
  s.ended_seq = e.seq;
}

// An attempt of a step that nobody waits for has ended without a completion: that was its last.
void close_abandoned(step_state& s, const event& e) {
  if (!s.abandoned) return;
  s.status = step_status::abandoned;
  s.closed_seq = e.seq;
}

void on_completed(instance& i, const event& e) {
  auto& s = state_of(i, e);
  end_attempt(i, s, e);
  s.status = step_status::completed;
  s.closed_seq = e.seq;
  s.child_deaths = 0;
  s.last_error.reset();
}

// Failed and timed out: `due` is set when another attempt follows; without it the step is spent.
void on_counted_end(instance& i, const event& e) {
  auto& s = state_of(i, e);
  end_attempt(i, s, e);
  ++s.counted;
  s.child_deaths = 0;
  s.last_error = e.error;
  // A function whose result was too large to be kept has done its work all the same.
  if (e.kind == event_kind::attempt_timed_out || e.cause == failed_too_large) s.outcome_unknown = true;
  if (e.due) {
    s.status = step_status::waiting;
    s.due = *e.due;
  } else {
    s.status = step_status::spent;
    s.closed_seq = e.seq;
  }
  close_abandoned(s, e);
}

void on_uncounted_end(instance& i, const event& e) {
  auto& s = state_of(i, e);
  end_attempt(i, s, e);
  s.status = step_status::waiting;
  s.due = e.at;
  close_abandoned(s, e);
  if (e.kind == event_kind::attempt_not_begun) return;
  s.outcome_unknown = true;
  if (e.kind != event_kind::attempt_lost) return;
  s.suspect = true;
  s.last_error = e.error;
  if (s.in_child && e.cause == lost_with_child) ++s.child_deaths;
}

void on_step_exhausted(instance& i, const event& e) {
  auto& s = state_of(i, e);
  s.status = step_status::exhausted;
  if (s.closed_seq == 0) s.closed_seq = e.seq;
  if (e.error) s.last_error = e.error;
  if (!e.undo && i.phase == phase::running) {
    i.phase = phase::stopping;
    i.stop = std::make_unique<stop_reason>(stop_reason{.cancelled = false, .error = e.error.value_or(failure{})});
  }
}

// As a step that is exhausted, but the code is told, and the run goes on as it says.
void on_step_failed(instance& i, const event& e) {
  auto& s = state_of(i, e);
  s.status = step_status::exhausted;
  if (s.closed_seq == 0) s.closed_seq = e.seq;
  if (e.error) s.last_error = e.error;
}

void on_step_abandoned(instance& i, const event& e) {
  auto& s = state_of(i, e);
  s.abandoned = true;
  if (s.status == step_status::running) return;
  s.status = step_status::abandoned;
  if (s.closed_seq == 0) s.closed_seq = e.seq;
}

void on_timer_started(instance& i, const event& e) {
  i.timers.push_back({.number = e.number, .due = *e.due});
  i.last_timer = e.number;
}

void on_timer_over(instance& i, const event& e) {
  std::erase_if(i.timers, [&](const auto& t) { return t.number == e.number; });
}

void on_call(instance& i, const event& e) {
  i.last_call = e.number;
  if (e.child)
    i.calls.push_back({.number = e.number,
                       .workflow_id = e.child->workflow_id,
                       .is_child = !e.child->detached,
                       .policy = e.child->policy});
  else
    i.calls.push_back({.number = e.number, .workflow_id = e.target, .is_message = true});
}

void on_call_over(instance& i, const event& e) {
  std::erase_if(i.calls, [&](const auto& c) { return c.number == e.number; });
}

void on_skipped(instance& i, const event& e) {
  auto& s = state_of(i, e);
  s.status = step_status::skipped;
  s.closed_seq = e.seq;
}

void go_on(instance& i) {
  i.paused = false;
  i.pause_cause.clear();
  i.pause_step = no_step;
  i.pause_undo = false;
}

void on_stop(instance& i, const event& e, bool cancelled) {
  if (i.phase == phase::running) i.phase = phase::stopping;
  // Code that fails in its clean-up changes nothing about why the run ends.
  if (!i.stop || e.kind != event_kind::code_failed)
    i.stop = std::make_unique<stop_reason>(stop_reason{.cancelled = cancelled, .error = e.error.value_or(failure{})});
  go_on(i);
}

void on_paused(instance& i, const event& e) {
  i.paused = true;
  i.pause_cause = e.cause;
  i.pause_step = e.step;
  i.pause_undo = e.undo;
}

// Whether a person's `resume` is about this step: the one that stopped the run, and those that would stop it next.
bool stops_run(const instance& i, const step_state& s) {
  if (s.step == i.pause_step && s.undo == i.pause_undo) return true;
  const bool of_phase = s.undo == (i.phase == phase::compensating);
  return of_phase && s.status == step_status::spent && (s.undo || s.policy.exhausted == when_exhausted::pause);
}

// `resume` tries again what stopped the run: those steps get their attempts and their deadlines anew. A run that was
// paused for another reason, or goes on because its step was skipped or its code is back, just goes on: a step that ran
// out of attempts meanwhile is dealt with as its policy says.
void on_resumed(instance& i, const event& e) {
  if (e.cause == resumed_requested && i.pause_step != no_step) {
    for (auto& s : i.steps) {
      if (!stops_run(i, s)) continue;
      if (s.status == step_status::spent) s.status = step_status::waiting;
      s.due = e.at;
      s.first_scheduled = e.at;
      s.closed_seq = 0;
      s.counted = 0;
      s.child_deaths = 0;
    }
  }
  go_on(i);
}

void close(instance& i, phase p) {
  i.phase = p;
  go_on(i);
}

void apply(instance& i, const event& e) {
  switch (e.kind) {
    case event_kind::run_started:
      return on_started(i, e);
    case event_kind::step_scheduled:
      state_of(i, e).status = step_status::scheduled;
      return;
    case event_kind::attempt_started:
      return on_attempt_started(i, e);
    case event_kind::attempt_completed:
      return on_completed(i, e);
    case event_kind::attempt_failed:
    case event_kind::attempt_timed_out:
      return on_counted_end(i, e);
    case event_kind::attempt_lost:
    case event_kind::attempt_interrupted:
    case event_kind::attempt_not_begun:
      return on_uncounted_end(i, e);
    case event_kind::step_exhausted:
      return on_step_exhausted(i, e);
    case event_kind::step_skipped:
      return on_skipped(i, e);
    case event_kind::cancel_requested:
      return on_stop(i, e, true);
    case event_kind::deadline_passed:
      return on_stop(i, e, false);
    case event_kind::compensation_started:
      i.phase = phase::compensating;
      i.undo_order = e.order;
      return;
    case event_kind::run_paused:
      return on_paused(i, e);
    case event_kind::run_resumed:
      return on_resumed(i, e);
    case event_kind::waiting_for_code:
      i.lacks_code = true;
      return;
    case event_kind::code_found:
      i.lacks_code = false;
      return;
    case event_kind::history_warning:
      i.warned = true;
      return;
    case event_kind::step_failed:
      return on_step_failed(i, e);
    case event_kind::step_abandoned:
      return on_step_abandoned(i, e);
    case event_kind::code_failed:
      return on_stop(i, e, false);
    case event_kind::timer_started:
      return on_timer_started(i, e);
    case event_kind::timer_fired:
    case event_kind::timer_cancelled:
      return on_timer_over(i, e);
    case event_kind::signal_received:
    case event_kind::change_noted:
      return;  // the program keeps it
    case event_kind::status_published:
      i.status = e.payload;
      return;
    case event_kind::child_asked:
    case event_kind::signal_sent:
      return on_call(i, e);
    case event_kind::child_ended:
    case event_kind::child_dropped:
    case event_kind::signal_answered:
      return on_call_over(i, e);
    case event_kind::run_continued:
      i.continues_with = e.payload;
      return close(i, phase::continued);
    case event_kind::run_reset:
      return close(i, phase::continued);
    case event_kind::update_received:
      return i.updates.push_back({.seq = e.seq, .name = e.name});
    case event_kind::update_answered:
      std::erase_if(i.updates, [&](const auto& u) { return u.seq == e.answers; });
      return;
    case event_kind::run_completed:
      return close(i, phase::completed);
    case event_kind::run_failed:
      return close(i, phase::failed);
    case event_kind::run_cancelled:
      return close(i, phase::cancelled);
    case event_kind::run_killed:
      return close(i, phase::killed);
  }
}

std::string at_event(const event& e) {
  return "event " + std::to_string(e.seq) + " (" + std::string(to_text(e.kind)) + ") ";
}

bool is_of_attempt(event_kind k) { return k >= event_kind::attempt_started && k <= event_kind::attempt_not_begun; }

bool is_of_step(event_kind k) {
  return is_of_attempt(k) || k == event_kind::step_scheduled || k == event_kind::step_exhausted ||
         k == event_kind::step_skipped || k == event_kind::step_failed || k == event_kind::step_abandoned;
}

bool is_of_call(event_kind k) { return k >= event_kind::child_asked && k <= event_kind::signal_answered; }

bool is_of_timer(event_kind k) { return k >= event_kind::timer_started && k <= event_kind::timer_cancelled; }

// A step is worked on while the run runs, its undo while the run compensates.
bool is_step_phase(const instance& i, const event& e) {
  return e.undo ? i.phase == phase::compensating : is_code_phase(i);
}

std::string misfit_of_timer(const instance& i, const event& e) {
  if (!is_code_phase(i)) return at_event(e) + "in phase " + std::string(to_text(i.phase));
  if (e.kind == event_kind::timer_started)
    return e.due && e.number > i.last_timer ? ""
                                            : at_event(e) + "starts timer " + std::to_string(e.number) +
                                                  " after timer " + std::to_string(i.last_timer);
  return i.find_timer(e.number) ? "" : at_event(e) + "ends timer " + std::to_string(e.number) + ", which does not run";
}

std::string misfit_of_call(const instance& i, const event& e) {
  if (!is_code_phase(i)) return at_event(e) + "in phase " + std::string(to_text(i.phase));
  const bool asks = e.kind == event_kind::child_asked || e.kind == event_kind::signal_sent;
  if (asks) {
    if ((e.kind == event_kind::child_asked) != e.child.has_value()) return at_event(e) + "without its facts";
    return e.number > i.last_call
               ? ""
               : at_event(e) + "is call " + std::to_string(e.number) + " after call " + std::to_string(i.last_call);
  }
  const auto* call = i.find_call(e.number);
  if (!call) return at_event(e) + "ends call " + std::to_string(e.number) + ", which is not open";
  return e.kind != event_kind::child_dropped || call->is_child
             ? ""
             : at_event(e) + "drops call " + std::to_string(e.number) + ", which is no child that is waited for";
}

std::string misfit_of_step(const instance& i, const event& e) {
  // Without the right code any step up to the registry's bound may be meant.
  const auto* graph = same_definition(i) ? i.definition->as_graph() : nullptr;
  const std::size_t bound = graph ? graph->steps.size() : std::size_t{1} << 20;
  if (e.step >= bound) return at_event(e) + "names step " + std::to_string(e.step) + " of " + std::to_string(bound);
  const auto* s = i.find(e.step, e.undo);
  const bool pending = s && (s->status == step_status::scheduled || s->status == step_status::waiting);
  const bool spent = s && s->status == step_status::spent;
  switch (e.kind) {
    case event_kind::step_scheduled:
      return !s && is_step_phase(i, e) ? "" : at_event(e) + "of a step that is known already, or in the wrong phase";
    case event_kind::step_exhausted:
      return (!s || pending || spent) && is_step_phase(i, e) && !e.undo
                 ? ""
                 : at_event(e) + "of a step that is not due to end";
    case event_kind::step_failed:
      return (!s || pending || spent) && is_code_phase(i) && !e.undo ? ""
                                                                     : at_event(e) + "of a step that is not due to end";
    case event_kind::step_abandoned:
      return s && !is_closed(s->status) && !s->abandoned && is_code_phase(i) && !e.undo
                 ? ""
                 : at_event(e) + "of a step that is not open";
    case event_kind::step_skipped:
      return (pending || spent) && is_step_phase(i, e) ? "" : at_event(e) + "of a step that did not stop the run";
    case event_kind::attempt_started:
      if (!e.begun) return at_event(e) + "without its facts";
      return (!s || pending) && is_step_phase(i, e) && !i.paused && e.attempt == (s ? s->attempt : 0U) + 1
                 ? ""
                 : at_event(e) + "starts attempt " + std::to_string(e.attempt) +
                       " of a step that is not waiting for it";
    default:
      return s && s->status == step_status::running && s->attempt == e.attempt
                 ? ""
                 : at_event(e) + "ends attempt " + std::to_string(e.attempt) + " of step '" + e.name +
                       "', which is not running";
  }
}

bool fits_run(const instance& i, const event& e) {
  const bool still = i.running_attempts == 0;
  switch (e.kind) {
    case event_kind::cancel_requested:
    case event_kind::deadline_passed:
      return i.phase == phase::running;
    case event_kind::code_failed:
    case event_kind::signal_received:
    case event_kind::status_published:
    case event_kind::change_noted:
    case event_kind::update_received:
      return is_code_phase(i);
    case event_kind::update_answered:
      return is_code_phase(i) && i.find_update(e.answers);
    case event_kind::compensation_started:
      return i.phase == phase::stopping && still;
    case event_kind::run_completed:
    case event_kind::run_continued:
      return i.phase == phase::running && still;
    case event_kind::run_failed:
    case event_kind::run_cancelled:
      return i.phase != phase::running && still;
    case event_kind::run_resumed:
      return i.paused;
    case event_kind::waiting_for_code:
      return !i.lacks_code;
    case event_kind::code_found:
      return i.lacks_code;
    default:
      return true;
  }
}

// Event times are sums of times and durations that are bounded (event_codec.cpp); so is what is read back.
constexpr std::int64_t last_event_time = std::int64_t{1} << 61;

// Empty when `e` can follow what is there. These are the laws that hold for every history; whatever breaks one of them
// was not written by decide.
std::string misfit(const instance& i, const event& e) {
  if (e.seq != i.last_seq + 1) return at_event(e) + "follows event " + std::to_string(i.last_seq);
  if (!is_known(e.kind))
    return at_event(e) + "is of kind " + std::to_string(static_cast<unsigned>(e.kind)) +
           ", which this binary does not know";
  if (e.at < i.last_time || to_micros(e.at) > last_event_time) return at_event(e) + "has a time that cannot be";
  if ((e.kind == event_kind::run_started) != (i.phase == phase::none))
    return at_event(e) + "in phase " + std::string(to_text(i.phase));
  if (is_closed(i.phase)) return at_event(e) + "follows the end of the run";
  if (e.kind == event_kind::run_started) return e.start ? "" : at_event(e) + "without its facts";
  if (is_of_step(e.kind)) return misfit_of_step(i, e);
  if (is_of_timer(e.kind)) return misfit_of_timer(i, e);
  if (is_of_call(e.kind)) return misfit_of_call(i, e);
  if (!fits_run(i, e)) return at_event(e) + "in phase " + std::string(to_text(i.phase)) + (i.paused ? ", paused" : "");
  for (const auto k : e.order) {
    const auto* s = i.find(k, false);
    if (!s || s->status == step_status::running)
      return at_event(e) + "undoes step " + std::to_string(k) + ", which has not run";
  }
  return {};
}

}  // namespace

void evolve(instance& i, const event& e) {
  if (!i.broken.empty()) return;
  i.broken = misfit(i, e);
  if (!i.broken.empty()) return;
  apply(i, e);
  while (i.first_open < i.steps.size() && is_closed(i.steps[i.first_open].status)) ++i.first_open;
  i.last_seq = e.seq;
  i.last_time = e.at;
  i.history_bytes += size_of(e);
  if (!e.command_id.empty() && e.kind != event_kind::run_started) {
    if (!i.command_ids) i.command_ids = std::make_unique<std::unordered_map<std::string, std::uint64_t>>();
    i.command_ids->emplace(e.command_id, e.seq);
  }
  // The program of another definition could not follow this history; the run waits for its own.
  if (i.program && same_definition(i)) i.program->on(e);
}

}  // namespace pawl::engine
