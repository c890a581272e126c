// The two ends of the outbox, one step at a time; the simulation beside it takes their rules away.
#include "broker/outbox.hpp"

#include <gtest/gtest.h>

namespace pawl::broker {
namespace {

using verdict = inbox::verdict;
using state = store::receive_mark::state;
constexpr engine::reign first{.high = 1, .low = 1};
constexpr engine::reign second{.high = 2, .low = 2};

std::uint64_t number_of(const std::optional<outbox_lane::sending>& s) { return s ? s->number : 0; }

TEST(outbox_lane, nothing_is_sent_before_it_is_durable) {
  outbox_lane lane;
  EXPECT_EQ(lane.give(), 1U);
  EXPECT_FALSE(lane.next());
  lane.committed();
  EXPECT_EQ(lane.give(), 2U);
  EXPECT_EQ(number_of(lane.next()), 1U);
  EXPECT_FALSE(lane.next());
}

TEST(outbox_lane, a_failure_takes_what_is_behind_it_along) {
  outbox_lane lane(5, 1);
  const auto one = *lane.next(), two = *lane.next(), three = *lane.next();
  lane.acknowledged(three);
  lane.acknowledged(one);
  EXPECT_EQ(lane.acknowledged_below(), 2U);
  lane.failed(two);
  EXPECT_EQ(number_of(lane.next()), 2U);
  EXPECT_EQ(number_of(lane.next()), 3U) << "it was acknowledged, and overtook the one before it";
  lane.acknowledged(three);
  EXPECT_EQ(lane.acknowledged_below(), 2U) << "of a send that does not count";
  EXPECT_EQ(number_of(lane.next()), 4U);
  EXPECT_EQ(lane.waiting(), 3U);
}

TEST(outbox_lane, so_many_are_under_way) {
  outbox_lane lane(10, 1);
  const auto one = *lane.next(2);
  ASSERT_TRUE(lane.next(2));
  EXPECT_FALSE(lane.next(2));
  lane.acknowledged(one);
  EXPECT_EQ(number_of(lane.next(2)), 3U);
}

TEST(inbox, takes_the_next_and_nothing_else) {
  inbox in;
  EXPECT_EQ(in.judge(3, 2, first), verdict::early);
  EXPECT_EQ(in.judge(3, 1, first), verdict::apply);
  EXPECT_EQ(in.judge(3, 1, first), verdict::repeat);
  EXPECT_EQ(in.judge(3, 2, second), verdict::apply);
  EXPECT_EQ(in.judge(3, 1, first), verdict::repeat) << "sent again by who led before";
  EXPECT_EQ(in.judge(4, 1, second), verdict::apply);
  EXPECT_EQ(in.mark(3), (store::receive_mark{.from = 3, .number = 2, .reign = second}));
}

TEST(inbox, a_number_under_another_reign_ends_the_pair_until_it_is_resynced) {
  inbox in;
  for (std::uint64_t n = 1; n <= 3; ++n) EXPECT_EQ(in.judge(3, n, first), verdict::apply);
  // Not the last number: the sender has lost two, and has given one of them again.
  EXPECT_EQ(in.judge(3, 2, second), verdict::diverged);
  EXPECT_EQ(in.judge(3, 4, first), verdict::diverged);
  EXPECT_EQ(in.judge(3, 3, first), verdict::repeat) << "it was applied, whatever came after it";
  EXPECT_EQ(in.mark(3).what, state::diverged);
  EXPECT_EQ(in.judge(4, 1, first), verdict::apply) << "the others go on";
  in.resync(3);
  EXPECT_EQ(in.judge(3, 3, second), verdict::apply);
  EXPECT_EQ(in.judge(3, 4, second), verdict::apply);
  EXPECT_EQ(in.judge(3, 4, second), verdict::repeat);
}

TEST(inbox, is_what_its_marks_fold_to) {
  inbox in;
  store::receive_state folded{.from = 3};
  const auto both = [&](std::uint64_t n, const engine::reign& r) {
    in.judge(3, n, r);
    folded.fold(in.mark(3));
  };
  for (std::uint64_t n = 1; n <= 60; ++n) both(n, engine::reign{.high = n / 3, .low = 0});
  EXPECT_EQ(folded.stretches.size(), store::most_stretches);
  EXPECT_EQ(folded.number(), 60U);
  inbox again;
  again.restore(folded);
  EXPECT_EQ(again.judge(3, 58, engine::reign{.high = 19, .low = 0}), verdict::repeat);
  EXPECT_EQ(again.judge(3, 58, second), verdict::diverged);
}

}  // namespace
}  // namespace pawl::broker
