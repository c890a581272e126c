// The fold over heartbeats, rule by rule; ownership_placement_test.cpp has whose turn it is,
// ownership_simulation_test.cpp puts them together.
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "tests/broker/log_reader.hpp"

namespace pawl::broker {
namespace {

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
