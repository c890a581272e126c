// The one clock of a node: a thread that runs short callbacks at points of the steady clock.
//
// Timers stand in an ordered map by (time, number). That costs O(log n) and about 150 bytes a timer, and it buys the
// two things asked of it: cancelling is exact (the callback and what it holds are freed then and there, nothing stale
// is kept until its time), and a timer's id can never name another timer.
#pragma once

#include <atomic>
#include <chrono>
#include <compare>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

namespace pawl::actors {

/// Something that the clock asks again and again, for example the watchdog of the blocking pool: cheaper than a timer
/// per thing watched.
class tick_source {
 public:
  virtual ~tick_source() = default;
  /// On the clock thread. Says when it wants to be called next, later than `now`; time_point::max(): not before
  /// wake_at.
  virtual std::chrono::steady_clock::time_point tick(std::chrono::steady_clock::time_point now) noexcept = 0;
};

class clock {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  struct timer_id {
    time_point at{};
    std::uint64_t number = 0;
    explicit operator bool() const { return number != 0; }
    auto operator<=>(const timer_id&) const = default;
  };

  clock();
  clock(const clock&) = delete;
  clock& operator=(const clock&) = delete;
  /// Stops.
  ~clock();

  // All of what follows may be called from any thread, from callbacks too, except where said.

  /// Runs `callback` on the clock thread at `when` or soon after (a past moment: at once); callbacks run in the order
  /// of their times. They must be short and must not throw: everybody's timers wait meanwhile. After stop() the
  /// callback is dropped and the id is null.
  timer_id at(time_point when, std::function<void()> callback);
  /// True: the callback has not begun and never will, and it is destroyed. False: it has begun, has run, was cancelled
  /// before, or the clock has stopped.
  bool cancel(timer_id id);
  std::size_t pending() const;

  /// `source` is not called before the first wake_at. It must stay alive until detach returns.
  void attach(tick_source& source);
  /// After it returns, the source is not being called and will not be. Waits for a tick under way, except on the clock
  /// thread itself.
  void detach(tick_source& source);
  /// Calls the source at `when` at the latest. A source that is not attached is ignored.
  void wake_at(tick_source& source, time_point when);

  /// Lets the callback under way end, begins no other, frees those pending, joins the thread. Not from a callback.
  void stop();

 private:
  struct source_entry {
    tick_source* source;
    time_point next;
  };
  using timer_map = std::map<timer_id, std::function<void()>>;

  void run();
  bool run_due_source(std::unique_lock<std::mutex>& lock, time_point now);
  bool run_due_timer(std::unique_lock<std::mutex>& lock, time_point now);
  time_point earliest() const;
  bool must_wake(time_point when);

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable source_done_;
  timer_map timers_;
  std::vector<source_entry> sources_;
  tick_source* ticking_ = nullptr;
  // How long the thread sleeps; min() while it is awake. Who adds something earlier wakes it, and nobody else does.
  time_point sleeps_until_ = time_point::min();
  bool stopping_ = false;
  std::atomic<std::uint64_t> last_number_{0};
  std::thread thread_;
  std::thread::id thread_id_;  // stays readable while stop() joins
};

}  // namespace pawl::actors
