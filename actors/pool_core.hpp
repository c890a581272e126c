// Inside of the blocking pool; included by its own two files only. What the pool promises is in blocking_pool.hpp.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "actors/blocking_pool.hpp"
#include "actors/turn.hpp"

namespace pawl::actors {

/// Times in here are nanoseconds of the steady clock, so that they fit an atomic.
constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

/// A task that takes less is over before a thread that is woken for the next one has come to it: to wake one takes 50
/// to 100 us here. Compared with the mean of the last `mean_of`, about, in which one counts for that many long ones at
/// most.
constexpr std::int64_t short_task = 50'000;
constexpr std::int64_t mean_of = 16;
/// What is taken for the mean where nothing is known, or where the mean was seen to be wrong: some 50 short tasks later
/// tasks are short again.
constexpr std::int64_t long_task = 1'000'000;

/// Locks, outermost first: mutex_, then a worker's slot. The clock is called with neither held.
class pool_core : public tick_source, public turn_work, public std::enable_shared_from_this<pool_core> {
 public:
  pool_core(clock& time, const pool_options& options);

  submit_result submit(std::shared_ptr<pool_task> task);
  write_off_result write_off(const pool_task& task);
  pool_stats stats() const;
  pool_stop_result stop(std::chrono::steady_clock::time_point deadline);

  /// The watchdog of running tasks and of the queue.
  std::chrono::steady_clock::time_point tick(std::chrono::steady_clock::time_point now) noexcept override;
  /// Wakes a thread for what an actor's thread has submitted in its turn.
  void at_end_of_turn() noexcept override;
  /// The clock looks at the queue from now on.
  void while_turn_lasts() noexcept override;

 private:
  struct alignas(64) worker {
    std::thread thread;
    std::condition_variable wake;
    std::int64_t taken_at = 0;  // when it took its task; its own
    pid_t tid = 0;  // this and the next three under mutex_
    bool woken = false;  // by somebody who has counted it as searching
    bool busy = false;
    bool written_off = false;
    std::mutex slot;  // guards the next two
    std::shared_ptr<pool_task> task;
    std::int64_t started = 0;
    // When the task may be overdue; never: there is none, or nothing more to say about it. Written under slot, read
    // without it.
    std::atomic<std::int64_t> overdue_at{never};
  };
  struct queued_task {
    std::shared_ptr<pool_task> task;
    std::int64_t since;
  };
  struct overdue_task {
    std::shared_ptr<pool_task> task;
    overdue_kind kind;
  };
  /// What is to be done once mutex_ is released.
  struct follow_up {
    worker* wake = nullptr;
    bool watch_queue = false;
  };

  void run(worker& me);
  std::shared_ptr<pool_task> take(worker& me);
  void execute(worker& me, std::shared_ptr<pool_task> task);
  bool come_back(worker& me);
  bool sleep(std::unique_lock<std::mutex>& lock, worker& me);
  void spin() const;
  void retire(std::unique_lock<std::mutex>& lock, worker& me);

  follow_up serve_queue();
  bool others_will_do() const;
  void act(const follow_up& next);
  bool spawn();
  void wake_clock(std::int64_t at);

  void scan(std::int64_t now);
  static void scan_worker(worker& w, std::int64_t now, std::int64_t& earliest, std::vector<overdue_task>& found);
  std::int64_t check_queue(std::int64_t now);
  std::int64_t relieve_queue(std::unique_lock<std::mutex>& lock, std::int64_t now);
  std::size_t running_threads(std::unique_lock<std::mutex>& lock, std::int64_t now);

  const pool_options options_;
  const std::int64_t spawn_after_;

  std::mutex clock_mutex_;
  clock* clock_;  // under clock_mutex_; null once stopped
  std::atomic<std::int64_t> scan_at_{never};  // the clock will scan the workers at this moment, or earlier

  mutable std::mutex mutex_;  // guards all that follows
  std::deque<queued_task> queue_;
  std::atomic<std::size_t> queued_{0};  // queue_.size(), read without the lock by those who spin
  std::vector<std::unique_ptr<worker>> workers_;
  std::vector<std::unique_ptr<worker>> ended_;  // threads that have left; joined by the next to leave, or by stop
  std::vector<worker*> idle_;  // asleep, the last to fall asleep at the back
  std::condition_variable worker_ended_;
  std::size_t threads_ = 0;  // without those written off
  std::size_t busy_ = 0;  // the same
  std::size_t searching_ = 0;  // awake, woken or just started, and without a task
  std::atomic<bool> stopping_{false};  // read without the lock by those who spin
  std::size_t written_off_ = 0;
  std::uint64_t written_off_total_ = 0;
  std::uint64_t started_total_ = 0;
  std::uint64_t failures_total_ = 0;
  std::uint64_t taken_total_ = 0;
  std::int64_t mean_ = long_task;  // how long tasks took lately

  bool queue_watched_ = false;  // the clock looks at the queue about every spawn_after
  int quiet_checks_ = 0;  // how often in a row it found it empty
  std::uint64_t taken_seen_ = 0;  // taken_total_ when it last looked,
  std::int64_t progress_at_ = 0;  // and since when that has not changed
  std::size_t sample_from_ = 0;
};

}  // namespace pawl::actors
