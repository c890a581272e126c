// Marks come to the same in whatever order they are heard, and what they and the nodes say gives one version.
#include "workflow/version_choice.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace pawl::engine {
namespace {

type_mark mark(std::uint64_t revision, std::uint32_t version, std::int64_t at = 5, std::string by = "c") {
  return {.type = "order", .version = version, .revision = revision, .at = at, .by = std::move(by)};
}

TEST(version_choice, any_order_of_marks_folds_to_the_same) {
  // The last two have a revision that was given twice, under two reigns: the later counts, then the greater id.
  std::vector<type_mark> marks{mark(1, 3),         mark(2, 0, 9),      mark(3, 4, 6),
                               mark(4, 7, 8, "a"), mark(4, 8, 8, "b"), mark(4, 9, 7, "z")};
  std::sort(marks.begin(), marks.end(), [](const auto& a, const auto& b) { return is_newer(b, a); });
  EXPECT_EQ(marks.back().version, 8U);
  std::vector<std::size_t> order{0, 1, 2, 3, 4, 5};
  int orders = 0;
  do {
    type_marks all;
    for (const auto k : order) fold(all, marks[k]);
    ASSERT_EQ(all.size(), 1U);
    ASSERT_EQ(all.at("order"), marks.back());
    ++orders;
  } while (std::next_permutation(order.begin(), order.end()));
  EXPECT_EQ(orders, 720);
}

TEST(version_choice, a_mark_that_is_known_or_older_changes_nothing) {
  type_marks all;
  EXPECT_TRUE(fold(all, mark(2, 3)));
  EXPECT_FALSE(fold(all, mark(2, 3))) << "it came twice";
  EXPECT_FALSE(fold(all, mark(1, 4, 100)));
  EXPECT_TRUE(fold(all, mark(3, 0)));
  EXPECT_EQ(all.at("order").version, 0U) << "that it was taken away is kept, against what comes late";
  EXPECT_FALSE(fold(all, mark(2, 3)));
  EXPECT_TRUE(fold(all, {.type = "refund", .version = 1, .revision = 1}));
  EXPECT_EQ(all.size(), 2U);
}

TEST(version_choice, what_a_node_runs_is_read_from_its_heartbeat) {
  const auto runs = runnable_from(
      {"order/10", "order/2", "a/b/1", "order", "/3", "order/", "order/x", "order/0", "order/-1", "order/99999999999"});
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs.at("order"), (std::vector<std::uint32_t>{2, 10}));
  EXPECT_EQ(runs.at("a/b"), (std::vector<std::uint32_t>{1}));
}

TEST(version_choice, common_is_the_highest_that_all_run_which_have_the_type) {
  const runnable_types a{{"order", {1, 2, 3}}, {"new", {1}}};
  const runnable_types b{{"order", {1, 2}}};
  const runnable_types c{{"order", {2, 3}}};
  const runnable_types none;
  EXPECT_EQ(common_version({&a, &b, &c}, "order"), 2U);
  EXPECT_EQ(common_version({&a}, "order"), 3U);
  EXPECT_EQ(common_version({&a, &b, &none}, "order"), 2U) << "one that has it not at all will never lead it";
  EXPECT_EQ(common_version({&a, &b, &c}, "new"), 1U);
  EXPECT_EQ(common_version({&a, &b, &c}, "other"), 0U);
  EXPECT_EQ(common_version({}, "order"), 0U);
  const runnable_types d{{"order", {4}}};
  EXPECT_EQ(common_version({&a, &d}, "order"), 0U) << "there is none";
}

TEST(version_choice, a_mark_goes_before_what_all_run_and_that_before_the_own) {
  EXPECT_EQ(choose_version(1, 2, 3), (version_choice{1, version_reason::marked}));
  EXPECT_EQ(choose_version(0, 2, 3), (version_choice{2, version_reason::common}));
  EXPECT_EQ(choose_version(0, 0, 3), (version_choice{3, version_reason::local}));
  EXPECT_EQ(choose_version(0, 0, 0), (version_choice{0, version_reason::none}));
  EXPECT_EQ(choose_version(9, 0, 0).version, 9U) << "although nobody runs it";
}

}  // namespace
}  // namespace pawl::engine
