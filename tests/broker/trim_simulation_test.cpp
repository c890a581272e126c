// Snapshots and the trimmed journal under one seed: nodes that fold one partition's journal into views and lead it in
// turn, write snapshots and trim below them, while nodes are paused and killed, views are lost, snapshots are damaged,
// the feed stands still, and the log loses its end.
//
// What must hold: who leads has the state that the log makes of its records, and so has everybody soon after somebody
// has announced itself; who leads finds the records that the feed has not had and the commands that are not dealt with;
// a standby that is close is not overtaken by the trim; and whoever has no view finds a snapshot to start from. For
// that, between two losses (of a snapshot, or of the end of the log) at least two snapshots are written, and the end
// that is lost is younger than the oldest of those kept: what two copies are for.
//
// Not tried, since it goes wrong: the end is lost, is written again, and nobody can tell by what it has read last. So
// it is where all that a reader loses are records that it has skipped (an announcement in their place is never read),
// and where a whole reign is in the end that is lost, while its leader is stopped or a record of it is still under way
// (to the brokers its producer is then a new one, and takes any number).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "broker/fence.hpp"
#include "broker/trim_plan.hpp"
#include "tests/broker/seeds.hpp"

namespace pawl::broker {
namespace {

constexpr std::int64_t standby_limit = 40;  // records
constexpr std::size_t to_keep = 2;

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
};

struct entry {
  stamp s;
  std::uint64_t id = 0;  // its checksum
  std::uint64_t on = 0;  // the state that it was decided on
  std::int64_t commands = 0;
  std::int64_t feed = -1;
};

/// What a view holds: the fold of the records up to `at`.
struct state {
  fold known;
  std::int64_t at = -1;  // offset of the last record that counted
  std::uint64_t id = 0;  // and its checksum
  std::uint64_t digest = 0;  // of all of them
  std::int64_t commands = 0;
  std::int64_t feed = -1;

  void take(std::int64_t offset, const entry& e, const fold& now) {
    known = now;
    at = offset;
    id = e.id;
    digest = (digest ^ e.id) * 0x9e3779b97f4a7c15ULL + 1;
    if (e.s.kind != record_kind::batch) return;
    commands = e.commands;
    feed = e.feed;
  }
};

struct snapshot {
  state of;
  bool damaged = false;
};

struct totals {
  std::uint64_t counted = 0, skipped = 0, led = 0, snapshots = 0, trims = 0, trimmed = 0, restored = 0, below = 0,
                lost_views = 0, damaged = 0, lost_ends = 0, rebuilt = 0, pauses = 0, stalls = 0, noticed_late = 0;
};

class world {
 public:
  world(std::uint64_t seed, trim_rules rules, totals& t) : random_(seed), rules_(rules), totals_(t), nodes_(3) {
    truth_.push_back({});
  }

  std::string run() {
    for (int k = 0; k < 2'500 && wrong_.empty(); ++k) {
      faults();
      step(nodes_[pick(nodes_.size())]);
    }
    // Nothing is wrong any more, and nothing new is decided; somebody announces itself, so that all look back.
    for (auto& n : nodes_) {
      n.paused = n.feed_stalls = 0;
      step_down(n);
    }
    quiet_ = true;
    for (int k = 0; k < 3'000 && wrong_.empty() && !settled(); ++k) step(nodes_[pick(nodes_.size())]);
    if (wrong_.empty() && !settled()) fail("the nodes do not come to the end of the log: " + standing());
    return wrong_;
  }

 private:
  struct node {
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
  };

  std::size_t pick(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random_); }
  bool chance(double p) { return std::uniform_real_distribution<>(0, 1)(random_) < p; }
  std::int64_t end() const { return static_cast<std::int64_t>(log_.size()); }
  const entry& record(std::int64_t offset) const { return log_[static_cast<std::size_t>(offset)]; }
  /// What the log makes of the records below an offset.
  const state& truth(std::int64_t below) const { return truth_[static_cast<std::size_t>(below)]; }
  void fail(const std::string& what) {
    if (wrong_.empty()) wrong_ = what + " (log " + std::to_string(first_) + " to " + std::to_string(end()) + ")";
  }
  std::string standing() const {
    std::string out;
    for (const auto& n : nodes_)
      out += (n.begun ? "next " + std::to_string(n.fence.next_offset()) + " standing " +
                            std::to_string(static_cast<int>(n.fence.now()))
                      : std::string("not begun")) +
             (n.view.digest == truth(end()).digest ? "; " : " on another state; ");
    return out;
  }
  bool somebody_leads() const {
    return std::any_of(nodes_.begin(), nodes_.end(),
                       [](const node& n) { return n.begun && n.fence.now() != fence::standing::following; });
  }
  bool settled() const {
    return wire_.empty() && somebody_leads() && std::all_of(nodes_.begin(), nodes_.end(), [&](const node& n) {
             return n.begun && n.fence.next_offset() == end() && n.view.digest == truth(end()).digest;
           });
  }

