// This node's part in the cluster: says what it is on `<ns>.nodes` every 300 ms, reads what all say, and knows from
// that who should lead what (ownership.hpp). docs/cluster.md is the promise.
//
// One thread sends and reads. What others ask is answered from the fold, under a lock that is held for microseconds.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "broker/kafka_client.hpp"
#include "broker/ownership.hpp"

namespace pawl::broker {

struct membership_options {
  kafka_options client;
  std::string topic;  ///< "shop.nodes"
  std::string node;   ///< id
  engine::incarnation incarnation = 0;
  ownership_settings ownership;
  /// What this node says about itself, but for what ownership::sign fills in. Membership's thread; must not block.
  std::function<heartbeat()> report;
  /// Another process lives under this node's id: it must end. Membership's thread, once.
  std::function<void(const std::string& why)> replaced{};
  /// What is known of the nodes may have changed. Membership's thread, under its lock; must not block.
  std::function<void(const ownership_fold&)> heard{};
  std::function<void(const std::string& event)> warn{};  ///< what a person should know; membership's thread
  /// This node's wall clock, milliseconds since 1970. Empty: the machine's.
  std::function<std::int64_t()> wall_ms{};
};

/// A clock that stays wrong is told again after this; one that gets better or worse, at once.
inline constexpr std::chrono::minutes between_clock_warnings{5};

struct membership_stats {
  std::uint64_t sent = 0;
  std::uint64_t unsent = 0;   ///< heartbeats that did not reach the log, or may not have
  std::uint64_t read = 0;
  std::uint64_t garbage = 0;  ///< messages that are no heartbeats
};

/// Thread-safe.
class membership {
 public:
  explicit membership(membership_options o);
  /// Says what there is to say once more, so that nobody waits a session for what this node has given up, and then
  /// nothing: the others take it for gone after a session. Blocks for that heartbeat, at most half a second.
  ~membership();
  membership(const membership&) = delete;
  membership& operator=(const membership&) = delete;

  verdict consider(std::int32_t partition, const journal_end& end) const;
  bool should_follow(std::int32_t partition) const;
  /// This node's announcement was refused or superseded; it waits for a while before the next.
  void refused(std::int32_t partition);
  /// Something about this node has changed: the next heartbeat is sent at once.
  void beat_now();
  /// Whether a node of that incarnation lives, this one included.
  bool lives(engine::incarnation incarnation) const;
  /// Whether another node is there that could lead.
  bool has_others() const;
  /// Reads the fold; `f` must not block.
  template <class F>
  auto look(F f) const {
    const std::lock_guard lock(mutex_);
    return f(static_cast<const ownership&>(*ownership_));
  }
  membership_stats stats() const;

 private:
  struct state;
  mutable std::mutex mutex_;
  std::unique_ptr<ownership> ownership_;  // under the mutex
  std::unique_ptr<state> state_;
};

}  // namespace pawl::broker
