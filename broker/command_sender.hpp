// Writes commands to `<namespace>.commands`: what a node asks of workflows that another node leads, and what it has to
// tell that node.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "broker/dead_letters.hpp"
#include "broker/kafka_client.hpp"

namespace pawl::broker {

/// A message as it will be written.
struct outgoing_command {
  std::optional<std::string> key{};  ///< the workflow id; of what is about a partition: none
  std::string value{};
  message_headers headers{};
};
/// In msgpack: the value of encode_command, with its content type.
outgoing_command make_command(std::optional<std::string> key, std::string value);

struct command_sender_options {
  kafka_options client;
  std::string topic;  ///< "shop.commands"
  std::int32_t partitions = 1;
  std::chrono::milliseconds give_up_after{10'000};  ///< then nobody knows whether it is there
  std::size_t most_waiting = 10'000;
  std::size_t most_bytes = std::size_t{32} << 20;
};

/// What became of a message.
struct sent_command {
  std::int32_t partition = -1;
  std::int64_t offset = -1;
  bool unknown = false;   ///< it may be there or not: send it again under the same command id
  bool for_good = false;  ///< the brokers refuse it, and will again
  std::string error{};    ///< empty: it is there
  bool there() const { return error.empty(); }
};

/// Thread-safe. One thread of its own, one producer (acks=all, idempotent).
class command_sender {
 public:
  using sent = std::function<void(const sent_command&)>;

  explicit command_sender(command_sender_options o);
  /// What waits is told `unknown`.
  ~command_sender();
  command_sender(const command_sender&) = delete;
  command_sender& operator=(const command_sender&) = delete;

  /// To the partition of its key, or to `partition`. `done` is called once, on the sender's thread. False: too much
  /// waits, or it has stopped; then `done` is not called.
  bool send(outgoing_command c, sent done, std::optional<std::int32_t> partition = std::nullopt);
  /// Waits for what is under way. False: not all within `patience`.
  bool flush(std::chrono::milliseconds patience);
  std::size_t waiting() const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace pawl::broker
