// Queries over the view: what restarts, the command line and HTTP read. Only committed state is ever seen.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/journal.hpp"

namespace pawl::store {

struct run_row {
  engine::run_key key = 0;
  run_header header;
  run_summary summary;
  std::uint64_t last_seq = 0;
};

struct list_filter {
  std::string type{};                     ///< empty: any
  std::string id_prefix{};                ///< empty: any
  std::optional<engine::phase> phase{};   ///< none: any
  std::optional<bool> paused{};
  std::optional<bool> open{};
  engine::run_key below = INT64_MAX;      ///< page: keys lower than this, newest first
  std::size_t limit = 100;
};

/// A history as it is kept, with the newest heartbeat details of its steps.
struct stored_history {
  std::vector<engine::event> events;
  std::vector<heartbeat_row> heartbeats;
  std::string error;  ///< not empty: an event's bytes do not decode; says which
};

/// How much of the histories of several runs is read together: what is longer is for whoever reads it alone.
struct together {
  std::size_t events = 64;                        ///< of a run
  std::size_t bytes = std::size_t{64} << 10;      ///< of a run, as they are stored
  std::size_t all_bytes = std::size_t{1} << 20;   ///< of all the runs
};

/// What an open run is brought to memory with.
struct opened_run {
  engine::run_key key = 0;
  std::string workflow_id;
  /// None: it is longer than was asked for, or could not be read; who reads it alone is told why.
  std::optional<stored_history> history;
};

struct view_counts {
  std::uint64_t open = 0;
  std::uint64_t paused = 0;
  std::uint64_t closed = 0;
};

/// Thrown when the file cannot be read: names the file, what happened and what to do.
class view_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Thread-compatible: one thread at a time; open as many as there are threads. Every call may throw view_error.
class view {
 public:
  virtual ~view() = default;
  /// The newest run of a workflow id.
  virtual std::optional<run_row> find(std::string_view workflow_id) = 0;
  virtual std::optional<run_row> find(std::string_view workflow_id, std::uint32_t run) = 0;
  virtual std::optional<run_row> get(engine::run_key key) = 0;
  /// Events from `from_seq` on, at most `limit`.
  virtual stored_history history(engine::run_key key, std::uint64_t from_seq = 1, std::size_t limit = SIZE_MAX) = 0;
  /// The same events as they are stored, unread: for who takes them elsewhere.
  virtual std::vector<event_row> stored(engine::run_key key, std::uint64_t from_seq, std::size_t limit) = 0;
  /// Open runs that have to be in memory before `until` (microseconds), earliest first: pages by (wake_at, key) above
  /// `after`. Only an index is read.
  struct due_cursor {
    std::int64_t wake_at = -1;
    engine::run_key key = 0;
  };
  virtual std::vector<due_cursor> due(std::int64_t until, due_cursor after, std::size_t limit) = 0;
  /// Those of the keys that are of open runs, in their order, all from one snapshot. Cheapest in ascending order.
  virtual std::vector<opened_run> opened(std::span<const engine::run_key> keys, const together& limits) = 0;
  virtual std::vector<run_row> list(const list_filter& filter) = 0;
  virtual std::optional<outcome_row> outcome(std::string_view workflow_id, std::string_view command_id) = 0;
  virtual view_counts counts() = 0;
  /// Which versions new runs get, as somebody has marked them; what was taken away has version 0.
  virtual engine::type_marks type_marks() = 0;
};

/// Opens `<directory>/pawl.db` for reading, a WAL left by a kill included; works beside a running node and without one.
std::unique_ptr<view> open_view(const std::string& directory);

}  // namespace pawl::store