  // ---- the log

  void put(const entry& e) {
    auto s = truth(end());
    auto known = s.known;
    if (known.apply(e.s)) {
      if (e.s.kind == record_kind::batch && e.on != s.digest)
        fail("offset " + std::to_string(end()) + " counts, and was decided on another state");
      s.take(end(), e, known);
    }
    log_.push_back(e);
    truth_.push_back(s);
  }

  // The youngest records are gone, as by a power cut.
  void lose_end() {
    const auto oldest = std::max(first_, trimmed_for_ + 1);
    if (end() - oldest < 2) return;
    const auto lost =
        1 + static_cast<std::int64_t>(pick(static_cast<std::size_t>(std::min<std::int64_t>(6, end() - oldest - 1))));
    if (goes_unnoticed(end() - lost)) return;
    log_.resize(static_cast<std::size_t>(end() - lost));
    truth_.resize(log_.size() + 1);
    ++totals_.lost_ends;
    written_since_loss_ = 0;
    std::erase_if(
        wire_, [&](const auto& w) { return w.second.s.kind == record_kind::batch && !has_any_of(w.second.s.reign); });
    // Who leads reads its records back all the time, and hears of an end that is below what it has read.
    for (auto& n : nodes_)
      if (n.begun && n.fence.now() != fence::standing::following &&
          (n.fence.next_offset() > end() || (n.answer && !has_any_of(n.fence.own()))))
        step_down(n);
  }

  // What is not tried; see above.
  bool goes_unnoticed(std::int64_t below) const {
    return std::any_of(nodes_.begin(), nodes_.end(), [&](const node& n) {
      return (n.paused > 0 && n.fence.now() != fence::standing::following) ||
             (n.begun && n.fence.next_offset() > below && n.view.at < below);
    });
  }

  void faults() {
    if (!chance(0.03)) return;
    auto& n = nodes_[pick(nodes_.size())];
    switch (pick(5)) {
      case 0:
        n.paused = static_cast<int>(pick(chance(0.3) ? 400 : 40));
        ++totals_.pauses;
        return;
      case 1: {
        const bool keeps = chance(0.5);
        const auto view = n.view;
        totals_.lost_views += n.has_view && !keeps ? 1 : 0;
        n = node{};
        if (keeps) n.view = view, n.has_view = view.at >= 0;
        return;
      }
      case 2:
        n.feed_stalls = static_cast<int>(pick(150));
        ++totals_.stalls;
        return;
      case 3:
        if (written_since_loss_ < 2 || store_.empty()) return;
        store_[chance(0.7) ? store_.size() - 1 : pick(store_.size())].damaged = true;
        written_since_loss_ = 0;
        ++totals_.damaged;
        return;
      default:
        if (written_since_loss_ >= 2 || first_ == 0) lose_end();
    }
  }

  // ---- one node

  bool misfits(const state& s) const { return s.at < first_ || s.at >= end() || record(s.at).id != s.id; }

  bool usable(const snapshot& s) const {
    return (!s.damaged || !rules_.snapshots_are_checked) && (!rules_.snapshots_fit || !misfits(s.of));
  }

  bool restore(node& n) {
    for (auto it = store_.rbegin(); it != store_.rend(); ++it) {
      if (!usable(*it)) continue;
      n.view = it->of;
      if (it->damaged) n.view.digest ^= 1;
      n.has_view = true;
      ++totals_.restored;
      return true;
    }
    return false;
  }

