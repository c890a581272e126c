#include "actors/clock.hpp"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <cassert>
#include <utility>

namespace pawl::actors {

clock::clock() {
  // The process's signals are for the threads that await them: the new thread inherits a mask that blocks all.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  thread_id_ = thread_.get_id();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

clock::~clock() { stop(); }

clock::timer_id clock::at(time_point when, std::function<void()> callback) {
  const timer_id id{when, last_number_.fetch_add(1, std::memory_order_relaxed) + 1};
  timer_map one;  // allocates outside of the lock
  one.emplace(id, std::move(callback));
  auto node = one.extract(one.begin());
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return {};  // the node dies after the lock is gone
    timers_.insert(std::move(node));
    wake = must_wake(when);
  }
  if (wake) wake_.notify_one();
  return id;
}

bool clock::cancel(timer_id id) {
  timer_map::node_type node;  // destroyed after the lock is gone: what the callback holds may use the clock
  std::lock_guard lock(mutex_);
  node = timers_.extract(id);
  return !node.empty();
}

std::size_t clock::pending() const {
  std::lock_guard lock(mutex_);
  return timers_.size();
}

void clock::attach(tick_source& source) {
  std::lock_guard lock(mutex_);
  sources_.push_back({&source, time_point::max()});
}

void clock::detach(tick_source& source) {
  std::unique_lock lock(mutex_);
  std::erase_if(sources_, [&](const source_entry& entry) { return entry.source == &source; });
  if (std::this_thread::get_id() == thread_id_) return;
  source_done_.wait(lock, [&] { return ticking_ != &source; });
}

void clock::wake_at(tick_source& source, time_point when) {
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    for (auto& entry : sources_) {
      if (entry.source != &source || entry.next <= when) continue;
      entry.next = when;
      wake = must_wake(when);
    }
  }
  if (wake) wake_.notify_one();
}

void clock::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (!thread_.joinable()) return;
  assert(std::this_thread::get_id() != thread_id_);
  thread_.join();
  timer_map dropped;  // what the callbacks hold may use the clock while it is destroyed
  {
    std::lock_guard lock(mutex_);
    dropped.swap(timers_);
  }
}

// Under the lock: whether the caller must wake the thread for something at `when`. Only the first to ask is told to.
bool clock::must_wake(time_point when) {
  if (when >= sleeps_until_) return false;
  sleeps_until_ = when;
  return true;
}

void clock::run() {
  pthread_setname_np(pthread_self(), "pawl-clock");
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const auto now = std::chrono::steady_clock::now();
    const bool ticked = run_due_source(lock, now);
    if (stopping_) break;
    if (run_due_timer(lock, now) || ticked) continue;
    const time_point until = earliest();
    sleeps_until_ = until;
    if (until == time_point::max()) {
      wake_.wait(lock);
    } else {
      wake_.wait_until(lock, until);
    }
    sleeps_until_ = time_point::min();
  }
}

bool clock::run_due_source(std::unique_lock<std::mutex>& lock, time_point now) {
  auto due = std::find_if(sources_.begin(), sources_.end(), [&](const source_entry& e) { return e.next <= now; });
  if (due == sources_.end()) return false;
  tick_source* const source = due->source;
  due->next = time_point::max();  // a wake_at during the tick lowers it again
  ticking_ = source;
  lock.unlock();
  const time_point next = source->tick(now);
  lock.lock();
  ticking_ = nullptr;
  for (auto& entry : sources_) {
    if (entry.source == source) entry.next = std::min(entry.next, next);
  }
  source_done_.notify_all();
  return true;
}

// One at a time, so that a timer which is due but has not begun can still be cancelled.
bool clock::run_due_timer(std::unique_lock<std::mutex>& lock, time_point now) {
  if (timers_.empty() || timers_.begin()->first.at > now) return false;
  auto node = timers_.extract(timers_.begin());
  lock.unlock();
  node.mapped()();
  node = {};  // destroyed outside of the lock as well
  lock.lock();
  return true;
}

clock::time_point clock::earliest() const {
  time_point first = timers_.empty() ? time_point::max() : timers_.begin()->first.at;
  for (const auto& entry : sources_) first = std::min(first, entry.next);
  return first;
}

}  // namespace pawl::actors
