// What the partition does: loads runs, decides, appends, and lets effects and answers out after the commit.
#include <algorithm>

#include "tests/sim/dump.hpp"
#include "tests/sim/world.hpp"

namespace pawl::sim {

using engine::event_kind;

class world::grant final : public engine::allowance {
 public:
  grant(world& w, run_key key) : world_(w), key_(key) {
    limits = w.options_.limits;
    incarnation = w.process_->incarnation;
  }

  bool take_slot(const engine::slot_request& r) override {
    auto& w = world_;
    if (w.process_->draining) return false;
    const bool full = w.slots_taken(false) >= w.options_.slots ||
                      (r.in_child && w.slots_taken(true) >= std::max(1U, w.options_.slots / 4)) ||
                      (r.max_concurrent > 0 && w.taken_of(*r.run, r.step, r.undo) >= r.max_concurrent);
    if (full) w.count("slots that ran out");
    if (full) return false;
    if (w.random_.chance(w.options_.faults.no_slot)) {
      w.count("slots refused");
      w.after(milliseconds(w.random_.between(1, 500)), [&w, key = key_] { w.wake(key); });
      return false;
    }
    const auto* s = r.run->find(r.step, r.undo);
    w.partition_.reserved.push_back({{key_, r.step, r.undo, s ? s->attempt + 1 : 1}, r.in_child});
    return true;
  }
  bool still_running(const engine::instance&, std::uint32_t step) const override {
    return world_.options_.wrong != mutant::still_running_is_ignored && world_.lingers(key_, step);
  }

