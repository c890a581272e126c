// What the simulations share about the outbox: a partition's part in it while some process leads it, and what its
// journal makes of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "broker/outbox.hpp"

namespace pawl::broker::simulated {

using content = std::uint64_t;
/// What is caused by no command has a content from here on; it is not the same again when a lost batch is decided anew.
inline constexpr content decided = 1'000'000;

struct packet {
  std::int32_t from = 0;
  std::uint64_t number = 0;
  engine::reign reign{};
  content what = 0;
};

/// What is at one offset of a topic of commands: a command that is on the wrong partition, or a message of another one.
struct incoming {
  std::optional<packet> message{};
  std::int32_t belongs_to = 0;
  content what = 0;
};
using topic = std::vector<incoming>;

/// What one batch has to say about it.
struct outbox_batch {
  std::vector<std::pair<std::int32_t, packet>> caused{};
  std::vector<store::outbox_ack> acknowledged{};
  std::vector<store::receive_mark> received{};
  std::vector<packet> applied{};
  std::size_t position = 0;
};

/// The fold of the batches; a snapshot holds it.
struct outbox_fold {
  std::size_t position = 0;
  std::map<std::int32_t, std::uint64_t> given{}, below{};
  std::map<std::pair<std::int32_t, std::uint64_t>, packet> messages{};  // not acknowledged yet
  std::map<std::int32_t, store::receive_state> received{};

  void take(const outbox_batch& b);
};

struct outbox_totals {
  std::uint64_t applied = 0, repeats = 0, early = 0, diverged = 0;
  std::uint64_t lost_sends = 0, lost_acks = 0, duplicates = 0, zombie_sends = 0;
};

struct outbox_simulation_rules {
  outbox_rules outbox{};
  bool marks_with_position = true;  ///< a mark rides in the batch whose position has passed its message
};

/// What it shares with the world around it.
struct outbox_world {
  std::mt19937_64 random;
  outbox_simulation_rules rules{};
  std::vector<topic> topics{};  // of commands, by partition
  content decisions = 0;
  outbox_totals totals{};

  std::size_t pick(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); }
  bool chance(double p) { return std::uniform_real_distribution<>(0, 1)(random) < p; }
  std::int32_t partitions() const { return static_cast<std::int32_t>(topics.size()); }
};

/// A process that leads a partition, or believes so.
class outbox_leader {
 public:
  /// The state of a new leader is the fold of the journal.
  outbox_leader(outbox_world& world, std::int32_t partition, engine::reign reign, const outbox_fold& known);

  /// The next command or message, if there is one.
  void read();
  /// Some of what has been read is dealt with, by the next batch.
  outbox_batch decide(bool healing);
  /// That batch counts. (If it does not, there is another leader.)
  void committed(const outbox_batch& b);
  bool has_something_to_say() const;

  void send(bool is_zombie);
  /// The first that is under way arrives, or does not; or who sent one hears so, or not, in any order.
  void network(bool healing);
  bool nothing_under_way() const { return wire_.empty() && answers_.empty(); }
  /// All that was sent to it is dealt with, and what it sends is there.
  bool quiet() const;

  const broker::inbox& inbox() const { return inbox_; }

 private:
  struct wire_packet {
    std::int32_t to;
    packet what;
    outbox_lane::sending sending;
  };
  void cause(outbox_batch& b, std::int32_t to, content what);

  outbox_world* world_;
  std::int32_t partition_;
  engine::reign reign_;
  std::map<std::int32_t, outbox_lane> lanes_{};
  std::map<std::pair<std::int32_t, std::uint64_t>, packet> outbox_{};  // durable, and what is staged
  std::map<std::int32_t, std::uint64_t> journaled_acks_{};
  std::deque<wire_packet> wire_{};  // sent, and not in the log yet
  std::vector<std::pair<wire_packet, bool>> answers_{};  // acknowledgements and failures that it has not heard of
  broker::inbox inbox_;
  std::size_t read_ = 0;  // offset that is read next
  std::size_t position_ = 0;  // journaled
  std::map<std::size_t, store::receive_mark> marks_{};  // by offset
  std::map<std::size_t, packet> to_apply_{};
  std::map<std::size_t, incoming> to_forward_{};
};

/// At the end, when all is quiet: what is wrong with what the journals say; empty: nothing. `batches`: of each
/// partition, those that count; `ended`: the pairs (from, to) that have diverged; `tails`: journals may have lost their
/// ends; `commands`: 1 to this were sent.
std::string check_outbox(const std::vector<std::vector<outbox_batch>>& batches,
                         const std::map<std::pair<std::int32_t, std::int32_t>, bool>& ended, bool tails,
                         content commands);

}  // namespace pawl::broker::simulated
