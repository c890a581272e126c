// Ownership under one seed: nodes (simulated_nodes.hpp) and, of each partition, what the fence makes of its journal, in
// short: the higher epoch wins.
//
// What must hold: readers of the same records agree; no node that spoke all along is declared gone, and the newest
// incarnation is never told that it is replaced; nobody acts before its own heartbeat has come back, nor takes a
// partition from a living leader before its view is close enough; and once the faults stop, each partition is soon led
// by the one node that should, and stays so. Taking away a rule of the fold breaks one of these within a few seeds.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/broker/seeds.hpp"
#include "tests/broker/simulated_nodes.hpp"

namespace pawl::broker {
namespace {

using namespace simulated;

constexpr std::int64_t view_speed = 1'500;  // records that a view takes in, in a tick

struct journal_record {
  std::int64_t offset;
  std::uint64_t epoch;
  std::size_t process;
  bool release;
  bool accepted;
};

struct short_journal {
  std::int64_t end = 0;
  std::uint64_t epoch = 0;
  std::optional<std::size_t> leader{};  // none: released, or not yet
  std::int64_t leader_since = 0;  // time
  std::vector<journal_record> records{};
};

struct short_view {
  std::int64_t position = 0;
  std::size_t next_record = 0;
  std::uint64_t epoch = 0;
  bool released = false;
  enum { following, announcing, leading } standing = following;
};

class world : public node_world {
 public:
  world(std::uint64_t seed, ownership_rules rules, node_totals& t) : world(seed, std::mt19937_64(~seed), rules, t) {}

 private:
  world(std::uint64_t seed, std::mt19937_64 dice, ownership_rules rules, node_totals& t)
      : node_world(seed, {.nodes = 2 + dice() % 4, .partitions = 1 + dice() % 6}, rules, t),
        journals_(partitions_) {
    for (auto& j : journals_) j.end = chance(0.5) ? 0 : static_cast<std::int64_t>(pick(20'000));
    start_all();
  }

  void started(std::size_t k, std::optional<std::size_t> views_of) override {
    views_.resize(k + 1);
    if (!views_of) return views_[k].resize(partitions_);
    views_[k] = views_[*views_of];
    for (auto& v : views_[k]) v.standing = short_view::following;
  }

  void pass() override {
    for (auto& j : journals_)
      if (j.leader && running(*j.leader)) j.end += between(0, 60);
  }

  void arrived(const on_its_way& m) override {
    auto& j = journals_[m.partition];
    const bool accepted = m.epoch > j.epoch;
    if (accepted) {
      j.epoch = m.epoch;
      j.leader = m.process;
      j.leader_since = active();
    }
    j.records.push_back({j.end++, m.epoch, m.process, false, accepted});
  }

  bool holds(std::size_t k, std::size_t part) const {
    return views_[k][part].standing != short_view::following ||
           processes_[k]->own.should_follow(static_cast<std::int32_t>(part));
  }

  void follow(std::size_t k, std::size_t part) override {
    auto& v = views_[k][part];
    auto& j = journals_[part];
    if (!holds(k, part)) return;
    v.position = std::min(j.end, v.position + view_speed);
    for (; v.next_record < j.records.size() && j.records[v.next_record].offset < v.position; ++v.next_record) {
      const auto& r = j.records[v.next_record];
      const bool mine = r.process == k;
      if (r.release) {
        v.released = v.released || r.accepted;
        continue;
      }
      if (r.accepted) v.epoch = r.epoch, v.released = false;
      if (mine && v.standing == short_view::announcing) {
        if (r.accepted)
          v.standing = short_view::leading;
        else
          depose(k, part), ++nodes_totals_.refused;
      } else if (!mine && r.accepted && v.standing == short_view::leading) {
        ++nodes_totals_.superseded;
        depose(k, part);
      }
    }
  }

  void depose(std::size_t k, std::size_t part) {
    views_[k][part].standing = short_view::following;
    refuse(k, part);
  }

  std::optional<partition_report> report(std::size_t k, std::size_t part) const override {
    if (!holds(k, part)) return std::nullopt;
    const auto& v = views_[k][part];
    auto role = journals_[part].end - v.position > close_enough ? partition_role::catching_up : partition_role::standby;
    if (v.standing == short_view::announcing) role = partition_role::announcing;
    if (v.standing == short_view::leading) role = partition_role::leading;
    return partition_report{static_cast<std::int32_t>(part), role, v.position};
  }

  void act(std::size_t k, std::size_t part) override {
    auto& v = views_[k][part];
    auto& j = journals_[part];
    if (v.standing == short_view::announcing) return;
    if (v.standing == short_view::leading) {
      if (processes_[k]->health == node_health::ok) return;
      ++nodes_totals_.releases;
      const bool accepted = j.leader == k && j.epoch == v.epoch;
      if (accepted) j.leader.reset();
      j.records.push_back({j.end++, v.epoch, k, true, accepted});
      v.standing = short_view::following;
      return;
    }
    if (!processes_[k]->own.should_announce(static_cast<std::int32_t>(part), journal(k, part))) return;
    check_announcement(k, part, j.end - v.position, j.leader_since);
    ++nodes_totals_.announced;
    v.standing = short_view::announcing;
    post({next_number(), active() + between(0, longest_delay), k, {}, part, v.epoch + 1});
  }

  journal_end journal(std::size_t k, std::size_t part) const override {
    const auto& v = views_[k][part];
    return {journals_[part].end, v.released, v.position};
  }
  std::optional<std::size_t> leader_of(std::size_t part) const override { return journals_[part].leader; }
  bool leads(std::size_t k, std::size_t part) const override { return views_[k][part].standing == short_view::leading; }

  std::vector<short_journal> journals_;
  std::vector<std::vector<short_view>> views_;  // by process and partition
};

TEST(full_ownership_simulation, holds) {
  const auto [first, seeds] = seeds_to_run(5'000);
  node_totals t;
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
  node_totals t;
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
