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

/// A node that follows a partition.
struct partition_follower {
  std::string node{};
  std::string name{};
  std::string state{};
  std::int64_t lag = -1;  ///< records that its view lacks, as its newest heartbeat says; -1: not known
};

/// A partition for people: `pawl partitions`. What only its leader knows is said by that node alone.
struct partition_report_row {
  partition_place place{};
  std::string state{};  ///< standby, catching up, announcing, leading, releasing, diverged; of nobody: vacant
  std::chrono::milliseconds since{0};  ///< how long it has been so
  std::uint64_t epoch = 0;
  std::vector<std::string> standbys{};  ///< node ids
  std::vector<partition_follower> followers{};  ///< all that hold a view and do not lead
  std::int64_t journal_end = -1;
  std::int64_t command_lag = -1;  ///< commands that are not dealt with; -1: not known here
  std::int64_t view_lag = -1;  ///< records that this node's view lacks; -1: it has none
  std::int64_t feed_lag = -1;  ///< records whose events are not published
  std::int64_t outbox_waiting = -1;  ///< messages to other partitions that the brokers have not acknowledged
  std::vector<std::int32_t> diverged_from{};  ///< partitions whose messages are not taken any more
  std::string trouble{};  ///< what this node's part in it suffers from
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
  std::uint32_t reads_format = 0;     ///< of the journal's records
  std::uint32_t reads_commands = 0;   ///< of commands in msgpack
  std::uint32_t reads_snapshots = 0;
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
  /// Keys of the runs in that view that have been open the longest. May throw view_error.
  virtual std::vector<engine::run_key> oldest_open(std::int32_t partition, std::size_t limit) const = 0;
  /// Changes when the view is opened anew, maybe from another file: views of an earlier life are not to be read again.
  virtual std::uint64_t view_life(std::int32_t partition) const = 0;
  /// How long ago this node's view of it was known to be at the end of the journal; none: it holds none.
  virtual std::optional<std::chrono::milliseconds> staleness(std::int32_t partition) const = 0;
  virtual std::vector<partition_report_row> partition_rows() const = 0;
  virtual std::vector<node_report_row> node_rows() const = 0;
  /// Whether that node says that it runs the type. `version` 0: any.
  virtual bool runs(const std::string& node, std::string_view type, std::uint32_t version) const = 0;
  /// Another living node that does and can be asked, as the place of no partition (-1); none: `node` is empty.
  virtual partition_place runner(std::string_view type, std::uint32_t version) const = 0;
  /// The newest format of commands that every living node reads.
  virtual std::uint32_t commands_read() const = 0;
  /// What this node as a whole suffers from; empty: nothing.
  virtual std::string trouble() const { return {}; }
};

}  // namespace pawl::node
