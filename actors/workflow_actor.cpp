#include "actors/workflow_actor.hpp"

#include <algorithm>
#include <exception>
#include <span>
#include <stdexcept>

#include "actors/turn.hpp"

namespace pawl::actors {

slot_ask ask_for(const engine::slot_request& r) {
  slot_ask ask{.in_child = r.in_child, .max_concurrent = r.max_concurrent};
  if (r.max_concurrent > 0) {
    // Code may call a step of one name many times; all of them count together.
    const auto which =
        r.run->facts.code ? static_cast<std::uint32_t>(engine::stable_hash(r.run->program->step(r.step).name)) : r.step;
    ask.step = {r.run->definition.get(), 2 * which + (r.undo ? 1U : 0U)};
  }
  return ask;
}

// The partition wants to hear what a run waits for next, even if that is nothing.
constexpr std::int64_t untold = INT64_MIN;

// Takes slots from the node for one decision; those left in `taken` belong to the decision's attempts, in order.
class workflow_state::actor_allowance final : public engine::allowance {
 public:
  actor_allowance(node_context& node, engine::run_key key, std::shared_ptr<slot> granted)
      : node_(node),
        key_(key),
        granted_(std::move(granted)) {
    limits = node.limits;
    defaults = node.defaults;
    incarnation = node.incarnation;
    epoch = node.epoch.load(std::memory_order_relaxed);
    children = static_cast<bool>(node.run_in_child);
  }

  bool take_slot(const engine::slot_request& r) override {
    if (node_.draining.load(std::memory_order_relaxed)) return false;
    const auto ask = ask_for(r);
    slot s = granted_ && granted_->serves(ask) ? std::move(*granted_) : node_.slots->try_take(ask);
    if (!s) {
      if (std::find(missing.begin(), missing.end(), ask) == missing.end()) missing.push_back(ask);
      return false;
    }
    taken.push_back(std::move(s));
    return true;
  }

  std::optional<engine::child_type> find_type(std::string_view type, std::uint32_t version) const override {
    if (!node_.pack) return std::nullopt;
    return node_.find_child_type(type, version);
  }

  bool still_running(const engine::instance& i, std::uint32_t step) const override {
    return node_.attempts->lingers(key_, step) || may_run_elsewhere(node_, i.find(step, false));
  }

  std::vector<slot> taken;
  std::vector<slot_ask> missing;  // one of each kind

 private:
  node_context& node_;
  const engine::run_key key_;
  std::shared_ptr<slot> granted_;
};

// Turns what the table says into messages. Holds the actor weakly: the table may outlive it.
class workflow_state::listener final : public attempt_listener {
 public:
  listener(caf::event_based_actor* self, std::uint64_t generation)
      : self_(caf::actor_cast<caf::actor_addr>(self)),
        generation_(generation) {}
  void ended(const engine::attempt_ended& end) override {
    send(attempt_over{std::make_shared<engine::attempt_ended>(end)});
  }
  void heartbeat(std::uint32_t step, bool undo, std::string details) override {
    send(attempt_heartbeat{step, undo, std::move(details)});
  }
  void returned() override { send(function_returned{}); }
  std::uint64_t generation() const override { return generation_; }

