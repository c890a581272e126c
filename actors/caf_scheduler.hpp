// The scheduler that CAF's actors run on, in place of CAF 0.17's own, which was measured here to cost more than the
// actors: it wakes its timer thread whenever an actor ends (to cancel time-outs that none of ours has), casts
// dynamically before every job, sleeps in steps of 50 us and signals a worker for every message of a burst.
//
// A worker runs what its own actors send from a list of its own, and everything from outside from a queue that all
// share; while another worker is idle, what it sends goes to the shared queue as well. One worker without a job looks
// for some for `spin`, then all of them sleep; a burst wakes one, and another only when the burst is longer than one
// can chew.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <caf/actor_clock.hpp>
#include <caf/actor_system.hpp>
#include <caf/execution_unit.hpp>
#include <caf/resumable.hpp>
#include <caf/scheduler/abstract_coordinator.hpp>

#include "actors/burst.hpp"

namespace pawl::actors {

class caf_scheduler final : public caf::scheduler::abstract_coordinator, public burst_target {
 public:
  static constexpr std::chrono::microseconds spin{10};
  /// Jobs that a worker takes from the shared queue at once.
  static constexpr std::size_t mouthful = 16;

  explicit caf_scheduler(caf::actor_system& system) : abstract_coordinator(system) {}
  static caf::actor_system::module* make(caf::actor_system& system, caf::detail::type_list<>) {
    return new caf_scheduler(system);
  }

  void enqueue(caf::resumable* job) override;
  void enqueue_all(const std::vector<caf::resumable*>& jobs) override;
  caf::actor_clock& clock() noexcept override { return clock_; }

 protected:
  void start() override;
  void stop() override;

 private:
  // Nothing of ours uses CAF's time-outs or delayed messages: the node's one clock keeps the time.
  class no_clock final : public caf::actor_clock {
   public:
    void set_ordinary_timeout(time_point, caf::abstract_actor*, caf::atom_value, std::uint64_t) override {}
    void set_multi_timeout(time_point, caf::abstract_actor*, caf::atom_value, std::uint64_t) override {}
    void set_request_timeout(time_point, caf::abstract_actor*, caf::message_id) override {}
    void cancel_ordinary_timeout(caf::abstract_actor*, caf::atom_value) override {}
    void cancel_request_timeout(caf::abstract_actor*, caf::message_id) override {}
    void cancel_timeouts(caf::abstract_actor*) override {}
    void schedule_message(time_point, caf::strong_actor_ptr, caf::mailbox_element_ptr) override {}
    void schedule_message(time_point, caf::group, caf::strong_actor_ptr, caf::message) override {}
    void cancel_all() override {}
  };

  class worker final : public caf::execution_unit {
   public:
    explicit worker(caf_scheduler& parent) : caf::execution_unit(&parent.system()), parent_(parent) {}
    void exec_later(caf::resumable* job) override;
    void run();

   private:
    friend class caf_scheduler;
    void resume(caf::resumable* job);
    caf_scheduler& parent_;
    std::deque<caf::resumable*> jobs_;  // of this thread alone
    std::thread thread_;
  };

  bool take(std::deque<caf::resumable*>& into);
  bool wait_for_jobs(std::deque<caf::resumable*>& into);
  bool wants_help() const;

  no_clock clock_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<caf::resumable*> shared_;
  std::atomic<std::size_t> shared_size_{0};
  std::size_t sleeping_ = 0;  // and not told to wake
  std::size_t woken_ = 0;     // told to wake, not awake yet
  std::atomic<bool> spinning_{false};
  std::atomic<std::size_t> idle_{0};
  bool stopping_ = false;
  std::vector<std::unique_ptr<worker>> workers_;
};

}  // namespace pawl::actors
