// One partition's journal under a seed: the log that may lose its end, the snapshots, the trim, and seats: what each
// node has of it. A seat follows, announces itself and leads by the fence; who may announce itself, and what a batch
// says, comes from whoever builds on it.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "broker/fence.hpp"
#include "broker/trim_plan.hpp"
#include "tests/broker/simulated_outbox.hpp"

namespace pawl::broker::simulated {

inline constexpr std::int64_t standby_limit = 40;  // records
inline constexpr std::size_t to_keep = 2;

/// Taken away in turn, to show that each is needed.
struct trim_rules {
  bool two_are_kept = true;
  bool feed_is_waited_for = true;
  bool standbys_are_waited_for = true;
  bool commands_of_the_oldest = true;  ///< they are trimmed below the position in the oldest kept snapshot
  bool snapshots_are_checked = true;  ///< a damaged one is not started from, nor kept
  bool snapshots_fit = true;  ///< ... nor one of records that the log does not have any more
  bool views_fit = true;  ///< a view's last record is looked at again when it is opened
  bool below_the_trim_restores = true;  ///< a reader of what is gone does not just go on where the log begins
  bool producers_are_in_sequence = true;  ///< the brokers refuse what does not follow the producer's last record
  bool views_look_back = true;  ///< ... and when a new leader is read, or one whose announcement was not there
  fence_rules fence{};
};

struct entry {
  stamp s{};
  std::uint64_t id = 0;  // its checksum
  std::uint64_t on = 0;  // the state that it was decided on
  std::int64_t commands = 0;
  std::int64_t feed = -1;
  std::shared_ptr<const outbox_batch> says{};  // none where partitions have nothing to do with each other
};

/// What a view holds: the fold of the records up to `at`.
struct state {
  fold known{};
  std::int64_t at = -1;  // offset of the last record that counted
  std::uint64_t id = 0;  // and its checksum
  std::uint64_t digest = 0;  // of all of them
  std::int64_t commands = 0;
  std::int64_t feed = -1;
  std::shared_ptr<const outbox_fold> outbox{};  // none: nothing yet

  void take(std::int64_t offset, const entry& e, const fold& now);
};

struct snapshot {
  state of;
  bool damaged = false;
};

struct journal_totals {
  std::uint64_t counted = 0, skipped = 0, led = 0, snapshots = 0, trims = 0, trimmed = 0, restored = 0, below = 0,
                lost_views = 0, damaged = 0, lost_ends = 0, rebuilt = 0, pauses = 0, stalls = 0, noticed_late = 0,
                lost_appends = 0, lost_acks = 0, duplicates = 0, acted = 0;
};

/// A node's part in the partition.
struct seat {
  state view{};
  bool has_view = false;
  bool begun = false;
  broker::fence fence{};
  std::optional<entry> in_flight{};
  std::optional<std::pair<entry, std::int64_t>> answer{};  // offset -1: lost
  std::vector<state> kept{};  // good snapshots, as the leader knows them, the newest first
  bool adopted = false;
  std::int64_t published = -1;
  int paused = 0;
  int feed_stalls = 0;
  bool leads = false;
  bool gone = false;  // its process has ended
};

class journal_world {
 public:
  journal_world(std::mt19937_64& random, trim_rules rules, journal_totals& t);
  virtual ~journal_world() = default;
  journal_world(const journal_world&) = delete;
  journal_world& operator=(const journal_world&) = delete;

  std::int64_t end() const { return static_cast<std::int64_t>(log_.size()); }
  const entry& record(std::int64_t offset) const { return log_[static_cast<std::size_t>(offset)]; }
  /// What the log makes of the records below an offset.
  const state& truth(std::int64_t below) const { return truth_[static_cast<std::size_t>(below)]; }
  const std::string& wrong() const { return wrong_; }
  std::deque<seat>& seats() { return seats_; }
  const std::deque<seat>& seats() const { return seats_; }

  void step(seat& n);
  /// Of a broken producer, a stopped process: it leads no more, and begins anew.
  void step_down(seat& n);
  /// The youngest records are gone, as by a power cut; false: not now.
  bool lose_end();
  /// The newest snapshot, mostly, is of no use any more; false: not now.
  bool damage_snapshot();
  bool may_lose_end() const { return written_since_loss_ >= 2 || first_ == 0; }
  /// Nothing is lost any more, and nothing new is decided.
  void be_quiet() { quiet_ = true; }
  bool somebody_leads() const;
  bool settled() const;
  std::string standing() const;

 protected:
  /// The seat has read to the end of the log, and follows.
  virtual bool announces(seat& n) = 0;
  /// A batch is made; false: there is nothing to say.
  virtual bool decide(seat& n, entry& e) = 0;
  /// It is there, and counts: what rests on it may be done.
  virtual void committed(seat&, const entry&) {}
  virtual void began_to_lead(seat&) {}
  virtual void leads_no_more(seat&) {}
  virtual bool is_stopped(const seat& n) const { return n.paused > 0; }
  /// It is to give the partition up.
  virtual bool releases(const seat&) const { return false; }

  std::size_t pick(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random_); }
  bool chance(double p) { return std::uniform_real_distribution<>(0, 1)(random_) < p; }
  void fail(const std::string& what);
  bool quiet() const { return quiet_; }
  void send(seat& n, const entry& e);
  std::uint64_t next_id() { return ++ids_; }

  std::mt19937_64& random_;
  const trim_rules rules_;
  journal_totals& totals_;
  std::deque<seat> seats_;

 private:
  void put(const entry& e);
  bool goes_unnoticed(std::int64_t below) const;
  bool misfits(const state& s) const { return s.at < first_ || s.at >= end() || record(s.at).id != s.id; }
  bool usable(const snapshot& s) const;
  bool restore(seat& n);
  void begin(seat& n);
  void act(seat& n);
  bool read(seat& n, std::int64_t most);
  bool changed_behind(const seat& n, std::int64_t next) const;
  void count(seat& n, std::int64_t at, const entry& e);
  void check_leader(const seat& n);
  void begin_to_lead(seat& n);
  void lead(seat& n);
  bool take_answer(seat& n);
  void deliver();
  bool has_any_of(engine::reign r) const;
  bool in_sequence(const stamp& s) const;
  void publish(seat& n);
  void write_snapshot(seat& n);
  std::size_t keep() const { return rules_.two_are_kept ? to_keep : 1; }
  void trim(seat& n);

  std::vector<entry> log_;  // of what was trimmed too: for who knows everything
  std::vector<state> truth_;
  std::deque<std::pair<seat*, entry>> wire_;
  std::vector<snapshot> store_;  // the oldest first
  std::int64_t first_ = 0;
  std::int64_t commands_first_ = 0;
  std::int64_t trimmed_for_ = -1;  // the oldest snapshot that was kept when something was trimmed
  int written_since_loss_ = 0;
  bool quiet_ = false;
  std::uint64_t reigns_ = 0;
  std::uint64_t ids_ = 0;
  std::string wrong_;
};

}  // namespace pawl::broker::simulated
