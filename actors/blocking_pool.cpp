#include "actors/blocking_pool.hpp"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "actors/pool_core.hpp"

namespace pawl::actors {

namespace {

std::int64_t watched_ns(std::chrono::milliseconds limit) {
  return limit.count() <= 0 ? never : std::chrono::nanoseconds(limit).count();
}

std::int64_t add(std::int64_t a, std::int64_t b) { return b > never - a ? never : a + b; }

void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

pool_options completed(pool_options options) {
  if (options.min_threads == 0) options.min_threads = std::max(1U, std::thread::hardware_concurrency());
  options.max_threads = std::max<std::size_t>(options.max_threads, 1);
  options.min_threads = std::min(options.min_threads, options.max_threads);
  return options;
}

}  // namespace

// --- tasks -------------------------------------------------------------------------------------------------

pool_task::pool_task(std::chrono::milliseconds timeout, std::optional<std::chrono::milliseconds> heartbeat_timeout)
    : timeout_(watched_ns(timeout)),
      heartbeat_(watched_ns(heartbeat_timeout.value_or(std::chrono::milliseconds(0)))) {}

std::int64_t pool_task::times_out_at(std::int64_t started) const noexcept { return add(started, timeout_); }

std::int64_t pool_task::overdue_at(std::int64_t started) const noexcept {
  return std::min(times_out_at(started), add(last_beat_.load(std::memory_order_relaxed), heartbeat_));
}

// --- the queue ---------------------------------------------------------------------------------------------

pool_core::pool_core(clock& time, const pool_options& options)
    : options_(completed(options)),
      spawn_after_(std::chrono::nanoseconds(options_.spawn_after).count()),
      clock_(&time) {}

submit_result pool_core::submit(std::shared_ptr<pool_task> task) {
  const std::int64_t now = pool_task::now();
  follow_up next;
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return submit_result::stopped;
    if (queue_.size() >= options_.max_queued) return submit_result::full;
    queue_.push_back({std::move(task), now});
    queued_.store(queue_.size(), std::memory_order_relaxed);
    if (turn::leave(shared_from_this())) return submit_result::accepted;
    next = serve_queue();
  }
  act(next);
  return submit_result::accepted;
}

void pool_core::at_end_of_turn() noexcept {
  follow_up next;
  {
    std::lock_guard lock(mutex_);
    if (queue_.empty() || stopping_) return;  // who was awake has taken it
    next = serve_queue();
  }
  act(next);
}

void pool_core::while_turn_lasts() noexcept {
  {
    std::lock_guard lock(mutex_);
    if (queue_.empty() || stopping_ || queue_watched_) return;
    queue_watched_ = true;
    quiet_checks_ = 0;
  }
  wake_clock(pool_task::now() + spawn_after_);
}

// Under mutex_, after every change of the queue or of who serves it. What it keeps true: while the queue is not empty,
// somebody is searching, or every thread is busy or enough are and the clock watches, or an actor's thread will see to
// it at the end of its turn.
pool_core::follow_up pool_core::serve_queue() {
  if (searching_ >= std::min(queue_.size(), options_.min_threads)) return {};
  if (!idle_.empty() && !others_will_do()) {
    worker* const woken = idle_.back();
    idle_.pop_back();
    woken->woken = true;
    ++searching_;
    return {.wake = woken};
  }
  if (idle_.empty() && threads_ < options_.min_threads && spawn()) return {};
  if (searching_ > 0 || queue_watched_) return {};
  queue_watched_ = true;
  quiet_checks_ = 0;
  return {.watch_queue = true};
}

// Under mutex_. As many threads as there are processors are at tasks, or on their way, and tasks are short: these
// threads will be back at the queue before one that is woken now. Where they are not, the clock finds out: it watches
// the queue, and what was true of the last tasks does not hold for these then.
bool pool_core::others_will_do() const { return mean_ < short_task && busy_ + searching_ >= options_.min_threads; }

void pool_core::act(const follow_up& next) {
  if (next.wake) next.wake->wake.notify_one();
  if (next.watch_queue) wake_clock(pool_task::now() + spawn_after_);
}

void pool_core::wake_clock(std::int64_t at) {
  std::lock_guard lock(clock_mutex_);
  if (clock_) clock_->wake_at(*this, std::chrono::steady_clock::time_point(std::chrono::nanoseconds(at)));
}

