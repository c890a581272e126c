// What may be trimmed: each thing that needs the journal, in turn the one that needs the most of it.
#include "broker/trim_plan.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <random>

#include "tests/broker/seeds.hpp"

namespace pawl::broker {
namespace {

using ::testing::UnorderedElementsAre;

store::log_position at(std::int64_t offset, std::int64_t feed, std::int64_t commands) {
  return {.at = {.offset = offset, .reign = {}}, .commands = commands, .feed = {.offset = feed, .reign = {}}};
}

trim_inputs usual() {
  return {.kept = {at(900, 890, 450), at(500, 480, 250)},
          .to_keep = 2,
          .feed = true,
          .end = 1000,
          .standbys = {1000, 990},
          .standby_limit = 300};
}

TEST(trim_plan, the_oldest_snapshot_is_the_bound) {
  auto in = usual();
  in.kept = {at(900, 899, 450), at(500, 500, 250)};
  EXPECT_EQ(plan_trim(in), (trim_plan{.journal_below = 500, .commands_below = 250, .bound = trim_bound::snapshot}));
  std::reverse(in.kept.begin(), in.kept.end());
  EXPECT_EQ(plan_trim(in).journal_below, 500) << "in whatever order";
}

TEST(trim_plan, the_feed_is_the_bound) {
  EXPECT_EQ(plan_trim(usual()), (trim_plan{.journal_below = 480, .commands_below = 250, .bound = trim_bound::feed}));
  auto in = usual();
  in.kept[1].feed.offset = -1;
  EXPECT_EQ(plan_trim(in), (trim_plan{.journal_below = 0, .commands_below = 250, .bound = trim_bound::feed}));
  in.feed = false;
  EXPECT_EQ(plan_trim(in).bound, trim_bound::snapshot) << "where nobody publishes, nobody is waited for";
}

TEST(trim_plan, the_slowest_standby_is_the_bound_unless_it_is_too_slow) {
  auto in = usual();
  in.end = 800;
  in.kept = {at(790, 790, 450), at(700, 700, 250)};
  in.standbys = {800, 600, 650};
  EXPECT_EQ(plan_trim(in), (trim_plan{.journal_below = 599, .commands_below = 250, .bound = trim_bound::standby}))
      << "its last record stays: it is looked at again";
  in.standby_limit = 200;
  EXPECT_EQ(plan_trim(in).journal_below, 599) << "just within";
  in.standby_limit = 199;
  EXPECT_EQ(plan_trim(in).journal_below, 649) << "the next one counts";
  in.standby_limit = 10;
  EXPECT_EQ(plan_trim(in).bound, trim_bound::snapshot);
}

TEST(trim_plan, too_few_snapshots_are_the_bound) {
  auto in = usual();
  in.kept.pop_back();
  EXPECT_EQ(plan_trim(in), (trim_plan{.journal_below = 0, .commands_below = 0, .bound = trim_bound::snapshots}));
  in.kept.clear();
  in.to_keep = 0;
  EXPECT_EQ(plan_trim(in).journal_below, 0) << "never all of it";
}

TEST(trim_plan, commands_go_by_the_lowest_position) {
  auto in = usual();
  in.kept = {at(900, 899, 30), at(500, 500, 250)};
  EXPECT_EQ(plan_trim(in).commands_below, 30);
  in.kept[0].commands = -1;
  EXPECT_EQ(plan_trim(in).commands_below, 0);
}

// Nothing that anybody starts from is ever below what is kept.
TEST(trim_plan, whoever_starts_finds_what_it_needs) {
  const auto seeds = seeds_to_run(5'000);
  int bounds[4] = {};
  for (auto s = seeds.first; s < seeds.first + seeds.count; ++s) {
    SCOPED_TRACE("PAWL_SEED=" + std::to_string(s) + " test_broker --gtest_filter=trim_plan.whoever*");
    std::mt19937_64 random(s);
    const auto below = [&](std::int64_t n) {
      return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(n + 1));
    };
    trim_inputs in{
        .kept = {}, .to_keep = 2, .feed = random() % 4 != 0, .end = 1 + below(1000), .standby_limit = below(500)};
    for (auto n = below(4); n > 0; --n) {
      const auto offset = below(in.end - 1);
      in.kept.push_back(at(offset, below(offset + 1) - 1, below(500) - 1));
    }
    for (auto n = below(3); n > 0; --n) in.standbys.push_back(below(in.end));
    const auto plan = plan_trim(in);
    ++bounds[static_cast<int>(plan.bound)];
    ASSERT_GE(plan.journal_below, 0);
    ASSERT_LT(plan.journal_below, in.end);
    if (in.kept.size() < 2) ASSERT_EQ(plan.journal_below, 0);
    for (const auto& k : in.kept) {
      ASSERT_LE(plan.journal_below, k.at.offset);
      if (in.feed) ASSERT_LE(plan.journal_below, std::max<std::int64_t>(0, k.feed.offset));
      ASSERT_LE(plan.commands_below, std::max<std::int64_t>(0, k.commands));
    }
    for (const auto p : in.standbys)
      if (in.end - p <= in.standby_limit) ASSERT_LE(plan.journal_below, std::max<std::int64_t>(0, p - 1));
  }
  if (seeds.count > 1000)
    for (const auto n : bounds) EXPECT_GT(n, 100);
}

TEST(trim_plan, views_of_living_nodes_are_waited_for) {
  ownership_fold fold({.partitions = 2});
  std::int64_t now = 1'700'000'000'000;
  const auto beat = [&](const std::string& node, std::vector<partition_report> p) {
    heartbeat h;
    h.node = node;
    h.incarnation = engine::stable_hash(node);
    h.sent_ms = now;
    h.partitions = std::move(p);
    fold.read(fold.next_offset(), now += 300, h);
  };
  beat("gone", {{.partition = 0, .role = partition_role::standby, .position = 1}});
  for (int n = 0; n < 20; ++n) {
    beat("a", {{.partition = 0, .role = partition_role::leading, .position = 100}});
    beat("b", {{.partition = 0, .role = partition_role::standby, .position = 90},
               {.partition = 1, .role = partition_role::standby, .position = 7}});
    beat("c", {{.partition = 0, .role = partition_role::catching_up, .position = 20}});
    beat("d", {{.partition = 0, .role = partition_role::diverged, .position = 3}});
    beat("e", {});
  }
  EXPECT_THAT(views_of(fold, 0), UnorderedElementsAre(100, 90, 20));
  EXPECT_THAT(views_of(fold, 1), UnorderedElementsAre(7));
  EXPECT_TRUE(views_of(fold, 9).empty());
}

}  // namespace
}  // namespace pawl::broker
