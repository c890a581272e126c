#include "actors/workflow_actor.hpp"

#include <algorithm>
#include <stdexcept>

#include "actors/worker_actor.hpp"

namespace pawl::actors {

// Takes slots from the node for one decision; those left in `taken` belong to the decision's attempts, in order.
class workflow_state::actor_allowance final : public engine::allowance {
 public:
  actor_allowance(node_context& node, engine::run_key key, std::shared_ptr<slot> granted)
      : node_(node), key_(key), granted_(std::move(granted)) {
    limits = node.limits;
    defaults = node.defaults;
    incarnation = node.incarnation;
    children = static_cast<bool>(node.run_in_child);
  }

  bool take_slot(const engine::slot_request& r) override {
    if (node_.draining.load(std::memory_order_relaxed)) return false;
    slot_ask ask{.in_child = r.in_child, .max_concurrent = r.max_concurrent};
    if (r.max_concurrent > 0) ask.step = {r.run->definition.get(), 2 * r.step + (r.undo ? 1U : 0U)};
    slot s = granted_ && granted_->serves(ask) ? std::move(*granted_) : node_.slots->try_take(ask);
    if (!s) {
      if (!missing) missing = ask;
      return false;
    }
    taken.push_back(std::move(s));
    return true;
  }

  bool still_running(const engine::instance&, std::uint32_t step) const override { return node_.attempts->lingers(key_, step); }

  std::vector<slot> taken;
  std::optional<slot_ask> missing;

 private:
  node_context& node_;
  const engine::run_key key_;
  std::shared_ptr<slot> granted_;
};

// Turns what the table says into messages. Holds the actor weakly: the table may outlive it.
class workflow_state::listener final : public attempt_listener {
 public:
  explicit listener(caf::event_based_actor* self) : self_(caf::actor_cast<caf::actor_addr>(self)) {}
  void ended(const engine::attempt_ended& end) override { send(attempt_over{std::make_shared<engine::attempt_ended>(end)}); }
  void heartbeat(std::uint32_t step, bool undo, std::string details) override {
    send(attempt_heartbeat{step, undo, std::move(details)});
  }
  void returned() override { send(function_returned{}); }