// Under mutex_. The new thread counts as searching until it has looked. False: the system has no more threads to give;
// the clock's next look at the queue tries again.
bool pool_core::spawn() {
  auto fresh = std::make_unique<worker>();
  worker& w = *fresh;
  workers_.push_back(std::move(fresh));
  try {
    w.thread = std::thread([self = shared_from_this(), &w] { self->run(w); });
  } catch (const std::system_error&) {
    workers_.pop_back();
    ++failures_total_;
    return false;
  }
  ++threads_;
  ++searching_;
  ++started_total_;
  return true;
}

// --- a thread's life ---------------------------------------------------------------------------------------

void pool_core::run(worker& me) {
  pthread_setname_np(pthread_self(), "pawl-pool");
  std::unique_lock lock(mutex_);
  me.tid = ::gettid();
  bool searching = true;  // this thread is counted in searching_
  bool may_spin = false;
  for (;;) {
    if (!queue_.empty()) {
      auto task = take(me);
      searching_ -= searching ? 1 : 0;
      searching = false;
      const follow_up next = serve_queue();
      lock.unlock();
      act(next);
      execute(me, std::move(task));
      lock.lock();
      if (!come_back(me)) break;
      may_spin = true;
      continue;
    }
    if (stopping_) break;
    if (may_spin && (searching || searching_ == 0)) {
      searching_ += searching ? 0 : 1;
      searching = true;
      may_spin = false;
      lock.unlock();
      spin();
      lock.lock();
      continue;
    }
    searching_ -= searching ? 1 : 0;
    searching = sleep(lock, me);
    if (!searching) break;
  }
  searching_ -= searching ? 1 : 0;
  retire(lock, me);
}

// One task at a time: one taken along with another would be stuck behind it when that one blocks.
std::shared_ptr<pool_task> pool_core::take(worker& me) {
  auto task = std::move(queue_.front().task);
  queue_.pop_front();
  queued_.store(queue_.size(), std::memory_order_relaxed);
  ++taken_total_;
  ++busy_;
  me.busy = true;
  me.taken_at = pool_task::now();
  return task;
}

void pool_core::execute(worker& me, std::shared_ptr<pool_task> task) {
  pool_task& t = *task;
  const std::int64_t now = me.taken_at;
  t.last_beat_.store(now, std::memory_order_relaxed);
  const std::int64_t overdue_at = t.overdue_at(now);
  {
    std::lock_guard slot(me.slot);
    me.task = std::move(task);
    me.started = now;
    me.overdue_at.store(overdue_at);
  }
  // Pairs with scan(): either the scan sees our moment, or we see the "never" with which it began.
  std::int64_t planned = scan_at_.load();
  while (overdue_at < planned) {
    if (!scan_at_.compare_exchange_weak(planned, overdue_at)) continue;
    wake_clock(overdue_at);
    break;
  }
  t.execute();
  std::lock_guard slot(me.slot);
  me.overdue_at.store(never, std::memory_order_relaxed);
  task = std::move(me.task);  // the parameter: it dies after the lock is gone
}

// Under mutex_, after a task. False: this thread was written off, and nobody needs it now.
bool pool_core::come_back(worker& me) {
  me.busy = false;
  mean_ += (std::min(pool_task::now() - me.taken_at, mean_of * long_task) - mean_) / mean_of;
  if (!me.written_off) {
    --busy_;
    return true;
  }
  me.written_off = false;
  --written_off_;
  ++threads_;
  return threads_ <= options_.max_threads && (threads_ <= options_.min_threads || !queue_.empty());
}

// True: woken for a task, and counted as searching by who woke us. False: this thread is to end.
bool pool_core::sleep(std::unique_lock<std::mutex>& lock, worker& me) {
  idle_.push_back(&me);
  for (;;) {
    me.wake.wait_for(lock, options_.idle_timeout, [&] { return me.woken || stopping_; });
    if (me.woken) break;
    if (!stopping_ && threads_ <= options_.min_threads) continue;
    std::erase(idle_, &me);
    return false;
  }
  me.woken = false;
  return true;
}

