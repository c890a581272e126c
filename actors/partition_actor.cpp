#include "actors/partition_actor.hpp"

#include <algorithm>

namespace pawl::actors {

namespace {

constexpr auto first_death_pause = std::chrono::milliseconds(50);

std::string cause_of(const caf::error& reason) {
  const auto& context = reason.context();
  return context.match_elements<std::string>() ? context.get_as<std::string>(0) : caf::to_string(reason);
}

}  // namespace

partition_state::partition_state(caf::event_based_actor* self, node_context& node, store::journal& journal)
    : self_(self),
      node_(node),
      journal_(journal),
      generation_(node.commits->generation()) {}

caf::behavior partition_state::behavior() {
  self_->set_down_handler([this](caf::down_msg& m) { guard([&] { on_down(m); }); });
  return {
      [this](request& m) { guard([&] { on_request(m.body); }); },
      [this](resting& m) { guard([&] { on_resting(m); }); },
      [this](tick_wanted& m) { guard([&] { on_tick_wanted(m); }); },
      [this](closed& m) { guard([&] { on_closed(m); }); },
      [this](timer_due) {
        armed_for_ = store::wake_never;
        guard([&] { pump(); });
      },
      [this](reload& m) { guard([&] { on_reload(m); }); },
      [this](generation_over& m) { guard([&] { on_generation_over(m); }); },
      [this](generation_healed& m) { guard([&] { on_generation_healed(m); }); },
      [this](await_result& m) { guard([&] { on_await(m.body); }); },
      [this](use_version& m) { guard([&] { on_use_version(m.body); }); },
      [this](ask_query& m) { guard([&] { on_query(m); }); },
      [this](await_answer& m) { guard([&] { on_await_answer(m.body); }); },
      [this](answered& m) { guard([&] { on_answered(m); }); },
      [this](describe_run& m) { guard([&] { on_describe(m); }); },
      [this](ended_elsewhere& m) { guard([&] { on_ended_elsewhere(m); }); },
      [this](nodes_changed) { guard([&] { on_nodes_changed(); }); },
      [this](ask_status& m) { guard([&] { m.body->on_status(status()); }); },
  };
}

// What a handler throws (a callback of the outside, say) must not end the actor that all runs depend on.
template <class Handler>
void partition_state::guard(Handler handler) {
  try {
    handler();
  } catch (const std::exception& e) {
    node_.log(log_level::error, std::string("a request to the partition failed: ") + e.what());
  } catch (...) {
    node_.log(log_level::error, "a request to the partition failed");
  }
}

// ---- lives of runs

partition_state::live_run& partition_state::spawn(workflow_origin origin, std::string workflow_id) {
  if (live_.size() >= node_.partition.live) evict();
  by_id_[workflow_id] = origin.key;
  auto& run = live_[origin.key];
  run.workflow_id = std::move(workflow_id);
  run.life = origin.life = ++lives_;
  origin.generation = generation_;
  run.actor = spawn_workflow(self_, node_, std::move(origin));
  return run;
}

// Brings a run into memory; what is already there is left alone. A history that comes along has been read just now,
// and nothing of the run is under way: it is all of it.
partition_state::live_run* partition_state::load(engine::run_key key, std::string workflow_id,
                                                 std::unique_ptr<store::stored_history> history) {
  if (const auto it = live_.find(key); it != live_.end()) return &it->second;
  if (to_reload_.contains(key)) return nullptr;
  auto& run = spawn({.key = key, .load = true, .history = std::move(history)}, std::move(workflow_id));
  ++counts_.loaded;
  tick_run(key, run);
  return &run;
}

void partition_state::tick_run(engine::run_key, live_run& run) {
  wake(run);
  ++run.sent;
  self_->send(run.actor, tick{});
}

void partition_state::wake(live_run& run) {
  if (!run.resting) return;
  run.resting = false;
  resting_.erase(run.place);
}

void partition_state::on_resting(const resting& m) {
  const auto it = live_.find(m.key);
  if (it == live_.end() || it->second.life != m.life) return;
  auto& run = it->second;
  settled(run);
  if (run.wake_at != m.wake_at) {
    timers_.erase({run.wake_at, m.key});
    run.wake_at = m.wake_at;
    if (m.wake_at != store::wake_never) timers_.insert({m.wake_at, m.key});
  } else if (m.wake_at != store::wake_never) {
    timers_.insert({m.wake_at, m.key});
  }
  if (m.idle && m.received == run.sent && !run.resting) {
    run.resting = true;
    run.since = std::chrono::steady_clock::now();
    run.place = resting_.insert(resting_.end(), m.key);
    if (live_.size() > node_.partition.live) evict();
  }
  if (has_room()) return pump();  // who has done what was due makes it
  arm();
}

void partition_state::on_tick_wanted(const tick_wanted& m) {
  const auto it = live_.find(m.key);
  if (it != live_.end() && it->second.life == m.life) tick_run(m.key, it->second);
}

void partition_state::on_closed(const closed& m) {
  const auto it = live_.find(m.key);
  if (it == live_.end() || it->second.life != m.life) return;
  ++counts_.closed;
  timers_.erase({it->second.wake_at, m.key});
  if (!deaths_.empty()) deaths_.erase(m.key);
  const auto id = it->second.workflow_id;
  forget(it);
  if (m.successor != 0) {
    // Whoever waits for the end waits for that of the next run.
    if (auto waiting = waiters_.extract(m.key)) {
      waiting.key() = m.successor;
      waiters_.insert(std::move(waiting));
    }
    load(m.successor, id);
    end_answers(m.key, update_answer::status::ended, m.result->phase);
  } else {
    resolve(m.key, *m.result);
  }
  if (backlog_.empty() ? more_to_scan_ : has_room()) pump();
}

void partition_state::resolve(engine::run_key key, const run_result& result) {
  const bool ended = result.state == run_result::status::closed;
  end_answers(key, ended ? update_answer::status::ended : update_answer::status::unavailable, result.phase);
  std::vector<result_function> waiting;
  if (const auto it = waiters_.find(key); it != waiters_.end()) {
    waiting = std::move(it->second);
    waiters_.erase(it);
    waiting_ -= waiting.size();
  }
  if (ended && result.phase == engine::phase::continued) return go_on(result, std::move(waiting));
  for (auto& w : waiting) w(result);
}

// The next run is on record, and nobody has told of it: it is brought to memory, and waited for.
void partition_state::go_on(const run_result& before, std::vector<result_function> waiting) {
  try {
    auto next = node_.views.borrow()->find(before.workflow_id, before.run + 1);
    if (next) next = newest_life(*node_.views.borrow(), std::move(*next));
    if (next && next->summary.closed_at == 0) load(next->key, before.workflow_id);
    while (next && !waiting.empty()) {
      tell_end(*next, std::move(waiting.back()));
      waiting.pop_back();
    }
  } catch (const store::view_error& e) {
    node_.log(log_level::error, std::string("cannot tell which run goes on: ") + e.what());
    scanned_ = {};  // it is found with what is due
    more_to_scan_ = true;
  }
  for (auto& w : waiting) w({.workflow_id = before.workflow_id, .state = run_result::status::unavailable});
}

// The actor answers what was sent to it before, then goes.
void partition_state::forget(run_map::iterator it) {
  auto& run = it->second;
  wake(run);
  settled(run);
  const std::pair timer{run.wake_at, it->first};
  const bool scanned = std::pair{scanned_.wake_at, scanned_.key} >= timer;
  if (run.wake_at != store::wake_never && !scanned) timers_.erase(timer);
  if (const auto id = by_id_.find(run.workflow_id); id != by_id_.end() && id->second == it->first) by_id_.erase(id);
  self_->send(run.actor, leave{});
  live_.erase(it);
}

// Lets runs leave that have rested for long, or as many of the longest resting as are too many.
void partition_state::evict() {
  if (!node_.partition.evict) return;
  const auto now = std::chrono::steady_clock::now();
  while (!resting_.empty()) {
    const auto it = live_.find(resting_.front());
    if (live_.size() < node_.partition.live && now - it->second.since < node_.partition.idle) return;
    ++counts_.evicted;
    forget(it);
  }
}

void partition_state::on_down(const caf::down_msg& m) {
  if (!m.reason || m.reason == caf::exit_reason::kill) return;
  const auto it = std::find_if(live_.begin(), live_.end(), [&](const auto& r) { return r.second.actor == m.source; });
  if (it == live_.end()) return;
  const auto key = it->first;
  const auto cause = cause_of(m.reason);
  ++counts_.restarts;
  node_.log(log_level::error, "workflow actor died workflow=" + it->second.workflow_id + " error=\"" + cause + "\"");
  // Its id stays taken: what it handed in, its start perhaps, is not on record yet.
  to_reload_[key] = it->second.workflow_id;
  wake(it->second);
  settled(it->second);
  timers_.erase({it->second.wake_at, key});
  live_.erase(it);
  deaths_[key].times.push_back(std::chrono::steady_clock::now());
  deaths_[key].cause = cause;
  // Behind everything that it handed in.
  auto d = std::make_shared<decided>();
  d->generation = generation_;
  d->committed = [self = caf::actor_cast<caf::actor>(self_), key, generation = generation_](std::shared_ptr<decided>) {
    caf::anon_send(self, reload{key, generation, false});
  };
  node_.commits->submit(std::move(d));
}

void partition_state::reload_later(engine::run_key key, std::chrono::milliseconds pause) {
  node_.clock.at(
      std::chrono::steady_clock::now() + pause,
      [self = caf::actor_cast<caf::actor>(self_), m = reload{key, generation_, true}] { caf::anon_send(self, m); });
}

void partition_state::on_reload(const reload& m) {
  const auto it = to_reload_.find(m.key);
  if (m.generation != generation_ || it == to_reload_.end()) return;
  auto& deaths = deaths_[m.key];
  const auto now = std::chrono::steady_clock::now();
  auto& times = deaths.times;
  while (!times.empty() && now - times.front() > node_.partition.restart_window) times.pop_front();
  if (!m.waited && times.size() > 1)
    return reload_later(m.key, first_death_pause * (1 << std::min<std::size_t>(times.size() - 2, 5)));
  std::optional<store::run_row> row;
  std::optional<run_result> end;
  try {
    row = node_.views.borrow()->get(m.key);
    if (row && row->summary.closed_at != 0) end = result_of(*row);
  } catch (const store::view_error& e) {
    node_.log(log_level::error, std::string("cannot restart a workflow: ") + e.what());
    return reload_later(m.key, ailing_pause);
  }
  auto id = std::move(it->second);
  to_reload_.erase(it);
  if (!row) end = run_result{.workflow_id = id, .state = run_result::status::unknown};
  if (end) {
    if (const auto known = by_id_.find(id); known != by_id_.end() && known->second == m.key) by_id_.erase(known);
    deaths_.erase(m.key);
    return resolve(m.key, *end);
  }
  std::string broken;
  if (times.size() > static_cast<std::size_t>(node_.partition.restarts)) {
    broken = "its actor died " + std::to_string(times.size()) + " times within " +
             std::to_string(node_.partition.restart_window.count()) + " s: " + deaths.cause;
    deaths_.erase(m.key);
  }
  auto& run = spawn({.key = m.key, .load = true, .broken = std::move(broken)}, std::move(id));
  tick_run(m.key, run);
}

void partition_state::leave_all() {
  for (auto& r : live_) self_->send_exit(r.second.actor, caf::exit_reason::kill);
  live_.clear();
}

// ---- the journal fails and comes back

void partition_state::on_generation_over(const generation_over& m) {
  away_ = true;
  trouble_ = m.why;
  generation_ = m.next;
  node_.attempts->begin_generation(m.next);
  node_.log(log_level::error,
            "journal failed: everything in memory is discarded and folded again error=\"" + m.why + "\"");
  node_.slots->forget_waiting();
  leave_all();
  by_id_.clear();
  resting_.clear();
  timers_.clear();
  backlog_.clear();
  to_reload_.clear();
  marking_.clear();
  fetched_ = 0;
  if (!m.broken) return;
  broken_ = true;
  for (auto& w : std::exchange(waiters_, {}))
    for (auto& f : w.second) f({.state = run_result::status::unavailable});
  waiting_ = 0;
}

void partition_state::on_generation_healed(const generation_healed& m) {
  generation_ = m.generation;
  away_ = false;
  trouble_.clear();
  node_.time.not_before(journal_.last_event_time());
  node_.next_key = std::max(node_.next_key.load(), journal_.next_run_key());
  node_.log(log_level::info, "journal is open again generation=" + std::to_string(generation_));
  // Whose run was lost with the failed commit, or ended by it, hears so; the others go on waiting.
  std::vector<std::pair<engine::run_key, run_result>> ended;
  for (const auto& w : waiters_) {
    try {
      const auto row = node_.views.borrow()->get(w.first);
      if (!row)
        ended.emplace_back(w.first, run_result{.state = run_result::status::unknown});
      else if (row->summary.closed_at != 0)
        ended.emplace_back(w.first, result_of(*row));
    } catch (const store::view_error&) {
      ended.emplace_back(w.first, run_result{.state = run_result::status::unavailable});
    }
  }
  for (const auto& e : ended) resolve(e.first, e.second);
  look_for_answers();
  read_marks();
  reclaim_attempts();
  scanned_ = {};
  more_to_scan_ = true;
  pump();
}

// Runs with attempts under way come first, even in a drain: their results wait in the table. Those that the failed
// commit has ended after all are not loaded again, and nobody waits for their attempts.
void partition_state::reclaim_attempts() {
  std::set<engine::run_key> keys;
  for (const auto& a : node_.attempts->all()) keys.insert(a->id.key);
  try {
    for (const auto key : keys) {
      const auto row = node_.views.borrow()->get(key);
      if (row && row->summary.closed_at == 0)
        load(key, row->header.workflow_id);
      else
        node_.attempts->disown(key);
    }
  } catch (const store::view_error& e) {
    node_.log(log_level::error, std::string("cannot tell which attempts have an open run: ") + e.what());
  }
}

partition_status partition_state::status() const {
  auto s = counts_;
  s.live = live_.size();
  s.resting = resting_.size();
  s.timers = timers_.size();
  s.waiters = waiting_;
  s.backlog = backlog_.size();
  s.generation = generation_;
  s.trouble = trouble_;
  return s;
}

namespace {

class partition final : public caf::event_based_actor {
 public:
  partition(caf::actor_config& cfg, std::shared_ptr<node_context> node, store::journal* journal)
      : caf::event_based_actor(cfg),
        node_(std::move(node)),
        state_(std::make_unique<partition_state>(this, *node_, *journal)) {}
  const char* name() const override { return "pawl.partition"; }

 protected:
  caf::behavior make_behavior() override {
    caf::anon_send(caf::actor_cast<caf::actor>(this), timer_due{});
    return state_->behavior();
  }
  // Handles of it may outlive it, and must keep nothing.
  void on_exit() override {
    state_->leave_all();
    state_.reset();
    node_.reset();
  }

 private:
  std::shared_ptr<node_context> node_;
  std::unique_ptr<partition_state> state_;
};

}  // namespace

caf::actor spawn_partition(caf::actor_system& system, node_context& node, store::journal& journal) {
  return system.spawn<partition>(node.shared_from_this(), &journal);
}

}  // namespace pawl::actors
