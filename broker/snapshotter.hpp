// Keeps a partition's snapshots while this node leads it, and its journal and commands trimmed below them
// (docs/snapshots.md). On a thread of its own:
//
//     what is there is read whole: the good ones are kept, of the newest the segments are gone on from
//     then, every second: due? --> segments, snapshot --> too old ones removed --> the plan --> DeleteRecords
//
// It only reads the view, and holds up nobody who appends to it. What fails is told, and tried again later.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "broker/trim_plan.hpp"
#include "store/snapshot_writer.hpp"

namespace pawl::broker {

struct snapshot_rules {
  std::uint64_t records = 100'000;  ///< of the journal since the last one, or
  std::uint64_t bytes = std::uint64_t{256} << 20;  ///< so many bytes; in any case as many as the last one has
  std::chrono::milliseconds interval{60'000};  ///< from the end of one to the beginning of the next
  std::size_t keep = 2;
  std::int64_t standby_limit = 1'000'000;  ///< records; see trim_inputs
  std::uint64_t segment_bytes = std::uint64_t{64} << 20;
  std::chrono::milliseconds look_every{1'000};
};

/// How far the journal of this partition has come, as the leader sees it.
struct journal_progress {
  std::int64_t end = 0;  ///< offset behind the newest record
  std::uint64_t appended = 0;  ///< records and bytes, since some moment
  std::uint64_t appended_bytes = 0;
};

struct snapshotter_options {
  std::string topic;  ///< "shop.journal"
  std::int32_t partition = 0;
  snapshot_rules rules;
  bool feed = true;  ///< events are published
  // Called on the snapshotter's thread; what they throw is an error like any other.
  std::function<journal_progress()> progress;
  /// Why the journal does not go on from there; empty: it does.
  std::function<std::string(const store::log_position&)> misfit;
  /// trim_inputs::standbys.
  std::function<std::vector<std::int64_t>()> standbys{};
  /// Deletes records of the journal, and of the commands, below an offset.
  std::function<void(std::int64_t below)> trim_journal;
  std::function<void(std::int64_t below)> trim_commands;
  std::function<void(const std::string&)> warn{};  ///< what a person should know
  std::function<void(const std::string&)> told{};  ///< what is worth a line in the log
};

struct snapshotter_stats {
  std::uint64_t written = 0;
  std::uint64_t failed = 0;
  std::string last_error;  ///< of the newest try; empty: it went well
  std::size_t kept = 0;  ///< good ones
  std::int64_t newest = -1;  ///< offset of the newest good one
  std::int64_t oldest = -1;
  std::uint64_t last_bytes = 0;  ///< of the newest, without its segments
  std::uint64_t segments = 0;  ///< that it lists
  std::uint64_t segment_bytes = 0;
  std::chrono::milliseconds last_took{0};
  std::int64_t journal_below = 0;  ///< trimmed to there by this node
  std::int64_t commands_below = 0;
  std::string bound;  ///< what keeps the journal from being trimmed further
};

/// Thread-safe. The store and the view must outlive it.
class snapshotter {
 public:
  snapshotter(store::snapshot_store& store, const store::embedded_journal& view, snapshotter_options o);
  /// As stop().
  ~snapshotter();
  snapshotter(const snapshotter&) = delete;
  snapshotter& operator=(const snapshotter&) = delete;

  /// Writes one as soon as it can, whatever the rules say.
  void write_now();
  /// Ends; one that is being written is given up. Waits for that, at most some hundred milliseconds and what a call of
  /// the store takes.
  void stop();
  snapshotter_stats stats() const;

 private:
  using lines = std::vector<store::segment_line>;
  void run(const std::stop_token& stop);
  void look(const std::stop_token& stop);
  bool wait(const std::stop_token& stop);
  void begin_anew();
  void adopt(const std::stop_token& stop);
  std::optional<store::kept_snapshot> usable(const std::string& name);
  lines good_segments(const store::kept_snapshot& of, std::set<std::string>& good, store::key_set& keys);
  bool due();
  void write(const std::stop_token& stop);
  void remove_old();
  std::set<std::string> segments_needed(const std::vector<std::string>& snapshots) const;
  void trim();
  void failed(const std::string& what);
  void show();

  store::snapshot_store& store_;
  const store::embedded_journal& view_;
  const snapshotter_options options_;

  // The thread's own.
  std::optional<store::snapshot_writer> writer_;
  std::uint64_t emptied_ = 0;  // the view had been so often when the writer was made
  std::vector<store::kept_snapshot> kept_;  // good ones, the newest first
  journal_progress then_;  // when the newest was written, or this began
  std::chrono::steady_clock::time_point next_{}, next_trim_{};
  bool asked_ = false;
  bool fresh_ = false;  // one was written since the last trim
  std::string complaint_;  // told last

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable_any changed_;
  bool now_ = false;
  snapshotter_stats stats_;

  std::jthread thread_;  // of all of the above; ends before them
};

}  // namespace pawl::broker
