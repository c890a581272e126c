// Reads snapshots: to fill a view with one, and to see whether one is good.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "store/embedded_journal.hpp"
#include "store/snapshot_writer.hpp"

namespace pawl::store {

struct restore_progress {
  std::uint64_t bytes = 0;
  std::uint64_t of = 0;
  std::uint64_t runs = 0;
};

struct snapshot_source {
  std::string topic;
  std::int32_t partition = 0;
  /// Why the journal does not go on from there; empty: it does. May throw, which ends everything.
  std::function<std::string(const log_position&)> misfit{};
  /// A snapshot was passed over, and why.
  std::function<void(const std::string&)> warn{};
};

/// The names of a partition's snapshots, the highest first. Throws store_error.
std::vector<std::string> list_snapshots(snapshot_store& from, std::int32_t partition);

/// What a snapshot says of itself, with the list of its segments, all of which are there. Reads the beginning only.
/// Throws snapshot_damage and store_error.
kept_snapshot read_head(snapshot_store& from, const std::string& name);

/// Fills the view with the highest snapshot that is good and fits; `progress` about every MiB. Where it then stands;
/// none: there is no such snapshot, and the view is as it was, or empty if one turned out to be damaged. Blocks the
/// appending thread, whose it is to call. Throws store_error where the view cannot be written or the store not listed.
std::optional<log_position> restore_view(snapshot_store& from, const snapshot_source& source, embedded_journal& view,
                                         const std::function<void(const restore_progress&)>& progress = {});

/// Reads a snapshot whole, without its segments. Throws snapshot_damage and store_error.
kept_snapshot check_snapshot(snapshot_store& from, const std::string& name);
/// Reads a segment whole; the keys of its runs, all of them lower than `below`, are added to `keys`. Throws
/// snapshot_damage and store_error; then none are.
void check_segment(snapshot_store& from, const segment_line& line, engine::run_key below, key_set& keys);

}  // namespace pawl::store
