// Messages between partitions: numbered, sent in order, applied once. docs/journal.md says the rules.
//
//     p's batch --number, durable--> lane --Kafka--> q's commands --> inbox --next number--> applied, mark in q's batch
//                                     ^  |
//                                     '--'-- a send that failed or is unknown: everything from that number on, again
//
// An acknowledgement by Kafka is not acceptance: what overtook a message that was lost is dropped by the receiver, so
// it is sent again behind that one. Both sides are pure: no clock, no I/O; a simulation takes each rule away in turn.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "store/journal.hpp"

namespace pawl::broker {

/// The rules, one by one, so that a simulation can show that each is needed. Nothing else leaves one out.
struct outbox_rules {
  bool durable_first = true;  ///< a message is sent once the batch that holds it is committed
  bool all_behind = true;  ///< after a failed send everything from that number on is sent again
  bool whole_prefix = true;  ///< acknowledged is what is below the first that is not
  bool next_only = true;  ///< a number is applied only if it is the next
  bool once = true;  ///< ... and never a second time
  bool reign = true;  ///< a number that was applied under another reign ends the pair
};

/// What a partition sends to one other. One thread at a time.
class outbox_lane {
 public:
  /// As the journal has it: `given_below`, the next number that is given out; `acknowledged_below`, where sending
  /// begins.
  explicit outbox_lane(std::uint64_t given_below = 1, std::uint64_t acknowledged_below = 1, outbox_rules rules = {})
      : given_below_(given_below),
        durable_below_(given_below),
        next_(acknowledged_below),
        acknowledged_below_(acknowledged_below),
        rules_(rules) {}

  /// The number of a new message, which rides in the next batch.
  std::uint64_t give() { return given_below_++; }
  /// That batch is committed. (If it is not, the lane is made anew from the journal.)
  void committed() { durable_below_ = given_below_; }

  struct sending {
    std::uint64_t number = 0;
    std::uint64_t round = 0;
  };
  /// What to send now; none: nothing, or `window` are under way. Each is answered by one of the two below.
  std::optional<sending> next(std::size_t window = SIZE_MAX);
  void acknowledged(const sending& s);
  /// Or nobody knows.
  void failed(const sending& s);
  /// All that are under way: who sent them is gone.
  void all_failed();

  std::uint64_t given_below() const { return given_below_; }
  std::uint64_t acknowledged_below() const { return acknowledged_below_; }
  /// Durable and not acknowledged.
  std::uint64_t waiting() const { return durable_below_ - acknowledged_below_; }
  std::size_t under_way() const { return sent_.size(); }
  bool may_send() const { return next_ < (rules_.durable_first ? durable_below_ : given_below_); }

 private:
  struct entry {
    std::uint64_t round = 0;
    bool acknowledged = false;
  };
  std::uint64_t given_below_;
  std::uint64_t durable_below_;
  std::uint64_t next_;  // to be sent
  std::uint64_t acknowledged_below_;
  std::uint64_t round_ = 1;
  std::map<std::uint64_t, entry> sent_;  // by number, from acknowledged_below_ on
  outbox_rules rules_;
};

/// What a partition has applied of the messages of all others: a fold over its topic of commands, in order. One thread
/// at a time.
class inbox {
 public:
  explicit inbox(outbox_rules rules = {}) : rules_(rules) {}

  enum class verdict : std::uint8_t {
    apply,
    repeat,  ///< it was applied
    early,  ///< one before it is missing: it will be sent again behind that one
    diverged,  ///< the pair has ended (outbox_diverged): nothing is applied until resync()
  };
  /// The next message. `apply` and the first `diverged` change the mark.
  verdict judge(std::int32_t from, std::uint64_t number, const engine::reign& reign);
  /// The next message from there is taken, whatever its number.
  void resync(std::int32_t from);

  /// As the journal has it.
  void restore(store::receive_state s) { states_[s.from] = std::move(s); }
  void clear() { states_.clear(); }
  /// What a batch has to say about it now.
  store::receive_mark mark(std::int32_t from) const;

 private:
  verdict among_applied(const store::receive_state& s, std::uint64_t number, const engine::reign& reign) const;

  outbox_rules rules_;
  std::map<std::int32_t, store::receive_state> states_;
};

}  // namespace pawl::broker
