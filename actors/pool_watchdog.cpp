// What the blocking pool does on the clock thread: it finds tasks that are overdue, and it adds threads while the queue
// waits for blocked ones.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>

#include "actors/pool_core.hpp"

namespace pawl::actors {

namespace {

// Scans are at least this far apart.
constexpr std::int64_t scan_spacing = 1'000'000;
// The queue is watched until it was found empty this often in a row. So a busy pool does not wake the clock again and
// again, and an idle one lets it sleep.
constexpr int quiet_checks_to_rest = 20;
// Looks that found all well are this much further apart than spawn_after.
constexpr std::int64_t calm_checks = 4;
// Nothing left the queue for this many spawn_after: add a thread even if those that we have are computing.
constexpr std::int64_t stalled_checks = 20;
// When the threads turn out to be computing, look again after this many spawn_after.
constexpr std::int64_t computing_checks = 5;
// A task that began less than spawn_after / this ago is not what the queue waits for: its thread counts as running.
constexpr std::int64_t fresh_part = 10;
// How many threads one look asks the kernel about (some 10 us each), and how many it may start.
constexpr std::size_t sample_size = 16;
constexpr std::size_t spawn_burst = 8;

// Whether the thread is running or ready to run, rather than blocked. Where /proc does not tell, it counts as blocked.
bool runs(pid_t thread) {
  std::array<char, 64> path{};
  std::snprintf(path.data(), path.size(), "/proc/self/task/%d/stat", static_cast<int>(thread));
  const int fd = ::open(path.data(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  std::array<char, 64> text{};
  const ssize_t size = ::read(fd, text.data(), text.size());
  ::close(fd);
  const std::string_view line(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  const auto name_end = line.rfind(')');  // "tid (name) state ..."
  return name_end != std::string_view::npos && name_end + 2 < line.size() && line[name_end + 2] == 'R';
}

}  // namespace

std::chrono::steady_clock::time_point pool_core::tick(std::chrono::steady_clock::time_point now) noexcept {
  const std::int64_t ns = now.time_since_epoch().count();
  if (ns >= scan_at_.load()) scan(ns);
  const std::int64_t next_check = check_queue(ns);
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(std::min(next_check, scan_at_.load())));
}

// --- tasks that are overdue --------------------------------------------------------------------------------

void pool_core::scan(std::int64_t now) {
  std::vector<overdue_task> found;
  std::int64_t earliest = never;
  scan_at_.store(never);  // before the first look at a worker; see execute()
  {
    std::lock_guard lock(mutex_);
    for (auto& w : workers_) scan_worker(*w, now, earliest, found);
  }
  earliest = std::max(earliest, now + scan_spacing);
  std::int64_t planned = scan_at_.load();
  while (earliest < planned && !scan_at_.compare_exchange_weak(planned, earliest)) {
  }
  for (auto& late : found) late.task->overdue(late.kind);
}

void pool_core::scan_worker(worker& w, std::int64_t now, std::int64_t& earliest, std::vector<overdue_task>& found) {
  std::int64_t at = w.overdue_at.load();
  if (at <= now) {
    std::lock_guard slot(w.slot);
    if (!w.task || w.overdue_at.load() > now) return;  // it ended, or is another's: that one has seen to its own scan
    at = w.task->overdue_at(w.started);  // beats since then have moved it
    if (at <= now) {
      found.push_back(
          {w.task, w.task->times_out_at(w.started) <= now ? overdue_kind::timeout : overdue_kind::heartbeat});
      at = never;
    }
    w.overdue_at.store(at);
  }
  earliest = std::min(earliest, at);
}

// --- the queue ---------------------------------------------------------------------------------------------

// Says when it wants to look again.
std::int64_t pool_core::check_queue(std::int64_t now) {
  std::unique_lock lock(mutex_);
  if (!queue_watched_) return never;
  if (taken_seen_ != taken_total_ || queue_.empty()) {
    taken_seen_ = taken_total_;
    progress_at_ = now;
  }
  if (!queue_.empty()) {
    quiet_checks_ = 0;
    return relieve_queue(lock, now);
  }
  if (++quiet_checks_ < quiet_checks_to_rest) return now + calm_checks * spawn_after_;
  queue_watched_ = false;
  return never;
}

std::int64_t pool_core::relieve_queue(std::unique_lock<std::mutex>& lock, std::int64_t now) {
  if (idle_.empty() && threads_ >= options_.max_threads) return now + stalled_checks * spawn_after_;
  if (searching_ > 0) return now + (others_will_do() ? calm_checks : 1) * spawn_after_;  // somebody is on the way
  const std::int64_t due = queue_.front().since + spawn_after_;
  if (now < due) return others_will_do() ? now + calm_checks * spawn_after_ : due;
  if (!idle_.empty()) {
    // Either an actor's thread has left it for the end of a turn that lasts, or tasks were short and are not any more:
    // they block, or they compute, and then nothing leaves the queue.
    const bool moves = now - progress_at_ < spawn_after_;
    if (moves && others_will_do() && running_threads(lock, now) >= options_.min_threads)
      return now + calm_checks * spawn_after_;
    mean_ = std::max(mean_, long_task);
    if (!queue_.empty() && !stopping_) act(serve_queue());
    return now + spawn_after_;
  }
  const bool stalled = now - progress_at_ >= stalled_checks * spawn_after_;
  const std::size_t running = running_threads(lock, now);
  if (queue_.empty() || !idle_.empty() || searching_ > 0 || stopping_) return now + spawn_after_;
  std::size_t wanted = running < options_.min_threads ? options_.min_threads - running : 0;
  if (running == 0) wanted = spawn_burst;
  if (wanted == 0 && stalled) wanted = 1;
  if (wanted == 0) return now + computing_checks * spawn_after_;
  progress_at_ = now;
  wanted =
      std::min({wanted, spawn_burst, queue_.size(), options_.max_threads - std::min(threads_, options_.max_threads)});
  while (wanted > 0 && spawn()) --wanted;
  return now + spawn_after_;
}

// How many busy threads are not blocked, up to min_threads; an estimate when there are many. Gives up the lock
// meanwhile.
std::size_t pool_core::running_threads(std::unique_lock<std::mutex>& lock, std::int64_t now) {
  std::array<pid_t, sample_size> sample{};
  std::size_t asked = 0;
  std::size_t running = 0;
  std::size_t looked_at = 0;
  const std::size_t busy = busy_;
  const std::size_t count = workers_.size();
  for (; looked_at < count && asked < sample.size() && running < options_.min_threads; ++looked_at) {
    worker& w = *workers_[(sample_from_ + looked_at) % count];
    if (!w.busy || w.written_off) continue;
    std::lock_guard slot(w.slot);
    if (!w.task || now - w.started < spawn_after_ / fresh_part) {
      ++running;
    } else {
      sample[asked++] = w.tid;
    }
  }
  sample_from_ = count > 0 ? (sample_from_ + looked_at) % count : 0;
  const std::size_t seen = asked + running;
  lock.unlock();
  for (std::size_t i = 0; i < asked && running < options_.min_threads; ++i) running += runs(sample[i]) ? 1 : 0;
  lock.lock();
  return seen == 0 || busy <= seen ? running : running * busy / seen;
}

}  // namespace pawl::actors
