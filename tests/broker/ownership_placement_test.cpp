// Which nodes a partition goes to, and which of them announces itself.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "tests/broker/log_reader.hpp"

namespace pawl::broker {
namespace {

// Who should lead, of nodes that came in this order.
std::vector<std::string> leaders(const std::vector<std::string>& nodes, std::int32_t partitions) {
  log_reader log({.partitions = partitions});
  for (const auto& n : nodes) log.beat(n);
  std::vector<std::string> out;
  for (std::int32_t p = 0; p < partitions; ++p) out.emplace_back(log.fold.should_lead(p));
  return out;
}

std::vector<std::string> named(const std::string& prefix, std::size_t n) {
  std::vector<std::string> out;
  for (std::size_t k = 0; k < n; ++k) out.push_back(prefix + std::to_string(k));
  return out;
}

TEST(placement, does_not_depend_on_the_order_of_appearance) {
  auto nodes = named("node-", 5);
  const auto expected = leaders(nodes, 16);
  do {
    if (nodes[0] > nodes[1]) continue;  // half of them do
    ASSERT_EQ(leaders(nodes, 16), expected);
  } while (std::next_permutation(nodes.begin(), nodes.end()));
}

TEST(placement, is_the_same_for_ever) {
  EXPECT_EQ(leaders({"a", "b", "c"}, 6), (std::vector<std::string>{"c", "b", "b", "a", "c", "a"}))
      << "nodes of two versions that place differently would take partitions from each other";
}

TEST(placement, burdens_no_node_above_its_share) {
  for (std::size_t n = 1; n <= 9; ++n)
    for (const std::int32_t partitions : {1, 4, 16, 64, 100}) {
      std::map<std::string, std::size_t> load;
      for (const auto& l : leaders(named("host-", n), partitions)) ++load[l];
      ASSERT_EQ(load.size(), std::min(n, static_cast<std::size_t>(partitions)));
      for (const auto& [node, count] : load) {
        ASSERT_FALSE(node.empty());
        ASSERT_GE(count, static_cast<std::size_t>(partitions) / n) << node;
        ASSERT_LE(count, (static_cast<std::size_t>(partitions) + n - 1) / n) << node;
      }
    }
}

TEST(placement, moves_few_when_a_node_joins_or_goes) {
  // The share of the new node must move. What a full node pushes on to another comes on top, and is bounded here.
  std::size_t moved_in_all = 0;
  std::size_t shares = 0;
  std::size_t above = 0;
  std::size_t worst = 0;
  std::size_t runs = 0;
  for (std::size_t n = 1; n <= 8; ++n)
    for (const std::int32_t partitions : {8, 16, 64})
      for (int set = 0; set < 40; ++set) {
        auto nodes = named("set" + std::to_string(set) + "-", n + 1);
        const auto after = leaders(nodes, partitions);
        nodes.pop_back();
        const auto before = leaders(nodes, partitions);
        const auto share = (static_cast<std::size_t>(partitions) + n) / (n + 1);
        std::size_t moved = 0;
        for (std::size_t p = 0; p < before.size(); ++p) moved += before[p] != after[p] ? 1 : 0;
        EXPECT_LE(moved, 2 * share + 4) << n << " nodes, " << partitions << " partitions, set " << set;
        moved_in_all += moved;
        shares += share;
        above += moved > share ? 1 : 0;
        worst = std::max(worst, moved - std::min(moved, share));
        ++runs;
      }
  std::printf("%zu joins, or leaves: moved %zu, the shares are %zu; %zu moved more than the share, at worst %zu more\n",
              runs, moved_in_all, shares, above, worst);
  EXPECT_LE(moved_in_all, shares * 120 / 100);
}

TEST(placement, puts_the_heir_first_among_the_standbys) {
  const auto nodes = named("n", 5);
  log_reader log({.partitions = 16, .standbys = 2});
  for (const auto& n : nodes) log.beat(n);
  for (std::int32_t p = 0; p < 16; ++p) {
    const std::string leader(log.fold.should_lead(p));
    ASSERT_EQ(log.fold.order(p).size(), 5U);
    ASSERT_EQ(log.fold.standbys(p).size(), 2U);
    auto rest = nodes;
    std::erase(rest, leader);
    EXPECT_EQ(leaders(rest, 16)[static_cast<std::size_t>(p)], log.fold.standbys(p)[0]);
    auto all = std::vector<std::string>(log.fold.order(p).begin(), log.fold.order(p).end());
    std::sort(all.begin(), all.end());
    EXPECT_EQ(all, nodes);
  }
  EXPECT_TRUE(log.fold.order(16).empty());
  EXPECT_TRUE(log.fold.order(-1).empty());
  EXPECT_EQ(log.fold.should_lead(99), "");
}

TEST(placement, leaves_out_the_sick_the_leaving_and_those_with_a_wrong_clock) {
  log_reader log({.partitions = 8});
  for (const auto& n : {"a", "b", "c", "d"}) log.beat(n);
  auto h = log.make("a");
  h.health = node_health::sick;
  log.append(h);
  h = log.make("b");
  h.health = node_health::leaving;
  log.append(h);
  h = log.make("c");
  h.sent_ms += 10'001;
  log.append(h);
  for (std::int32_t p = 0; p < 8; ++p) {
    EXPECT_EQ(log.fold.order(p).size(), 1U);
    EXPECT_EQ(log.fold.should_lead(p), "d");
  }
  log.beat("a");
  log.beat("b");
  EXPECT_EQ(log.fold.order(0).size(), 3U);
  h = log.make("d");
  h.health = node_health::sick;
  log.append(h);
  for (const auto& n : {"a", "b"}) h.node = n, h.incarnation = engine::stable_hash(n), log.append(h);
  EXPECT_EQ(log.fold.should_lead(0), "");
  EXPECT_EQ(log.fold.explain(0, {}).state, partition_state::nobody);
}

// Three nodes and one partition, by their place in the order.
struct three {
  three() {
    for (const auto& n : {"a", "b", "c"}) log.beat(n);
    for (const auto& n : log.fold.order(0)) who.push_back(n);
  }
  void say(std::size_t k, partition_role r, std::int64_t position) { log.beat(who[k], {{0, r, position}}); }
  std::string announcer(std::int64_t end, bool released = false) const {
    return std::string(log.fold.announcer(0, {.offset = end, .released = released}));
  }
  log_reader log;
  std::vector<std::string> who;
};

TEST(announcer, is_the_first_when_nobody_is_close) {
  three t;
  EXPECT_EQ(t.announcer(0), t.who[0]);
  EXPECT_EQ(t.announcer(50'000), t.who[0]);
  EXPECT_EQ(t.log.fold.explain(0, {.offset = 50'000}).state, partition_state::vacant);
  EXPECT_EQ(t.log.fold.explain(0, {.offset = 50'000}).behind, 50'000);
}

TEST(announcer, is_the_first_that_is_close_when_nobody_leads) {
  three t;
  t.say(0, partition_role::catching_up, 48'999);
  t.say(1, partition_role::catching_up, 10);
  t.say(2, partition_role::standby, 49'000);
  EXPECT_EQ(t.announcer(50'000), t.who[2]);
  t.say(1, partition_role::standby, 49'500);
  EXPECT_EQ(t.announcer(50'000), t.who[1]);
  t.say(0, partition_role::standby, 49'000);
  EXPECT_EQ(t.announcer(50'000), t.who[0]);
}

TEST(announcer, waits_for_the_present_leader_until_it_is_close) {
  three t;
  t.say(2, partition_role::leading, 50'000);
  t.say(1, partition_role::standby, 50'000);
  t.say(0, partition_role::catching_up, 48'999);
  EXPECT_EQ(t.announcer(50'000), "");
  auto s = t.log.fold.explain(0, {.offset = 50'000});
  EXPECT_EQ(s.state, partition_state::moving);
  EXPECT_EQ(s.leader, t.who[2]);
  EXPECT_EQ(s.should, t.who[0]);
  EXPECT_EQ(s.behind, 1'001);
  t.say(0, partition_role::standby, 49'000);
  EXPECT_EQ(t.announcer(50'000), t.who[0]);
  EXPECT_EQ(t.log.fold.explain(0, {.offset = 50'000}).state, partition_state::due);
  t.say(0, partition_role::leading, 50'001);
  EXPECT_EQ(t.log.fold.present_leader(0), t.who[0]) << "of two that say so, the one that began last";
  EXPECT_EQ(t.announcer(50'001), "");
  EXPECT_EQ(t.log.fold.explain(0, {.offset = 50'001}).state, partition_state::settled);
}

TEST(announcer, is_a_standby_when_the_leader_has_released_or_gone) {
  three t;
  t.say(2, partition_role::leading, 50'000);
  t.say(1, partition_role::standby, 49'900);
  t.say(0, partition_role::catching_up, 100);
  EXPECT_EQ(t.announcer(50'000), "");
  EXPECT_EQ(t.announcer(50'000, true), t.who[1]) << "the journal says so before the heartbeat does";
  auto h = t.log.make(t.who[2], {{0, partition_role::leading, 50'000}});
  h.health = node_health::leaving;
  t.log.append(h);
  EXPECT_EQ(t.log.fold.present_leader(0), t.who[2]) << "it leads until it has released";
  EXPECT_EQ(t.announcer(50'000), "");
  h.partitions[0].role = partition_role::releasing;
  t.log.append(h);
  EXPECT_EQ(t.announcer(50'000), t.who[1]);

  three gone;
  gone.say(2, partition_role::leading, 50'000);
  for (int k = 0; k < 11; ++k) {
    gone.log.now += 300;
    gone.say(1, partition_role::standby, 49'900);
    gone.say(0, partition_role::catching_up, 100);
  }
  EXPECT_EQ(gone.log.fold.present_leader(0), "");
  EXPECT_EQ(gone.announcer(50'000), gone.who[1]);
}

TEST(announcer, passes_over_a_diverged_view) {
  three t;
  t.say(0, partition_role::diverged, 50'000);
  t.say(1, partition_role::standby, 49'900);
  EXPECT_EQ(t.announcer(50'000), t.who[1]);
  t.say(1, partition_role::leading, 50'000);
  EXPECT_EQ(t.announcer(50'000), "");
  t.say(0, partition_role::standby, 50'000);
  EXPECT_EQ(t.announcer(50'000), t.who[0]);
  for (std::size_t k = 0; k < 3; ++k) t.say(k, partition_role::diverged, 0);
  EXPECT_EQ(t.announcer(50'000), "");
}

TEST(announcer, knows_its_own_view_better_than_its_heartbeat_does) {
  const auto first = leaders({"a", "b"}, 1)[0];
  one_node self(first, 1);
  one_node other(first == "a" ? "b" : "a", 2);
  self.read(other.sign({{0, partition_role::leading, 50'000}}));
  self.read(self.sign({{0, partition_role::catching_up, 40'000}}));
  EXPECT_EQ(self.own.consider(0, {.offset = 50'000}), verdict::catching_up);
  EXPECT_EQ(self.own.consider(0, {.offset = 50'000, .own_view = 49'500}), verdict::announce);
  EXPECT_EQ(self.own.consider(0, {.offset = 50'000, .released = true}), verdict::catching_up)
      << "the other one is close";
}

TEST(status, says_since_when) {
  log_reader log;
  log.live(milliseconds{3'000}, {"a"});
  const auto began = log.fold.log_time();
  log.beat("a", {{0, partition_role::leading, 5}});
  for (int k = 0; k < 10; ++k) {
    log.now += 300;
    log.beat("a", {{0, partition_role::leading, 5}});
  }
  const auto s = log.fold.explain(0, {.offset = 5});
  EXPECT_EQ(s.state, partition_state::settled);
  EXPECT_EQ(s.since, began);
  EXPECT_EQ(s.lasted, milliseconds{3'000});
  EXPECT_EQ(log.fold.find("a")->since, milliseconds{0});
}

}  // namespace
}  // namespace pawl::broker
