// What a run's actor does about attempts: starts them, adopts them, stops them, hears of their ends.
#include <algorithm>

#include "actors/worker_actor.hpp"
#include "actors/workflow_actor.hpp"

namespace pawl::actors {

bool may_run_elsewhere(const node_context& node, const engine::step_state* s) {
  return s && s->outcome_unknown && s->attempt > 0 && s->incarnation != node.incarnation &&
         node.others.may_live(s->incarnation);
}

attempt_id workflow_state::id_of(std::uint32_t step, bool undo, std::uint32_t attempt) const {
  return {.key = key_, .uid = instance_->facts.uid, .step = step, .undo = undo, .attempt = attempt};
}

// Deals with each attempt on record: it is under way here, never began, or its process is gone.
void workflow_state::adopt_attempts() {
  node_.attempts->take_over(key_, listener_, [this](const attempt_id& id) {
    const auto* s = instance_->find(id.step, id.undo);
    return s && s->status == engine::step_status::running && s->attempt == id.attempt &&
           s->incarnation == node_.incarnation && id.uid == instance_->facts.uid;
  });
  look_elsewhere();
  // Found first, dealt with later: deciding changes what is looked at here.
  std::vector<engine::attempt_ended> gone;
  std::vector<launch> never_begun;
  for (const auto& s : instance_->steps) {
    if (s.status != engine::step_status::running || is_elsewhere(s)) continue;
    if (node_.attempts->adopt(id_of(s.step, s.undo, s.attempt), listener_)) continue;
    engine::attempt_ended end{.step = s.step, .undo = s.undo, .attempt = s.attempt};
    if (node_.attempts->has_forgotten()) {
      end.end = engine::attempt_end::lost;
      end.error = engine::failure{.code = "attempt_lost", .message = "nobody knows whether the attempt began"};
    } else if (launch l{.step = s.step, .undo = s.undo, .attempt = s.attempt, .held = slot_again(s)}; l.held) {
      never_begun.push_back(std::move(l));
      continue;
    } else {
      end.end = engine::attempt_end::not_begun;
    }
    gone.push_back(std::move(end));
  }
  for (auto& l : never_begun) start_attempt(l);
  for (auto& end : gone) decide({.id = {}, .body = std::move(end)}, {});
}

// Whether the end of this attempt, which is under way, comes as a message from a node that led before; that may have
// been this one.
bool workflow_state::is_elsewhere(const engine::step_state& s) const {
  return s.incarnation != node_.incarnation || node_.attempts->was_delivered(id_of(s.step, s.undo, s.attempt));
}

// Its node times it out itself. If no word of that comes, we do.
std::optional<engine::time_point> workflow_state::word_expected_by(const engine::step_state& s) const {
  if (s.status != engine::step_status::running || !is_elsewhere(s)) return std::nullopt;
  return s.began + s.policy.timeout + std::chrono::duration_cast<engine::milliseconds>(node_.partition.word_patience);
}

// Attempts under way on other nodes: those of a node that is gone are lost, those that their node knows nothing of
// never began, and the others are waited for, but not for ever.
void workflow_state::look_elsewhere() {
  if (!instance_ || instance_->running_attempts == 0) return;
  std::vector<engine::attempt_ended> gone;
  for (const auto& s : instance_->steps) {
    const auto word = word_expected_by(s);
    if (!word) continue;
    engine::attempt_ended end{.step = s.step, .undo = s.undo, .attempt = s.attempt};
    if (s.incarnation != node_.incarnation && !node_.others.may_live(s.incarnation)) {
      end.end = engine::attempt_end::lost;
      end.error = engine::failure{.code = "attempt_lost", .message = "the node that ran the attempt is gone"};
      ++node_.attempts_lost;
    } else if (node_.others.disclaimed(id_of(s.step, s.undo, s.attempt), s.incarnation, s.epoch)) {
      end.end = engine::attempt_end::not_begun;
    } else if (*word <= node_.time.now()) {
      end.end = engine::attempt_end::timed_out;
      end.error = engine::failure{.code = "timeout",
                                  .message =
                                      "the node that ran the attempt, which leads the partition no more, did not "
                                      "tell how it ended within its time-out of " +
                                      std::to_string(s.policy.timeout.count()) + " ms"};
    } else {
      continue;
    }
    gone.push_back(std::move(end));
  }
  for (auto& end : gone) decide({.id = {}, .body = std::move(end)}, {});
}

void workflow_state::on_ended_elsewhere(attempt_report& r) {
  if (unloaded_) on_tick();
  const auto* s = instance_ && instance_->broken.empty() ? instance_->find(r.end.step, r.end.undo) : nullptr;
  // Of another run under the same key, of an attempt that was given up, or told before: nobody waits for it.
  if (!s || s->status != engine::step_status::running || s->attempt != r.end.attempt ||
      s->incarnation != r.incarnation || instance_->facts.uid != r.uid || is_closed(instance_->phase)) {
    r.reply.answer({});
    if (in_flight_ == 0) settle_down();
    return;
  }
  if (r.details && r.end.end != engine::attempt_end::completed)
    on_heartbeat({r.end.step, r.end.undo, std::move(*r.details)});
  decide({.id = {}, .body = std::move(r.end)}, std::move(r.reply));
}

// For an attempt on record whose slot went with the actor that had it. None without the code.
slot workflow_state::slot_again(const engine::step_state& s) const {
  if (!instance_->program || !engine::same_definition(*instance_)) return {};
  const auto step = instance_->program->step(s.step);
  const auto* options = s.undo ? step.undo_options : step.options;
  if (!options) return {};
  return node_.slots->try_take(ask_for({.run = instance_.get(),
                                        .step = s.step,
                                        .undo = s.undo,
                                        .in_child = s.in_child,
                                        .max_concurrent = options->max_concurrent}));
}

// An undo's own result is there when the step is known to be done.
attempt_call workflow_state::call_for(const engine::step_state& s) const {
  const auto& i = *instance_;
  attempt_call c;
  c.definition = i.definition;
  auto call = i.program->call(s.step, s.undo, i.input);
  c.arguments = std::move(call.arguments);
  c.invoke = std::move(call.invoke);
  c.undo = std::move(call.undo);
  auto& f = c.facts;
  f.workflow_id = i.facts.workflow_id;
  f.run = i.facts.run;
  f.run_uid = to_text(i.facts.uid);
  f.step = i.program->step(s.step).name;
  f.attempt = s.attempt;
  f.idempotency_key = engine::idempotency_key(i, f.run_uid, s.step, s.undo);
  f.fencing_token = (std::uint64_t{i.facts.run} << 32) | s.token;
  if (!s.details.empty()) f.details = s.details;
  f.is_undo = s.undo;
  if (s.in_child && i.facts.code) c.history = node_.views.borrow()->history(key_).events;
  if (!s.undo) return c;
  const auto* of = i.find(s.step, false);
  const bool done = of && (of->status == engine::step_status::completed || of->status == engine::step_status::skipped);
  if (done) c.result = std::move(call.result);
  f.outcome_unknown = !done;
  f.may_still_run = node_.attempts->lingers(key_, s.step) || may_run_elsewhere(node_, of);
  return c;
}

void workflow_state::start_attempt(launch& l) {
  const auto& i = *instance_;
  const auto* s = i.find(l.step, l.undo);
  if (!s || s->status != engine::step_status::running || s->attempt != l.attempt || is_closed(i.phase)) return;
  if (node_.draining || !engine::is_wanted(i, *s) || !i.program || !i.program->step(l.step).options) {
    // Cancelled since, or the node stops: on record, but its function has not begun and never will.
    decide({.id = {},
            .body =
                engine::attempt_ended{
                    .step = l.step, .undo = l.undo, .attempt = l.attempt, .end = engine::attempt_end::not_begun}},
           {});
    return;
  }
  attempt::watch watch{.timeout = s->policy.timeout};
  if (s->policy.heartbeat.count() > 0) watch.heartbeat = s->policy.heartbeat;
  if (s->policy.deadline.count() > 0) {
    const auto left =
        std::chrono::duration_cast<engine::milliseconds>(s->first_scheduled + s->policy.deadline - node_.time.now());
    watch.timeout = std::clamp(left, engine::milliseconds(1), watch.timeout);
  }
  auto a = std::make_shared<attempt>(id_of(l.step, l.undo, l.attempt), call_for(*s), watch, s->in_child,
                                     std::move(l.held), node_.attempts);
  // An actor of the generation before may have been quicker; then its worker runs it, and we hear of its end. If ours
  // is what is over, the actor after us sees to it.
  if (!node_.attempts->enter(a, listener_)) return static_cast<void>(node_.attempts->adopt(a->id, listener_));
  node_.attempts_started.fetch_add(1, std::memory_order_relaxed);
  const auto step = i.program->step(l.step);
  const auto where = (l.undo ? step.undo_options : step.options)->where;
  const auto place = s->in_child                 ? attempt_place::child
                     : where == run_on::in_place ? attempt_place::in_place
                                                 : attempt_place::pool;
  const auto worker = spawn_worker(self_, node_.shared, a, place);
  workers_.emplace_back(worker->address(), std::move(a));
}

// It is on record that the run is stopping or closed: whoever still runs is told so. After a kill nobody waits for
// them. Code that cleans up says itself, step by step, what it does not want any more.
void workflow_state::stop_attempts(const decided& d) {
  for (const auto& id : d.abandoned)
    if (const auto a = node_.attempts->find(id_of(id.step, id.undo, id.attempt))) a->request_stop();
  if (d.phase == engine::phase::none || d.phase == engine::phase::running || d.phase == engine::phase::completed)
    return;
  if (is_closed(d.phase))
    node_.attempts->disown(key_);
  else if (!instance_->facts.code)
    node_.attempts->stop_steps(key_);
}

void workflow_state::on_attempt_over(const engine::attempt_ended& end) {
  // Nothing is under way for who rests: its end is on record.
  if (resting_) return node_.attempts->leave(id_of(end.step, end.undo, end.attempt));
  if (const auto a = node_.attempts->find(id_of(end.step, end.undo, end.attempt)))
    if (auto details = a->take_details(); details && end.end != engine::attempt_end::completed)
      on_heartbeat({end.step, end.undo, std::move(*details)});
  decide({.id = {}, .body = end}, {});
}

void workflow_state::on_heartbeat(const attempt_heartbeat& h) {
  auto* s = instance_ ? instance_->find(h.step, h.undo) : nullptr;
  if (!s || s->status != engine::step_status::running || h.details.size() > node_.limits.payload) return;
  s->details = h.details;
  auto d = record_of({});
  d->heartbeats.push_back({.key = key_, .step = h.step, .undo = h.undo, .details = h.details});
  hand_in(std::move(d));
}

// A worker that died without ending its attempt has failed at its one task: nobody knows what the function did.
void workflow_state::on_worker_down(const caf::down_msg& m) {
  const auto it = std::find_if(workers_.begin(), workers_.end(), [&](const auto& w) { return w.first == m.source; });
  if (it == workers_.end()) return;
  const auto a = std::move(it->second);
  workers_.erase(it);
  if (!a->has_ended() && a->settle() == attempt::settled::no)
    a->give_up(engine::attempt_end::lost, {.code = "worker_died", .message = "the worker actor of the attempt died"});
  if (in_flight_ == 0) settle_down();
}

}  // namespace pawl::actors
