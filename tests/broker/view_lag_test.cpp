// Who reads a leader's view while its newest record is not in it.
#include "broker/view_lag.hpp"

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "store/view.hpp"

namespace pawl::broker {
namespace {

using namespace std::chrono_literals;

store::record beginning(const std::string& id) {
  store::run_header header;
  header.workflow_id = id;
  store::record r;
  r.runs.push_back({.key = 1, .created = std::move(header), .events = {}});
  return r;
}

TEST(view_lag, nobody_waits_while_nothing_is_lacking) {
  view_lag lag;
  lag.wait();
  EXPECT_FALSE(lag.may_begin("w"));
  lag.behind(beginning("w"));
  lag.even();
  lag.wait();
  EXPECT_FALSE(lag.may_begin("w"));
}

TEST(view_lag, who_asks_waits_for_what_is_lacking) {
  view_lag lag;
  lag.behind(beginning("w"));
  EXPECT_TRUE(lag.may_begin("w"));
  EXPECT_FALSE(lag.may_begin("x"));
  auto asked = std::async(std::launch::async, [&] { lag.wait(); });
  EXPECT_EQ(asked.wait_for(20ms), std::future_status::timeout);
  lag.even();
  EXPECT_EQ(asked.wait_for(30s), std::future_status::ready);
  lag.behind(beginning("x"));
  EXPECT_TRUE(lag.may_begin("x"));
  EXPECT_FALSE(lag.may_begin("w"));
}

TEST(view_lag, a_view_that_cannot_be_written_is_not_read) {
  view_lag lag;
  lag.behind(beginning("w"));
  auto asked = std::async(std::launch::async, [&] { lag.wait(); });
  lag.failed("no space");
  EXPECT_THROW(asked.get(), store::view_error);
  EXPECT_THROW(lag.wait(), store::view_error) << "until it is read anew";
  lag.even();
  lag.wait();
}

TEST(view_lag, nobody_waits_for_ever) {
  view_lag lag;
  lag.behind(beginning("w"));
  EXPECT_THROW(lag.wait(5ms), store::view_error);
  EXPECT_TRUE(lag.is_awaited()) << "whoever writes it hears of it all the same";
  lag.even();
  EXPECT_FALSE(lag.is_awaited());
  lag.wait(0ms);
}

// Who reads is not kept waiting for what came after it asked.
TEST(view_lag, it_is_shown_by_and_by) {
  int hurried = 0;
  view_lag lag([&] { ++hurried; });
  EXPECT_EQ(lag.behind(beginning("w")), 1U);
  auto asked = std::async(std::launch::async, [&] { lag.wait(30s); });
  while (!lag.is_awaited()) std::this_thread::yield();
  EXPECT_EQ(lag.behind(beginning("x")), 2U);
  EXPECT_EQ(lag.behind(beginning("w")), 3U);
  lag.shows(1);
  EXPECT_NO_THROW(asked.get());
  EXPECT_EQ(hurried, 1);
  EXPECT_FALSE(lag.is_awaited());
  EXPECT_TRUE(lag.may_begin("w")) << "once more";
  EXPECT_TRUE(lag.may_begin("x"));
  lag.shows(2);
  EXPECT_FALSE(lag.may_begin("x"));
  EXPECT_THROW(lag.wait(5ms), store::view_error) << "3 is lacking";
  lag.shows(3);
  EXPECT_FALSE(lag.may_begin("w"));
  lag.wait(0ms);
}

// Who waits has seen what was lacking then, however much comes meanwhile.
TEST(view_lag, what_comes_meanwhile_is_not_waited_for) {
  view_lag lag;
  for (int round = 0; round < 200; ++round) {
    lag.behind(beginning("w"));
    auto asked = std::async(std::launch::async, [&] { lag.wait(30s); });
    while (!lag.is_awaited()) std::this_thread::yield();
    lag.even();
    lag.behind(beginning("x"));
    EXPECT_NO_THROW(asked.get());
    EXPECT_TRUE(lag.may_begin("x"));
    lag.even();
  }
}

}  // namespace
}  // namespace pawl::broker