 private:
  world& world_;
  const run_key key_;
};

// --- loading
// -----------------------------------------------------------------------------------------------------------

std::unique_ptr<engine::instance> world::fold(run_key key, bool faithfully) const {
  auto i = runs_.at(key).make(process_ ? code_of(key) : code::right);
  auto history = journal_.history(key);
  if (!faithfully && options_.wrong == mutant::replay_skips_an_event && history.size() > 2) {
    history.erase(history.begin() + static_cast<std::ptrdiff_t>(1 + order_ % (history.size() - 1)));
    for (std::size_t n = 0; n < history.size(); ++n) history[n].seq = n + 1;
  }
  for (const auto& e : history) engine::evolve(*i, e);
  for (const auto& h : journal_.heartbeats(key))
    if (auto* s = i->find(h.step, h.undo)) s->details = h.details;
  if (!faithfully && options_.wrong == mutant::command_ids_are_lost) i->command_ids.reset();
  return i;
}

world::live_run& world::load(run_key key) {
  if (const auto it = partition_.live.find(key); it != partition_.live.end()) return it->second;
  auto& r = partition_.live[key];
  r.state = fold(key, false);
  require(r.state->broken.empty(), "a history can be followed: " + r.state->broken);
  if (r.state->phase != engine::phase::none && !is_closed(r.state->phase)) recover(key);
  return r;
}

// Goes on with what is not on record yet, then deals with each attempt that is.
void world::recover(run_key key) {
  count("recoveries");
  std::vector<std::pair<attempt_id, engine::incarnation>> on_record;
  for (const auto& s : partition_.live.at(key).state->steps)
    if (s.status == engine::step_status::running)
      on_record.push_back({{key, s.step, s.undo, s.attempt}, s.incarnation});
  decide(key, {}, std::nullopt);
  for (const auto& [id, of] : on_record) deal_with(id, of);
}

void world::deal_with(const attempt_id& id, engine::incarnation of) {
  engine::attempt_ended e{.step = id.step, .undo = id.undo, .attempt = id.attempt};
  if (of != process_->incarnation) {
    if (options_.wrong == mutant::lost_is_ignored) return;
    if (options_.wrong == mutant::lost_is_restarted) return enter(id);
    e.end = engine::attempt_end::lost;
    e.error = engine::failure{.code = "attempt_lost", .message = "its process is gone"};
    return decide(id.key, {.id = {}, .body = e}, std::nullopt);
  }
  const auto it = process_->table.find(id);
  if (it == process_->table.end()) {
    count("attempts on record that never began");
    const auto phase = partition_.live.at(id.key).state->phase;
    if (process_->draining || (!id.undo && phase != engine::phase::running)) {
      e.end = engine::attempt_end::not_begun;
      return decide(id.key, {.id = {}, .body = e}, std::nullopt);
    }
    return enter(id);
  }
  if (!it->second.end) return count("attempts adopted");
  count("results handed in again");
  decide(id.key, {.id = {}, .body = *it->second.end}, std::nullopt);
}

// --- deciding
// ----------------------------------------------------------------------------------------------------------

void world::intake(std::size_t n) {
  const auto command = requests_[n].command;
  const auto key = requests_[n].key;
  const auto* known = journal_.outcome_of(key, command.id);
  if (const auto it = partition_.pending.find(command.id); it != partition_.pending.end()) known = &it->second;
  if (!known) return decide(key, command, n);
  auto& r = load(key);
  ++r.uncommitted;
  partition_.gathered.push_back({.entry = {.key = key, .events = {}}, .owed = n, .outcome = *known});
}

engine::carried world::carry_out(engine::instance& i, const engine::command& c, engine::allowance& a) {
  const auto wrong = options_.wrong;
  const bool changes_events = wrong == mutant::undo_in_closing_order || wrong == mutant::suspects_run_in_process ||
                              wrong == mutant::retries_are_early;
  if (!changes_events) return engine::carry_out(i, c, a, now_);
  engine::carried out;
  const auto take = [&](std::vector<engine::event> events) {
    for (auto& e : events) {
      e.seq = i.last_seq + 1;
      e.at = now_;
      if (wrong == mutant::undo_in_closing_order) std::reverse(e.order.begin(), e.order.end());
      if (wrong == mutant::suspects_run_in_process && e.begun) e.begun->in_child = false;
      if (wrong == mutant::retries_are_early && e.kind == event_kind::attempt_failed && e.due) e.due = now_;
      engine::evolve(i, e);
      out.events.push_back(e);
    }
  };
  auto d = engine::decide(i, c, a, now_);
  out.outcome = d.outcome;
  if (!d.events.empty()) out.outcome.seq = i.last_seq + 1;
  take(std::move(d.events));
  if (out.outcome.result != engine::command_result::applied) return out;
  for (auto next = engine::advance(i, a, now_); !next.empty(); next = engine::advance(i, a, now_))
    take(std::move(next));
  return out;
}

void world::decide(run_key key, const engine::command& c, std::optional<std::size_t> request) {
  auto& r = load(key);
  grant a(*this, key);
  auto carried = carry_out(*r.state, c, a);
  require(r.state->broken.empty(), "what is decided can follow: " + r.state->broken);
  const bool late = carried.outcome.result == engine::command_result::late;
  if (late) count("late results refused");
  if (!carried.events.empty() || request || late) {
    part p{.entry = {.key = key, .events = std::move(carried.events)}, .owed = request, .outcome = carried.outcome};
    if (late) {
      const auto& e = std::get<engine::attempt_ended>(c.body);
      p.late = attempt_id{key, e.step, e.undo, e.attempt};
    }
    const bool refused = carried.outcome.result != engine::command_result::applied &&
                         carried.outcome.result != engine::command_result::duplicate;
    if (request && refused) {
      p.entry.outcome = recorded_outcome{c.id, carried.outcome};
      partition_.pending[c.id] = carried.outcome;
    }
    if (options_.wrong == mutant::effects_before_commit)
      for (const auto& e : p.entry.events)
        if (e.kind == event_kind::attempt_started) enter({key, e.step, e.undo, e.attempt});
    if (options_.wrong == mutant::answers_before_commit && request) {
      p.owed.reset();
      answer(*request, carried.outcome);
    }
    ++r.uncommitted;
    partition_.gathered.push_back(std::move(p));
  }
  follow_up(key, carried.more);
}

// Timers and slots that the run now waits for.
void world::follow_up(run_key key, bool more) {
  const grant a(*this, key);
  const auto work = engine::outstanding(*partition_.live.at(key).state, a, now_);
  if (more) after(milliseconds(0), [this, key] { wake(key); });
  if (work.wake_at) at(*work.wake_at, [this, key] { wake(key); });
  if (work.wants_slot) partition_.want_slots.insert(key);
}

void world::wake(run_key key) {
  if (!process_) return;
  const auto newest = journal_.newest(key);
  const bool open = newest ? !is_terminal(*newest) : partition_.live.contains(key);
  if (open) decide(key, {}, std::nullopt);
}

// --- committing
// --------------------------------------------------------------------------------------------------------

void world::append() {
  if (!process_ || partition_.in_flight || partition_.gathered.empty()) return;
  partition_.in_flight = std::move(partition_.gathered);
  partition_.gathered.clear();
  after(milliseconds(random_.between(0, 30)), [this, g = generation_] { finish_append(g); });
}

void world::finish_append(std::uint64_t generation) {
  if (generation != generation_ || !process_) return;
  count("appends");
  const auto& f = options_.faults;
  auto roll = static_cast<std::int64_t>(random_.below(100));
  const auto falls_on = [&](std::uint32_t percent) {
    roll -= percent;
    return roll < 0 && roll >= -static_cast<std::int64_t>(percent);
  };
  if (falls_on(f.crash_before)) return crash(false);
  if (falls_on(f.crash_after)) return crash(true);
  if (falls_on(f.refused)) {
    count("appends refused");
    return append_failed();
  }
  if (falls_on(f.lost)) {
    count("appends unknown and lost");
    return append_failed();
  }
  for (const auto& p : *partition_.in_flight) journal_.append(p.entry);
  if (falls_on(f.unknown_written)) {
    count("appends unknown but written");
    return append_failed();
  }
  auto batch = std::move(*partition_.in_flight);
  partition_.in_flight.reset();
  release(batch);
}

void world::append_failed() {
  if (options_.wrong == mutant::table_dies_with_batch) process_->table.clear();
  if (options_.wrong == mutant::speculation_survives) return partition_.in_flight.reset();
  forget_partition();
  recover_all();
}

void world::release(std::vector<part>& batch) {
  for (auto& p : batch) {
    const auto key = p.entry.key;
    if (const auto it = partition_.live.find(key); it != partition_.live.end()) --it->second.uncommitted;
    if (p.entry.outcome) partition_.pending.erase(p.entry.outcome->command_id);
    if (p.late) leave(*p.late);
    if (p.owed) answer(*p.owed, p.outcome);
    for (const auto& e : p.entry.events) release({key, e.step, e.undo, e.attempt}, e);
  }
  for (const auto& p : batch) {
    const auto it = partition_.live.find(p.entry.key);
    if (it == partition_.live.end() || it->second.uncommitted > 0) continue;
    if (random_.chance(15)) check_replay(p.entry.key);
    if (random_.chance(options_.faults.evicted)) {
      count("evictions");
      partition_.live.erase(it);
    }
  }
  if (on_progress_) on_progress_();
}

void world::release(const attempt_id& id, const engine::event& e) {
  switch (e.kind) {
    case event_kind::attempt_started: {
      auto& reserved = partition_.reserved;
      const auto at = std::find_if(reserved.begin(), reserved.end(), [&](const auto& r) { return r.id == id; });
      if (at != reserved.end()) reserved.erase(at);
      if (options_.wrong == mutant::effects_before_commit) return;
      const auto& state = *load(id.key).state;
      if (is_closed(state.phase)) return;
      if (!process_->draining && (id.undo || state.phase == engine::phase::running)) return enter(id);
      return decide(
          id.key,
          {.id = {},
           .body =
               engine::attempt_ended{
                   .step = id.step, .undo = id.undo, .attempt = id.attempt, .end = engine::attempt_end::not_begun}},
          std::nullopt);
    }
    case event_kind::attempt_completed:
    case event_kind::attempt_failed:
    case event_kind::attempt_timed_out:
    case event_kind::attempt_lost:
    case event_kind::attempt_interrupted:
    case event_kind::attempt_not_begun:
      return leave(id);
    case event_kind::step_exhausted:
    case event_kind::cancel_requested:
    case event_kind::deadline_passed:
      return tell_to_stop(id.key);
    default:
      if (is_terminal(e.kind)) disown(id.key);
  }
}

void world::check_replay(run_key key) const {
  const auto live = dump(*partition_.live.at(key).state);
  const auto replayed = dump(*fold(key));
  require(live == replayed, "replay(history) == live state\n--- live\n" + live + "\n--- replayed\n" + replayed);
}

}  // namespace pawl::sim
