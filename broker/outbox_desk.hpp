// A leader's outbox: what waits for the next batch, what is sent, what is applied. Between three threads:
//
//     intake     forward(), received() --.                    .-- next(), acknowledged(), failed()      sender
//                                        v                    v
//     appender   begin() when it leads, take() into a batch, committed() or not --> durable: to be sent
//
// Thread-safe. docs/journal.md has the rules, outbox.hpp the state machines.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/command_sender.hpp"
#include "broker/outbox.hpp"
#include "store/journal.hpp"

namespace pawl::broker {

/// A message that is larger is not forwarded.
inline constexpr std::size_t largest_forward = std::size_t{3} << 20;
/// Bytes of forwards that wait for a batch, but for a single one.
inline constexpr std::size_t most_staged_bytes = std::size_t{2} << 20;
/// Messages to one partition that are sent and not acknowledged.
inline constexpr std::size_t outbox_window = 256;
/// Bytes of messages that are kept in memory beside the view, for a quick sending.
inline constexpr std::size_t most_kept_bytes = std::size_t{8} << 20;

inline constexpr std::string_view outbox_header = "pawl-outbox";
inline constexpr std::string_view stub_header = "pawl-stub";

/// A message as a record holds it.
std::string pack_message(const outgoing_command& m);
/// False: it is none.
bool unpack_message(std::string_view bytes, outgoing_command& out);

/// The header of a message of another partition.
struct outbox_place {
  std::int32_t from = 0;
  std::uint64_t number = 0;
  engine::reign reign{};
};
std::string to_text(const outbox_place& p);
std::optional<outbox_place> place_from_text(std::string_view text);

struct outbox_stats {
  std::uint64_t forwarded = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t stubs = 0;
  std::uint64_t waiting = 0;  ///< durable and not acknowledged
  std::uint64_t begun = 0;    ///< how often sending began anew after a failure
};

class outbox_desk {
 public:
  // The intake's.

  /// A message for another partition, which rides in the batch that passes `offset`: nothing else has to be said about
  /// that offset. False: too much waits; to be tried again.
  bool forward(std::int64_t offset, std::int32_t to, const outgoing_command& m);
  /// The mark that rides in the batch whose position passes `offset`.
  void received(std::int64_t offset, const store::receive_mark& m);
  /// Reading begins at `position`, as it has to after each begin(): the marks of what is above are void. What was
  /// applied below.
  std::vector<store::receive_state> begin_reading(std::int64_t position);

  // The appender's.

  /// This node leads, from this state on.
  void begin(store::outbox_state s, const engine::reign& reign);
  /// It does not, or a batch failed: nothing is sent that is not known to be durable.
  void end();
  /// The offsets whose forwards are now in `into`, with their numbers; messages of `into` that have none get one.
  std::vector<std::int64_t> take_messages(store::outbox_changes& into);
  /// Marks of what is below, and acknowledgements. True: something is new.
  bool take_marks(std::int64_t position, store::outbox_changes& into);
  /// The batch of the last two is durable.
  void committed(const store::outbox_changes& c);

  // The sender's.

  struct task {
    std::int32_t to = 0;
    outbox_lane::sending sending{};
    std::uint64_t generation = 0;  ///< of begin()
    engine::reign reign{};
    std::optional<std::string> message{};  ///< none: the view has it
  };
  /// What may be sent now; waits at most `wait` for the first.
  std::vector<task> next(std::chrono::milliseconds wait);
  void acknowledged(const task& t);
  void failed(const task& t);
  /// All that are under way.
  void all_failed();
  void wake();

  outbox_stats stats() const;
  /// The partitions whose messages are not taken any more (outbox_diverged), as far as it is in a batch.
  std::vector<std::int32_t> diverged() const;
  void count_stub();

 private:
  struct kept {
    engine::reign reign{};
    std::string message{};
  };
  struct lane {
    outbox_lane of{};
    std::uint64_t journaled_below = 1;  // acknowledged, as the journal has it
    std::map<std::uint64_t, kept> messages{};  // some of those that wait
  };
  struct staged {
    std::int64_t offset;
    std::int32_t to;
    std::string message;
  };
  void keep(const store::outbox_row& m);

  mutable std::mutex mutex_;
  std::condition_variable woken_;
  bool leads_ = false;
  bool reading_ = false;  // the intake reads from where this leading began
  bool awake_ = false;
  std::uint64_t generation_ = 0;
  engine::reign reign_{};
  std::map<std::int32_t, lane> lanes_;
  std::vector<staged> staged_;
  std::size_t staged_bytes_ = 0;
  std::size_t kept_bytes_ = 0;
  std::map<std::int64_t, store::receive_mark> marks_;  // by offset, above what was taken
  std::map<std::int32_t, store::receive_state> received_;  // what was taken
  outbox_stats counts_;
};

}  // namespace pawl::broker
