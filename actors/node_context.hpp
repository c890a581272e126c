// What all actors of a node share. Everything here is thread-safe and outlives the actors.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <pawl/registry.hpp>
#include <pawl/step_context.hpp>

#include "actors/attempt.hpp"
#include "actors/blocking_pool.hpp"
#include "actors/clock.hpp"
#include "actors/commit_queue.hpp"
#include "actors/other_nodes.hpp"
#include "actors/slots.hpp"
#include "actors/version_table.hpp"
#include "store/view.hpp"
#include "workflow/calls.hpp"
#include "workflow/decide.hpp"

namespace pawl::actors {

/// Event time: the wall clock, but never behind the newest event on record.
class event_clock {
 public:
  engine::time_point now() {
    const auto wall = std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
    const auto us = engine::to_micros(wall);
    auto last = last_.load(std::memory_order_relaxed);
    while (us > last && !last_.compare_exchange_weak(last, us, std::memory_order_relaxed)) {
    }
    return engine::from_micros(std::max(us, last));
  }
  void not_before(std::int64_t us) {
    auto last = last_.load();
    while (us > last && !last_.compare_exchange_weak(last, us)) {
    }
  }

 private:
  std::atomic<std::int64_t> last_{0};
};

struct partition_limits {
  std::size_t live = 20'000;  ///< runs in memory; idle ones above it are evicted, and starts refused when none is idle
  std::size_t waiters = 100'000;  ///< callers that wait for a result
  std::size_t queued = 100'000;  ///< requests in the partition's mailbox
  std::size_t load_page = 4'096;  ///< of what is due soon, keys read from disk at a time
  int restarts = 3;  ///< of one run's actor within `restart_window`, then the run is paused
  std::chrono::seconds restart_window{60};
  bool evict = true;
  std::chrono::milliseconds idle{10'000};
  std::chrono::milliseconds horizon{60'000};  ///< timers farther away stay on disk
  /// An attempt on another node that nothing is heard of is given up so long after its time-out.
  std::chrono::milliseconds word_patience{6'000};
  std::chrono::milliseconds advance{1'000};  ///< code that computes for longer between two awaits is paused
};

/// Runs one attempt in a child process: calls `done` once, on any thread, after it has reported to `a` or the child has
/// died. Returns how to kill it.
using child_runner =
    std::function<std::function<void()>(std::shared_ptr<attempt> a, std::function<void(bool died)> done)>;

using log_sink = std::function<void(log_level, std::string_view)>;

/// Views to borrow: each is used by one thread at a time.
class view_pool {
 public:
  using factory = std::function<std::unique_ptr<store::view>()>;
  /// `ready`, if there is one, is called before a view is lent: it waits until views show what is on record, or throws
  /// view_error.
  view_pool(factory open, std::function<void()> ready) : open_(std::move(open)), ready_(std::move(ready)) {}
  class lease {
   public:
    lease(view_pool& pool, std::unique_ptr<store::view> v) : pool_(pool), view_(std::move(v)) {}
    lease(lease&& other) noexcept : pool_(other.pool_), view_(std::move(other.view_)), keep_(std::move(other.keep_)) {}
    /// Whoever owns the pool lives as long as this.
    lease&& keeping(std::shared_ptr<const void> owner) && {
      keep_ = std::move(owner);
      return std::move(*this);
    }
    lease(const lease&) = delete;
    lease& operator=(const lease&) = delete;
    ~lease() {
      if (view_) pool_.give_back(std::move(view_));
    }
    store::view* operator->() const { return view_.get(); }
    store::view& operator*() const { return *view_; }

   private:
    view_pool& pool_;
    std::unique_ptr<store::view> view_;
    std::shared_ptr<const void> keep_;
  };
  /// May throw store::view_error.
  lease borrow();

 private:
  void give_back(std::unique_ptr<store::view> v);
  static constexpr std::size_t kept = 8;
  const factory open_;
  const std::function<void()> ready_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<store::view>> idle_;
};

/// The run of the workflow below number `below` that was started by this command, if it is one of the newest hundred:
/// a start that is repeated late must not start yet another run. May throw store::view_error.
std::optional<store::run_row> started_before(store::view& view, std::string_view workflow_id,
                                             std::string_view command_id, std::uint32_t below);

/// A mark as the journal's outbox keeps it: a message to every other partition.
using mark_packer = std::function<std::vector<store::outbox_row>(const engine::type_mark&)>;

/// A message to another workflow as the journal's outbox keeps it.
using message_packer = std::function<store::outbox_row(const engine::outgoing&)>;

/// Of a run that has continued as new, the newest of those that go on with it; of any other, itself. May throw
/// store::view_error.
store::run_row newest_life(store::view& view, store::run_row row);

/// What all partitions of a node share. Outlives every actor.
struct shared_context {
  const registry& types;
  engine::limits limits;
  engine::policy_defaults defaults;
  partition_limits partition;
  engine::incarnation incarnation = 0;
  std::shared_ptr<slot_ledger> slots;
  actors::clock& clock;
  blocking_pool& pool;
  child_runner run_in_child;  ///< empty: this process cannot start children, and suspects run on the pool
  log_sink log;
  std::atomic<bool> draining{false};
  std::atomic<std::uint64_t> attempts_started{0};
  std::atomic<std::uint64_t> attempts_timed_out{0};
  std::atomic<std::uint64_t> attempts_lost{0};
  actors::fleet fleet{};
};

/// What the actors of one partition share: that, and what is its own. Kept by each of them.
struct node_context : std::enable_shared_from_this<node_context> {
  node_context(shared_context& s, std::shared_ptr<attempt_table> a, view_pool::factory open_view,
               std::function<void()> views_ready, std::function<bool(std::string_view)> exists,
               std::optional<std::vector<engine::incarnation>> living)
      : shared(s),
        types(s.types),
        limits(s.limits),
        defaults(s.defaults),
        partition(s.partition),
        incarnation(s.incarnation),
        slots(s.slots),
        clock(s.clock),
        pool(s.pool),
        run_in_child(s.run_in_child),
        log(s.log),
        draining(s.draining),
        attempts_started(s.attempts_started),
        attempts_lost(s.attempts_lost),
        attempts(std::move(a)),
        views(std::move(open_view), std::move(views_ready)),
        may_exist(std::move(exists)),
        others(std::move(living)) {}

  shared_context& shared;
  const registry& types;
  const engine::limits& limits;
  const engine::policy_defaults& defaults;
  const partition_limits& partition;
  const engine::incarnation incarnation;
  const std::shared_ptr<slot_ledger>& slots;
  actors::clock& clock;
  blocking_pool& pool;
  const child_runner& run_in_child;
  const log_sink& log;
  std::atomic<bool>& draining;
  std::atomic<std::uint64_t>& attempts_started;
  std::atomic<std::uint64_t>& attempts_lost;

  const std::shared_ptr<attempt_table> attempts;
  view_pool views;
  const std::function<bool(std::string_view workflow_id)> may_exist;  ///< false: no run of that id is on record
  other_nodes others;
  std::atomic<std::uint64_t> epoch{0};  ///< of the journal's present opening
  event_clock time{};
  commit_queue* commits = nullptr;
  mark_table marks{};
  mark_packer pack_mark{};  ///< empty: there is no other partition
  message_packer pack;  ///< empty: nothing is sent to other workflows from here, and no child is started
  /// Keys and numbers of the next runs.
  std::atomic<engine::run_key> next_key{1};
  std::atomic<std::uint64_t> next_serial{1};
  std::function<engine::reign()> reign;  ///< of the journal's present opening

  /// The version that a new run gets that names none.
  engine::version_choice choose(std::string_view type) const;
  /// What code starts of that type: here, or on another node, for which the run then waits. `version` 0: the one that
  /// new runs get, or, where no living node has that, the one that they would get without the mark.
  std::optional<engine::child_type> find_child_type(std::string_view type, std::uint32_t version) const;
};

}  // namespace pawl::actors
