// Verdicts of a crowd gather; one alone is not kept waiting.
#include "broker/verdict_box.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

namespace pawl::broker {
namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

// The shortest of many: what else runs on this machine makes some longer.
template <class F>
steady::duration shortest(F f) {
  auto best = steady::duration::max();
  for (int k = 0; k < 200; ++k) {
    const auto before = steady::now();
    f();
    best = std::min(best, steady::now() - before);
  }
  return best;
}

TEST(verdict_box, gives_all_in_their_order_and_once) {
  verdict_box box;
  EXPECT_TRUE(box.take().empty());
  for (std::int64_t k = 0; k < 3; ++k) box.put({.reading = 1, .offset = k, .verdict = {}});
  const auto all = box.take();
  ASSERT_EQ(all.size(), 3U);
  for (std::size_t k = 0; k < 3; ++k) EXPECT_EQ(all[k].offset, static_cast<std::int64_t>(k));
  EXPECT_TRUE(box.take().empty());
}

TEST(verdict_box, one_caller_is_not_delayed) {
  verdict_box box;
  EXPECT_LT(shortest([&] {
              std::jthread handler([&] { box.put({.reading = 1, .offset = 1, .verdict = {}}); });
              box.wait(30s, 1);
              EXPECT_EQ(box.take().size(), 1U) << "woken, and not by time";
            }),
            verdict_box::gathering);
}

TEST(verdict_box, just_below_a_crowd_nobody_is_delayed) {
  verdict_box box;
  box.put({.reading = 1, .offset = 1, .verdict = {}});
  EXPECT_LT(shortest([&] { box.wait(30s, verdict_box::crowd - 1); }), verdict_box::gathering);
  EXPECT_EQ(box.take().size(), 1U);
}

TEST(verdict_box, those_of_a_crowd_gather) {
  verdict_box box;
  box.put({.reading = 1, .offset = 1, .verdict = {}});
  const auto before = steady::now();
  box.wait(30s, verdict_box::crowd);
  EXPECT_GE(steady::now() - before, verdict_box::gathering);
  EXPECT_EQ(box.take().size(), 1U);
}

// Of those that are put one after the other only the first one wakes: none is left behind for that.
TEST(verdict_box, none_is_left_behind) {
  constexpr int each = 20'000;
  verdict_box box;
  std::vector<std::jthread> handlers;
  for (int t = 0; t < 3; ++t)
    handlers.emplace_back([&box] {
      for (int k = 0; k < each; ++k) box.put({.reading = 1, .offset = k, .verdict = {}});
    });
  std::size_t taken = 0;
  const auto deadline = steady::now() + 60s;
  while (taken < 3U * each && steady::now() < deadline) {
    box.wait(60s, 1);
    taken += box.take().size();
  }
  EXPECT_EQ(taken, 3U * each);
}

TEST(verdict_box, the_end_wakes_and_is_no_reason_to_wait) {
  verdict_box box;
  std::jthread one([&] { box.end(); });
  box.wait(60s, 1);
  one.join();
  EXPECT_TRUE(box.is_ending());
  box.wait(60s, 1);
  box.rest(60s);
  box.put({.reading = 1, .offset = 1, .verdict = {}});
  box.last_wait(60s);
  EXPECT_EQ(box.take().size(), 1U);
}

}  // namespace
}  // namespace pawl::broker