  // The fold goes on from where the view stands.
  void begin(node& n) {
    n.in_flight.reset();
    n.answer.reset();
    const bool below = n.has_view && n.view.at < first_;
    totals_.below += below ? 1 : 0;
    if (!n.has_view || (below && rules_.below_the_trim_restores)) {
      if (!restore(n)) {
        if (first_ > 0) return fail("there is no snapshot to start from");
        n.view = {};
      }
    } else if (rules_.views_fit && !below && misfits(n.view)) {
      n.view = {};
      n.has_view = false;
      n.adopted = false;
      n.kept.clear();
      ++totals_.rebuilt;
      return;
    }
    n.fence = broker::fence(n.view.known, std::max(n.view.at + 1, rules_.below_the_trim_restores ? 0 : first_));
    n.begun = true;
  }

  void step(node& n) {
    if (n.paused > 0) {
      --n.paused;
      return;
    }
    deliver();
    if (!n.begun) return begin(n);
    switch (n.fence.now()) {
      case fence::standing::following:
        if (read(n, 1 + static_cast<std::int64_t>(pick(12))) && n.fence.next_offset() + 1 >= end() && chance(0.05) &&
            !(quiet_ && somebody_leads()))
          send(n, {.s = n.fence.announce({++reigns_, 0}), .id = ++ids_});
        return;
      case fence::standing::announcing:
        if (n.answer && n.answer->second < 0) return step_down(n);
        if (n.answer && chance(0.02)) return step_down(n);  // it does not come back
        read(n, INT64_MAX);
        if (n.fence.now() == fence::standing::leading) begin_to_lead(n);
        return;
      case fence::standing::leading:
        return lead(n);
    }
  }

  // False: it has to begin again.
  bool read(node& n, std::int64_t most) {
    if (n.fence.next_offset() > end() || n.fence.next_offset() < first_) {
      if (n.fence.next_offset() >= first_ || rules_.below_the_trim_restores) {
        n.begun = false;
        return false;
      }
      n.fence = broker::fence(n.fence.folded(), first_);
    }
    for (; most > 0 && n.fence.next_offset() < end(); --most) {
      const auto at = n.fence.next_offset();
      const auto& e = record(at);
      const auto& f = n.fence.folded();
      const bool stranger = e.s.kind != record_kind::announcement &&
                            (e.s.epoch > f.epoch || (e.s.epoch == f.epoch && e.s.reign != f.reign));
      const bool news = stranger || e.s.kind == record_kind::announcement;
      if (news && rules_.views_look_back && changed_behind(n, at)) {
        ++totals_.noticed_late;
        n.begun = n.has_view = n.adopted = false;
        n.view = {};
        n.kept.clear();
        ++totals_.rebuilt;
        return false;
      }
      if (!n.fence.read(at, e.s)) {
        ++totals_.skipped;
        continue;
      }
      count(n, at, e);
    }
    return wrong_.empty();
  }

  // The log below `next`, which the node has read, is not what it has read any more.
  bool changed_behind(const node& n, std::int64_t next) const {
    if (n.has_view && misfits(n.view)) return true;
    auto known = n.view.known;
    for (auto at = std::max(n.view.at + 1, first_); at < next; ++at)
      if (known.apply(record(at).s)) return true;
    return false;
  }

  void count(node& n, std::int64_t at, const entry& e) {
    n.view.take(at, e, n.fence.folded());
    n.has_view = true;
    ++totals_.counted;
    if (n.fence.now() == fence::standing::leading) check_leader(n);
  }

  void check_leader(const node& n) {
    const auto at = n.view.at;
    if (at < end() && record(at).id == n.view.id && n.view.digest != truth(at + 1).digest)
      fail("who leads has another state at offset " + std::to_string(at) + " than the log");
  }

  void step_down(node& n) {
    n.fence.lost();
    n.begun = false;
  }

  void begin_to_lead(node& n) {
    ++totals_.led;
    n.in_flight.reset();
    n.answer.reset();
    n.published = n.view.feed;
    n.adopted = false;
    n.kept.clear();
    check_leader(n);
    if (n.view.commands < commands_first_) fail("commands that are not dealt with are trimmed");
  }

