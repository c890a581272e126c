// Writes snapshots of a view (docs/snapshots.md), beside the one who appends to it.
//
//     closed runs that are in no segment yet --> segments        in many small readings: they do not change any more
//     what is open, and the tables           --> the snapshot    in one reading; it lists the segments
//
// Which runs have been closed since is told by the events that were written since: rows of `events` are numbered in the
// order of writing. The first time it is told by the keys in the segments that it is given.
#pragma once

#include <cstdint>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "store/embedded_journal.hpp"
#include "store/snapshot_codec.hpp"
#include "store/sqlite.hpp"

namespace pawl::store {

/// A snapshot that is there and was read to its end.
struct kept_snapshot {
  std::string name;
  std::uint64_t bytes = 0;  ///< of itself
  snapshot_about about;
  std::vector<segment_line> segments;
};

/// Keys of runs, a bit each.
class key_set {
 public:
  void add(engine::run_key key);
  bool has(engine::run_key key) const;

 private:
  std::vector<bool> bits_;
};

/// One thread at a time, any.
class snapshot_writer {
 public:
  struct options {
    std::string topic;
    std::int32_t partition = 0;
    std::uint64_t segment_bytes = std::uint64_t{64} << 20;  ///< a segment is ended when it has so many
  };
  /// The store and the view must outlive it.
  snapshot_writer(snapshot_store& to, const embedded_journal& view, options o)
      : to_(to),
        view_(view),
        options_(std::move(o)),
        emptied_(view.emptied()) {}

  /// These segments are good and hold the runs of these keys, closed ones of the same journal.
  void continue_from(std::vector<segment_line> segments, key_set keys);
  /// Writes the segments that are missing, and a snapshot of where the view stands now. Costs what was closed and what
  /// is open. Throws store_error; what it has written then is of no harm, and the next call goes on. A view that has
  /// been emptied since this was made needs another writer.
  kept_snapshot write(const std::stop_token& stop = {});

  struct stats {
    std::uint64_t segments = 0;  ///< written
    std::uint64_t segment_bytes = 0;
    std::uint64_t runs_in_segments = 0;
    std::uint64_t snapshot_bytes = 0;
  };
  const stats& written() const { return written_; }
  /// Those that the next snapshot lists, at least.
  const std::vector<segment_line>& segments() const { return segments_; }

 private:
  void check(const std::stop_token& stop) const;
  void write_all_closed(database& db, const std::stop_token& stop);
  void write_closed_since(database& db, const std::stop_token& stop);
  void write_segments(database& db, const std::vector<engine::run_key>& keys, const std::stop_token& stop);
  std::size_t write_segment(database& db, std::span<const engine::run_key> keys, const std::stop_token& stop);
  kept_snapshot write_snapshot(database& db, const std::stop_token& stop);

  snapshot_store& to_;
  const embedded_journal& view_;
  const options options_;
  std::vector<segment_line> segments_;
  key_set in_segments_;
  std::int64_t upto_ = -1;  // runs closed by events up to that number are in segments; -1: those of in_segments_ are
  std::int64_t offset_ = 0;  // where the view stood when the present segments were begun
  const std::uint64_t emptied_;  // of the view, when this was made
  stats written_;
};

}  // namespace pawl::store
