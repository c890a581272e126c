// Whose turn it is of those that are due.
#include "actors/due_backlog.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace pawl::actors {
namespace {

using keys = std::vector<engine::run_key>;

TEST(due_backlog, gives_neighbours_together) {
  due_backlog b;
  for (const engine::run_key k : {9, 3, 7, 3, 1}) b.push(k);
  EXPECT_EQ(b.size(), 5U);
  EXPECT_EQ(b.take(2), (keys{1, 3}));
  b.push(2);
  EXPECT_EQ(b.take(9), (keys{7, 9})) << "what came later is of another turn";
  EXPECT_FALSE(b.empty());
  EXPECT_EQ(b.take(9), (keys{2}));
  EXPECT_TRUE(b.empty());
  EXPECT_EQ(b.take(9), keys{});
}

TEST(due_backlog, nobody_waits_for_who_came_a_turn_later) {
  due_backlog b;
  b.push(1'000'000);  // the highest key, and the first
  const auto many = 3 * static_cast<engine::run_key>(due_backlog::turn);
  for (engine::run_key k = 1; k <= many; ++k) b.push(k);
  std::size_t before = 0;
  for (;;) {
    const auto some = b.take(100);
    ASSERT_FALSE(some.empty());
    if (some.back() == 1'000'000) break;
    before += some.size();
  }
  EXPECT_LE(before, due_backlog::turn);
}

TEST(due_backlog, who_is_given_back_is_next) {
  due_backlog b;
  for (const engine::run_key k : {5, 6, 7, 8}) b.push(k);
  const auto taken = b.take(3);
  b.push(1);
  b.give_back(taken);
  EXPECT_EQ(b.size(), 5U);
  EXPECT_EQ(b.take(4), (keys{5, 6, 7, 8}));
  b.clear();
  EXPECT_TRUE(b.empty());
}

}  // namespace
}  // namespace pawl::actors
