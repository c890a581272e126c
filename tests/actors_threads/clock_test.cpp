#include "actors/clock.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "tests/actors_threads/waiting.hpp"

namespace pawl::actors {
namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;
using testing::eventually;

TEST(clock, runs_callbacks_in_the_order_of_their_times_and_not_early) {
  const auto base = steady::now() + 20ms;
  std::vector<int> ran;
  std::atomic<int> early = 0;
  std::atomic<int> done = 0;
  clock c;
  for (int i : {3, 1, 4, 0, 2}) {
    const auto when = base + i * 5ms;
    c.at(when, [&, i, when] {
      early += steady::now() < when ? 1 : 0;
      ran.push_back(i);
      ++done;
    });
  }
  ASSERT_TRUE(eventually([&] { return done == 5; }));
  c.stop();
  EXPECT_EQ(ran, (std::vector{0, 1, 2, 3, 4}));
  EXPECT_EQ(early, 0);
}

TEST(clock, an_earlier_timer_wakes_a_clock_that_sleeps_longer) {
  std::atomic<int> ran = 0;
  clock c;
  c.at(steady::now() + 1h, [] {});
  for (int round = 1; round <= 5; ++round) {  // it sleeps between the rounds, if not before the first
    c.at(steady::now() + 1ms, [&] { ++ran; });
    ASSERT_TRUE(eventually([&] { return ran == round; }));
  }
  EXPECT_EQ(c.pending(), 1U);
}

TEST(clock, cancel_frees_what_the_callback_holds) {
  auto held = std::make_shared<int>(7);
  clock c;
  const auto id = c.at(steady::now() + 1h, [held] {});
  EXPECT_EQ(held.use_count(), 2);
  EXPECT_TRUE(c.cancel(id));
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_EQ(c.pending(), 0U);
  EXPECT_FALSE(c.cancel(id));
  EXPECT_FALSE(c.cancel({}));
}

TEST(clock, cancel_of_a_callback_that_runs_is_false) {
  std::atomic<bool> entered = false;
  std::atomic<bool> leave = false;
  clock c;
  const auto id = c.at(steady::now(), [&] {
    entered = true;
    while (!leave) std::this_thread::yield();
  });
  ASSERT_TRUE(eventually([&] { return entered.load(); }));
  EXPECT_FALSE(c.cancel(id));
  leave = true;
}

TEST(clock, callbacks_may_set_and_cancel_timers) {
  std::atomic<int> ran = 0;
  std::atomic<bool> cancelled = false;
  clock c;
  const auto later = c.at(steady::now() + 1h, [&] { ran += 100; });
  c.at(steady::now(), [&] {
    cancelled = c.cancel(later);
    c.at(steady::now(), [&] { ++ran; });
  });
  ASSERT_TRUE(eventually([&] { return ran == 1; }));
  EXPECT_TRUE(cancelled);
}

TEST(clock, stop_frees_pending_timers_and_refuses_new_ones) {
  auto held = std::make_shared<int>(7);
  clock c;
  const auto id = c.at(steady::now() + 1h, [held] {});
  c.stop();
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_FALSE(c.cancel(id));
  EXPECT_FALSE(c.at(steady::now(), [held] {}));
  EXPECT_EQ(held.use_count(), 1);
}

// Every timer either ran or was cancelled, never both, never neither; from several threads at once.
TEST(clock, cancel_is_exact_under_contention) {
  constexpr int threads = 4;
  constexpr int rounds = 5'000;
  std::atomic<int> ran = 0;
  std::atomic<int> cancelled = 0;
  std::atomic<int> both = 0;
  std::vector<std::thread> users;
  clock c;
  for (int t = 0; t < threads; ++t) {
    users.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      for (int i = 0; i < rounds; ++i) {
        auto state = std::make_shared<std::atomic<bool>>(false);
        const auto id = c.at(steady::now() + std::chrono::microseconds(random() % 200), [&, state] {
          state->store(true);
          ++ran;
        });
        if (random() % 4 == 0) std::this_thread::yield();
        if (random() % 2 == 0 || !c.cancel(id)) continue;
        ++cancelled;
        both += state->load() ? 1 : 0;
      }
    });
  }
  for (auto& user : users) user.join();
  EXPECT_TRUE(eventually([&] { return ran + cancelled == threads * rounds; }));
  EXPECT_GT(ran, 0);
  EXPECT_GT(cancelled, 0);
  EXPECT_EQ(both, 0);
  EXPECT_EQ(c.pending(), 0U);
}

TEST(full_clock, holds_a_million_timers) {
  constexpr int count = 1'000'000;
  clock c;
  std::mt19937_64 random(1);
  const auto base = steady::now() + 1h;
  std::vector<clock::timer_id> ids;
  ids.reserve(count);
  const auto begun = steady::now();
  for (int i = 0; i < count; ++i)
    ids.push_back(c.at(base + std::chrono::microseconds(random() % 1'000'000'000), [] {}));
  const auto set = steady::now();
  EXPECT_EQ(c.pending(), std::size_t{count});
  int cancelled = 0;
  for (const auto id : ids) cancelled += c.cancel(id) ? 1 : 0;
  const auto end = steady::now();
  EXPECT_EQ(cancelled, count);
  EXPECT_EQ(c.pending(), 0U);
  RecordProperty("ns_per_at", static_cast<int>((set - begun).count() / count));
  RecordProperty("ns_per_cancel", static_cast<int>((end - set).count() / count));
}

struct counting_source : tick_source {
  std::atomic<int> ticks = 0;
  std::atomic<steady::rep> again_in = steady::duration::max().count();  // ns; max: not again
  steady::time_point tick(steady::time_point now) noexcept override {
    ++ticks;
    const steady::duration delay(again_in.load());
    return delay == steady::duration::max() ? steady::time_point::max() : now + delay;
  }
};

TEST(clock, a_tick_source_is_called_when_it_asked_and_not_after_detach) {
  counting_source source;
  clock c;
  c.wake_at(source, steady::now());  // not attached: ignored
  c.attach(source);
  c.wake_at(source, steady::now() + 1h);
  EXPECT_EQ(source.ticks, 0);
  c.wake_at(source, steady::now());
  ASSERT_TRUE(eventually([&] { return source.ticks == 1; }));
  source.again_in = steady::duration(1ms).count();
  c.wake_at(source, steady::now());
  ASSERT_TRUE(eventually([&] { return source.ticks >= 10; }));
  c.detach(source);
  const int ticks = source.ticks;
  std::atomic<bool> passed = false;  // a timer stands behind any tick that would still come
  c.at(steady::now() + 20ms, [&] { passed = true; });
  ASSERT_TRUE(eventually([&] { return passed.load(); }));
  EXPECT_EQ(source.ticks, ticks);
}

TEST(clock, detach_waits_for_a_tick_under_way) {
  struct slow_source : tick_source {
    std::atomic<bool> entered = false;
    std::atomic<bool> leave = false;
    std::atomic<bool> left = false;
    steady::time_point tick(steady::time_point) noexcept override {
      entered = true;
      while (!leave) std::this_thread::yield();
      left = true;
      return steady::time_point::max();
    }
  };
  auto source = std::make_unique<slow_source>();
  clock c;
  c.attach(*source);
  c.wake_at(*source, steady::now());
  ASSERT_TRUE(eventually([&] { return source->entered.load(); }));
  std::thread releases([&] { source->leave = true; });
  c.detach(*source);
  EXPECT_TRUE(source->left);
  releases.join();
  source.reset();  // ASan and TSan see a tick that comes after
}

}  // namespace
}  // namespace pawl::actors
