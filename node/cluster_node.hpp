// A node of a cluster on Kafka: its membership, its partitions, and where everybody else's are. docs/cluster.md is the
// promise.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <pawl/registry.hpp>

#include "config/load.hpp"
#include "node/attempt_courier.hpp"
#include "node/cluster.hpp"
#include "node/logging.hpp"
#include "node/partition_host.hpp"

namespace pawl::node {

struct cluster_node_options {
  const registry& types;
  const config::settings& settings;
  std::string directory;
  std::string node_id;
  engine::incarnation incarnation = 0;
  std::function<std::string()> address;  ///< "host:port" where others reach this node's HTTP; empty: nowhere
  node_log log;
  /// Any thread: the node must end, and why.
  std::function<void(const std::string& why)> on_fatal;
};

/// Thread-safe.
class cluster_node final : public cluster {
 public:
  /// Makes or checks the topics, says how many partitions there are. Blocks. Throws kafka_error and store::store_error.
  explicit cluster_node(cluster_node_options o);
  ~cluster_node() override;

  /// Begins to take part. The system must outlive it, or stop() be called first.
  void join(actors::node_system& system);
  /// What node_options::on_orphan is told goes to whoever leads the partition. Once joined.
  void tell_end(const actors::orphan_end& end);
  /// Another node is there that could take over.
  bool has_others() const;
  /// From now on this node leads nothing: its partitions go to others, if there are any. Returns when it has given up
  /// all of them, or after `patience`.
  void hand_over(std::chrono::milliseconds patience);
  /// hand_over(), and ends its part in the cluster.
  void stop();

  std::int32_t partitions() const override { return partitions_; }
  std::int32_t partition_of(std::string_view workflow_id) const override;
  partition_place place(std::int32_t partition) const override;
  std::unique_ptr<store::view> open_view(std::int32_t partition) const override;
  std::vector<engine::run_key> oldest_open(std::int32_t partition, std::size_t limit) const override;
  std::uint64_t view_life(std::int32_t partition) const override;
  std::optional<std::chrono::milliseconds> staleness(std::int32_t partition) const override;
  std::vector<partition_report_row> partition_rows() const override;
  std::vector<node_report_row> node_rows() const override;
  bool runs(const std::string& node, std::string_view type, std::uint32_t version) const override;
  partition_place runner(std::string_view type, std::uint32_t version) const override;
  std::uint32_t commands_read() const override;
  std::string trouble() const override { return disk_.why(); }

 private:
  broker::heartbeat report() const;
  void on_heard(actors::node_system& system, const broker::ownership_fold& fold);
  std::function<void(int, std::string_view)> kafka_log() const;
  void ensure_topics();
  void on_disk(bool sick, const std::string& why);

  const cluster_node_options options_;
  const broker::kafka_options client_;
  std::int32_t partitions_ = 0;
  std::atomic<bool> leaving_{false};
  std::atomic<bool> joined_{false};
  std::unique_ptr<store::snapshot_store> snapshots_;  // null: none
  disk_watch disk_;
  actors::fleet::nodes told_fleet_;  // of the membership's thread
  std::unique_ptr<broker::membership> members_;
  std::unique_ptr<attempt_courier> courier_;
  std::vector<std::unique_ptr<partition_host>> hosts_;  // after the membership and the courier, which they ask
};

}  // namespace pawl::node