 private:
  template <class Message>
  void send(Message m) {
    if (auto a = caf::actor_cast<caf::actor>(self_)) caf::anon_send(a, std::move(m));
  }
  caf::actor_addr self_;
};

workflow_state::workflow_state(caf::event_based_actor* self, node_context& node, caf::actor partition, workflow_origin origin)
    : self_(self),
      node_(node),
      partition_(std::move(partition)),
      key_(origin.key),
      generation_(origin.generation),
      unloaded_(origin.load),
      cannot_restore_(std::move(origin.broken)),
      listener_(std::make_shared<listener>(self)) {}

workflow_state::~workflow_state() = default;

caf::behavior workflow_state::behavior() {
  self_->set_down_handler([this](caf::down_msg& m) { on_worker_down(m); });
  return {
      [this](deliver& m) {
        ++received_;
        resting_ = false;
        on_deliver(m.body);
      },
      [this](tick) {
        ++received_;
        resting_ = false;
        told_wake_ = store::wake_never;
        on_tick();
      },
      [this](attempt_over& m) { on_attempt_over(*m.end); },
      [this](attempt_heartbeat& m) { on_heartbeat(m); },
      [this](function_returned) { decide({}, {}); },
      [this](committed& m) { on_committed(*m.what); },
      [this](slot_granted& m) {
        asked_for_slot_ = false;
        granted_ = std::move(m.what);
        decide({}, {});
        granted_.reset();
      },
      [this](describe_run& m) { on_describe(m.body); },
      [this](leave) { self_->quit(); },
  };
}

void workflow_state::on_tick() {
  if (unloaded_) load();
  decide({}, {});
}

void workflow_state::load() {
  unloaded_ = false;
  auto history = node_.views.borrow()->history(key_);
  const auto* first = history.events.empty() ? nullptr : &history.events.front();
  auto definition = first && first->start ? node_.types.find(first->start->type, first->start->version) : nullptr;
  instance_ = engine::make_instance(std::move(definition));
  created_ = true;
  for (const auto& e : history.events) engine::evolve(*instance_, e);
  if (!history.error.empty()) instance_->broken = history.error;
  if (first == nullptr && history.error.empty()) instance_->broken = "the run has no events";
  if (!cannot_restore_.empty()) instance_->broken = cannot_restore_;
  if (!instance_->broken.empty()) {
    const auto& last = history.events.empty() ? engine::event{} : history.events.back();
    if (last.kind != engine::event_kind::run_paused || last.cause != engine::paused_broken) quarantine(last.seq);
    return;
  }
  for (const auto& h : history.heartbeats)
    if (auto* s = instance_->find(h.step, h.undo)) s->details = h.details;
  adopt_attempts();
}

// Pauses on record a run whose history cannot be followed, so that people find it; nothing else happens to it until a
// binary that can follow it is started.
void workflow_state::quarantine(std::uint64_t last_seq) {
  engine::event e;
  e.kind = engine::event_kind::run_paused;
  e.seq = last_seq + 1;
  e.at = node_.time.now();
  e.cause = engine::paused_broken;
  e.error = engine::failure{.code = "broken", .message = "the history cannot be followed: " + instance_->broken};
  node_.log(log_level::error, "workflow cannot be restored run_key=" + std::to_string(key_) + " error=\"" + instance_->broken + "\"");
  auto d = std::make_shared<decided>();
  d->generation = generation_;
  d->change.key = key_;
  d->change.last_seq = e.seq;
  d->change.events.push_back(store::to_row(e));
  d->change.summary = store::run_summary{.phase = instance_->phase, .paused = true, .wake_at = store::wake_now};
  hand_in(std::move(d));
}

// Deals with each attempt on record: it is under way here, never began, or its process is gone.
void workflow_state::adopt_attempts() {
  std::vector<engine::attempt_ended> gone;
  for (const auto& s : instance_->steps) {
    if (s.status != engine::step_status::running) continue;
    const attempt_id id{key_, s.step, s.undo, s.attempt};
    engine::attempt_ended end{.step = s.step, .undo = s.undo, .attempt = s.attempt};
    if (s.incarnation != node_.incarnation) {
      end.end = engine::attempt_end::lost;
      end.error = engine::failure{.code = "attempt_lost", .message = "the node that ran the attempt is gone"};
      ++node_.attempts_lost;
      gone.push_back(std::move(end));
    } else if (!node_.attempts->adopt(id, listener_)) {
      launch l{.step = s.step, .undo = s.undo, .attempt = s.attempt, .held = node_.slots->try_take({.in_child = s.in_child})};
      if (l.held && instance_->definition) {
        start_attempt(l);
      } else {
        end.end = engine::attempt_end::not_begun;
        gone.push_back(std::move(end));
      }
    }
  }
  for (auto& end : gone) decide({.id = {}, .body = std::move(end)}, {});
}

command_reply workflow_state::answer_to(const engine::outcome& o) const {
  command_reply r;
  r.outcome = o;
  r.message = o.message;
  r.run = instance_->facts.run;
  r.run_uid = to_text(instance_->facts.uid);
  return r;
}

// A start that may become the next run of a workflow id whose present run has ended.
bool workflow_state::must_bounce(const command_request& r) const {
  return std::holds_alternative<engine::start_command>(r.command.body) && is_closed(instance_->phase) &&
         instance_->applied_at(r.command.id) == 0;
}

void workflow_state::on_deliver(std::shared_ptr<command_request>& r) {
  if (!instance_ && !unloaded_) {
    const auto& start = std::get<engine::start_command>(r->command.body);
    instance_ = engine::make_instance(node_.types.find(start.facts.type, start.facts.version));
  }
  if (unloaded_) on_tick();
  if (!instance_->broken.empty()) {
    command_reply refusal;
    refusal.state = command_reply::status::invalid;
    refusal.message = "workflow '" + r->workflow_id + "' cannot be restored: " + instance_->broken;
    return r->reply.answer(refusal);
  }
  if (!must_bounce(*r)) return decide(r->command, std::move(r->reply));
  if (announced_end_)
    self_->send(partition_, request{std::move(r)});
  else
    bounced_.push_back(std::move(r));
}

void workflow_state::ask_for_slot(const slot_ask& ask) {
  if (std::exchange(asked_for_slot_, true)) return;
  node_.slots->wait(ask, [self = caf::actor_cast<caf::actor_addr>(self_)](slot s) {
    if (auto a = caf::actor_cast<caf::actor>(self)) caf::anon_send(a, slot_granted{std::make_shared<slot>(std::move(s))});
  });
}

void workflow_state::decide(const engine::command& c, owed_reply reply) {
  if (!instance_->broken.empty()) {
    if (in_flight_ == 0) settle_down();
    return;
  }
  actor_allowance allowance(node_, key_, granted_);
  auto carried = engine::carry_out(*instance_, c, allowance, node_.time.now());
  if (!instance_->broken.empty()) throw std::logic_error("decided what cannot follow: " + instance_->broken);
  std::vector<launch> launches;
  auto held = allowance.taken.begin();
  for (const auto& e : carried.events)
    if (e.kind == engine::event_kind::attempt_started)
      launches.push_back({.step = e.step, .undo = e.undo, .attempt = e.attempt, .held = std::move(*held++)});
  const bool late = carried.outcome.result == engine::command_result::late;
  if (!carried.events.empty() || reply || late) {
    auto d = record_of(carried.events);
    d->launches = std::move(launches);
    d->answer = answer_to(carried.outcome);
    if (late) {
      const auto& end = std::get<engine::attempt_ended>(c.body);
      d->ended.push_back({end.step, end.undo, end.attempt});
    } else if (reply && carried.events.empty() && carried.outcome.result != engine::command_result::duplicate) {
      d->outcomes.push_back({.command_id = c.id, .workflow_id = instance_->facts.workflow_id, .outcome = carried.outcome,
                             .at = engine::to_micros(node_.time.now())});
    }
    d->reply = std::move(reply);
    hand_in(std::move(d));
  }
  if (allowance.missing && !node_.draining) ask_for_slot(*allowance.missing);
  if (carried.more) caf::anon_send(caf::actor_cast<caf::actor>(self_), function_returned{});
  if (in_flight_ == 0) settle_down();
}

std::shared_ptr<decided> workflow_state::record_of(const std::vector<engine::event>& events) {
  auto d = std::make_shared<decided>();
  d->generation = generation_;
  d->change.key = key_;
  if (events.empty()) return d;
  d->change.last_seq = instance_->last_seq;
  d->change.events.reserve(events.size());
  for (const auto& e : events) {
    d->change.events.push_back(store::to_row(e));
    d->bytes += d->change.events.back().body.size() + 64;
    const bool ends = e.kind > engine::event_kind::attempt_started && e.kind <= engine::event_kind::attempt_not_begun;
    if (ends) d->ended.push_back({e.step, e.undo, e.attempt});
    if (is_terminal(e.kind)) end_payload_ = e.payload, end_error_ = e.error;
  }
  if (!created_) {
    const auto& f = instance_->facts;
    d->change.created = store::run_header{.workflow_id = f.workflow_id,
                                          .run = f.run,
                                          .uid = f.uid,
                                          .type = f.type,
                                          .version = f.version,
                                          .started_at = engine::to_micros(instance_->started),
                                          .start_command = instance_->start_command};
    created_ = true;
  }
  const auto now = summary();
  if (!summary_written_ || !(now == written_)) {
    d->change.summary = written_ = now;
    summary_written_ = true;
  }
  return d;
}

void workflow_state::hand_in(std::shared_ptr<decided> d) {
  d->committed = [self = caf::actor_cast<caf::actor_addr>(self_)](std::shared_ptr<decided> what) {
    if (auto a = caf::actor_cast<caf::actor>(self)) caf::anon_send(a, committed{std::move(what)});
  };
  ++in_flight_;
  resting_ = false;
  node_.commits->submit(std::move(d));
}

// When the run has to be in memory again if it is forgotten now.
std::int64_t workflow_state::wake_at() const {
  const auto& i = *instance_;
  if (is_closed(i.phase)) return store::wake_never;
  // A run without its code is looked at by every start: the next binary may have it.
  if (i.running_attempts > 0 || !i.definition || !same_definition(i)) return store::wake_now;
  const actor_allowance allowance(node_, key_, nullptr);
  const auto work = engine::outstanding(i, allowance, node_.time.now());
  if (work.wants_slot) return store::wake_now;
  return work.wake_at ? engine::to_micros(*work.wake_at) : store::wake_never;
}

store::run_summary workflow_state::summary() const {
  const auto& i = *instance_;
  return {.phase = i.phase,
          .paused = i.paused,
          .wake_at = wake_at(),
          .closed_at = is_closed(i.phase) ? engine::to_micros(i.last_time) : 0};
}

void workflow_state::on_committed(decided& d) {
  --in_flight_;
  for (const auto& e : d.ended) node_.attempts->leave({key_, e.step, e.undo, e.attempt});
  if (d.reply) d.reply.answer(d.answer);
  for (auto& l : d.launches) start_attempt(l);
  if (instance_->phase != engine::phase::running) stop_attempts();
  if (in_flight_ == 0) settle_down();
}

// Its arguments are what the steps before it returned; an undo's own result is there when the step is known to be done.
attempt_call workflow_state::call_for(const engine::step_state& s) const {
  const auto& i = *instance_;
  const auto& step = i.definition->steps[s.step];
  attempt_call c;
  c.definition = i.definition;
  for (const auto& source : s.undo ? step.undo_arguments : step.arguments)
    c.arguments.emplace_back(source.is_input() ? std::string_view(i.input) : i.program->value_of(source.step));
  auto& f = c.facts;
  f.workflow_id = i.facts.workflow_id;
  f.run = i.facts.run;
  f.run_uid = to_text(i.facts.uid);
  f.step = step.name;
  f.attempt = s.attempt;
  f.idempotency_key = f.run_uid + "/" + step.name + (s.undo ? "/undo" : "");
  f.fencing_token = (std::uint64_t{i.facts.run} << 32) | s.token;
  if (!s.details.empty()) f.details = s.details;
  f.is_undo = s.undo;
  if (!s.undo) return c;
  const auto* of = i.find(s.step, false);
  const bool done = of && (of->status == engine::step_status::completed || of->status == engine::step_status::skipped);
  if (done) c.result = std::string(i.program->value_of(s.step));
  f.outcome_unknown = !done;
  f.may_still_run = node_.attempts->lingers(key_, s.step);
  return c;
}

void workflow_state::start_attempt(launch& l) {
  const auto& i = *instance_;
  const auto* s = i.find(l.step, l.undo);
  if (!s || s->status != engine::step_status::running || s->attempt != l.attempt || is_closed(i.phase)) return;
  if (!l.undo && i.phase != engine::phase::running) {
    // Cancelled since: on record, but its function has not begun and never will.
    decide({.id = {}, .body = engine::attempt_ended{.step = l.step, .undo = l.undo, .attempt = l.attempt, .end = engine::attempt_end::not_begun}}, {});
    return;
  }
  attempt::watch watch{.timeout = s->policy.timeout};
  if (s->policy.heartbeat.count() > 0) watch.heartbeat = s->policy.heartbeat;
  if (s->policy.deadline.count() > 0) {
    const auto left = std::chrono::duration_cast<engine::milliseconds>(s->first_scheduled + s->policy.deadline - node_.time.now());
    watch.timeout = std::clamp(left, engine::milliseconds(1), watch.timeout);
  }
  auto a = std::make_shared<attempt>(attempt_id{key_, l.step, l.undo, l.attempt}, call_for(*s), watch, s->in_child, std::move(l.held), node_.attempts);
  // An actor of the generation before may have been quicker; then its worker runs it, and we hear of its end.
  if (!node_.attempts->enter(a, listener_)) return static_cast<void>(node_.attempts->adopt(a->id, listener_));
  node_.attempts_started.fetch_add(1, std::memory_order_relaxed);
  const auto& step = i.definition->steps[l.step];
  const auto where = (l.undo ? step.undo_options : step.options).where;
  const auto place = s->in_child                ? attempt_place::child
                     : where == run_on::in_place ? attempt_place::in_place
                                                 : attempt_place::pool;
  const auto worker = spawn_worker(self_, node_, a, place);
  workers_.emplace_back(worker->address(), std::move(a));
}

// The run is stopping or closed: whoever still runs is told so. After a kill nobody waits for them.
void workflow_state::stop_attempts() {
  for (auto& w : workers_) {
    if (!w.second->id.undo || is_closed(instance_->phase)) w.second->request_stop();
    if (is_closed(instance_->phase)) node_.attempts->disown(w.second->id);
  }
}

void workflow_state::on_attempt_over(const engine::attempt_ended& end) {
  if (const auto a = node_.attempts->find({key_, end.step, end.undo, end.attempt}))
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

// Called whenever nothing is in flight: what is in memory is what is durable.
void workflow_state::settle_down() {
  if (!instance_) return;
  for (auto& r : std::exchange(descriptions_, {})) r->on_description(description());
  if (is_closed(instance_->phase)) return announce_end();
  if (resting_) return;
  const auto at = instance_->broken.empty() ? wake_at() : store::wake_never;
  const bool code = instance_->definition && same_definition(*instance_) && instance_->broken.empty();
  const bool idle = workers_.empty() && (!code || at != store::wake_now) && !granted_;
  // While attempts run, other steps of the run may still wait for a time.
  const auto timer = at != store::wake_now || !code ? (code ? at : store::wake_never) : next_timer();
  if (!idle && timer == told_wake_) return;
  told_wake_ = timer;
  resting_ = idle;
  self_->send(partition_, resting{key_, timer, received_, idle});
}

std::int64_t workflow_state::next_timer() const {
  if (instance_->steps.size() < 2 && instance_->facts.deadline.count() == 0) return store::wake_never;
  const actor_allowance allowance(node_, key_, nullptr);
  const auto work = engine::outstanding(*instance_, allowance, node_.time.now());
  return work.wake_at ? engine::to_micros(*work.wake_at) : store::wake_never;
}

void workflow_state::announce_end() {
  if (std::exchange(announced_end_, true)) return;
  auto r = std::make_shared<run_result>();
  r->phase = instance_->phase;
  r->workflow_id = instance_->facts.workflow_id;
  r->run = instance_->facts.run;
  r->payload = std::move(end_payload_);
  r->error = std::move(end_error_);
  self_->send(partition_, closed{key_, std::move(r)});
  for (auto& start : std::exchange(bounced_, {})) self_->send(partition_, request{std::move(start)});
}

void workflow_state::on_describe(const std::shared_ptr<describe_request>& r) {
  if (in_flight_ == 0)
    r->on_description(description());
  else
    descriptions_.push_back(r);
}

run_description workflow_state::description() const { return describe(*instance_, key_, actor_allowance(node_, key_, nullptr), node_.time.now()); }

run_description describe(const engine::instance& i, engine::run_key key, const engine::allowance& a, engine::time_point now) {
  run_description d;
  d.found = true;
  d.key = key;
  d.phase = i.phase;
  d.paused = i.paused;
  d.pause_cause = i.pause_cause;
  d.wake_at = engine::outstanding(i, a, now).wake_at;
  for (const auto& s : i.steps) {
    if (s.status == engine::step_status::completed || s.status == engine::step_status::skipped) continue;
    pending_step p;
    p.step = i.definition ? i.definition->steps[s.step].name : "#" + std::to_string(s.step);
    p.undo = s.undo;
    p.status = std::string(to_text(s.status));
    p.attempt = s.attempt;
    p.counted = s.counted;
    p.max_attempts = s.policy.max_attempts;
    if (s.status == engine::step_status::waiting) p.next_retry = s.due;
    p.last_error = s.last_error;
    p.suspect = s.suspect;
    d.steps.push_back(std::move(p));
  }
  return d;
}

namespace {

class workflow final : public caf::event_based_actor {
 public:
  workflow(caf::actor_config& cfg, node_context* node, caf::actor partition, workflow_origin origin)
      : caf::event_based_actor(cfg), node_(node), partition_(std::move(partition)), origin_(std::move(origin)) {}
  const char* name() const override { return workflow_state::name; }

 protected:
  caf::behavior make_behavior() override {
    state_ = std::make_unique<workflow_state>(this, *node_, std::move(partition_), std::move(origin_));
    return state_->behavior();
  }
  void on_exit() override { state_.reset(); }

 private:
  node_context* node_;
  caf::actor partition_;
  workflow_origin origin_;
  std::unique_ptr<workflow_state> state_;
};

}  // namespace

caf::actor spawn_workflow(caf::event_based_actor* partition, node_context& node, workflow_origin origin) {
  return partition->spawn<workflow, caf::monitored>(&node, caf::actor_cast<caf::actor>(partition), std::move(origin));
}

}  // namespace pawl::actors
