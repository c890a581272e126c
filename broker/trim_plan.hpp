// How much of the journal and of the commands nobody needs any more. Pure: no clock, no I/O.
//
// Whoever starts anywhere must find what it reads from there on, and the record before, which tells it that it is in
// the right journal:
//
//     who starts                      needs the journal from      and the commands from
//     from the oldest kept snapshot   its offset                  its position of the commands
//     ... and publishes the feed      its position of the feed
//     a standby, from its own view    the last record in it
//
// A standby that is too far behind is not waited for: it restores. Fewer snapshots than have to be kept: nothing is
// deleted, since what only one of them holds is on one file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "broker/ownership.hpp"
#include "store/journal.hpp"

namespace pawl::broker {

struct trim_inputs {
  std::vector<store::log_position> kept;  ///< where the good snapshots stand, in any order
  std::size_t to_keep = 2;
  bool feed = true;  ///< events are published; false: nobody does, and nobody's position is waited for
  std::int64_t end = 0;  ///< of the journal
  std::vector<std::int64_t> standbys{};  ///< the offset behind the last record in the view of each live one
  std::int64_t standby_limit = 0;  ///< records behind the end, beyond which one is not waited for
};

enum class trim_bound : std::uint8_t {
  snapshots,  ///< too few are kept
  snapshot,
  feed,
  standby,
};
std::string_view text(trim_bound b);

struct trim_plan {
  std::int64_t journal_below = 0;  ///< records of the journal below this offset are needed by nobody
  std::int64_t commands_below = 0;
  trim_bound bound = trim_bound::snapshots;  ///< what keeps the journal from being trimmed further
  bool operator==(const trim_plan&) const = default;
};
trim_plan plan_trim(const trim_inputs& in);

/// The views of a partition on live nodes, but for those that cannot be read on from. For trim_inputs::standbys.
std::vector<std::int64_t> views_of(const ownership_fold& fold, std::int32_t partition);

}  // namespace pawl::broker
