// Where a message of `<namespace>.commands` goes: to the engine, to another partition, to the dead letters, or nowhere.
// docs/journal.md ("Between partitions") says why. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "broker/dead_letters.hpp"
#include "broker/outbox.hpp"

namespace pawl::broker {

/// A message as somebody wrote it: whatever bytes.
struct incoming_command {
  std::string source{};  ///< "shop.commands/0/17"
  std::int64_t offset = -1;
  std::int64_t timestamp_ms = -1;
  std::optional<std::string> key{};
  std::string value{};
  message_headers headers{};
};

struct command_route {
  enum class kind : std::uint8_t {
    hand_in,
    forward,  ///< to partition `to`
    dead,
    repeat,  ///< a message of another partition that was applied
    early,  ///< ... or that will be sent again behind one that is missing
    resync,  ///< what another partition sends is taken again
  };
  kind what = kind::hand_in;
  std::int32_t to = -1;
  std::string cause{};
  std::string detail{};
  std::optional<store::receive_mark> mark{};  ///< rides in the batch whose position passes the message
};

/// The next message of `partition`, of `partitions`. Moves `in`.
command_route route_command(const incoming_command& m, std::int32_t partition, std::int32_t partitions, inbox& in);

}  // namespace pawl::broker