  void lead(node& n) {
    if (end() < n.fence.next_offset()) return step_down(n);
    if (n.answer) {
      const auto [e, offset] = *std::exchange(n.answer, std::nullopt);
      n.in_flight.reset();
      if (offset < 0) return step_down(n);
      if (offset > n.fence.next_offset() && !read(n, offset - n.fence.next_offset())) return;
      if (n.fence.acknowledged(offset, e.s) != fence::ack::in_place) return step_down(n);
      if (n.view.at < offset) count(n, offset, e);
    }
    switch (pick(8)) {
      case 0:
        return write_snapshot(n);
      case 1:
        return trim(n);
      case 2:
      case 3:
        return publish(n);
      case 4:
        read(n, INT64_MAX);  // the tail that a leader reads as well
        return;
      default:
        if (n.in_flight || quiet_) return;
        const entry e{.s = n.fence.next(record_kind::batch),
                      .id = ++ids_,
                      .on = n.view.digest,
                      .commands = n.view.commands + static_cast<std::int64_t>(pick(4)),
                      .feed = std::max(n.view.feed, n.published)};
        return send(n, e);
    }
  }

  void send(node& n, const entry& e) {
    n.in_flight = e;
    n.answer.reset();
    wire_.push_back({static_cast<std::size_t>(&n - nodes_.data()), e});
  }

  void deliver() {
    if (wire_.empty() || !chance(0.6)) return;
    const auto [to, e] = wire_.front();
    wire_.pop_front();
    const bool refused = rules_.producers_are_in_sequence && !in_sequence(e.s);
    if (!refused) put(e);
    auto& n = nodes_[to];
    if (n.in_flight && n.in_flight->id == e.id) n.answer = {e, refused || chance(0.03) ? -1 : end() - 1};
  }

  bool has_any_of(engine::reign r) const {
    return std::any_of(log_.rbegin(), log_.rend(), [&](const entry& e) { return e.s.reign == r; });
  }
  // A producer of which nothing is left is a new one to the brokers.
  bool in_sequence(const stamp& s) const {
    const auto last = std::find_if(log_.rbegin(), log_.rend(), [&](const entry& e) { return e.s.reign == s.reign; });
    return last == log_.rend() || last->s.seq + 1 == s.seq;
  }

  void publish(node& n) {
    if (n.feed_stalls > 0) {
      --n.feed_stalls;
      return;
    }
    if (n.published + 1 < first_) {
      // One that was stopped meanwhile and does not know that it leads no more finds nothing, and is not needed.
      if (truth(end()).known.reign == n.fence.own()) fail("records that the feed has not had are trimmed");
      return;
    }
    n.published = std::min(n.fence.next_offset() - 1, n.published + 1 + static_cast<std::int64_t>(pick(20)));
  }

  // ---- snapshots

  void write_snapshot(node& n) {
    if (!n.adopted) {
      n.kept.clear();
      for (auto it = store_.rbegin(); it != store_.rend() && n.kept.size() < keep(); ++it)
        if (usable(*it)) n.kept.push_back(it->of);
      n.adopted = true;
    }
    const auto newest = n.kept.empty() ? -1 : n.kept.front().at;
    if (n.view.at <= newest + 5) return;
    store_.push_back({n.view});
    std::sort(store_.begin(), store_.end(), [](const auto& a, const auto& b) { return a.of.at < b.of.at; });
    n.kept.insert(n.kept.begin(), n.view);
    if (n.kept.size() > keep()) n.kept.resize(keep());
    ++totals_.snapshots;
    if (truth(end()).known.reign == n.fence.own()) ++written_since_loss_;
    if (n.kept.size() >= keep()) std::erase_if(store_, [&](const auto& s) { return s.of.at < n.kept.back().at; });
  }

  std::size_t keep() const { return rules_.two_are_kept ? to_keep : 1; }

  void trim(node& n) {
    if (!n.adopted) return;
    trim_inputs in{.kept = {},
                   .to_keep = keep(),
                   .feed = rules_.feed_is_waited_for,
                   .end = n.fence.next_offset(),
                   .standby_limit = standby_limit};
    for (const auto& k : n.kept) {
      const auto commands = rules_.commands_of_the_oldest ? k.commands : n.view.commands;
      in.kept.push_back(
          {.at = {.offset = k.at, .reign = {}}, .commands = commands, .feed = {.offset = k.feed, .reign = {}}});
    }
    for (auto& other : nodes_)
      if (other.has_view && rules_.standbys_are_waited_for) in.standbys.push_back(other.view.at + 1);
    const auto plan = plan_trim(in);
    if (plan.journal_below > first_) {
      for (auto& other : nodes_)
        if (other.begun && other.has_view && !misfits(other.view) && other.view.at + 1 < plan.journal_below &&
            n.fence.next_offset() - other.view.at - 1 <= standby_limit)
          fail("a standby at " + std::to_string(other.view.at) + " is overtaken by the trim");
      totals_.trimmed += static_cast<std::uint64_t>(plan.journal_below - first_);
      first_ = std::min(plan.journal_below, end());
      ++totals_.trims;
    }
    commands_first_ = std::max(commands_first_, plan.commands_below);
    if (n.kept.size() >= keep()) trimmed_for_ = std::max(trimmed_for_, n.kept.back().at);
  }

