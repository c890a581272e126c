// Where the partitions are, for the edges: the api answers for those that this process leads and passes the rest on.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/view.hpp"

namespace pawl::node {

/// Who leads a partition, as far as this node knows.
struct partition_place {
  std::int32_t partition = 0;
  bool here = false;      ///< this process leads it, and its engine takes commands
  std::string node{};     ///< id of the node that leads it; empty: none does
  std::string name{};     ///< that node's name for people
  std::string address{};  ///< "host:port" of its HTTP; empty: it has none, or none leads
};

/// A partition for people: `pawl partitions`.
struct partition_report_row {
  partition_place place{};
  std::string state{};  ///< standby, catching up, announcing, leading, releasing, diverged; of nobody: vacant
  std::chrono::milliseconds since{0};  ///< how long it has been so
  std::uint64_t epoch = 0;
  std::vector<std::string> standbys{};  ///< node ids
  std::int64_t journal_end = -1;
  std::int64_t command_lag = -1;  ///< commands that are not dealt with; -1: not known here
  std::int64_t view_lag = -1;  ///< records that this node's view lacks; -1: it has none
  std::int64_t feed_lag = -1;  ///< records whose events are not published
  std::uint64_t open_runs = 0;
};

/// A node for people: `pawl nodes`.
struct node_report_row {
  std::string id{};
  std::string name{};
  std::string address{};
  std::string incarnation{};
  std::string health{};  ///< ok, sick, leaving, gone
  bool self = false;
  std::chrono::milliseconds silent{0};  ///< since its newest heartbeat, in log time
  std::chrono::milliseconds clock_offset{0};  ///< positive: ahead of the log
  std::string clock{};  ///< right, warns, forbids
  std::size_t leads = 0;
  std::size_t stands_by = 0;
  std::vector<std::string> types{};
  std::uint32_t reads_format = 0;
};

/// Thread-safe. Cheap, but for the documents.
class cluster {
 public:
  virtual ~cluster() = default;
  virtual std::int32_t partitions() const = 0;
  virtual std::int32_t partition_of(std::string_view workflow_id) const = 0;
  virtual partition_place place(std::int32_t partition) const = 0;
  /// This node's own view of a partition, of a leader or of a standby; null: it holds none. May throw view_error.
  virtual std::unique_ptr<store::view> open_view(std::int32_t partition) const = 0;
  /// Changes when the view is opened anew, maybe from another file: views of an earlier life are not to be read again.
  virtual std::uint64_t view_life(std::int32_t partition) const = 0;
  /// How long ago this node's view of it was known to be at the end of the journal; none: it holds none.
  virtual std::optional<std::chrono::milliseconds> staleness(std::int32_t partition) const = 0;
  virtual std::vector<partition_report_row> partition_rows() const = 0;
  virtual std::vector<node_report_row> node_rows() const = 0;
};

}  // namespace pawl::node
