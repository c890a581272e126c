#include "actors/partition_actor.hpp"

#include <algorithm>

#include "actors/workflow_actor.hpp"

namespace pawl::actors {

namespace {

constexpr auto busy_retry = std::chrono::milliseconds(100);
constexpr auto unavailable_retry = std::chrono::milliseconds(1000);

}  // namespace

partition_state::partition_state(caf::event_based_actor* self, node_context& node, store::journal& journal)
    : self_(self), node_(node), journal_(journal), next_key_(journal.next_run_key()), generation_(node.commits->generation()) {}

caf::behavior partition_state::behavior() {
  self_->set_down_handler([this](caf::down_msg& m) { on_down(m); });
  return {
      [this](request& m) { on_request(m.body); },
      [this](resting& m) { on_resting(m); },
      [this](closed& m) { on_closed(m); },
      [this](timer_due) {
        armed_for_ = store::wake_never;
        pump();
      },
      [this](reload& m) { on_reload(m); },
      [this](generation_over& m) { on_generation_over(m); },
      [this](generation_healed& m) { on_generation_healed(m); },
      [this](await_result& m) { on_await(m.body); },
      [this](describe_run& m) {
        const auto id = by_id_.find(m.body->workflow_id);
        if (id == by_id_.end()) return m.body->on_description({});
        self_->send(live_.at(id->second).actor, std::move(m));
      },
      [this](ask_status& m) { m.body->on_status(status()); },
  };
}

// ---- requests

void partition_state::refuse(command_request& r, command_reply::status state, std::string why, std::chrono::milliseconds retry_after) {
  if (state == command_reply::status::busy) ++counts_.refused_busy;
  command_reply reply;
  reply.state = state;
  reply.message = std::move(why);
  reply.retry_after = retry_after;
  r.reply.answer(reply);
}

// What is wrong with a request that no state could make right; such requests are not recorded.
std::string partition_state::door_check(const command_request& r) const {
  if (r.workflow_id.empty()) return "the workflow id is empty";
  const auto limit = node_.limits.id_length;
  if (r.workflow_id.size() > limit)
    return "the workflow id has " + std::to_string(r.workflow_id.size()) + " bytes, limits.id_length is " + std::to_string(limit);
  if (r.command.id.size() > limit)
    return "the command id has " + std::to_string(r.command.id.size()) + " bytes, limits.id_length is " + std::to_string(limit);
  const auto* start = std::get_if<engine::start_command>(&r.command.body);
  if (!start) return {};
  if (!node_.types.find(start->facts.type, start->facts.version))
    return "this node has no workflow type '" + start->facts.type + "' version " + std::to_string(start->facts.version);
  if (start->input.size() > node_.limits.payload)
    return "the input has " + std::to_string(start->input.size()) + " bytes as msgpack, limits.payload is " + std::to_string(node_.limits.payload);
  return {};
}

bool partition_state::full() const {
  const auto active = live_.size() - resting_.size();
  // What is due already comes before what is new.
  return active >= (backlog_.empty() ? node_.partition.live : node_.partition.live / 2);
}

void partition_state::on_request(std::shared_ptr<command_request>& r) {
  if (away_ || node_.draining)
    return refuse(*r, command_reply::status::unavailable, node_.draining ? "the node is stopping" : "the journal is away: " + trouble_, unavailable_retry);
  if (auto wrong = door_check(*r); !wrong.empty()) return refuse(*r, command_reply::status::invalid, std::move(wrong), {});
  if (const auto id = by_id_.find(r->workflow_id); id != by_id_.end()) return forward(live_.at(id->second), id->second, r);
  std::optional<store::run_row> row;
  try {
    if (node_.may_exist(r->workflow_id)) row = node_.views.borrow()->find(r->workflow_id);
  } catch (const store::view_error& e) {
    return refuse(*r, command_reply::status::unavailable, e.what(), unavailable_retry);
  }
  if (row) return on_known(r, *row);
  if (std::holds_alternative<engine::start_command>(r->command.body)) return begin_run(r, 1);
  record(r, engine::command_result::not_found, 0, "there is no workflow '" + r->workflow_id + "'", nullptr);
}

void partition_state::begin_run(std::shared_ptr<command_request>& r, std::uint32_t run) {
  if (full())
    return refuse(*r, command_reply::status::busy,
                  "the node has limits.live_workflows runs under way (" + std::to_string(node_.partition.live) + "); try again later", busy_retry);
  auto& start = std::get<engine::start_command>(r->command.body);
  const auto definition = node_.types.find(start.facts.type, start.facts.version);
  start.facts.workflow_id = r->workflow_id;
  start.facts.run = run;
  start.facts.uid = {journal_.reign(), next_serial_++};
  start.facts.digest = definition->digest;
  if (start.facts.deadline.count() == 0 && definition->options.deadline) start.facts.deadline = *definition->options.deadline;
  const auto key = next_key_++;
  if (r->on_result) {
    waiters_[key].push_back(std::exchange(r->on_result, nullptr));
    ++waiting_;
  }
  auto& live = spawn(key, r->workflow_id, false);
  ++counts_.started;
  ++live.sent;
  self_->send(live.actor, deliver{std::move(r)});
}

void partition_state::forward(live_run& run, engine::run_key key, std::shared_ptr<command_request>& r) {
  wake(run);
  ++run.sent;
  (void)key;
  self_->send(run.actor, deliver{std::move(r)});
}

void partition_state::on_known(std::shared_ptr<command_request>& r, const store::run_row& row) {
  if (row.summary.closed_at != 0) return answer_closed(r, row);
  if (auto* run = load(row.key, row.header.workflow_id)) forward(*run, row.key, r);
}

// A command for a run that is closed: a repeat gets the answer it had, a start may begin the next run.
void partition_state::answer_closed(std::shared_ptr<command_request>& r, const store::run_row& row) {
  const auto& id = r->command.id;
  const std::string is = "workflow '" + r->workflow_id + "' is " + std::string(to_text(row.summary.phase)) + " already";
  try {
    auto view = node_.views.borrow();
    if (id == row.header.start_command && !id.empty()) {
      if (r->on_result) r->on_result(result_of(row));
      return record(r, engine::command_result::duplicate, 1, "the workflow has been started by this command already", &row);
    }
    if (const auto known = view->outcome(r->workflow_id, id))
      return record(r, known->outcome.result, known->outcome.seq, known->outcome.message, &row);
    const bool start = std::holds_alternative<engine::start_command>(r->command.body);
    const bool failed = row.summary.phase != engine::phase::completed;
    if (start && (r->closed_id == engine::closed_id_policy::allow || (failed && r->closed_id == engine::closed_id_policy::allow_if_failed)))
      return begin_run(r, row.header.run + 1);
    if (!id.empty() && !start)
      for (const auto& e : view->history(row.key).events)
        if (e.command_id == id) return record(r, engine::command_result::duplicate, e.seq, "the command has been applied already", &row);
  } catch (const store::view_error& e) {
    return refuse(*r, command_reply::status::unavailable, e.what(), unavailable_retry);
  }
  record(r, engine::command_result::conflict, 0, is, &row);
}

// Answers a command that reaches no run, once its outcome is on record.
void partition_state::record(std::shared_ptr<command_request>& r, engine::command_result result, std::uint64_t seq, std::string message,
                             const store::run_row* row) {
  auto d = std::make_shared<decided>();
  d->generation = generation_;
  d->answer.outcome = {.result = result, .seq = seq, .message = message};
  d->answer.message = std::move(message);
  if (row) {
    d->answer.run = row->header.run;
    d->answer.run_uid = to_text(row->header.uid);
  }
  if (result != engine::command_result::duplicate && !r->command.id.empty())
    d->outcomes.push_back({.command_id = r->command.id, .workflow_id = r->workflow_id, .outcome = d->answer.outcome, .at = engine::to_micros(node_.time.now())});
  d->reply = std::move(r->reply);
  d->committed = [](std::shared_ptr<decided> done) { done->reply.answer(done->answer); };
  node_.commits->submit(std::move(d));
}

run_result partition_state::result_of(const store::run_row& row) {
  run_result out{.phase = row.summary.phase, .workflow_id = row.header.workflow_id, .run = row.header.run};
  const auto last = node_.views.borrow()->history(row.key, row.last_seq, 1);
  if (last.events.empty()) return out;
  out.payload = last.events.back().payload;
  out.error = last.events.back().error;
  return out;
}

void partition_state::on_await(std::shared_ptr<result_request>& r) {
  run_result answer{.workflow_id = r->workflow_id, .run = r->run};
  const auto wait_for = [&](engine::run_key key) {
    if (waiting_ >= node_.partition.waiters) {
      answer.state = run_result::status::busy;
      return r->on_result(answer);
    }
    waiters_[key].push_back(std::move(r->on_result));
    ++waiting_;
  };
  const auto id = by_id_.find(r->workflow_id);
  if (id != by_id_.end() && r->run == 0) return wait_for(id->second);
  try {
    std::optional<store::run_row> row;
    {
      auto view = node_.views.borrow();
      row = r->run == 0 ? view->find(r->workflow_id) : view->find(r->workflow_id, r->run);
    }
    if (row && row->summary.closed_at != 0) return r->on_result(result_of(*row));
    if (row) return wait_for(row->key);
    answer.state = away_ ? run_result::status::unavailable : run_result::status::not_found;
  } catch (const store::view_error&) {
    answer.state = run_result::status::unavailable;
  }
  r->on_result(answer);
}

// ---- lives of runs

partition_state::live_run& partition_state::spawn(engine::run_key key, std::string workflow_id, bool load, std::string broken) {
  if (live_.size() >= node_.partition.live) evict();
  by_id_[workflow_id] = key;
  auto& run = live_[key];
  run.workflow_id = std::move(workflow_id);
  run.actor = spawn_workflow(self_, node_, {.key = key, .generation = generation_, .load = load, .broken = std::move(broken)});
  return run;
}

// Brings a run into memory; what is already there is left alone.
partition_state::live_run* partition_state::load(engine::run_key key, std::string workflow_id) {
  if (const auto it = live_.find(key); it != live_.end()) return &it->second;
  if (to_reload_.contains(key)) return nullptr;
  auto& run = spawn(key, std::move(workflow_id), true);
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
  if (it == live_.end()) return;
  auto& run = it->second;
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
  arm();
}

void partition_state::on_closed(const closed& m) {
  const auto it = live_.find(m.key);
  if (it == live_.end()) return;
  ++counts_.closed;
  resolve(m.key, *m.result);
  forget(it);
  if (!backlog_.empty()) pump();
}

void partition_state::resolve(engine::run_key key, const run_result& result) {
  const auto it = waiters_.find(key);
  if (it == waiters_.end()) return;
  auto waiting = std::move(it->second);
  waiters_.erase(it);
  waiting_ -= waiting.size();
  for (auto& w : waiting) w(result);
}

// The actor answers what was sent to it before, then goes.
void partition_state::forget(run_map::iterator it) {
  auto& run = it->second;
  wake(run);
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
  ++counts_.restarts;
  node_.log(log_level::error, "workflow actor died workflow=" + it->second.workflow_id + " reason=\"" + caf::to_string(m.reason) + "\"");
  to_reload_[key] = it->second.workflow_id;
  wake(it->second);
  timers_.erase({it->second.wake_at, key});
  by_id_.erase(it->second.workflow_id);
  live_.erase(it);
  deaths_[key].push_back(std::chrono::steady_clock::now());
  // Behind everything that it handed in.
  auto d = std::make_shared<decided>();
  d->generation = generation_;
  d->committed = [self = caf::actor_cast<caf::actor>(self_), key, generation = generation_](std::shared_ptr<decided>) {
    caf::anon_send(self, reload{key, generation});
  };
  node_.commits->submit(std::move(d));
}

void partition_state::on_reload(const reload& m) {
  const auto it = to_reload_.find(m.key);
  if (m.generation != generation_ || it == to_reload_.end()) return;
  auto id = std::move(it->second);
  to_reload_.erase(it);
  auto& deaths = deaths_[m.key];
  const auto now = std::chrono::steady_clock::now();
  while (!deaths.empty() && now - deaths.front() > node_.partition.restart_window) deaths.pop_front();
  std::string broken;
  if (deaths.size() > static_cast<std::size_t>(node_.partition.restarts)) {
    broken = "its actor died " + std::to_string(deaths.size()) + " times within " + std::to_string(node_.partition.restart_window.count()) + " s";
    deaths_.erase(m.key);
  }
  std::optional<store::run_row> row;
  try {
    row = node_.views.borrow()->get(m.key);
  } catch (const store::view_error& e) {
    node_.log(log_level::error, std::string("cannot restart a workflow: ") + e.what());
  }
  if (!row) return resolve(m.key, {.workflow_id = id, .state = run_result::status::unknown});
  if (row->summary.closed_at != 0) return resolve(m.key, result_of(*row));
  auto& run = spawn(m.key, std::move(id), true, std::move(broken));
  tick_run(m.key, run);
}

// ---- time

// Wakes what is due and loads what has waited for room.
void partition_state::pump() {
  if (away_ || node_.draining) return;
  const auto now = engine::to_micros(node_.time.now());
  while (!timers_.empty() && timers_.begin()->first <= now) {
    const auto key = timers_.begin()->second;
    timers_.erase(timers_.begin());
    if (const auto it = live_.find(key); it != live_.end()) {
      it->second.wake_at = store::wake_never;
      tick_run(key, it->second);
    } else {
      store::run_row due;
      due.key = key;
      backlog_.push_back(std::move(due));
    }
  }
  if (std::chrono::steady_clock::now() >= next_scan_) more_to_scan_ = true;
  if (more_to_scan_ && backlog_.size() < node_.partition.load_page && timers_.size() < live_.size() + 4 * node_.partition.load_page) scan();
  evict();
  while (!backlog_.empty() && live_.size() - resting_.size() < node_.partition.live) {
    auto row = std::move(backlog_.front());
    backlog_.pop_front();
    try {
      if (row.header.workflow_id.empty()) {
        auto found = node_.views.borrow()->get(row.key);
        if (!found || found->summary.closed_at != 0) continue;
        row = std::move(*found);
      }
      load(row.key, std::move(row.header.workflow_id));
    } catch (const store::view_error& e) {
      node_.log(log_level::error, std::string("cannot load a workflow: ") + e.what());
    }
  }
  if (more_to_scan_ && backlog_.empty()) caf::anon_send(caf::actor_cast<caf::actor>(self_), timer_due{});
  arm();
}

// Reads the next page of open runs that are due before the horizon.
void partition_state::scan() {
  const auto now = node_.time.now();
  const auto until = engine::to_micros(now + node_.partition.horizon);
  std::vector<store::run_row> page;
  try {
    page = node_.views.borrow()->due(until, scanned_, node_.partition.load_page);
  } catch (const store::view_error& e) {
    node_.log(log_level::error, std::string("cannot read what is due: ") + e.what());
  }
  more_to_scan_ = page.size() == node_.partition.load_page;
  for (auto& row : page) {
    scanned_ = {row.summary.wake_at, row.key};
    if (live_.contains(row.key)) continue;
    if (row.summary.wake_at <= engine::to_micros(now))
      backlog_.push_back(std::move(row));
    else
      timers_.insert({row.summary.wake_at, row.key});
  }
  if (more_to_scan_) return;
  scanned_ = std::max(scanned_, store::view::due_cursor{until, 0}, [](const auto& a, const auto& b) {
    return std::pair{a.wake_at, a.key} < std::pair{b.wake_at, b.key};
  });
  next_scan_ = std::chrono::steady_clock::now() + node_.partition.horizon / 2;
}

// One timer of the clock stands for the earliest of ours.
void partition_state::arm() {
  const auto now = engine::to_micros(node_.time.now());
  const auto scan_in = std::chrono::duration_cast<std::chrono::microseconds>(next_scan_ - std::chrono::steady_clock::now()).count();
  auto at = now + std::max<std::int64_t>(scan_in, 0);
  if (!timers_.empty()) at = std::min(at, timers_.begin()->first);
  if (!resting_.empty() && node_.partition.evict) at = std::min(at, now + 1000 * std::max<std::int64_t>(node_.partition.idle.count(), 10));
  if (armed_ && at >= armed_for_) return;
  if (armed_) node_.clock.cancel(armed_);
  armed_for_ = at;
  // A little late rather than early: an early one would find nothing due.
  const auto delay = std::chrono::microseconds(std::max<std::int64_t>(at - now, 0) + 200);
  armed_ = node_.clock.at(std::chrono::steady_clock::now() + delay, [self = caf::actor_cast<caf::actor>(self_)] { caf::anon_send(self, timer_due{}); });
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
  node_.log(log_level::error, "journal failed: everything in memory is discarded and folded again error=\"" + m.why + "\"");
  node_.slots->forget_waiting();
  leave_all();
  by_id_.clear();
  resting_.clear();
  timers_.clear();
  backlog_.clear();
  to_reload_.clear();
  if (!m.broken) return;
  for (auto& w : std::exchange(waiters_, {}))
    for (auto& f : w.second) f({.state = run_result::status::unavailable});
  waiting_ = 0;
}

void partition_state::on_generation_healed(const generation_healed& m) {
  generation_ = m.generation;
  away_ = false;
  trouble_.clear();
  node_.time.not_before(journal_.last_event_time());
  next_key_ = std::max(next_key_, journal_.next_run_key());
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
  scanned_ = {};
  more_to_scan_ = true;
  pump();
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
  partition(caf::actor_config& cfg, node_context* node, store::journal* journal)
      : caf::event_based_actor(cfg), state_(this, *node, *journal) {}
  const char* name() const override { return "pawl.partition"; }

 protected:
  caf::behavior make_behavior() override {
    caf::anon_send(caf::actor_cast<caf::actor>(this), timer_due{});
    return state_.behavior();
  }
  void on_exit() override { state_.leave_all(); }

 private:
  partition_state state_;
};

}  // namespace

caf::actor spawn_partition(caf::actor_system& system, node_context& node, store::journal& journal) {
  return system.spawn<partition>(&node, &journal);
}

}  // namespace pawl::actors