 private:
  template <class Message>
  void send(Message m) {
    if (auto a = caf::actor_cast<caf::actor>(self_)) caf::anon_send(a, std::move(m));
  }
  const caf::actor_addr self_;
  const std::uint64_t generation_;
};

workflow_state::workflow_state(caf::event_based_actor* self, node_context& node, caf::actor partition,
                               workflow_origin origin)
    : self_(self),
      node_(node),
      partition_(std::move(partition)),
      key_(origin.key),
      generation_(origin.generation),
      life_(origin.life),
      unloaded_(origin.load),
      read_(std::move(origin.history)),
      cannot_restore_(std::move(origin.broken)),
      listener_(std::make_shared<listener>(self, origin.generation)) {}

workflow_state::~workflow_state() {
  for (const auto& a : asked_) node_.slots->cancel(a.first, a.second);
}

caf::behavior workflow_state::behavior() {
  self_->set_down_handler([this](caf::down_msg& m) { on_worker_down(m); });
  // CAF tries them one by one: those that every step needs come first.
  return {
      [this](committed& m) { on_committed(*m.what); },
      [this](attempt_over& m) { after_queries([this, end = m.end] { on_attempt_over(*end); }); },
      [this](deliver& m) {
        ++received_;
        resting_ = false;
        after_queries([this, r = m.body]() mutable { on_deliver(r); });
      },
      [this](tick) {
        ++received_;
        resting_ = false;
        poked_ = false;
        told_wake_ = untold;
        on_tick();
      },
      [this](ended_elsewhere& m) {
        ++received_;
        resting_ = false;
        on_ended_elsewhere(*m.body);
      },
      [this](nodes_changed) {
        if (unloaded_) return;  // the first tick looks
        if (resting_) return self_->send(partition_, tick_wanted{key_, life_});
        look_elsewhere();
        decide({}, {});
      },
      [this](attempt_heartbeat& m) { on_heartbeat(m); },
      [this](function_returned) {
        if (resting_) return self_->send(partition_, tick_wanted{key_, life_});
        decide({}, {});
      },
      [this](slot_granted& m) {
        std::erase_if(asked_, [&](const auto& a) { return m.what->serves(a.first); });
        if (resting_) return;  // who rests wants none any more: it goes to the next in line
        granted_ = std::move(m.what);
        decide({}, {});
        granted_.reset();
      },
      [this](ask_query& m) {
        ++received_;
        resting_ = false;
        on_query(m.body);
      },
      [this](describe_run& m) { on_describe(m.body); },
      [this](leave) { self_->quit(); },
  };
}

void workflow_state::on_tick() {
  if (unloaded_)
    load();
  else
    look_elsewhere();
  decide({}, {});
}

void workflow_state::load() {
  unloaded_ = false;
  created_ = true;
  if (!cannot_restore_.empty()) {
    // Its history is not even read: that may be what its actors died of.
    instance_ = engine::make_instance(nullptr);
    instance_->broken = cannot_restore_;
    return quarantine();
  }
  const auto history = read_ ? std::move(*std::exchange(read_, nullptr)) : node_.views.borrow()->history(key_);
  const auto* first = history.events.empty() ? nullptr : &history.events.front();
  auto definition = first && first->start ? node_.types.find(first->start->type, first->start->version) : nullptr;
  if (definition && definition->as_code()) turn::may_last();
  instance_ = engine::make_instance(std::move(definition));
  for (const auto& e : history.events) engine::evolve(*instance_, e);
  if (!history.error.empty()) instance_->broken = history.error;
  if (first == nullptr && history.error.empty()) instance_->broken = "the run has no events";
  if (!instance_->broken.empty()) return quarantine();
  for (const auto& h : history.heartbeats)
    if (auto* s = instance_->find(h.step, h.undo)) s->details = h.details;
  if (is_closed(instance_->phase)) keep_end(history.events.back());
  adopt_attempts();
}

void workflow_state::keep_end(const engine::event& e) {
  end_ = std::make_shared<run_result>();
  end_->payload = e.payload;
  end_->error = e.error;
}

// Pauses on record a run whose history cannot be followed, so that people find it; nothing else happens to it until a
// binary that can follow it is started.
void workflow_state::quarantine() {
  node_.log(log_level::error,
            "workflow cannot be restored run_key=" + std::to_string(key_) + " error=\"" + instance_->broken + "\"");
  node_.attempts->disown(key_);
  const auto row = node_.views.borrow()->get(key_);
  if (!row || row->summary.closed_at != 0) return;
  if (row->summary.paused) {
    if (!cannot_restore_.empty()) return;
    const auto last = node_.views.borrow()->history(key_, row->last_seq, 1);
    if (!last.events.empty() && last.events.back().cause == engine::paused_broken) return;  // that is on record
  }
  engine::event e;
  e.kind = engine::event_kind::run_paused;
  e.seq = row->last_seq + 1;
  e.at = node_.time.now();
  e.cause = engine::paused_broken;
  e.error = engine::failure{.code = "broken", .message = "the history cannot be followed: " + instance_->broken};
  if (!cannot_restore_.empty()) e.error->message = "the workflow cannot be restored: " + cannot_restore_;
  auto d = std::make_shared<decided>();
  d->generation = generation_;
  d->change.key = key_;
  d->change.last_seq = e.seq;
  d->change.events.push_back(store::to_row(e));
  d->change.summary = row->summary;
  d->change.summary->paused = true;
  d->change.summary->wake_at = store::wake_now;
  hand_in(std::move(d));
}

void workflow_state::ask_for_slot(const slot_ask& ask) {
  if (std::any_of(asked_.begin(), asked_.end(), [&](const auto& a) { return a.first == ask; })) return;
  const auto ticket = node_.slots->wait(ask, [self = caf::actor_cast<caf::actor_addr>(self_)](slot s) {
    if (auto a = caf::actor_cast<caf::actor>(self))
      caf::anon_send(a, slot_granted{std::make_shared<slot>(std::move(s))});
  });
  asked_.emplace_back(ask, ticket);
}

void workflow_state::decide(const engine::command& c, owed_reply reply) {
  if (!instance_->broken.empty()) {
    if (in_flight_ == 0) settle_down();
    return;
  }
  actor_allowance allowance(node_, key_, granted_);
  const bool code = instance_->definition && instance_->definition->as_code();
  const auto began = code ? thread_time::begin() : thread_time{};
  if (code) turn::may_last();
  auto carried = engine::carry_out(*instance_, c, allowance, node_.time.now());
  if (!instance_->broken.empty()) throw std::logic_error("decided what cannot follow: " + instance_->broken);
  std::vector<launch> launches;
  auto held = allowance.taken.begin();
  const auto own = std::span(carried.events).subspan(carried.kept);
  for (const auto& e : own)
    if (e.kind == engine::event_kind::attempt_started)
      launches.push_back({.step = e.step, .undo = e.undo, .attempt = e.attempt, .held = std::move(*held++)});
  const bool late =
      carried.outcome.result == engine::command_result::late && std::holds_alternative<engine::attempt_ended>(c.body);
  auto lines = instance_->program ? instance_->program->take_log() : std::vector<engine::log_line>();
  if (!carried.events.empty() || reply || late || !lines.empty()) {
    auto d = record_of(carried.events, carried.kept);
    d->lines = std::move(lines);
    d->launches = std::move(launches);
    if (reply) d->answer = answer_to(carried.outcome);
    if (instance_->phase == engine::phase::continued && !carried.events.empty()) begin_successor(allowance, c.id, *d);
    if (late) {
      const auto& end = std::get<engine::attempt_ended>(c.body);
      d->ended.push_back({end.step, end.undo, end.attempt});
    } else if (reply) {
      record_outcome(c, d->answer.outcome, *d);
    }
    if (const auto a = engine::answer_to_caller(c, carried.outcome)) post(*a, *d);
    d->reply = std::move(reply);
    hand_in(std::move(d));
  }
  if (!node_.draining)
    for (const auto& ask : allowance.missing) ask_for_slot(ask);
  if (carried.more) caf::anon_send(caf::actor_cast<caf::actor>(self_), function_returned{});
  if (code) watch_code(began);
  if (in_flight_ == 0) settle_down();
}

// Code that computes for long holds up everybody whose actors want this thread. What it waited for a processor is not
// its fault, so a run is paused for what it computed; code that blocks instead is only told of.
void workflow_state::watch_code(const thread_time& began) {
  const auto limit = node_.partition.advance;
  const auto took = began.passed();
  if (took <= limit || instance_->paused || is_closed(instance_->phase)) return;
  const auto busy = began.computed();
  const auto& f = instance_->facts;
  node_.log(log_level::warn, "workflow code is too slow workflow_id=" + f.workflow_id +
                                 " run=" + std::to_string(f.run) + " took_ms=" + std::to_string(took.count()) +
                                 " computed_ms=" + std::to_string(busy.count()));
  if (busy <= limit) return;
  const auto why = "the code computed for " + std::to_string(busy.count()) +
                   " ms between two awaits and limits.code_advance is " + std::to_string(limit.count()) +
                   " ms; what computes or blocks belongs into a step. `resume` lets it go on";
  decide({.id = {}, .body = engine::pause_command{.reason = why, .cause = engine::paused_slow}}, {});
}

void workflow_state::post(const engine::outgoing& message, decided& d) const {
  if (!node_.pack) return;
  d.messages.push_back(node_.pack(message));
  d.bytes += d.messages.back().message.size();
}

// Nothing is done for the first `kept`, which are another run's.
std::shared_ptr<decided> workflow_state::record_of(const std::vector<engine::event>& events, std::size_t kept) {
  auto d = std::make_shared<decided>();
  d->generation = generation_;
  d->change.key = key_;
  if (events.empty()) return d;
  d->phase = instance_->phase;
  d->change.last_seq = instance_->last_seq;
  d->change.events.reserve(events.size());
  for (const auto& e : events) {
    d->change.events.push_back(store::to_row(e));
    d->bytes += d->change.events.back().body.size() + 64;
  }
  const auto own = std::span(events).subspan(kept);
  for (const auto& e : own) {
    const bool ends = e.kind > engine::event_kind::attempt_started && e.kind <= engine::event_kind::attempt_not_begun;
    if (ends) d->ended.push_back({e.step, e.undo, e.attempt});
    if (e.kind == engine::event_kind::step_abandoned && e.attempt != 0)
      d->abandoned.push_back({e.step, e.undo, e.attempt});
    if (is_terminal(e.kind)) keep_end(e);
    if (e.kind == engine::event_kind::update_answered) d->answers.push_back(std::make_shared<engine::event>(e));
  }
  if (instance_->facts.code || instance_->facts.parent)
    for (const auto& message : engine::calls_of(*instance_, own)) post(message, *d);
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
  poked_ = false;
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
  if (!d.refused.empty()) refused_.erase(d.refused);
  for (const auto& e : d.ended) node_.attempts->leave(id_of(e.step, e.undo, e.attempt));
  if (d.reply) d.reply.answer(d.answer);
  for (auto& l : d.launches) start_attempt(l);
  stop_attempts(d);
  if (!d.answers.empty()) self_->send(partition_, answered{key_, std::move(d.answers)});
  for (const auto& line : d.lines)
    node_.log(static_cast<log_level>(line.level), line.text + " workflow_id=" + instance_->facts.workflow_id +
                                                      " run=" + std::to_string(instance_->facts.run));
  if (in_flight_ == 0) settle_down();
}

// Called whenever nothing is in flight: what is in memory is what is durable.
void workflow_state::settle_down() {
  if (!instance_) return;
  for (auto& r : std::exchange(descriptions_, {})) r->on_description(description());
  answer_queries();
  reset_now();
  run_held();
  if (in_flight_ > 0) return;
  if (is_closed(instance_->phase)) return announce_end();
  if (resting_) return;
  const auto at = instance_->broken.empty() ? wake_at() : store::wake_never;
  const bool code = instance_->definition && same_definition(*instance_) && instance_->broken.empty();
  // An undo waits for a function that is to return: nobody would tell an actor that has left.
  const bool awaits_return = instance_->phase == engine::phase::compensating && node_.attempts->lingers(key_);
  const bool idle = workers_.empty() && (!code || at != store::wake_now) && !granted_ && !awaits_return;
  if (code && !node_.draining && became_due() && !std::exchange(poked_, true))
    return caf::anon_send(caf::actor_cast<caf::actor>(self_), function_returned{});
  // While attempts run, other steps of the run may still wait for a time.
  const auto timer = at != store::wake_now || !code ? (code ? at : store::wake_never) : next_timer();
  if (!idle && timer == told_wake_) return;
  told_wake_ = timer;
  resting_ = idle;
  self_->send(partition_, resting{key_, life_, timer, received_, idle});
}

// Something that waited for a time when it was decided about has become due while that was being committed: no timer
// will tell.
bool workflow_state::became_due() const {
  const auto may_be_due = [](const engine::step_state& s) {
    return s.status == engine::step_status::waiting || s.status == engine::step_status::scheduled;
  };
  if (instance_->running_attempts > 0 && std::none_of(instance_->steps.begin(), instance_->steps.end(), may_be_due))
    return false;
  const actor_allowance allowance(node_, key_, nullptr);
  return engine::outstanding(*instance_, allowance, node_.time.now()).wants_slot;
}

std::int64_t workflow_state::next_timer() const {
  auto at = store::wake_never;
  for (const auto& s : instance_->steps)
    if (const auto word = word_expected_by(s)) at = std::min(at, engine::to_micros(*word));
  if (instance_->steps.size() < 2 && instance_->timers.empty() && instance_->facts.deadline.count() == 0) return at;
  const actor_allowance allowance(node_, key_, nullptr);
  const auto work = engine::outstanding(*instance_, allowance, node_.time.now());
  return work.wake_at ? std::min(at, engine::to_micros(*work.wake_at)) : at;
}

void workflow_state::announce_end() {
  if (std::exchange(announced_end_, true)) return;
  auto r = std::move(end_);
  r->phase = instance_->phase;
  r->workflow_id = instance_->facts.workflow_id;
  r->run = instance_->facts.run;
  self_->send(partition_, closed{key_, life_, std::move(r), successor_});
  for (auto& start : std::exchange(bounced_, {})) self_->send(partition_, request{std::move(start)});
}

void workflow_state::on_describe(const std::shared_ptr<describe_request>& r) {
  if (in_flight_ == 0)
    r->on_description(description());
  else
    descriptions_.push_back(r);
}

run_description workflow_state::description() const {
  return describe(*instance_, key_, actor_allowance(node_, key_, nullptr), node_.time.now());
}

namespace {

class workflow final : public caf::event_based_actor {
 public:
  workflow(caf::actor_config& cfg, std::shared_ptr<node_context> node, caf::actor partition, workflow_origin origin)
      : caf::event_based_actor(cfg),
        node_(std::move(node)),
        partition_(std::move(partition)),
        origin_(std::move(origin)) {}
  const char* name() const override { return workflow_state::name; }

 protected:
  caf::behavior make_behavior() override {
    // What it died of is for its supervisor to tell.
    set_exception_handler([](caf::scheduled_actor*, std::exception_ptr& x) {
      std::string what = "an exception that is not a std::exception";
      try {
        std::rethrow_exception(x);
      } catch (const std::exception& e) {
        what = e.what();
      } catch (...) {
      }
      return caf::make_error(caf::sec::runtime_error, what);
    });
    state_ = std::make_unique<workflow_state>(this, *node_, std::move(partition_), std::move(origin_));
    return state_->behavior();
  }
  void on_exit() override {
    state_.reset();
    node_.reset();
  }

 private:
  std::shared_ptr<node_context> node_;
  caf::actor partition_;
  workflow_origin origin_;
  std::unique_ptr<workflow_state> state_;
};

}  // namespace

caf::actor spawn_workflow(caf::event_based_actor* partition, node_context& node, workflow_origin origin) {
  return partition->spawn<workflow, caf::monitored>(node.shared_from_this(), caf::actor_cast<caf::actor>(partition),
                                                    std::move(origin));
}

}  // namespace pawl::actors