  std::mt19937_64 random_;
  const trim_rules rules_;
  totals& totals_;
  std::vector<node> nodes_;
  std::vector<entry> log_;  // of what was trimmed too: for who knows everything
  std::vector<state> truth_;
  std::deque<std::pair<std::size_t, entry>> wire_;
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

TEST(full_trim_simulation, holds) {
  const auto [first, seeds] = seeds_to_run(5'000);
  totals t;
  for (auto seed = first; seed < first + seeds; ++seed)
    ASSERT_EQ(world(seed, {}, t).run(), "")
        << "again: PAWL_SEED=" << seed << " test_broker --gtest_filter=full_trim_simulation.holds";
  const struct {
    const char* what;
    std::uint64_t count;
    std::uint64_t floor;
  } counts[] = {{"counted", t.counted, seeds * 200},
                {"skipped", t.skipped, seeds / 4},
                {"led", t.led, seeds},
                {"snapshots", t.snapshots, seeds * 5},
                {"trims", t.trims, seeds * 2},
                {"records trimmed", t.trimmed, seeds * 50},
                {"restored", t.restored, seeds / 2},
                {"views below the trim", t.below, seeds / 20},
                {"lost views", t.lost_views, seeds},
                {"damaged snapshots", t.damaged, seeds / 2},
                {"lost ends", t.lost_ends, seeds / 2},
                {"views rebuilt", t.rebuilt, seeds / 2},
                {"pauses", t.pauses, seeds},
                {"stalls of the feed", t.stalls, seeds},
                {"noticed by looking back", t.noticed_late, seeds / 100}};
  std::printf("%llu seeds from %llu", static_cast<unsigned long long>(seeds), static_cast<unsigned long long>(first));
  for (const auto& c : counts) std::printf("; %s %llu", c.what, static_cast<unsigned long long>(c.count));
  std::printf("\n");
  if (seeds < 1000) return;
  for (const auto& c : counts) EXPECT_GE(c.count, c.floor) << c.what << ": not tried";
}

class without_a_trim_rule : public ::testing::TestWithParam<std::pair<const char*, trim_rules>> {};

TEST_P(without_a_trim_rule, the_simulation_notices) {
  constexpr std::uint64_t seeds = 200;
  totals t;
  std::uint64_t caught = 0;
  std::uint64_t first = 0;
  std::string how;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    const auto wrong = world(seed, GetParam().second, t).run();
    if (wrong.empty()) continue;
    if (caught++ == 0) first = seed, how = wrong;
  }
  std::printf("without %s: %llu of %llu seeds, the first is %llu: %s\n", GetParam().first,
              static_cast<unsigned long long>(caught), static_cast<unsigned long long>(seeds),
              static_cast<unsigned long long>(first), how.c_str());
  EXPECT_GT(caught, 0U);
}

INSTANTIATE_TEST_SUITE_P(
    rules, without_a_trim_rule,
    ::testing::Values(std::pair{"two_are_kept", trim_rules{.two_are_kept = false}},
                      std::pair{"feed_is_waited_for", trim_rules{.feed_is_waited_for = false}},
                      std::pair{"standbys_are_waited_for", trim_rules{.standbys_are_waited_for = false}},
                      std::pair{"commands_of_the_oldest", trim_rules{.commands_of_the_oldest = false}},
                      std::pair{"snapshots_are_checked", trim_rules{.snapshots_are_checked = false}},
                      std::pair{"snapshots_fit", trim_rules{.snapshots_fit = false}},
                      std::pair{"views_fit", trim_rules{.views_fit = false}},
                      std::pair{"below_the_trim_restores", trim_rules{.below_the_trim_restores = false}},
                      std::pair{"producers_are_in_sequence", trim_rules{.producers_are_in_sequence = false}},
                      std::pair{"views_look_back", trim_rules{.views_look_back = false}}),
    [](const auto& p) { return std::string(p.param.first); });

}  // namespace
}  // namespace pawl::broker
