// Takes to the present leader of a partition what a node that led it before still knows of attempts: how they ended,
// and which it holds. As commands, so that they wait for whoever leads; docs/commands.md describes them.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "actors/attempt.hpp"
#include "broker/command_sender.hpp"

namespace pawl::node {

struct attempt_courier_options {
  broker::command_sender_options sender;
  engine::incarnation incarnation = 0;
  /// An end is in the log. Any thread.
  std::function<void(std::int32_t partition, const actors::attempt_id& id)> delivered;
  std::function<void(const std::string& event)> warn{};  ///< what a person should know; any thread
};

/// Thread-safe. What cannot be sent is sent again, as long as it takes.
class attempt_courier {
 public:
  explicit attempt_courier(attempt_courier_options o);
  /// What is not in the log by then is not told: its leader gives it up when this node is gone.
  ~attempt_courier();
  attempt_courier(const attempt_courier&) = delete;
  attempt_courier& operator=(const attempt_courier&) = delete;

  void tell_end(const actors::orphan_end& end);
  /// All that this node holds of a partition that it led up to `epoch`.
  void tell_held(std::int32_t partition, std::uint64_t epoch, const std::vector<actors::attempt_id>& held);
  /// Waits until all is in the log. False: not within `patience`.
  bool flush(std::chrono::milliseconds patience);

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace pawl::node
