// The fold over heartbeats, rule by rule; ownership_simulation_test.cpp puts them together.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "broker/ownership.hpp"

namespace pawl::broker {
namespace {

constexpr std::int64_t midnight = 1'700'000'000'000;

// A log with a clock that tests set by hand, and what a reader makes of it.
struct log_reader {
  explicit log_reader(ownership_settings s = {}) : fold(s) {}

  heartbeat make(const std::string& node, std::vector<partition_report> partitions = {}) const {
    return {.node = node,
            .incarnation = engine::stable_hash(node),
            .sent_ms = now,
            .address = node + ":80",
            .partitions = std::move(partitions)};
  }
  bool append(const heartbeat& h) { return fold.read(fold.next_offset(), now, h); }
  bool beat(const std::string& node, std::vector<partition_report> partitions = {}) {
    return append(make(node, std::move(partitions)));
  }
  // All of them every 300 ms.
  void live(milliseconds d, const std::vector<std::string>& nodes) {
    for (milliseconds t{0}; t < d; t += heartbeat_interval) {
      now += heartbeat_interval.count();
      for (const auto& n : nodes) beat(n);
    }
  }
  bool is_live(const std::string& node) const {
    const auto* n = fold.find(node);
    return n != nullptr && n->live;
  }

  ownership_fold fold;
  std::int64_t now = midnight;
};

TEST(log_time, counts_gaps_between_nothing_and_a_second) {
  log_reader log;
  log.beat("a");
  EXPECT_EQ(log.fold.log_time(), milliseconds{0});
  log.now += 300;
  log.beat("a");
  EXPECT_EQ(log.fold.log_time(), milliseconds{300});
  log.now -= 5'000;
  log.beat("a");
  EXPECT_EQ(log.fold.log_time(), milliseconds{300});
  log.now += 200;  // from where the clock was set to
  log.beat("a");
  EXPECT_EQ(log.fold.log_time(), milliseconds{500});
  log.now += 3'600'000;
  log.beat("a");
  EXPECT_EQ(log.fold.log_time(), milliseconds{1'500});
}

TEST(log_time, does_not_overflow) {
  log_reader log;
  log.now = std::numeric_limits<std::int64_t>::max();
  auto h = log.make("a");
  h.sent_ms = std::numeric_limits<std::int64_t>::min();
  log.append(h);
  log.now = std::numeric_limits<std::int64_t>::min();
  log.append(h);
  log.now = std::numeric_limits<std::int64_t>::max();
  log.append(h);
  EXPECT_EQ(log.fold.log_time(), longest_gap);
}

TEST(a_node, is_gone_after_a_session_of_silence) {
  log_reader log;
  log.live(milliseconds{900}, {"a", "b"});
  const auto heard = log.fold.log_time();
  log.live(milliseconds{2'700}, {"a"});
  EXPECT_TRUE(log.is_live("b"));
  log.live(milliseconds{300}, {"a"});
  EXPECT_FALSE(log.is_live("b"));
  EXPECT_EQ(log.fold.find("b")->since, heard + default_session);
  EXPECT_EQ(log.fold.order(0).size(), 1U);

  log.beat("b");
  EXPECT_TRUE(log.is_live("b"));
  EXPECT_EQ(log.fold.order(0).size(), 2U);
}

TEST(a_node, outlives_an_outage_of_the_broker) {
  log_reader log;
  log.live(milliseconds{3'000}, {"a", "b", "c"});
  for (int k = 0; k < 10; ++k) {
    log.now += 600'000;
    log.live(milliseconds{900}, {"c", "a", "b"});
    EXPECT_EQ(log.fold.order(0).size(), 3U);
  }
}

TEST(a_node, is_forgotten_long_after_it_went) {
  log_reader log;
  log.beat("b");
  log.live(forgotten_after - milliseconds{300}, {"a"});
  ASSERT_NE(log.fold.find("b"), nullptr);
  log.live(milliseconds{300}, {"a"});
  EXPECT_EQ(log.fold.find("b"), nullptr);
}

TEST(nodes, are_bounded) {
  log_reader log;
  for (std::size_t k = 0; k < most_nodes; ++k) EXPECT_TRUE(log.beat("n" + std::to_string(k)));
  EXPECT_FALSE(log.beat("one more"));
  EXPECT_EQ(log.fold.ignored(), 1U);
  log.live(default_session, {"n0"});
  EXPECT_TRUE(log.beat("one more")) << "the others are gone";
  EXPECT_EQ(log.fold.nodes().size(), most_nodes);
}

TEST(an_incarnation, ends_the_older_one_at_once) {
  log_reader log;
  log.beat("a", {{0, partition_role::leading, 7}});
  EXPECT_EQ(log.fold.present_leader(0), "a");
  auto newer = log.make("a");
  newer.incarnation = 5;
  EXPECT_TRUE(log.append(newer));
  EXPECT_EQ(log.fold.present_leader(0), "");
  EXPECT_EQ(log.fold.find("a")->incarnation, 5U);
  EXPECT_FALSE(log.beat("a", {{0, partition_role::leading, 8}})) << "the older one";
  EXPECT_EQ(log.fold.find("a")->incarnation, 5U);
  EXPECT_EQ(log.fold.present_leader(0), "");
}

TEST(an_incarnation, is_known_by_its_birth_to_a_reader_that_began_late) {
  log_reader log;
  auto newer = log.make("a");
  newer.incarnation = 5;
  newer.born = 1'000;
  auto older = log.make("a");
  older.incarnation = 99;
  older.born = 40;
  ownership_fold late({}, 2'000);
  EXPECT_TRUE(late.read(2'000, log.now, older)) << "an older one that was stopped for an hour";
  EXPECT_TRUE(late.read(2'001, log.now, newer));
  EXPECT_FALSE(late.read(2'002, log.now, older));
  EXPECT_EQ(late.find("a")->incarnation, 5U);

  ownership_fold later({}, 2'001);
  EXPECT_TRUE(later.read(2'001, log.now, newer));
  EXPECT_FALSE(later.read(2'002, log.now, older)) << "without ever having read of it";
}

TEST(an_incarnation, of_old_counts_again_when_the_newer_one_is_gone_and_gives_way_when_it_returns) {
  log_reader log;
  auto older = log.make("a");
  auto newer = older;
  newer.incarnation = 5;
  log.append(older);
  log.append(newer);
  log.live(default_session, {"b"});
  EXPECT_TRUE(log.append(older));
  EXPECT_TRUE(log.append(newer));
  EXPECT_FALSE(log.append(older));
}

TEST(an_incarnation, list_is_bounded) {
  log_reader log;
  for (std::uint64_t k = 1; k <= 3 * most_lives; ++k) {
    auto h = log.make("a");
    h.incarnation = k;
    EXPECT_TRUE(log.append(h));
  }
  EXPECT_EQ(log.fold.find("a")->lives.size(), most_lives);
}

// One node's part.
struct one_node {
  one_node(const std::string& name, engine::incarnation i, ownership_settings s = {}) : own(name, i, s) {}
  heartbeat sign(std::vector<partition_report> partitions = {}) {
    return own.sign(
        {.sent_ms = midnight, .address = "at-" + std::to_string(own.incarnation()), .partitions = partitions});
  }
  bool read(const heartbeat& h, std::int64_t after = 100) {
    return own.read(own.fold().next_offset(), now += after, h);
  }
  ownership own;
  std::int64_t now = midnight;
};

TEST(own_heartbeat, must_have_come_back_before_anything_is_done) {
  one_node former("a", 1);
  one_node a("a", 2);
  EXPECT_EQ(a.own.consider(0, {}), verdict::unheard);
  a.read(former.sign());
  EXPECT_EQ(a.own.fold().should_lead(0), "a");
  EXPECT_EQ(a.own.consider(0, {}), verdict::unheard) << "that was the former incarnation";
  EXPECT_FALSE(a.own.should_follow(0));
  const auto first = a.sign();
  EXPECT_EQ(first.born, -1);
  a.read(first);
  EXPECT_TRUE(a.own.should_announce(0, {}));
  EXPECT_TRUE(a.own.should_follow(0));
  EXPECT_EQ(a.sign().born, 1);
  EXPECT_EQ(a.sign().beat, 3U);

  one_node b("b", 3);
  for (int k = 0; k < 4; ++k) a.read(b.sign(), 1'000);
  EXPECT_EQ(a.own.consider(0, {}), verdict::unheard) << "it was silent for a session";
  a.read(a.sign());
  EXPECT_TRUE(a.own.heard());
}

TEST(a_replaced_node, is_told_by_whom) {
  one_node former("a", 77);
  one_node newer("a", 5);
  const auto one = former.sign();
  const auto two = newer.sign();
  for (const auto& h : {one, two}) former.read(h), newer.read(h);
  ASSERT_TRUE(former.own.replaced_by());
  EXPECT_EQ(former.own.replaced_by()->incarnation, 5U);
  EXPECT_EQ(former.own.replaced_by()->address, "at-5");
  EXPECT_EQ(former.own.consider(0, {}), verdict::replaced);
  EXPECT_FALSE(newer.own.replaced_by());
  newer.read(former.sign());
  EXPECT_FALSE(newer.own.replaced_by()) << "a late heartbeat of the older one";
  EXPECT_TRUE(newer.own.heard());
}

TEST(a_replaced_node, does_not_take_its_replacement_with_it) {
  // The newer one is stopped for longer than a session; meanwhile a late heartbeat of the older one is written.
  one_node former("a", 77);
  one_node newer("a", 5);
  one_node b("b", 6);
  newer.read(former.sign());
  newer.read(newer.sign());
  for (int k = 0; k < 4; ++k) newer.read(b.sign(), 1'000);
  EXPECT_TRUE(newer.read(former.sign()));
  EXPECT_FALSE(newer.own.replaced_by());
  EXPECT_FALSE(newer.own.heard());
  newer.read(newer.sign());
  EXPECT_TRUE(newer.own.heard());
}

TEST(a_refused_node, waits_for_heartbeats_made_since_and_longer_each_time) {
  one_node a("a", 1);
  a.read(a.sign());
  ASSERT_TRUE(a.own.should_announce(0, {}));
  const auto made_before = a.sign();
  std::vector<int> waits;
  for (int refusal = 0; refusal < 7; ++refusal) {
    a.own.refused(0);
    if (refusal == 0) {
      a.read(made_before);
      EXPECT_EQ(a.own.consider(0, {}), verdict::waiting);
    }
    int n = 0;
    for (; !a.own.should_announce(0, {}); ++n) a.read(a.sign());
    waits.push_back(n);
  }
  EXPECT_EQ(waits, (std::vector<int>{1, 2, 4, 8, 16, 16, 16}));

  for (std::uint64_t k = 0; k < settled_after; ++k) a.read(a.sign({{0, partition_role::leading, 0}}));
  a.own.refused(0);
  EXPECT_EQ(a.own.consider(0, {}), verdict::leads) << "until its heartbeat says otherwise";
  a.read(a.sign());
  EXPECT_TRUE(a.own.should_announce(0, {})) << "led for long: the earlier refusals are forgotten";
}

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

TEST(clock, is_judged_by_the_best_measurement) {
  log_reader log;
  const auto with = [&](std::int64_t ahead) {
    auto h = log.make("a");
    h.sent_ms += ahead;
    log.append(h);
    return log.fold.find("a")->clock;
  };
  EXPECT_EQ(with(-1'000).state(), clock_state::right);
  EXPECT_EQ(with(1'000).state(), clock_state::right);
  EXPECT_EQ(with(1'001).state(), clock_state::warns);
  EXPECT_EQ(with(10'000).state(), clock_state::warns);
  EXPECT_EQ(with(10'001).state(), clock_state::forbids);
  EXPECT_EQ(with(10'001).value(), milliseconds{10'001});
}

TEST(clock, is_not_blamed_for_heartbeats_that_an_outage_held_up) {
  log_reader log;
  log.live(milliseconds{3'000}, {"a", "b"});
  log.now += 600'000;
  for (std::int64_t held_up = 600'000; held_up > 0; held_up -= 300) {
    auto h = log.make("a");
    h.sent_ms = log.now - held_up;
    log.append(h);
    ASSERT_EQ(log.fold.find("a")->clock.state(), clock_state::right) << held_up;
  }
}

TEST(clock, that_is_slow_is_seen_and_forgiven_within_the_window) {
  log_reader log;
  log.live(milliseconds{6'000}, {"a"});
  const auto run = [&](std::int64_t ahead, milliseconds d) {
    for (milliseconds t{0}; t < d; t += heartbeat_interval) {
      log.now += heartbeat_interval.count();
      auto h = log.make("a");
      h.sent_ms += ahead;
      log.append(h);
    }
    return log.fold.find("a")->clock.state();
  };
  EXPECT_EQ(run(-60'000, clock_window + milliseconds{300}), clock_state::forbids);
  EXPECT_EQ(run(0, milliseconds{300}), clock_state::right);
  EXPECT_EQ(run(60'000, milliseconds{300}), clock_state::forbids) << "that can be no delay";
  EXPECT_EQ(run(0, clock_window + milliseconds{300}), clock_state::right);
}

TEST(formats, are_what_all_living_nodes_read) {
  log_reader log;
  EXPECT_EQ(log.fold.formats(), read_formats{});
  auto h = log.make("a");
  h.reads = {.journal = 3, .commands = 2, .snapshots = 5};
  log.append(h);
  EXPECT_EQ(log.fold.formats(), h.reads);
  h = log.make("b");
  h.reads = {.journal = 2, .commands = 4, .snapshots = 4};
  h.health = node_health::leaving;
  log.append(h);
  const read_formats both{.journal = 2, .commands = 2, .snapshots = 4};
  EXPECT_EQ(log.fold.formats(), both) << "it may still lead";
  h = log.make("a");
  h.reads = {.journal = 3, .commands = 2, .snapshots = 5};
  for (int k = 0; k < 3; ++k) log.now += 1'000, log.append(h);
  EXPECT_EQ(log.fold.formats(), h.reads) << "the other is gone";
}

TEST(runners, are_the_living_nodes_with_the_type) {
  log_reader log;
  auto h = log.make("a");
  h.runs = {"order", "refund"};
  log.append(h);
  log.beat("b");
  EXPECT_EQ(log.fold.runners("refund"), (std::vector<std::string>{"a"}));
  EXPECT_TRUE(log.fold.runners("unknown").empty());
}

TEST(a_heartbeat, about_a_partition_that_there_is_not_is_read_without_it) {
  log_reader log({.partitions = 2});
  EXPECT_TRUE(log.beat(
      "a", {{-1, partition_role::leading, 5}, {2, partition_role::leading, 5}, {1, partition_role::leading, 5}}));
  EXPECT_EQ(log.fold.present_leader(0), "");
  EXPECT_EQ(log.fold.present_leader(1), "a");
  EXPECT_FALSE(log.fold.read(0, log.now, log.make("a"))) << "read before";
}

}  // namespace
}  // namespace pawl::broker
