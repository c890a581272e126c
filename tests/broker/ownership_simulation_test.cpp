// Ownership under one seed: nodes that heartbeat into one log and fold it, with heartbeats held up, readers that lag or
// begin in the middle, pauses (a process that is not stepped), crashes, restarts under a new incarnation, also while
// the old process is only paused, lost views, sick, leaving and wrong-clocked nodes, a broker that is away for minutes
// and one whose clock is set.
//
// What must hold: readers of the same records agree; no node that spoke all along is declared gone, and the newest
// incarnation is never told that it is replaced; nobody acts before its own heartbeat has come back, nor takes a
// partition from a living leader before its view is close enough; and once the faults stop, each partition is soon led
// by the one node that should, and stays so. Taking away a rule of the fold breaks one of these within a few seeds.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "broker/ownership.hpp"
#include "tests/broker/seeds.hpp"

namespace pawl::broker {
namespace {

constexpr std::int64_t tick = 100;  // ms
constexpr std::int64_t longest_delay = 300;  // of a heartbeat on its way
constexpr std::int64_t view_speed = 1'500;  // records that a view takes in, in a tick
constexpr std::int64_t faults_until = 20'000;  // in time without outages
constexpr std::int64_t settles_within = 80 * 300;

struct totals {
  std::uint64_t heartbeats = 0, agreements = 0, outages = 0, clock_sets = 0, pauses = 0, crashes = 0, twins = 0,
                lost_views = 0, sick = 0, leaving = 0, wrong_clocks = 0, late_readers = 0, gone = 0, back = 0,
                replaced = 0, ignored = 0, announced = 0, refused = 0, superseded = 0, releases = 0;
  std::int64_t slowest = 0;
};

struct entry {
  std::int64_t append_ms;
  heartbeat h;
  std::size_t process;
};

// What the fence makes of one partition's journal, in short: the higher epoch wins.
struct journal_record {
  std::int64_t offset;
  std::uint64_t epoch;
  std::size_t process;
  bool release;
  bool accepted;
};

struct journal {
  std::int64_t end = 0;
  std::uint64_t epoch = 0;
  std::optional<std::size_t> leader;  // none: released, or not yet
  std::int64_t leader_since = 0;  // time
  std::vector<journal_record> records;
};

struct view {
  std::int64_t position = 0;
  std::size_t next_record = 0;
  std::uint64_t epoch = 0;
  bool released = false;
  enum { following, announcing, leading } standing = following;
  std::uint64_t beats_at_refusal = 0;  // heartbeats made until then
};

struct process {
  std::size_t node;
  ownership own;
  std::vector<view> views;
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

struct on_its_way {
  std::uint64_t number;
  std::int64_t arrives;
  std::size_t process;
  std::optional<heartbeat> beat;
  std::size_t partition = 0;  // without a beat: an announcement
  std::uint64_t epoch = 0;
};

class world {
 public:
  world(std::uint64_t seed, ownership_rules rules, totals& t)
      : random_(seed),
        prefix_(std::to_string(seed) + "-"),
        rules_(rules),
        t_(t),
        nodes_(2 + pick(4)),
        partitions_(1 + pick(6)),
        truth_(settings(), 0, rules) {
    journals_.resize(partitions_);
    for (auto& j : journals_) j.end = chance(0.5) ? 0 : static_cast<std::int64_t>(pick(20'000));
    current_.resize(nodes_);
    restart_at_.assign(nodes_, -1);
    for (std::size_t n = 0; n < nodes_; ++n) start(n, false);
  }

  /// What went wrong; empty: nothing.
  std::string run() {
    while (wrong_.empty() && active_ < faults_until) {
      faults();
      advance();
    }
    heal();
    const auto healed = active_;
    std::int64_t settled = -1;
    while (wrong_.empty() && active_ < healed + settles_within + 3'000) {
      advance();
      if (!in_place()) {
        if (settled >= 0 && active_ > healed + settles_within) break;
        settled = -1;
      } else if (settled < 0) {
        settled = active_;
      }
    }
    if (!wrong_.empty()) return wrong_;
    if (settled < 0 || settled > healed + settles_within) return "not settled: " + unsettled_;
    t_.slowest = std::max(t_.slowest, (settled - healed) / 300);
    t_.ignored += truth_.ignored();
    return {};
  }

 private:
  std::size_t pick(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random_); }
  bool chance(double p) { return std::uniform_real_distribution<>(0, 1)(random_) < p; }
  std::int64_t between(std::int64_t a, std::int64_t b) {
    return std::uniform_int_distribution<std::int64_t>(a, b)(random_);
  }
  ownership_settings settings() const { return {.partitions = static_cast<std::int32_t>(partitions_), .standbys = 1}; }
  // Of every seed its own, since the names decide the placement.
  std::string name(std::size_t node) const { return prefix_ + std::to_string(node); }
  void fail(const std::string& what) {
    if (wrong_.empty()) wrong_ = "at " + std::to_string(active_) + " ms: " + what;
  }

  void start(std::size_t node, bool keep_views) {
    const auto size = static_cast<std::int64_t>(log_.size());
    const bool late = size > 0 && chance(0.3);
    const auto from = late ? std::max<std::int64_t>(0, size - between(5, 200)) : 0;
    t_.late_readers += late ? 1 : 0;
    // Random, as the real ones: a higher number says nothing.
    processes_.push_back(std::make_unique<process>(
        process{.node = node, .own = ownership(name(node), random_() | 1U, settings(), from, rules_), .views = {}}));
    auto& p = *processes_.back();
    p.from_the_start = from == 0;
    p.next_beat = active_ + between(0, 300);
    p.last_stopped = active_;
    p.clock = between(-500, 500);
    p.views.resize(partitions_);
    if (keep_views) {
      const auto& before = processes_[current_[node]]->views;
      for (std::size_t k = 0; k < partitions_; ++k) {
        p.views[k] = before[k];
        p.views[k].standing = view::following;
        p.views[k].beats_at_refusal = 0;
      }
    } else {
      ++t_.lost_views;
    }
    current_[node] = processes_.size() - 1;
  }

  void faults() {
    for (std::size_t n = 0; n < nodes_; ++n)
      if (restart_at_[n] >= 0 && active_ >= restart_at_[n]) {
        restart_at_[n] = -1;
        start(n, !chance(0.3));
      }
    if (!chance(0.06)) return;
    const auto node = pick(nodes_);
    auto& p = *processes_[current_[node]];
    const auto kind = pick(8);
    if (kind < 2) return broker_fault(kind == 0);
    if (!p.alive || restart_at_[node] >= 0) return;
    switch (kind) {
      case 2:
      case 3:
        p.paused_until = active_ + between(200, 8'000);
        ++t_.pauses;
        return;
      case 4:
        p.alive = false;
        restart_at_[node] = active_ + between(200, 6'000);
        ++t_.crashes;
        return;
      case 5:  // taken for dead while it is only paused
        p.paused_until = active_ + between(500, 8'000);
        restart_at_[node] = active_ + between(200, 5'000);
        ++t_.twins;
        return;
      case 6:
        p.health = chance(0.5) ? node_health::sick : node_health::leaving;
        ++(p.health == node_health::sick ? t_.sick : t_.leaving);
        p.health_until = active_ + between(500, 6'000);
        return;
      default:
        p.clock = (chance(0.5) ? 1 : -1) * between(11'000, 60'000);
        ++t_.wrong_clocks;
    }
  }

  void broker_fault(bool outage) {
    // A second of log time each: more than two in a session would not be an outage but a broken broker.
    if (active_ < next_broker_fault_) return;
    next_broker_fault_ = active_ + 1'500;
    if (!outage) {
      broker_clock_ += chance(0.5) ? between(1'000, 4'000) : -between(1'000, 4'000);
      ++t_.clock_sets;
      return;
    }
    away_ += between(60'000, 600'000);
    for (auto& m : way_) {  // each writer's own stay in their order
      m.arrives = std::max(m.arrives + between(0, 200), processes_[m.process]->held_up);
      processes_[m.process]->held_up = m.arrives;
      processes_[m.process]->arrives = std::max(processes_[m.process]->arrives, m.arrives);
    }
    ++t_.outages;
  }

  void heal() {
    broker_clock_ = 0;
    for (std::size_t n = 0; n < nodes_; ++n) {
      restart_at_[n] = -1;
      if (!processes_[current_[n]]->alive) start(n, true);
    }
    for (auto& p : processes_) {
      p->paused_until = std::min(p->paused_until, active_);
      p->health = node_health::ok;
      p->clock = std::clamp<std::int64_t>(p->clock, -500, 500);
    }
  }

  // The time of day: `active_` is without the outages.
  std::int64_t now() const { return 1'700'000'000'000 + active_ + away_; }

  void advance() {
    active_ += tick;
    arrivals();
    load();
    for (std::size_t k = 0; k < processes_.size() && wrong_.empty(); ++k) {
      auto& p = *processes_[k];
      if (!p.alive) continue;
      if (p.paused_until > active_)
        p.last_stopped = active_;
      else
        step(k);
    }
  }

  void load() {
    for (auto& j : journals_)
      if (j.leader && running(*j.leader)) j.end += between(0, 60);
  }
  bool running(std::size_t k) const { return processes_[k]->alive && processes_[k]->paused_until <= active_; }

  void arrivals() {
    std::sort(way_.begin(), way_.end(), [](const auto& a, const auto& b) {
      return std::tie(a.arrives, a.number) < std::tie(b.arrives, b.number);
    });
    while (!way_.empty() && way_.front().arrives <= active_) {
      auto m = std::move(way_.front());
      way_.pop_front();
      if (m.beat)
        append(std::move(m));
      else
        announcement(m);
    }
  }

  void append(on_its_way m) {
    const auto offset = static_cast<std::int64_t>(log_.size());
    auto& p = *processes_[m.process];
    if (p.first_offset < 0) p.first_offset = offset;
    log_.push_back({now() + broker_clock_ + m.arrives - active_, std::move(*m.beat), m.process});
    ++t_.heartbeats;
    std::vector<bool> before(nodes_);
    std::vector<engine::incarnation> was(nodes_);
    for (std::size_t n = 0; n < nodes_; ++n)
      if (const auto* s = truth_.find(name(n))) before[n] = s->live, was[n] = s->incarnation;
    truth_.read(offset, log_.back().append_ms, log_.back().h);
    for (std::size_t n = 0; n < nodes_; ++n) {
      const auto* s = truth_.find(name(n));
      if (s == nullptr || s->live == before[n]) continue;
      if (s->live) {
        t_.back += was[n] == s->incarnation ? 1 : 0;
        continue;
      }
      ++t_.gone;
      const auto& lost = *processes_[current_[n]];
      if (running(current_[n]) && active_ - lost.last_stopped > 6'000)
        fail(name(n) + " was declared gone, and had spoken all along");
    }
    digests_.push_back(digest(truth_));
  }

  static std::uint64_t digest(const ownership_fold& f) {
    std::uint64_t h = 0;
    for (const auto& [id, n] : f.nodes())
      if (n.live) h = engine::stable_hash(id, h) + n.incarnation + static_cast<std::uint64_t>(n.born);
    for (std::int32_t p = 0; p < f.settings().partitions; ++p) {
      for (const auto& id : f.order(p)) h = engine::stable_hash(id, h);
      h = engine::stable_hash(f.present_leader(p), h);
      h = engine::stable_hash(f.announcer(p, {.offset = 10'000}), h);
    }
    return h;
  }

  void announcement(const on_its_way& m) {
    auto& j = journals_[m.partition];
    const bool accepted = m.epoch > j.epoch;
    if (accepted) {
      j.epoch = m.epoch;
      j.leader = m.process;
      j.leader_since = active_;
    }
    j.records.push_back({j.end++, m.epoch, m.process, false, accepted});
  }

  void step(std::size_t k) {
    auto& p = *processes_[k];
    if (!read_nodes(k, p)) return;
    if (p.health != node_health::ok && p.health_until <= active_) {
      if (p.health == node_health::leaving) {
        p.alive = false;
        if (current_[p.node] == k && restart_at_[p.node] < 0) restart_at_[p.node] = active_ + between(100, 3'000);
        return;
      }
      p.health = node_health::ok;
    }
    for (std::size_t part = 0; part < partitions_; ++part) follow(k, p, part);
    if (active_ >= p.next_beat) beat(k, p);
    for (std::size_t part = 0; part < partitions_; ++part) act(k, p, part);
  }

  // False: it has exited.
  bool read_nodes(std::size_t k, process& p) {
    const auto below = static_cast<std::int64_t>(log_.size()) - (chance(0.2) ? between(0, 3) : 0);
    while (p.own.fold().next_offset() < below) {
      const auto offset = p.own.fold().next_offset();
      const auto& e = log_[static_cast<std::size_t>(offset)];
      p.own.read(offset, e.append_ms, e.h);
      if (e.process == k) p.beats_read = std::max(p.beats_read, e.h.beat);
      if (p.from_the_start && offset % 4 == 0) {
        ++t_.agreements;
        if (digest(p.own.fold()) != digests_[static_cast<std::size_t>(offset)])
          fail("readers disagree behind offset " + std::to_string(offset));
      }
      if (!p.own.replaced_by()) continue;
      ++t_.replaced;
      if (newest(p.node) == k) fail(name(p.node) + ": the newest incarnation was told that it is replaced");
      p.alive = false;
      return false;
    }
    return true;
  }

  std::size_t newest(std::size_t node) const {
    std::size_t found = current_[node];
    std::int64_t first = -1;
    for (std::size_t k = 0; k < processes_.size(); ++k)
      if (processes_[k]->node == node && processes_[k]->first_offset > first)
        first = processes_[k]->first_offset, found = k;
    return found;
  }

  void follow(std::size_t k, process& p, std::size_t part) {
    auto& v = p.views[part];
    auto& j = journals_[part];
    if (v.standing == view::following && !p.own.should_follow(static_cast<std::int32_t>(part))) return;
    v.position = std::min(j.end, v.position + view_speed);
    for (; v.next_record < j.records.size() && j.records[v.next_record].offset < v.position; ++v.next_record) {
      const auto& r = j.records[v.next_record];
      const bool mine = r.process == k;
      if (r.release) {
        v.released = v.released || r.accepted;
        continue;
      }
      if (r.accepted) v.epoch = r.epoch, v.released = false;
      if (mine && v.standing == view::announcing) {
        if (r.accepted)
          v.standing = view::leading;
        else
          refuse(p, part), ++t_.refused;
      } else if (!mine && r.accepted && v.standing == view::leading) {
        ++t_.superseded;
        refuse(p, part);
      }
    }
  }

  void refuse(process& p, std::size_t part) {
    p.views[part].standing = view::following;
    p.views[part].beats_at_refusal = p.beats;
    p.own.refused(static_cast<std::int32_t>(part));
  }

  void beat(std::size_t k, process& p) {
    heartbeat h{.sent_ms = now() + p.clock, .address = "a-" + std::to_string(k), .health = p.health};
    for (std::size_t part = 0; part < partitions_; ++part) {
      const auto& v = p.views[part];
      const auto part_number = static_cast<std::int32_t>(part);
      if (v.standing == view::following && !p.own.should_follow(part_number)) continue;
      auto role =
          journals_[part].end - v.position > close_enough ? partition_role::catching_up : partition_role::standby;
      if (v.standing == view::announcing) role = partition_role::announcing;
      if (v.standing == view::leading) role = partition_role::leading;
      h.partitions.push_back({part_number, role, v.position});
    }
    p.arrives = std::max(p.arrives, active_ + between(0, longest_delay));
    way_.push_back({++sent_, p.arrives, k, p.own.sign(std::move(h))});
    p.beats = p.beats + 1;
    p.next_beat = active_ + 300;
  }

  void act(std::size_t k, process& p, std::size_t part) {
    auto& v = p.views[part];
    auto& j = journals_[part];
    const auto part_number = static_cast<std::int32_t>(part);
    if (v.standing == view::announcing) return;
    if (v.standing == view::leading) {
      if (p.health == node_health::ok) return;
      ++t_.releases;
      const bool accepted = j.leader == k && j.epoch == v.epoch;
      if (accepted) j.leader.reset();
      j.records.push_back({j.end++, v.epoch, k, true, accepted});
      v.standing = view::following;
      return;
    }
    if (!p.own.should_announce(part_number, {j.end, v.released, v.position})) return;
    check_announcement(k, p, part);
    ++t_.announced;
    v.standing = view::announcing;
    way_.push_back({++sent_, active_ + between(0, longest_delay), k, {}, part, v.epoch + 1});
  }

  void check_announcement(std::size_t k, const process& p, std::size_t part) {
    const auto& v = p.views[part];
    const auto& j = journals_[part];
    if (p.first_offset < 0 || p.own.fold().next_offset() <= p.first_offset)
      return fail(name(p.node) + " announced before its own heartbeat had come back");
    if (v.beats_at_refusal > 0 && p.beats_read <= v.beats_at_refusal)
      return fail(name(p.node) + " announced again before a heartbeat made since the refusal had come back");
    // A leader that everybody has heard of for a while.
    if (!j.leader || *j.leader == k || j.end - v.position <= close_enough) return;
    const auto& leader = *processes_[*j.leader];
    const bool steady = running(*j.leader) && newest(leader.node) == *j.leader && leader.health == node_health::ok &&
                        active_ - leader.last_stopped > 8'000 && active_ - j.leader_since > 2'000;
    if (steady && active_ - p.last_stopped > 8'000)
      fail(name(p.node) + " took a partition from a living leader, " + std::to_string(j.end - v.position) + " behind");
  }

  bool in_place() {
    const auto no = [&](std::string why) {
      unsettled_ = std::move(why);
      return false;
    };
    for (std::size_t k = 0; k < processes_.size(); ++k)
      if (processes_[k]->alive != (newest(processes_[k]->node) == k)) return no("two processes of one node live");
    for (std::size_t part = 0; part < partitions_; ++part) {
      const auto n = static_cast<std::int32_t>(part);
      const auto& j = journals_[part];
      if (!j.leader || !processes_[*j.leader]->alive) return no("nobody leads");
      const auto leader = name(processes_[*j.leader]->node);
      if (truth_.should_lead(n) != leader || truth_.present_leader(n) != leader) return no(leader + " should not lead");
      if (truth_.order(n).size() != nodes_) return no("not all nodes may lead");
      for (std::size_t k = 0; k < processes_.size(); ++k) {
        const auto& p = *processes_[k];
        if (!p.alive) continue;
        const auto& f = p.own.fold();
        if (f.should_lead(n) != leader || f.present_leader(n) != leader)
          return no(name(p.node) + " sees another leader");
        if ((p.views[part].standing == view::leading) != (k == *j.leader)) return no("not one node leads");
        const auto v = p.own.consider(n, {j.end, p.views[part].released, p.views[part].position});
        if (v != (k == *j.leader ? verdict::leads : verdict::other))
          return no(name(p.node) + " " + std::string(text(v)));
      }
    }
    return true;
  }

  std::mt19937_64 random_;
  const std::string prefix_;
  const ownership_rules rules_;
  totals& t_;
  std::size_t nodes_;
  std::size_t partitions_;
  ownership_fold truth_;
  std::vector<std::unique_ptr<process>> processes_;
  std::vector<std::size_t> current_;  // by node: the process that was started last
  std::vector<std::int64_t> restart_at_;  // by node; below 0: not
  std::vector<journal> journals_;
  std::vector<entry> log_;
  std::vector<std::uint64_t> digests_;  // of the truth, behind each record
  std::deque<on_its_way> way_;
  std::uint64_t sent_ = 0;
  std::int64_t active_ = 0;
  std::int64_t away_ = 0;
  std::int64_t broker_clock_ = 0;
  std::int64_t next_broker_fault_ = 0;
  std::string wrong_;
  std::string unsettled_;
};

TEST(full_ownership_simulation, holds) {
  const auto [first, seeds] = seeds_to_run(2000);
  totals t;
  for (auto seed = first; seed < first + seeds; ++seed)
    ASSERT_EQ(world(seed, {}, t).run(), "")
        << "again: PAWL_SEED=" << seed << " test_broker --gtest_filter=full_ownership_simulation.holds";
  const struct {
    const char* what;
    std::uint64_t count;
    std::uint64_t floor;
  } counts[] = {
      {"heartbeats", t.heartbeats, seeds * 100},
      {"agreements checked", t.agreements, seeds * 50},
      {"broker outages", t.outages, seeds / 2},
      {"broker clock set", t.clock_sets, seeds / 2},
      {"pauses", t.pauses, seeds},
      {"crashes", t.crashes, seeds / 2},
      {"restarts of a paused node", t.twins, seeds / 2},
      {"lost views", t.lost_views, seeds},
      {"late readers", t.late_readers, seeds / 4},
      {"sick", t.sick, seeds / 4},
      {"leaving", t.leaving, seeds / 4},
      {"wrong clocks", t.wrong_clocks, seeds / 2},
      {"declared gone", t.gone, seeds / 2},
      {"came back", t.back, seeds / 4},
      {"replaced", t.replaced, seeds / 4},
      {"heartbeats of older incarnations", t.ignored, seeds / 100},
      {"announcements", t.announced, seeds * 3},
      {"refused", t.refused, seeds / 20},
      {"superseded", t.superseded, seeds / 2},
      {"releases", t.releases, seeds / 4},
  };
  std::printf("%llu seeds from %llu; settled at the latest %lld heartbeats after the last fault",
              static_cast<unsigned long long>(seeds), static_cast<unsigned long long>(first),
              static_cast<long long>(t.slowest));
  for (const auto& c : counts) std::printf("; %s %llu", c.what, static_cast<unsigned long long>(c.count));
  std::printf("\n");
  if (seeds < 1000) return;
  for (const auto& c : counts) EXPECT_GE(c.count, c.floor) << c.what << ": not tried";
}

class without_an_ownership_rule : public ::testing::TestWithParam<std::pair<const char*, ownership_rules>> {};

TEST_P(without_an_ownership_rule, the_simulation_notices) {
  constexpr std::uint64_t seeds = 60;
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

INSTANTIATE_TEST_SUITE_P(rules, without_an_ownership_rule,
                         ::testing::Values(std::pair{"gap_cap", ownership_rules{.gap_cap = false}},
                                           std::pair{"incarnation", ownership_rules{.incarnation = false}},
                                           std::pair{"own_heartbeat", ownership_rules{.own_heartbeat = false}},
                                           std::pair{"catch_up", ownership_rules{.catch_up = false}}),
                         [](const auto& p) { return std::string(p.param.first); });

}  // namespace
}  // namespace pawl::broker
