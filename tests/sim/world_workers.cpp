// The node's table of attempts, and the functions that run under it.
#include <algorithm>

#include "tests/sim/world.hpp"

namespace pawl::sim {

void world::enter(const attempt_id& id) {
  table_entry e;
  if (const auto* facts = journal_.start_of(id.key, id.step, id.undo, id.attempt)) e.in_child = facts->in_child;
  process_->table[id] = e;
  after(functions_.queued(id), [this, id, in = process_->incarnation] { begin(id, in); });
}

void world::begin(const attempt_id& id, engine::incarnation in) {
  if (!process_ || process_->incarnation != in) return;
  const auto it = process_->table.find(id);
  if (it == process_->table.end() || it->second.call || it->second.end) return;
  call_facts facts{.id = id, .in_child = it->second.in_child, .calm = calm_};
  if (const auto* s = load(id.key).state->find(id.step, id.undo)) facts.counted = s->counted;
  call c{.id = id, .plan = functions_.plan(facts), .incarnation = in, .in_child = it->second.in_child, .began = now_};
  check_begin(c);
  if (const auto* f = journal_.start_of(id.key, id.step, id.undo, id.attempt)) c.may_still_run = f->may_still_run;
  it->second.call = calls_.size();
  calls_.push_back(std::move(c));
  count("calls");
  arrange(calls_.size() - 1);
}

void world::check_begin(const call& c) const {
  const auto& id = c.id;
  const auto* facts = journal_.start_of(id.key, id.step, id.undo, id.attempt);
  require(facts, "an attempt is recorded before it runs: " + to_text(id));
  require(facts->incarnation == c.incarnation,
          "an attempt runs in the process that it is recorded for: " + to_text(id));
  for (const auto& other : calls_) {
    require(other.id != id, "an attempt that may have begun is never started again: " + to_text(id));
    const bool beside = id.undo && !other.id.undo && other.id.key == id.key && other.id.step == id.step;
    require(!beside || other.returned || facts->may_still_run, "no undo beside its step's function: " + to_text(id));
  }
}

// What is going to happen to the call, unless something else ends it.
void world::arrange(std::size_t n) {
  const auto& c = calls_[n];
  const auto in = c.incarnation;
  const auto alive = [this, in, n](auto what) {
    return [this, in, n, what] {
      if (process_ && process_->incarnation == in && !calls_[n].returned) what();
    };
  };
  const auto* s = load(c.id.key).state->find(c.id.step, c.id.undo);
  auto timeout = s->policy.timeout;
  if (s->policy.deadline.count() > 0) {
    const auto left = std::chrono::duration_cast<milliseconds>(s->first_scheduled + s->policy.deadline - now_);
    timeout = std::clamp(left, milliseconds(1), timeout);
  }
  after(timeout, alive([this, n] { time_out(n); }));
  if (c.plan.ends == call_plan::ending::kills_process) after(c.plan.takes, alive([this, n] { kill_process(n); }));
  if (c.plan.ends == call_plan::ending::succeeds || c.plan.ends == call_plan::ending::fails)
    after(c.plan.takes, alive([this, n] { function_returns(n, false); }));
  if (!c.plan.details) return;
  after(c.plan.takes / 2, alive([this, n] {
          const auto& of = calls_[n];
          const auto at = process_->table.find(of.id);
          if (at == process_->table.end() || at->second.end) return;
          auto& r = load(of.id.key);
          auto* state = r.state->find(of.id.step, of.id.undo);
          if (!state || state->status != engine::step_status::running || state->attempt != of.id.attempt) return;
          state->details = *of.plan.details;
          ++r.uncommitted;
          count("heartbeats");
          partition_.gathered.push_back(
              {.entry = {.key = of.id.key,
                         .events = {},
                         .heartbeat = heartbeat_details{of.id.step, of.id.undo, state->details}}});
        }));
}

void world::function_returns(std::size_t n, bool stopped) {
  auto& c = calls_[n];
  c.returned = true;
  c.succeeded = c.plan.ends == call_plan::ending::succeeds && !stopped;
  engine::attempt_ended e{.step = c.id.step, .undo = c.id.undo, .attempt = c.id.attempt};
  e.end = c.succeeded ? engine::attempt_end::completed : engine::attempt_end::failed;
  if (c.succeeded) e.result = c.id.undo ? std::string{} : c.plan.result;
  if (!c.succeeded) e.error = stopped ? engine::failure{.code = "stopped", .message = "told to stop"} : c.plan.error;
  const auto id = c.id;
  const auto it = process_->table.find(id);
  if (it != process_->table.end() && !it->second.end) return end(id, std::move(e));
  process_->lingering.erase(n);
  const auto newest = journal_.newest(id.key);
  if (!newest || is_terminal(*newest)) return;
  if (options_.wrong == mutant::late_results_count) {
    if (const auto* s = load(id.key).state->find(id.step, id.undo)) e.attempt = s->attempt;
    return decide(id.key, {.id = {}, .body = e}, std::nullopt);
  }
  if (random_.chance(options_.faults.late_result)) decide(id.key, {.id = {}, .body = e}, std::nullopt);
  wake(id.key);
}

void world::time_out(std::size_t n) {
  const auto id = calls_[n].id;
  const auto it = process_->table.find(id);
  if (it == process_->table.end() || it->second.end || it->second.call != n) return;
  count("time-outs");
  end(id,
      {.end = engine::attempt_end::timed_out, .error = engine::failure{.code = "timed_out", .message = "too slow"}});
}

void world::kill_process(std::size_t n) {
  auto& c = calls_[n];
  count("steps that kill their process");
  if (!c.in_child) return crash(random_.chance(50));
  c.returned = true;
  const auto it = process_->table.find(c.id);
  if (it == process_->table.end() || it->second.end) return;
  const auto id = c.id;
  end(id,
      {.end = engine::attempt_end::child_died, .error = engine::failure{.code = "child_died", .message = "signal 6"}});
}

// The attempt has ended, its slot is free; it stays in the table until that is committed.
void world::end(const attempt_id& id, engine::attempt_ended e) {
  e.step = id.step;
  e.undo = id.undo;
  e.attempt = id.attempt;
  auto& entry = process_->table.at(id);
  entry.end = e;
  if (entry.call && !calls_[*entry.call].returned) {
    if (entry.in_child)
      calls_[*entry.call].returned = true;  // the child is killed
    else
      process_->lingering.insert(*entry.call);
  }
  if (options_.wrong == mutant::result_leaves_early) process_->table.erase(id);
  decide(id.key, {.id = {}, .body = std::move(e)}, std::nullopt);
  slot_is_free();
}

void world::leave(const attempt_id& id) {
  const auto it = process_->table.find(id);
  if (it != process_->table.end() && it->second.end) process_->table.erase(it);
}

// A function that listens returns soon; an attempt without a thread never begins.
void world::tell_to_stop(run_key key) {
  std::vector<attempt_id> open;
  for (const auto& [id, e] : process_->table)
    if (id.key == key && !id.undo && !e.end) open.push_back(id);
  for (const auto& id : open) {
    const auto& e = process_->table.at(id);
    if (!e.call && random_.chance(50)) {
      end(id, {.end = engine::attempt_end::not_begun});
    } else if (e.call && calls_[*e.call].plan.heeds_stop) {
      const auto n = *e.call;
      after(milliseconds(random_.between(1, 50)), [this, n, in = process_->incarnation] {
        if (process_ && process_->incarnation == in && !calls_[n].returned) function_returns(n, true);
      });
    }
  }
}

// The run is over: nobody waits for its attempts any more.
void world::disown(run_key key) {
  std::erase_if(process_->table, [&](const auto& at) {
    if (at.first.key != key) return false;
    if (at.second.call && !calls_[*at.second.call].returned) process_->lingering.insert(*at.second.call);
    return true;
  });
  slot_is_free();
}

void world::slot_is_free() {
  for (const auto key : std::exchange(partition_.want_slots, {})) after(milliseconds(0), [this, key] { wake(key); });
}

std::uint32_t world::slots_taken(bool children_only) const {
  std::uint32_t n = 0;
  for (const auto& [id, e] : process_->table)
    if (!e.end && (e.in_child || !children_only)) ++n;
  for (const auto& r : partition_.reserved)
    if (r.in_child || !children_only) ++n;
  return n;
}

std::uint32_t world::taken_of(const engine::instance& run, std::uint32_t step, bool undo) const {
  const auto same = [&](const attempt_id& id) {
    return id.step == step && id.undo == undo && runs_.at(id.key).facts.type == run.facts.type;
  };
  std::uint32_t n = 0;
  for (const auto& [id, e] : process_->table)
    if (!e.end && same(id)) ++n;
  for (const auto& r : partition_.reserved)
    if (same(r.id)) ++n;
  return n;
}

bool world::lingers(run_key key, std::uint32_t step) const {
  return std::any_of(process_->lingering.begin(), process_->lingering.end(), [&](std::size_t n) {
    const auto& c = calls_[n];
    return c.id.key == key && c.id.step == step && !c.id.undo && !c.returned;
  });
}

}  // namespace pawl::sim
