// What a thread outside of the actors' gives them in a burst, as the commits do with what was decided on: it is handed
// over a few at a time, for one lock and as few wake-ups as it takes, and not one by one.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace caf {
class resumable;
}

namespace pawl::actors {

/// Takes the actors that have got something to do, and wakes threads for them.
class burst_target {
 public:
  virtual ~burst_target() = default;
  virtual void enqueue_all(const std::vector<caf::resumable*>& jobs) = 0;
};

/// While it lives, what the calling thread enqueues is gathered. Nothing that it does meanwhile may wait for an actor.
class burst {
 public:
  /// So many are handed over at once, and run while the next are gathered.
  static constexpr std::size_t longest = 32;

  burst() : before_(std::exchange(here(), this)) {}
  burst(const burst&) = delete;
  burst& operator=(const burst&) = delete;
  ~burst() {
    here() = before_;
    hand_over();
  }

  /// False: the calling thread gathers nothing.
  static bool gather(burst_target& to, caf::resumable* job) {
    auto* b = here();
    if (b == nullptr) return false;
    if (b->to_ != &to || b->jobs_.size() >= longest) b->hand_over();
    b->to_ = &to;
    b->jobs_.push_back(job);
    return true;
  }

 private:
  static burst*& here() {
    thread_local burst* present = nullptr;
    return present;
  }
  void hand_over() {
    if (jobs_.empty()) return;
    to_->enqueue_all(jobs_);
    jobs_.clear();
  }

  burst* const before_;
  burst_target* to_ = nullptr;
  std::vector<caf::resumable*> jobs_;
};

}  // namespace pawl::actors
