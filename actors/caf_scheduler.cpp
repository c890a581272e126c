#include "actors/caf_scheduler.hpp"

#include <algorithm>

#include <caf/logger.hpp>

#include "actors/turn.hpp"

namespace pawl::actors {

namespace {

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

// Called with the lock held: whether a sleeping worker should be woken for what is queued.
bool caf_scheduler::wants_help() const {
  if (sleeping_ == 0 || shared_.empty()) return false;
  const auto awake = workers_.size() - sleeping_ - woken_;
  if (awake + woken_ == 0) return true;
  // The one who spins or is about to wake takes the first mouthful.
  if (spinning_.load(std::memory_order_relaxed) || woken_ > 0) return shared_.size() > mouthful * (1 + woken_);
  return true;
}

void caf_scheduler::enqueue_all(const std::vector<caf::resumable*>& jobs) {
  std::size_t help = 0;
  {
    const std::lock_guard lock(mutex_);
    shared_.insert(shared_.end(), jobs.begin(), jobs.end());
    shared_size_.store(shared_.size(), std::memory_order_release);
    for (; wants_help(); ++help) --sleeping_, ++woken_;
  }
  for (; help > 0; --help) wake_.notify_one();
}

void caf_scheduler::enqueue(caf::resumable* job) {
  if (burst::gather(*this, job)) return;
  bool help = false;
  {
    const std::lock_guard lock(mutex_);
    shared_.push_back(job);
    shared_size_.store(shared_.size(), std::memory_order_release);
    help = wants_help();
    if (help) --sleeping_, ++woken_;
  }
  if (help) wake_.notify_one();
}

bool caf_scheduler::take(std::deque<caf::resumable*>& into) {
  if (shared_size_.load(std::memory_order_acquire) == 0) return false;
  const std::lock_guard lock(mutex_);
  // Leave the others their share of a short queue.
  const auto share = (shared_.size() + workers_.size() - 1) / workers_.size();
  const auto n = std::min(std::max<std::size_t>(share, 1), std::min(mouthful, shared_.size()));
  for (std::size_t k = 0; k < n; ++k) {
    into.push_back(shared_.front());
    shared_.pop_front();
  }
  shared_size_.store(shared_.size(), std::memory_order_release);
  return n > 0;
}

// False: the scheduler stops.
bool caf_scheduler::wait_for_jobs(std::deque<caf::resumable*>& into) {
  if (take(into)) return true;
  ++idle_;
  if (!spinning_.exchange(true)) {
    const auto until = std::chrono::steady_clock::now() + spin;
    while (std::chrono::steady_clock::now() < until) {
      if (take(into)) {
        spinning_ = false;
        --idle_;
        return true;
      }
      for (int k = 0; k < 32; ++k) relax();
    }
    spinning_ = false;
  }
  std::unique_lock lock(mutex_);
  while (shared_.empty() && !stopping_) {
    ++sleeping_;
    wake_.wait(lock, [this] { return woken_ > 0 || stopping_; });
    if (woken_ > 0)
      --woken_;
    else
      --sleeping_;
  }
  --idle_;
  if (shared_.empty()) return false;
  lock.unlock();
  return take(into) || wait_for_jobs(into);
}

void caf_scheduler::worker::exec_later(caf::resumable* job) {
  // An idle colleague is better than a place in our own list, unless ours is empty: then it runs here next, warm.
  if (!jobs_.empty() && parent_.idle_.load(std::memory_order_relaxed) > 0)
    parent_.enqueue(job);
  else
    jobs_.push_back(job);
}

// CAF tells its logger, which is silent here, which actor runs: four look-ups under a lock that all threads share. A
// thread without a logger has none to tell; spawning gives it one again.
void caf_scheduler::worker::resume(caf::resumable* job) {
  caf::logger::set_current_actor_system(nullptr);
  switch (job->resume(this, parent_.max_throughput())) {
    case caf::resumable::resume_later:
      jobs_.push_back(job);
      break;
    case caf::resumable::done:
    case caf::resumable::awaiting_message:
      caf::intrusive_ptr_release(job);
      break;
    case caf::resumable::shutdown_execution_unit:
      break;
  }
}

void caf_scheduler::worker::run() {
  unsigned turns = 0;
  for (;;) {
    if (jobs_.empty()) {
      if (!parent_.wait_for_jobs(jobs_)) return;
    } else if (++turns % 64 == 0) {
      parent_.take(jobs_);  // those outside wait as well
    }
    auto* job = jobs_.front();
    jobs_.pop_front();
    resume(job);
    turn::ran_one(jobs_.empty());
  }
}

void caf_scheduler::start() {
  for (std::size_t k = 0; k < num_workers(); ++k) workers_.push_back(std::make_unique<worker>(*this));
  for (auto& w : workers_)
    w->thread_ = std::thread([&w = *w] {
      pthread_setname_np(pthread_self(), "pawl-actors");
      turn::begin_thread();
      w.system().thread_started();
      w.run();
      w.system().thread_terminates();
    });
  abstract_coordinator::start();
}

void caf_scheduler::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  stop_actors();
  for (auto& w : workers_) w->thread_.join();
  for (auto& w : workers_)
    for (auto* job : w->jobs_) cleanup_and_release(job);
  for (auto* job : shared_) cleanup_and_release(job);
}

}  // namespace pawl::actors
