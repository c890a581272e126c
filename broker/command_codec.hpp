// Commands as nodes write them to each other: msgpack, with the engine's own values. docs/commands.md describes the
// bytes for every reader, keep both in step. What people and other languages write is JSON, and read in node/.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "workflow/command.hpp"
#include "workflow/version_choice.hpp"

namespace pawl::broker {

/// The newest that this version reads. What older nodes read too is written in format 1; a start that was checked by
/// another node than the one that takes it (its facts have a digest) is of format 2, and so is what workflows and
/// partitions send to each other.
inline constexpr std::uint32_t command_format = 2;
inline constexpr std::uint32_t checked_start_format = 2;
inline constexpr std::uint32_t addressed_format = 2;
inline constexpr std::string_view json_type = "application/json";
inline constexpr std::string_view msgpack_type = "application/msgpack";
/// More attempts than a node has threads.
inline constexpr std::size_t most_held_attempts = 200'000;

/// What somebody asks of a workflow: start, cancel, kill, pause, resume, skip, signal, update, reset, or tells the code
/// that asked it for something (call_ended). The result of a skip is any msgpack value, which the reader holds against
/// the step's type.
struct asked_command {
  engine::command command{};
  engine::closed_id_policy closed_id = engine::closed_id_policy::reject;
  std::optional<engine::run_uid> target{};  ///< none: the current run
};

/// An attempt has ended on a node that does not lead its partition (any more).
struct attempt_result {
  engine::run_uid run{};
  engine::run_key key = 0;
  engine::incarnation incarnation = 0;  ///< that ran it
  engine::attempt_ended end{};
  /// msgpack: of its newest heartbeat, where that is not on record; for the next attempt.
  std::optional<std::string> details{};
};

struct held_attempt {
  engine::run_uid run{};
  engine::run_key key = 0;
  std::uint32_t step = 0;
  bool undo = false;
  std::uint32_t attempt = 0;
  bool operator==(const held_attempt&) const = default;
};
/// All attempts of a partition that a node holds, after it has read that another node leads it under `epoch`.
struct held_attempts {
  std::uint64_t epoch = 0;
  engine::incarnation incarnation = 0;
  std::vector<held_attempt> list{};
};

/// Goes on with what another partition sends, after `outbox_diverged`.
struct resync_command {
  std::int32_t from = 0;
};

/// Which version new runs of a type get, as the partition has recorded it that decides about the type.
struct use_version_command {
  engine::type_mark mark{};
};

using node_command = std::variant<asked_command, attempt_result, held_attempts, resync_command, use_version_command>;

/// In the oldest format that can say it.
std::string encode_command(const node_command& c);

enum class command_readable : std::uint8_t { yes, malformed, newer };
/// Never throws but for memory, whatever the bytes are. A start has no workflow id: that is the message's key. `wrong`
/// says what is the matter. Cost: linear.
command_readable decode_command(std::string_view bytes, node_command& out, std::string& wrong);

}  // namespace pawl::broker
