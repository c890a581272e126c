// Which version of its type a new run gets that names none: the one that somebody has marked (`types use`), else the
// highest that all living nodes run, else the highest of the node that decides. Pure, as everything here.
//
// A mark is decided by one partition, the one that a workflow with the type's name for its id would be in, which gives
// it a revision; the journal's outbox takes it to the others. So all of them come to the same, in whatever order they
// hear.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace pawl::engine {

/// What somebody has said about new runs of a type.
struct type_mark {
  std::string type;
  std::uint32_t version = 0;   ///< 0: none is marked (any more)
  std::uint64_t revision = 0;  ///< 1, 2, … for each type
  std::int64_t at = 0;         ///< microseconds since the epoch: when it was decided
  std::string by{};            ///< the id of the command that said it
  bool operator==(const type_mark&) const = default;
};
/// Whether `a` counts rather than `b`. Revisions differ, but where the deciding partition has lost the end of its
/// journal and given one again: then the later counts.
bool is_newer(const type_mark& a, const type_mark& b);

/// The newest mark of each type.
using type_marks = std::map<std::string, type_mark, std::less<>>;
/// False: a newer one is known.
bool fold(type_marks& all, type_mark m);

/// What one node runs: the versions of each type, ascending.
using runnable_types = std::map<std::string, std::vector<std::uint32_t>, std::less<>>;
/// From "order/2", as heartbeats have it; what is not of that form is passed over.
runnable_types runnable_from(const std::vector<std::string>& entries);

/// The highest version that all of these nodes run which have the type at all; 0: there is none.
std::uint32_t common_version(const std::vector<const runnable_types*>& nodes, std::string_view type);

enum class version_reason : std::uint8_t {
  none,    ///< nobody has the type
  marked,  ///< somebody has said so
  common,  ///< the highest that all living nodes run
  local,   ///< the highest of the node that decides: there is no other, or no version that all run
};
std::string_view to_text(version_reason r);

struct version_choice {
  std::uint32_t version = 0;
  version_reason why = version_reason::none;
  bool operator==(const version_choice&) const = default;
};
/// `marked`, `common` and `own` (the highest of the node that decides): 0 where there is none.
version_choice choose_version(std::uint32_t marked, std::uint32_t common, std::uint32_t own);

}  // namespace pawl::engine
