// The threads that run users' functions, which may block for as long as they like.
//
// Trivial functions must not cost many threads, and blocking ones must not wait for each other. So a thread is added
// only when no thread is idle, the oldest queued task has waited for `spawn_after`, and the threads that we have are
// seen to be blocked (the kernel is asked for their state); or when nothing at all has left the queue for a while,
// which is what long computations look like. Threads that are idle for long leave again.
//
// Idle threads stand on a stack: the last to go to sleep is the first to be woken, its caches are warm, and the others
// can retire. A woken thread drains the queue, so a submit costs a system call only when no thread is on its way. While
// tasks are short, threads at work are as good as on their way: then no more than `min_threads` are woken, until a task
// has waited for `spawn_after` and those threads are seen to be blocked, or nothing leaves the queue. The clock looks
// each `spawn_after`, and four times less often while it finds all well.
//
// The watchdog has no timer per task. Every thread publishes the moment at which its task may be overdue; the clock
// scans them at the earliest of these, so tasks that end in time cost it nothing.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "actors/clock.hpp"

namespace pawl::actors {

enum class overdue_kind : std::uint8_t { timeout, heartbeat };

/// One run of a user's function. Submitted once; the pool holds it until execute() has returned.
class pool_task {
 public:
  using clock_type = std::chrono::steady_clock;

  /// Both count from the start of execute(); zero or nullopt: not watched.
  explicit pool_task(std::chrono::milliseconds timeout,
                     std::optional<std::chrono::milliseconds> heartbeat_timeout = std::nullopt);
  pool_task(const pool_task&) = delete;
  pool_task& operator=(const pool_task&) = delete;
  virtual ~pool_task() = default;

  /// On a thread of the pool, once.
  virtual void execute() noexcept = 0;
  /// At most once, on the clock thread, while execute() runs: it has run for longer than its timeout, or nothing was
  /// heard of it for its heartbeat timeout. execute() may end at the same moment; the task itself decides which came
  /// first. Must be short.
  virtual void overdue(overdue_kind kind) noexcept = 0;

  /// "I am alive." Any thread, lock-free, about 30 ns.
  void beat() noexcept { last_beat_.store(now(), std::memory_order_relaxed); }

 private:
  friend class pool_core;
  static std::int64_t now() noexcept { return clock_type::now().time_since_epoch().count(); }
  std::int64_t times_out_at(std::int64_t started) const noexcept;
  std::int64_t overdue_at(std::int64_t started) const noexcept;

  const std::int64_t timeout_;  // ns; max(): none
  const std::int64_t heartbeat_;  // ns; max(): none
  std::atomic<std::int64_t> last_beat_{0};
};

struct pool_options {
  std::size_t max_threads = 1024;
  /// Started on demand, never retired. 0: as many as there are processors.
  std::size_t min_threads = 0;
  /// Tasks queued, not counting those that run; beyond it submit answers `full`.
  std::size_t max_queued = 65'536;
  /// Threads that may be written off at the same time.
  std::size_t written_off_limit = 256;
  std::chrono::microseconds spawn_after{1000};
  std::chrono::milliseconds idle_timeout{10'000};
  /// How long a thread without work looks for some before it sleeps; one thread at a time does. Measured at 90,000
  /// tasks a second on two cores that others use too: 20 us cost 2 us of processor time a task and began none earlier,
  /// 5 us cost 0.8; tasks submitted one right after the other begin within 2 us with either.
  std::chrono::microseconds spin{5};
};

struct pool_stats {
  std::size_t threads = 0;  // busy + idle, without those written off
  std::size_t busy = 0;
  std::size_t idle = 0;
  std::size_t queued = 0;
  std::chrono::nanoseconds task_takes{0};  // of those that ended last
  std::chrono::nanoseconds oldest_queued{0};  // the age of the oldest task that waits
  std::size_t written_off_now = 0;
  std::uint64_t written_off_total = 0;
  std::uint64_t threads_started_total = 0;
  std::uint64_t thread_failures_total = 0;  // the system refused a thread
};

enum class submit_result : std::uint8_t { accepted, full, stopped };
enum class write_off_result : std::uint8_t { written_off, over_limit, not_running };

struct pool_stop_result {
  std::vector<std::shared_ptr<pool_task>> not_begun;  // oldest first
  std::size_t detached = 0;  // threads still inside a user's function
};

class pool_core;

/// All members may be called from any thread, also from inside a task.
class blocking_pool {
 public:
  /// `time` must outlive the pool; a pool that has stopped no longer uses it.
  explicit blocking_pool(clock& time, pool_options options = {});
  blocking_pool(const blocking_pool&) = delete;
  blocking_pool& operator=(const blocking_pool&) = delete;
  /// Stops without patience.
  ~blocking_pool();

  /// First in, first begun. Never blocks. A task refused is left alone.
  submit_result submit(std::shared_ptr<pool_task> task);
  /// The thread in which the task hangs no longer counts: another may be started in its place. When the function
  /// returns after all, its thread rejoins the pool or ends; the task is told nothing. `over_limit`: it stays counted
  /// as busy. O(threads).
  write_off_result write_off(const pool_task& task);
  pool_stats stats() const;

  /// Takes no more tasks, gives back those not begun, and joins the threads that come back before the deadline; the
  /// watchdog goes on until then. The others are detached: they must touch nothing that dies before the process does.
  pool_stop_result stop(std::chrono::steady_clock::time_point deadline);

 private:
  std::shared_ptr<pool_core> core_;  // detached threads keep it alive
};

}  // namespace pawl::actors
