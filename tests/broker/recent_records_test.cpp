#include "broker/recent_records.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace pawl::broker {
namespace {

using namespace std::chrono_literals;
using found = recent_records::found;

store::log_point at(std::int64_t offset) { return {.offset = offset, .epoch = 3, .reign = {1, 2}, .seq = 7}; }

std::shared_ptr<const store::record> changes(engine::run_key key) {
  auto r = std::make_shared<store::record>();
  r->runs.push_back({.key = key, .created = {}, .events = {}});
  return r;
}

TEST(recent_records, keeps_nothing_before_somebody_asks) {
  recent_records r;
  r.put(at(4), changes(4), 10);
  EXPECT_EQ(r.take(4, 0ms).what, found::elsewhere);
  r.put(at(5), changes(5), 10);
  const auto a = r.take(5, 0ms);
  ASSERT_EQ(a.what, found::yes);
  EXPECT_EQ(a.at, at(5));
  EXPECT_EQ(a.changes->runs.at(0).key, 5);
}

TEST(recent_records, gives_each_in_order_and_says_when_there_is_none_yet) {
  recent_records r;
  EXPECT_EQ(r.take(1, 0ms).what, found::elsewhere);
  for (std::int64_t k = 1; k <= 3; ++k) r.put(at(k), k == 2 ? nullptr : changes(k), 10);
  EXPECT_EQ(r.take(1, 0ms).changes->runs.at(0).key, 1);
  const auto barrier = r.take(2, 0ms);
  EXPECT_EQ(barrier.what, found::yes);
  EXPECT_EQ(barrier.changes, nullptr);
  EXPECT_EQ(r.take(3, 0ms).what, found::yes);
  EXPECT_EQ(r.take(4, 0ms).what, found::not_yet);
  EXPECT_EQ(r.take(3, 0ms).what, found::elsewhere);  // given away
  EXPECT_EQ(r.take(9, 0ms).what, found::elsewhere);
}

TEST(recent_records, what_others_wrote_in_between_is_elsewhere) {
  recent_records r;
  EXPECT_EQ(r.take(1, 0ms).what, found::elsewhere);
  r.put(at(1), changes(1), 10);
  r.put(at(4), changes(4), 10);
  EXPECT_EQ(r.take(1, 0ms).what, found::yes);
  EXPECT_EQ(r.take(2, 0ms).what, found::elsewhere);
  EXPECT_EQ(r.take(3, 0ms).what, found::elsewhere);
  EXPECT_EQ(r.take(4, 0ms).what, found::yes);
}

TEST(recent_records, is_bounded_by_bytes) {
  recent_records r(100);
  EXPECT_EQ(r.take(0, 0ms).what, found::elsewhere);
  for (std::int64_t k = 0; k < 50; ++k) r.put(at(k), changes(k), 20);
  EXPECT_EQ(r.take(44, 0ms).what, found::elsewhere);
  EXPECT_EQ(r.take(45, 0ms).what, found::yes);
  r.put(at(50), changes(50), 1000);
  EXPECT_EQ(r.take(50, 0ms).what, found::elsewhere);
  EXPECT_EQ(r.take(51, 0ms).what, found::not_yet);
}

TEST(recent_records, forgets_all_when_the_leading_ends) {
  recent_records r;
  EXPECT_EQ(r.take(0, 0ms).what, found::elsewhere);
  r.put(at(0), changes(0), 10);
  r.clear();
  EXPECT_EQ(r.take(0, 0ms).what, found::elsewhere);
  EXPECT_EQ(r.take(1, 0ms).what, found::elsewhere);
  r.put(at(1), changes(1), 10);
  EXPECT_EQ(r.take(1, 0ms).what, found::yes);
}

TEST(recent_records, wakes_who_waits) {
  recent_records r;
  EXPECT_EQ(r.take(0, 0ms).what, found::elsewhere);
  r.put(at(0), changes(0), 10);
  EXPECT_EQ(r.take(0, 0ms).what, found::yes);
  std::jthread one([&] { r.put(at(1), changes(1), 10); });
  EXPECT_EQ(r.take(1, 60s).what, found::yes);
  one.join();
  std::jthread two([&] { r.clear(); });
  EXPECT_EQ(r.take(2, 60s).what, found::elsewhere);
  two.join();
  EXPECT_EQ(r.take(2, 0ms).what, found::elsewhere);
  r.put(at(2), changes(2), 10);
  EXPECT_EQ(r.take(2, 0ms).what, found::yes);
  std::jthread three([&] { r.wake(); });
  EXPECT_EQ(r.take(3, 60s).what, found::not_yet);
}

TEST(recent_records, what_comes_behind_another_gathers_and_what_comes_after_a_quiet_while_does_not) {
  constexpr auto gather = 30ms;
  recent_records r;
  EXPECT_EQ(r.take(0, 0ms, gather).what, found::elsewhere);
  r.put(at(0), changes(0), 10);
  EXPECT_EQ(r.take(0, 60s, gather).what, found::yes);
  // Busy: none is given before the others have had their time, and none is forgotten.
  const auto before = std::chrono::steady_clock::now();
  std::jthread some([&] {
    for (std::int64_t k = 1; k <= 3; ++k) r.put(at(k), changes(k), 10);
  });
  EXPECT_EQ(r.take(1, 60s, gather).what, found::not_yet);
  EXPECT_GE(std::chrono::steady_clock::now() - before, gather);
  some.join();
  for (std::int64_t k = 1; k <= 3; ++k) EXPECT_EQ(r.take(k, 0ms, gather).what, found::yes) << k;
  // Quiet: the time has passed, and the next one wakes who waits.
  EXPECT_EQ(r.take(4, 60s, gather).what, found::not_yet);
  std::jthread one([&] { r.put(at(4), changes(4), 10); });
  EXPECT_EQ(r.take(4, 60s, gather).what, found::yes);
}

TEST(recent_records, who_gathers_is_woken_and_a_wake_is_not_lost) {
  recent_records r;
  EXPECT_EQ(r.take(0, 0ms).what, found::elsewhere);
  r.put(at(0), changes(0), 10);
  EXPECT_EQ(r.take(0, 0ms, 60s).what, found::yes);
  std::jthread one([&] { r.wake(); });
  EXPECT_EQ(r.take(1, 60s, 60s).what, found::not_yet);
  one.join();
  r.wake();  // before anybody waits
  EXPECT_EQ(r.take(1, 60s, 60s).what, found::not_yet);
  r.put(at(1), changes(1), 10);
  EXPECT_EQ(r.take(1, 0ms, 60s).what, found::yes);
  r.wake();
  EXPECT_EQ(r.take(2, 60s, 60s).what, found::not_yet);
}

}  // namespace
}  // namespace pawl::broker