void pool_core::spin() const {
  const auto until = std::chrono::steady_clock::now() + options_.spin;
  do {
    for (int i = 0; i < 16; ++i) {
      if (queued_.load(std::memory_order_relaxed) > 0 || stopping_.load(std::memory_order_relaxed)) return;
      relax();
    }
  } while (std::chrono::steady_clock::now() < until);
}

// A thread cannot join itself, so each joins those that left before it; stop() joins the last.
void pool_core::retire(std::unique_lock<std::mutex>& lock, worker& me) {
  auto mine = std::find_if(workers_.begin(), workers_.end(), [&](const auto& w) { return w.get() == &me; });
  auto before_me = std::move(ended_);
  ended_.clear();
  ended_.push_back(std::move(*mine));
  *mine = std::move(workers_.back());
  workers_.pop_back();
  --threads_;
  worker_ended_.notify_all();
  lock.unlock();
  for (auto& w : before_me) {
    if (w->thread.joinable()) w->thread.join();
  }
}

// --- from outside ------------------------------------------------------------------------------------------

write_off_result pool_core::write_off(const pool_task& task) {
  follow_up next;
  {
    std::lock_guard lock(mutex_);
    auto hung = std::find_if(workers_.begin(), workers_.end(), [&](const auto& w) {
      std::lock_guard slot(w->slot);
      return w->task.get() == &task;
    });
    if (hung == workers_.end()) return write_off_result::not_running;
    if ((*hung)->written_off) return write_off_result::written_off;
    if (written_off_ >= options_.written_off_limit) return write_off_result::over_limit;
    (*hung)->written_off = true;  // the thread looks at it under mutex_ when it comes back
    ++written_off_;
    ++written_off_total_;
    --threads_;
    --busy_;
    next = serve_queue();
  }
  act(next);
  return write_off_result::written_off;
}

pool_stats pool_core::stats() const {
  const std::int64_t now = pool_task::now();
  std::lock_guard lock(mutex_);
  pool_stats s;
  s.threads = threads_;
  s.busy = busy_;
  s.idle = threads_ - busy_;
  s.task_takes = std::chrono::nanoseconds(mean_);
  s.queued = queue_.size();
  if (!queue_.empty())
    s.oldest_queued = std::chrono::nanoseconds(std::max<std::int64_t>(0, now - queue_.front().since));
  s.written_off_now = written_off_;
  s.written_off_total = written_off_total_;
  s.threads_started_total = started_total_;
  s.thread_failures_total = failures_total_;
  return s;
}

pool_stop_result pool_core::stop(std::chrono::steady_clock::time_point deadline) {
  pool_stop_result result;
  std::unique_lock lock(mutex_);
  stopping_ = true;
  for (auto& queued : queue_) result.not_begun.push_back(std::move(queued.task));
  queue_.clear();
  queued_ = 0;
  for (auto& w : workers_) w->wake.notify_one();
  worker_ended_.wait_until(lock, deadline, [&] { return workers_.empty(); });
  // Who is not inside a user's function needs no patience.
  worker_ended_.wait(lock, [&] { return workers_.size() <= busy_ + written_off_; });
  for (auto& w : workers_) {
    if (!w->thread.joinable()) continue;
    w->thread.detach();
    ++result.detached;
  }
  auto ended = std::move(ended_);
  ended_.clear();
  lock.unlock();
  for (auto& w : ended) {
    if (w->thread.joinable()) w->thread.join();
  }
  clock* time = nullptr;
  {
    std::lock_guard clock_lock(clock_mutex_);
    time = std::exchange(clock_, nullptr);
  }
  if (time) time->detach(*this);
  return result;
}

// --- the handle --------------------------------------------------------------------------------------------

blocking_pool::blocking_pool(clock& time, pool_options options) : core_(std::make_shared<pool_core>(time, options)) {
  time.attach(*core_);
}

blocking_pool::~blocking_pool() { stop(std::chrono::steady_clock::now()); }

submit_result blocking_pool::submit(std::shared_ptr<pool_task> task) { return core_->submit(std::move(task)); }
write_off_result blocking_pool::write_off(const pool_task& task) { return core_->write_off(task); }
pool_stats blocking_pool::stats() const { return core_->stats(); }
pool_stop_result blocking_pool::stop(std::chrono::steady_clock::time_point deadline) { return core_->stop(deadline); }

}  // namespace pawl::actors
