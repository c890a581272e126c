// What is due: its place in line, its way to memory, and the clock's timer for what comes next.
#include <algorithm>

#include "actors/partition_actor.hpp"

namespace pawl::actors {

namespace {

// Of what is due so much is at work at once: whoever asks for something meanwhile waits behind no more than that.
constexpr std::size_t most_fetched = 512;
// So many are read from disk together, while the rest of the window is at work.
constexpr std::size_t loaded_together = 128;

}  // namespace

void partition_state::mark_fetched(live_run& run) {
  if (!std::exchange(run.fetched, true)) ++fetched_;
}

void partition_state::settled(live_run& run) {
  if (std::exchange(run.fetched, false)) --fetched_;
}

// Wakes what is due and loads what has waited for room.
void partition_state::pump() {
  if (away_ || node_.draining) return;
  const auto now = engine::to_micros(node_.time.now());
  while (!timers_.empty() && timers_.begin()->first <= now) {
    backlog_.push(timers_.begin()->second);
    timers_.erase(timers_.begin());
  }
  if (marks_unread_) read_marks();
  const auto steady_now = std::chrono::steady_clock::now();
  if (steady_now >= next_scan_) more_to_scan_ = true;
  if (steady_now >= ailing_until_) {
    try {
      load_due();
    } catch (const store::view_error& e) {
      // Nothing is skipped: it goes on where it failed.
      ailing_until_ = steady_now + ailing_pause;
      node_.log(log_level::error, std::string("cannot read what is due: ") + e.what());
    }
  }
  arm();
}

void partition_state::load_due() {
  const auto room_for_timers = [this] { return timers_.size() < live_.size() + 4 * node_.partition.load_page; };
  if (more_to_scan_ && backlog_.size() < node_.partition.load_page && room_for_timers()) scan();
  evict();
  while (has_room()) load_some();
  if (backlog_.empty() && more_to_scan_ && room_for_timers())
    caf::anon_send(caf::actor_cast<caf::actor>(self_), timer_due{});
}

// For as many as are loaded together: one by one each would cost a snapshot of its own.
bool partition_state::has_room() const {
  return !backlog_.empty() && fetched_ + std::min(loaded_together, backlog_.size()) <= most_fetched &&
         live_.size() - resting_.size() < node_.partition.live;
}

void partition_state::load_some() {
  const auto active = live_.size() - resting_.size();
  auto keys = backlog_.take(std::min(loaded_together, node_.partition.live - active));
  std::erase_if(keys, [this](engine::run_key key) {
    const auto it = live_.find(key);
    if (it == live_.end()) return to_reload_.contains(key);
    it->second.wake_at = store::wake_never;
    tick_run(key, it->second);
    mark_fetched(it->second);
    return true;
  });
  if (keys.empty()) return;
  std::vector<store::opened_run> open;
  try {
    open = node_.views.borrow()->opened(keys, {});
  } catch (...) {
    backlog_.give_back(keys);
    throw;
  }
  for (auto& run : open) {
    auto history = run.history ? std::make_unique<store::stored_history>(std::move(*run.history)) : nullptr;
    if (auto* live = load(run.key, std::move(run.workflow_id), std::move(history))) mark_fetched(*live);
  }
}

// Reads the next page of open runs that are due before the horizon.
void partition_state::scan() {
  const auto now = node_.time.now();
  const auto until = engine::to_micros(now + node_.partition.horizon);
  auto page = node_.views.borrow()->due(until, scanned_, node_.partition.load_page);
  more_to_scan_ = page.size() == node_.partition.load_page;
  for (const auto& at : page) {
    scanned_ = at;
    if (live_.contains(at.key) || to_reload_.contains(at.key)) continue;
    if (at.wake_at <= engine::to_micros(now))
      backlog_.push(at.key);
    else
      timers_.insert({at.wake_at, at.key});
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
  const auto in = [now, steady_now = std::chrono::steady_clock::now()](std::chrono::steady_clock::time_point t) {
    return now +
           std::max<std::int64_t>(std::chrono::duration_cast<std::chrono::microseconds>(t - steady_now).count(), 0);
  };
  auto at = store::wake_never;
  // A scan under way goes on when there is room, which a timer or the end of a run makes.
  if (!more_to_scan_) at = in(next_scan_);
  if (more_to_scan_ || !backlog_.empty())
    at = std::min(at, in(std::max(ailing_until_, std::chrono::steady_clock::now() + ailing_pause)));
  if (!timers_.empty()) at = std::min(at, timers_.begin()->first);
  if (!resting_.empty() && node_.partition.evict)
    at = std::min(at, now + 1000 * std::max<std::int64_t>(node_.partition.idle.count(), 10));
  if (at == store::wake_never || (armed_ && at >= armed_for_)) return;
  if (armed_) node_.clock.cancel(armed_);
  armed_for_ = at;
  // A little late rather than early: an early one would find nothing due.
  const auto delay = std::chrono::microseconds(std::max<std::int64_t>(at - now, 0) + 200);
  armed_ = node_.clock.at(std::chrono::steady_clock::now() + delay,
                          [self = caf::actor_cast<caf::actor>(self_)] { caf::anon_send(self, timer_due{}); });
}

}  // namespace pawl::actors
