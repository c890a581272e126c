// The thread that makes decisions durable. Actors hand in what they decided; one append is in flight at a time, and
// what gathers meanwhile is the next one: no timer, no linger.
//
// Everything handed in carries the generation that it was decided under. When an append fails or its outcome is unknown
// the generation is over: what waits is failed, whoever held state under it throws it away and folds it again, and what
// still comes in under the old one is failed too.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "actors/slots.hpp"
#include "store/journal.hpp"
#include "workflow/program.hpp"

namespace pawl::actors {

/// What came of a command, as its sender hears it.
struct command_reply {
  enum class status : std::uint8_t {
    recorded,  ///< `outcome` is durable
    busy,  ///< refused at the door, nothing is recorded; the same command_id may be sent again
    unavailable,  ///< the node is stopping or its journal is away; nothing is recorded
    unknown,  ///< it may be recorded or not: send it again under the same command_id to learn
    invalid,  ///< cannot be understood (no such type, an id that is too long); nothing is recorded
  };
  status state = status::recorded;
  engine::outcome outcome;
  std::string message;  ///< for people: what happened and what to do
  std::uint32_t run = 0;
  std::string run_uid;
  std::uint32_t version = 0;  ///< of the run's type; 0: not known
  std::chrono::milliseconds retry_after{0};
};
using reply_function = std::function<void(const command_reply&)>;

/// A reply that is owed. Whoever drops it without an answer answers "unknown".
class owed_reply {
 public:
  owed_reply() = default;
  explicit owed_reply(reply_function f) : function_(std::move(f)) {}
  owed_reply(owed_reply&& o) noexcept : function_(std::exchange(o.function_, nullptr)) {}
  owed_reply& operator=(owed_reply&& o) noexcept {
    std::swap(function_, o.function_);
    return *this;
  }
  ~owed_reply();
  void answer(const command_reply& r);
  explicit operator bool() const { return static_cast<bool>(function_); }

 private:
  reply_function function_;
};

/// An attempt that starts when the batch which records it is committed.
struct launch {
  std::uint32_t step = engine::no_step;
  bool undo = false;
  std::uint32_t attempt = 0;
  slot held;
};

/// An attempt whose end a decision puts on record: it leaves the node's table once that is durable.
struct ended_attempt {
  std::uint32_t step = engine::no_step;
  bool undo = false;
  std::uint32_t attempt = 0;
};

/// What one actor decided at one time. Comes back to it, whole, once it is durable.
struct decided {
  std::uint64_t generation = 0;
  store::run_change change;
  std::vector<store::heartbeat_row> heartbeats;
  std::vector<store::outcome_row> outcomes;
  std::vector<store::outbox_row> messages;  ///< to other workflows and partitions; they leave once this is durable
  std::vector<engine::type_mark> marks;
  /// The run that goes on where this one has continued as new.
  std::optional<store::run_change> successor{};
  std::vector<launch> launches;
  std::vector<ended_attempt> ended;
  std::vector<ended_attempt> abandoned;  ///< still under way; told to stop once this is durable
  std::vector<engine::log_line> lines;  ///< that code logged
  std::vector<std::shared_ptr<engine::event>> answers;  ///< its update_answered, which others may wait for
  engine::phase phase = engine::phase::none;  ///< of the run, once this is durable; none: as before
  std::string refused;  ///< the command whose outcome, which is no event, is in here
  bool barrier = false;  ///< something is appended for it, even if there is nothing else
  owed_reply reply;
  command_reply answer;  ///< what `reply` will say
  std::size_t bytes = 0;
  /// Called on the queue's thread once durable. On failure it is dropped uncalled.
  std::function<void(std::shared_ptr<decided>)> committed;
};

struct commit_stats {
  std::uint64_t commits = 0;
  std::uint64_t decisions = 0;
  std::uint64_t failures = 0;
  std::size_t waiting = 0;
  std::uint64_t busy_ns = 0;
  std::string trouble;  ///< why nothing is being committed now; empty: all is well
};

class commit_queue {
 public:
  struct options {
    std::size_t batch_bytes = std::size_t{4} << 20;
    std::size_t batch_decisions = 4096;
    std::uint64_t first_generation = 1;
  };
  /// Told on the queue's thread. `failed`: the generation is over and the journal is shut; everything in memory is to
  /// be discarded. `healed`: the journal is open again under the new generation. `broken`: it will not be; the node
  /// stops. `deposed`: another node leads.
  struct listener {
    std::function<void(std::uint64_t next_generation, const store::append_result& why)> failed;
    std::function<void(std::uint64_t generation)> healed;
    std::function<void(const store::append_result& why)> broken;
    std::function<void(const store::append_result& why)> deposed{};
  };

  commit_queue(store::journal& journal, options o, listener l);
  ~commit_queue();
  commit_queue(const commit_queue&) = delete;
  commit_queue& operator=(const commit_queue&) = delete;

  /// Any thread. Never blocks on the disk. Bounded by the number of live runs, each of which has few in flight.
  void submit(std::shared_ptr<decided> d);
  std::uint64_t generation() const { return generation_.load(std::memory_order_acquire); }
  bool available() const { return available_.load(std::memory_order_acquire); }
  std::size_t waiting() const { return waiting_.load(std::memory_order_relaxed); }
  commit_stats stats() const;
  /// Appends what is there and ends the thread.
  void stop();

 private:
  using batch = std::vector<std::shared_ptr<decided>>;
  void run();
  bool wait(std::chrono::microseconds most);
  batch next();
  void append(batch& b);
  void hand_over();
  void fail(batch& b, const store::append_result& why);
  store::append_result heal();

  store::journal& journal_;
  const options options_;
  const listener listener_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  batch queue_;
  bool sleeping_ = false;
  bool stopping_ = false;
  bool over_ = false;  // broken or deposed: nothing is appended any more
  commit_stats stats_;
  int failures_in_a_row_ = 0;  // of this thread alone, as the next
  std::size_t last_batch_ = 0;
  batch committed_;  // and not handed over yet
  std::atomic<std::uint64_t> generation_;
  std::atomic<bool> available_{true};
  std::atomic<std::size_t> waiting_{0};
  std::thread thread_;
};

}  // namespace pawl::actors
