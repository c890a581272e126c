// The fence: of two nodes that both believe they lead a partition, only one can commit. docs/journal.md says the rules.
//
// Pure: no clock, no randomness, no I/O. The log is the only arbiter; every reader folds it alike, and a leader acts on
// a record of its own only when it knows that every reader will accept it.
//
//     following --announce()--> announcing --own announcement read, accepted--> leading
//         ^                          |                                             |
//         |                          |--own announcement read, not accepted        |-- a higher announcement read
//         |                          |--its append failed or is unknown            |-- an append failed or is unknown
//         '--------------------------'---------------------------------------------'
#pragma once

#include <algorithm>
#include <cstdint>

#include "workflow/ids.hpp"

namespace pawl::broker {

enum class record_kind : std::uint8_t { announcement = 1, batch = 2, release = 3, barrier = 4 };

/// What the fold looks at.
struct stamp {
  record_kind kind = record_kind::batch;
  std::uint64_t epoch = 0;
  engine::reign reign;
  std::uint64_t seq = 0;
  bool operator==(const stamp&) const = default;
};

/// The rules, one by one, so that a simulation can show that each is needed. Nothing else leaves one out.
struct fence_rules {
  bool epoch = true;  ///< a record counts only under the current epoch and reign
  bool seq = true;  ///< ... and only if it is the next
  bool announcement = true;  ///< a leader leads only once it has read its own announcement
  bool contiguity = true;  ///< an acknowledged offset that does not follow the one before is looked into
};

/// What every reader agrees on after the same records.
struct fold {
  std::uint64_t epoch = 0;
  engine::reign reign;
  std::uint64_t seq = 0;  ///< of the newest accepted record of this reign
  bool released = false;  ///< the leader has given the partition up
  bool operator==(const fold&) const = default;

  /// True: accepted.
  bool apply(const stamp& s, const fence_rules& rules = {});
};

/// One node's part in it. One thread at a time.
class fence {
 public:
  enum class standing : std::uint8_t { following, announcing, leading };

  /// `known`: the fold that a view has stored, `next`: the offset behind the last record in it.
  explicit fence(fold known = {}, std::int64_t next = 0, fence_rules rules = {})
      : fold_(known),
        next_(next),
        rules_(rules) {}

  /// Every record of the log, in the order of offsets; holes are not possible here (they are the reader's to notice).
  /// True: accepted. May end the leading, or begin it.
  bool read(std::int64_t offset, const stamp& s);

  /// What lies at that offset is no record of ours: every reader skips it.
  void skip(std::int64_t offset) { next_ = std::max(next_, offset + 1); }

  /// The announcement to append. `reign` is drawn by the caller, never used before.
  stamp announce(engine::reign reign);
  /// The stamp of the next record; leading only, and only once the record before is acknowledged.
  stamp next(record_kind kind);

  enum class ack : std::uint8_t {
    in_place,  ///< no reader will skip it: act on it
    gap,  ///< others wrote in between: read() what lies below `offset`, then ask again
    stale,  ///< of an earlier reign, or we lead no more: never act on it
  };
  /// The record of that stamp is in the log at `offset`.
  ack acknowledged(std::int64_t offset, const stamp& s);
  /// An append failed, or nobody knows: it may be in the log or not. Ends the leading or announcing.
  void lost();

  standing now() const { return standing_; }
  const fold& folded() const { return fold_; }
  /// The offset that read() expects next; of a leader, the one that its next record gets if nobody else writes.
  std::int64_t next_offset() const { return next_; }
  engine::reign own() const { return own_; }

 private:
  fold fold_;
  std::int64_t next_ = 0;  // everything below is folded
  fence_rules rules_;
  standing standing_ = standing::following;
  engine::reign own_;
  bool in_flight_ = false;
  std::int64_t read_at_ = -1;  // where the record in flight was read, accepted, before it was acknowledged
};

}  // namespace pawl::broker
