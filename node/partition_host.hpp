// One partition on this node: a thread that follows the journal into the local view while others lead, announces when
// it is this node's turn, and then hosts the engine, the intake of commands and the feed, until another node leads.
//
//     away --should follow--> following --its turn, announced--> leading --deposed, unfit, asked to release-->
//     following
//       ^                         |
//       '-------- no more --------'          what fails is closed, and tried again with back-off
//
// A view is only a copy: one that cannot be opened or does not fit is set aside and read anew.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <pawl/registry.hpp>

#include "actors/node_system.hpp"
#include "broker/command_intake.hpp"
#include "broker/feed_publisher.hpp"
#include "broker/kafka_journal.hpp"
#include "broker/membership.hpp"
#include "broker/outbox_sender.hpp"
#include "broker/snapshotter.hpp"
#include "node/attempt_courier.hpp"
#include "node/command_reader.hpp"
#include "node/disk_watch.hpp"
#include "node/logging.hpp"
#include "node/strikes.hpp"
#include "store/embedded_journal.hpp"

namespace pawl::node {

/// A view that has to be set aside so often in that time says that the disk is sick.
inline constexpr std::size_t most_damages = 3;
inline constexpr std::chrono::minutes damage_window{10};
/// A journal that diverges so often in that time is left to others for a while.
inline constexpr std::size_t most_divergences = 3;
inline constexpr std::chrono::minutes divergence_window{10};
inline constexpr std::chrono::milliseconds divergence_rest{60'000};

struct partition_host_options {
  std::int32_t number = 0;
  std::int32_t partitions;  ///< of the namespace
  std::string name_space;
  broker::kafka_options client;
  store::embedded_options view;  ///< its directory is made
  broker::announcer who;
  std::chrono::milliseconds append_timeout{10'000};
  store::snapshot_store* snapshots = nullptr;  ///< null: none are written, and nothing is trimmed
  broker::snapshot_rules snapshot_rules{};
  command_limits commands;
  runs_elsewhere_function runs_elsewhere{};
  const registry& types;
  broker::membership& members;
  disk_watch& disk;  ///< while it is sick this node holds nothing
  actors::node_system& system;
  attempt_courier& courier;
  node_log log;
};

struct partition_host_status {
  broker::partition_role role = broker::partition_role::standby;
  bool holds_view = false;
  bool engine = false;  ///< its engine takes commands
  std::chrono::steady_clock::time_point since{};  ///< of the role
  broker::kafka_journal_stats journal{};
  std::optional<broker::command_intake_stats> commands{};
  std::optional<broker::feed_stats> feed{};
  std::optional<broker::snapshotter_stats> snapshots{};
  std::int64_t outbox_waiting = -1;           ///< leading: messages to other partitions
  std::vector<std::int32_t> diverged_from{};  ///< leading: partitions whose messages are not taken any more
  std::int64_t fed = -1;  ///< offset of the journal up to which the feed is published
  std::uint64_t views_opened = 0;
  std::uint64_t views_set_aside = 0;
  std::string trouble{};
};

/// Thread-safe.
class partition_host {
 public:
  explicit partition_host(partition_host_options o);
  /// As stop().
  ~partition_host();
  partition_host(const partition_host&) = delete;
  partition_host& operator=(const partition_host&) = delete;

  /// Gives the leadership up, if it has it, so that another node takes over at once, and holds nothing any more.
  /// Returns at once; see is_leading().
  void release();
  /// Ends it; a leadership is released.
  void stop();
  bool is_leading() const;
  partition_host_status status() const;
  /// For the heartbeat; none: this node has no view of it.
  std::optional<broker::partition_report> report() const;
  /// Null: it has none now. While this node leads, it shows all that is committed; see node_system::await_views(). May
  /// throw store::view_error.
  std::unique_ptr<store::view> open_view() const;

 private:
  bool is_releasing() const;
  void run();
  bool trying_again(const char* trouble, std::chrono::milliseconds& pause);
  void follow();
  void lead();
  void serve();
  void give_up_leading();
  bool open();
  void close();
  bool open_view_file();
  void set_aside(const std::string& why);
  void on_view_failed(const store::write_error& e);
  bool diverges_again_and_again();
  bool is_resting() const;
  broker::partition_role role_now() const;
  void set_role(broker::partition_role role);
  void start_feed();
  void start_commands();
  void start_snapshots();
  peer_sinks peer_messages() const;
  std::vector<engine::incarnation> living_nodes() const;
  void watch_nodes();
  broker::journal_end end() const;
  broker::kafka_journal_options::again lead_again() const;
  std::function<void(const std::string&)> warner(const char* event) const;
  bool wait(std::chrono::milliseconds time);

  const partition_host_options options_;
  const std::string name_;  // "shop/3"

  // The thread's own, while it leads: which nodes live is told to the engine when everything that those which are gone
  // had to say is dealt with.
  struct node_watch {
    std::optional<std::vector<engine::incarnation>> told{};
    std::vector<engine::incarnation> seen{};
    std::uint64_t mark = 0;  // 0: all is told
    std::chrono::steady_clock::time_point patience{};
  };
  node_watch nodes_;

  mutable std::mutex mutex_;  // guards what follows; the pointers are set and reset by the thread alone
  std::condition_variable woken_;
  bool stopping_ = false;
  bool releasing_ = false;
  std::string lost_;  // not empty: this node does not lead any more, and why
  std::string broken_;  // not empty: the view cannot be written
  broker::partition_role role_ = broker::partition_role::standby;
  std::chrono::steady_clock::time_point since_{};
  bool engine_ = false;
  std::uint64_t views_opened_ = 0;
  std::uint64_t views_set_aside_ = 0;
  std::string trouble_;
  std::chrono::steady_clock::time_point rests_until_{};  // its journal has diverged again and again
  // The thread's own.
  strikes damages_{most_damages, damage_window};
  strikes divergences_{most_divergences, divergence_window};
  std::uint64_t rebuilt_ = 0;  // of the journal, as last seen
  // Under the mutex again.
  std::unique_ptr<store::embedded_journal> view_;
  std::unique_ptr<broker::kafka_journal> journal_;
  std::unique_ptr<broker::feed_publisher> feed_;
  std::unique_ptr<broker::outbox_sender> outbox_;
  std::unique_ptr<broker::snapshotter> snapshotter_;
  std::unique_ptr<broker::command_intake> commands_;
  std::thread thread_;  // last: uses the above
};

}  // namespace pawl::node
