// Commands from `<namespace>.commands`, for whoever knows what they mean. docs/commands.md is the promise.
//
//     read --> handed in --dealt with--> journal.consumed()
//      |        ^    |  '--dead--> <namespace>.dlq --acknowledged--> journal.consumed()
//      |        '----'-- again, after a back-off
//      '-- of another partition --> its outbox, with the batch that passes the offset
//
// One thread reads and hands in. Of one key one command is under way at a time, so they cannot overtake each other; of
// a key whose commands pile up only the first few are in memory. When the journal is opened again, reading begins anew
// where the journal says: what was under way is handed in again, and known by its id.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/command_route.hpp"
#include "broker/dead_letters.hpp"
#include "broker/kafka_client.hpp"
#include "broker/kafka_journal.hpp"

namespace pawl::broker {

/// Commands that are read and not dealt with; beyond it, or beyond so many bytes, reading stops.
inline constexpr std::size_t most_commands_under_way = 1'000;
inline constexpr std::size_t most_bytes_under_way = std::size_t{64} << 20;
/// Of one key so many are in memory; those behind them are read again when their turn is near.
inline constexpr std::size_t most_commands_of_a_key = 32;
/// Offsets that are remembered to be read again; beyond it reading stops.
inline constexpr std::size_t most_parked_commands = 100'000;
inline constexpr std::chrono::milliseconds first_command_delay{50};
/// Of a pair of partitions that has diverged, while more of it comes.
inline constexpr std::chrono::minutes between_alarms{1};
inline constexpr std::chrono::milliseconds longest_command_delay{2'000};

struct command_verdict {
  enum class kind : std::uint8_t {
    dealt_with,  ///< recorded, whatever came of it
    again,  ///< nothing is known to be recorded: hand it in again later
    full,  ///< the same, because the leader has too much to do: nothing more is read for a while either
    dead,  ///< it can never be dealt with
  };
  kind what = kind::dealt_with;
  std::string cause{};  ///< of a dead one, for programs
  std::string detail{};  ///< ... and for people
};
/// To be called once, on any thread, also after the intake is gone.
using command_done = std::function<void(command_verdict)>;
/// Called on the intake's thread. The message is valid until `done` is called.
using command_handler = std::function<void(const incoming_command&, command_done)>;

struct command_intake_options {
  kafka_options client;
  std::string topic;  ///< "shop.commands"
  std::int32_t partition = 0;
  std::string dead_letters;  ///< "shop.dlq"
  std::int32_t partitions = 1;  ///< of the topic
  /// Something waits for a batch that nothing else may cause; the intake's thread. Empty: it waits for the next one.
  std::function<void()> want_batch{};
  std::function<void(const std::string& event)> warn{};  ///< what a person should know; the intake's thread
  std::function<void(const std::string& event)> alarm{};  ///< what a person has to mend; the intake's thread
};

struct command_intake_stats {
  std::uint64_t read = 0;
  std::uint64_t handed_in = 0;  ///< again ones each time
  std::uint64_t dealt_with = 0;
  std::uint64_t again = 0;
  std::uint64_t dead = 0;  ///< acknowledged in the topic of dead letters
  std::uint64_t holes = 0;  ///< offsets without a message
  std::uint64_t begun_anew = 0;  ///< how often reading began where the journal says
  std::uint64_t forwarded = 0;  ///< to another partition, through the outbox
  std::uint64_t repeats = 0;  ///< messages of other partitions that were applied already
  std::uint64_t early = 0;  ///< ... that will be sent again behind one that is missing
  std::uint64_t diverged = 0;  ///< ... of a pair that has ended
  std::uint64_t paused = 0;  ///< how often the leader was full
  std::uint64_t marks = 0;  ///< calls of mark_end() that `marked` answers
  std::int64_t marked = -1;  ///< the end of the topic, asked for after the newest of those calls
  std::size_t under_way = 0;
  std::size_t parked = 0;  ///< of those, to be read again
  std::int64_t next = -1;  ///< offset to be read next
  std::int64_t dealt_with_below = -1;  ///< every offset below is dealt with
  std::int64_t end = -1;  ///< of the topic, as the last fetch has it; -1: not known
  /// Offsets that are not dealt with; -1: not known.
  std::int64_t lag() const {
    return end < 0 || dealt_with_below < 0 ? -1 : std::max<std::int64_t>(0, end - dealt_with_below);
  }
};

class command_intake {
 public:
  /// Begins to read. `journal` must outlive it.
  command_intake(command_intake_options o, kafka_journal& journal, command_handler handler);
  /// Stops.
  ~command_intake();
  command_intake(const command_intake&) = delete;
  command_intake& operator=(const command_intake&) = delete;

  /// Hands in nothing more, and waits at most `patience` for what is under way. What is not done by then is read again
  /// by whoever comes next.
  void stop(std::chrono::milliseconds patience = std::chrono::milliseconds(0));
  command_intake_stats stats() const;
  /// Has the brokers asked where the topic ends, and returns what stats().marks will be at least when that is known.
  std::uint64_t mark_end();

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace pawl::broker
