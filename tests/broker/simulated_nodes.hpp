// Nodes under a seed: processes that heartbeat into one log and fold it, with heartbeats held up, readers that lag or
// begin in the middle, pauses (a process that is not stepped), crashes, restarts under a new incarnation, also while
// the old process is only paused, sick, leaving and wrong-clocked nodes, a broker that is away for minutes and one
// whose clock is set. What the partitions are is up to whoever builds on it.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "broker/ownership.hpp"

namespace pawl::broker::simulated {

inline constexpr std::int64_t tick = 100;  // ms
inline constexpr std::int64_t longest_delay = 300;  // of a heartbeat on its way
inline constexpr std::int64_t settles_within = 80 * 300;
inline constexpr std::int64_t stays_for = 5'000;  // settled, to be believed

struct node_totals {
  std::uint64_t heartbeats = 0, agreements = 0, outages = 0, clock_sets = 0, pauses = 0, crashes = 0, twins = 0,
                lost_views = 0, sick = 0, leaving = 0, wrong_clocks = 0, late_readers = 0, gone = 0, back = 0,
                replaced = 0, ignored = 0, announced = 0, refused = 0, superseded = 0, releases = 0;
  std::int64_t slowest = 0;
};

struct process {
  std::size_t node;
  ownership own;
  std::vector<std::uint64_t> beats_at_refusal{};  // by partition: heartbeats made until then
  std::int64_t clock = 0;  // ms ahead
  node_health health = node_health::ok;
  std::int64_t health_until = 0;
  std::int64_t paused_until = 0;
  std::int64_t last_stopped = 0;
  std::int64_t next_beat = 0;
  std::int64_t arrives = 0;  // of its newest heartbeat
  std::int64_t held_up = 0;  // arrival of the newest that the last outage held up
  std::uint64_t beats = 0;
  std::uint64_t beats_read = 0;
  std::int64_t first_offset = -1;
  bool from_the_start = true;
  bool alive = true;
};

class node_world {
 public:
  struct shape {
    std::size_t nodes;
    std::size_t partitions;
    std::size_t standbys = 1;
    std::int64_t faults_until = 20'000;  // in time without outages
  };
  node_world(std::uint64_t seed, shape s, ownership_rules rules, node_totals& t);
  virtual ~node_world() = default;
  node_world(const node_world&) = delete;
  node_world& operator=(const node_world&) = delete;

  /// What went wrong; empty: nothing.
  std::string run();

 protected:
  struct on_its_way {
    std::uint64_t number;
    std::int64_t arrives;
    std::size_t process;
    std::optional<heartbeat> beat;
    std::size_t partition = 0;  // without a beat: whatever arrived() makes of it
    std::uint64_t epoch = 0;
  };

  /// Process k has begun; with the views of another one, or with none.
  virtual void started(std::size_t k, std::optional<std::size_t> views_of) = 0;
  virtual void ended(std::size_t) {}
  /// Once a tick, before the processes.
  virtual void pass() {}
  virtual void arrived(const on_its_way&) {}
  /// A running process reads and does what it has to, before its heartbeat and behind it.
  virtual void follow(std::size_t k, std::size_t partition) = 0;
  virtual void act(std::size_t k, std::size_t partition) = 0;
  /// What its heartbeat says; none: it has no view of it.
  virtual std::optional<partition_report> report(std::size_t k, std::size_t partition) const = 0;
  virtual journal_end journal(std::size_t k, std::size_t partition) const = 0;
  virtual std::optional<std::size_t> leader_of(std::size_t partition) const = 0;
  virtual bool leads(std::size_t k, std::size_t partition) const = 0;
  /// The faults are over.
  virtual void healed() {}
  /// Something else that is not in order yet; empty: nothing.
  virtual std::string unsettled() { return {}; }
  /// Some other fault.
  virtual void other_fault() {}

  std::size_t pick(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random_); }
  bool chance(double p) { return std::uniform_real_distribution<>(0, 1)(random_) < p; }
  std::int64_t between(std::int64_t a, std::int64_t b) {
    return std::uniform_int_distribution<std::int64_t>(a, b)(random_);
  }
  void fail(const std::string& what);
  bool is_wrong() const { return !wrong_.empty(); }
  // Of every seed its own, since the names decide the placement.
  std::string name(std::size_t node) const { return prefix_ + std::to_string(node); }
  /// What every process does, before anything else in its life.
  void start_all();
  bool running(std::size_t k) const { return processes_[k]->alive && processes_[k]->paused_until <= active_; }
  void refuse(std::size_t k, std::size_t partition);
  /// Whether the process may announce itself now, by what it has heard. `behind`: records that its view lacks.
  void check_announcement(std::size_t k, std::size_t partition, std::int64_t behind, std::int64_t leader_since);
  void post(on_its_way m) { way_.push_back(std::move(m)); }
  std::uint64_t next_number() { return ++sent_; }
  std::int64_t active() const { return active_; }

  std::mt19937_64 random_;
  const std::size_t nodes_;
  const std::size_t partitions_;
  node_totals& nodes_totals_;
  std::vector<std::unique_ptr<process>> processes_;

 private:
  struct entry {
    std::int64_t append_ms;
    heartbeat h;
    std::size_t process;
  };
  ownership_settings settings() const;
  void start(std::size_t node, bool keep_views);
  void end(std::size_t k);
  void faults();
  void broker_fault(bool outage);
  void heal();
  // The time of day: `active_` is without the outages.
  std::int64_t now() const { return 1'700'000'000'000 + active_ + away_; }
  void advance();
  void arrivals();
  void append(on_its_way m);
  static std::uint64_t digest(const ownership_fold& f);
  void step(std::size_t k);
  bool read_nodes(std::size_t k, process& p);
  std::size_t newest(std::size_t node) const;
  void beat(std::size_t k, process& p);
  std::string not_in_place();

  const std::string prefix_;
  const shape shape_;
  const ownership_rules rules_;
  ownership_fold truth_;
  std::vector<std::size_t> current_;  // by node: the process that was started last
  std::vector<std::int64_t> restart_at_;  // by node; below 0: not
  std::vector<entry> log_;
  std::vector<std::uint64_t> digests_;  // of the truth, behind each record
  std::deque<on_its_way> way_;
  std::uint64_t sent_ = 0;
  std::int64_t active_ = 0;
  std::int64_t away_ = 0;
  std::int64_t broker_clock_ = 0;
  std::int64_t next_broker_fault_ = 0;
  std::string wrong_;
};

}  // namespace pawl::broker::simulated
