#include "actors/blocking_pool.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "actors/turn.hpp"
#include "tests/actors_threads/waiting.hpp"

namespace pawl::actors {
namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;
using testing::eventually;
using testing::patience;

struct test_task : pool_task {
  explicit test_task(std::function<void(test_task&)> f, std::chrono::milliseconds timeout = 0ms,
                     std::optional<std::chrono::milliseconds> heartbeat = std::nullopt)
      : pool_task(timeout, heartbeat),
        body(std::move(f)) {}
  void execute() noexcept override {
    body(*this);
    ended = true;
  }
  void overdue(overdue_kind kind) noexcept override {
    late_after = steady::now() - made;
    (kind == overdue_kind::timeout ? timeouts : silences)++;
  }
  std::function<void(test_task&)> body;
  const steady::time_point made = steady::now();  // before its time begins to count
  std::atomic<steady::duration> late_after = steady::duration(0);
  std::atomic<int> timeouts = 0;
  std::atomic<int> silences = 0;
  std::atomic<bool> ended = false;
};

// What hanging tasks wait at; opened when it goes out of scope, so that a failed assertion hangs nothing.
class gate {
 public:
  ~gate() { open(); }
  void open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    wake_.notify_all();
  }
  void pass() {
    std::unique_lock lock(mutex_);
    ++waiting;
    wake_.wait(lock, [&] { return open_; });
  }
  std::atomic<int> waiting = 0;

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  bool open_ = false;
};

// A pool with its clock and a gate. Whatever a test asserted, all its tasks have ended before what was declared in
// front of the rig dies.
struct rig {
  explicit rig(pool_options options = {}) : pool(time, options) {}
  ~rig() {
    hung.open();
    EXPECT_EQ(pool.stop(steady::now() + patience).detached, 0U);
  }
  gate hung;
  clock time;
  blocking_pool pool;
};

template <class... Args>
std::shared_ptr<test_task> submitted(blocking_pool& pool, Args&&... args) {
  auto task = std::make_shared<test_task>(std::forward<Args>(args)...);
  EXPECT_EQ(pool.submit(task), submit_result::accepted);
  return task;
}

TEST(blocking_pool, runs_every_task_once_from_several_threads) {
  constexpr int threads = 4;
  constexpr int each = 5'000;
  std::vector<std::atomic<int>> runs(threads * each);
  rig r;
  blocking_pool& pool = r.pool;
  std::vector<std::thread> submitters;
  for (int t = 0; t < threads; ++t) {
    submitters.emplace_back([&, t] {
      for (int i = 0; i < each; ++i) {
        const auto n = static_cast<std::size_t>(t * each + i);
        while (pool.submit(std::make_shared<test_task>([&runs, n](auto&) { ++runs[n]; }, 30s)) !=
               submit_result::accepted) {
        }
      }
    });
  }
  for (auto& s : submitters) s.join();
  EXPECT_TRUE(eventually([&] { return std::all_of(runs.begin(), runs.end(), [](auto& n) { return n == 1; }); }));
  const auto stopped = pool.stop(steady::now() + patience);
  EXPECT_TRUE(stopped.not_begun.empty());
  EXPECT_EQ(stopped.detached, 0U);
  EXPECT_TRUE(std::all_of(runs.begin(), runs.end(), [](auto& n) { return n == 1; }));
}

TEST(blocking_pool, one_thread_runs_tasks_in_the_order_of_their_submission) {
  std::vector<int> ran;
  std::atomic<int> done = 0;
  rig r({.max_threads = 1});
  blocking_pool& pool = r.pool;
  for (int i = 0; i < 1'000; ++i) {
    submitted(pool, [&, i](auto&) {
      ran.push_back(i);
      ++done;
    });
  }
  ASSERT_TRUE(eventually([&] { return done == 1'000; }));
  pool.stop(steady::now() + patience);
  EXPECT_TRUE(std::is_sorted(ran.begin(), ran.end()));
  EXPECT_EQ(ran.size(), 1'000U);
}

TEST(blocking_pool, trivial_tasks_cost_few_threads) {
  std::atomic<int> done = 0;
  int total = 0;
  rig r({.min_threads = 2});
  blocking_pool& pool = r.pool;
  for (int burst = 0; burst < 10; ++burst) {
    for (int i = 0; i < 5'000; ++i, ++total) submitted(pool, [&](auto&) { ++done; });
    ASSERT_TRUE(eventually([&] { return done == total; }));
  }
  EXPECT_LE(pool.stats().threads_started_total, 16U);
}

// However long the queue is, threads that compute are not joined by a crowd of others.
TEST(blocking_pool, tasks_that_compute_cost_few_threads) {
  std::atomic<int> done = 0;
  std::atomic<steady::duration> waited = steady::duration(0);
  rig r({.min_threads = 2});
  blocking_pool& pool = r.pool;
  for (int i = 0; i < 400; ++i) {
    submitted(pool, [&, submitted_at = steady::now()](auto&) {
      waited = steady::now() - submitted_at;
      const auto until = steady::now() + 300us;
      while (steady::now() < until) std::atomic_signal_fence(std::memory_order_seq_cst);
      ++done;
    });
  }
  ASSERT_TRUE(eventually([&] { return done == 400; }));
  EXPECT_GT(waited.load(), 10ms) << "the queue was never long";
  EXPECT_LE(pool.stats().threads_started_total, 24U);
}

TEST(blocking_pool, blocked_tasks_get_threads_up_to_the_limit) {
  rig r({.max_threads = 100, .min_threads = 2});
  blocking_pool& pool = r.pool;
  for (int i = 0; i < 120; ++i) submitted(pool, [&](auto&) { r.hung.pass(); });
  ASSERT_TRUE(eventually([&] { return r.hung.waiting == 100; }));
  ASSERT_TRUE(eventually([&] { return pool.stats().oldest_queued > 50ms; }));  // time enough for one too many
  const auto s = pool.stats();
  EXPECT_EQ(r.hung.waiting, 100);
  EXPECT_EQ(s.threads, 100U);
  EXPECT_EQ(s.busy, 100U);
  EXPECT_EQ(s.idle, 0U);
  EXPECT_EQ(s.queued, 20U);
  r.hung.open();
  ASSERT_TRUE(eventually([&] { return r.hung.waiting == 120; }));
}

// Every thread computes and none is blocked; the next task still begins.
TEST(blocking_pool, long_computations_do_not_lock_out_the_others) {
  std::atomic<bool> stop = false;
  std::atomic<int> computing = 0;
  rig r({.max_threads = 4, .min_threads = 1});
  blocking_pool& pool = r.pool;
  for (int i = 0; i < 2; ++i) {
    submitted(pool, [&](auto&) {
      ++computing;
      while (!stop) std::atomic_signal_fence(std::memory_order_seq_cst);
    });
  }
  auto last = submitted(pool, [](auto&) {});
  EXPECT_TRUE(eventually([&] { return last->ended.load(); }));
  EXPECT_EQ(computing, 2);
  stop = true;
}

// A pool of two processors whose tasks have been short for a while, and which has threads to spare.
struct short_rig : rig {
  explicit short_rig(pool_options o = {}) : rig(of_two(o)) {}
  static pool_options of_two(pool_options o) {
    o.max_threads = 16;
    o.min_threads = 2;
    o.idle_timeout = 1h;
    return o;
  }
  void warm_up() {
    gate all;
    for (int i = 0; i < 6; ++i) submitted(pool, [&](auto&) { all.pass(); });
    ASSERT_TRUE(eventually([&] { return all.waiting == 6; }));
    all.open();
    ASSERT_TRUE(eventually([&] { return pool.stats().busy == 0; }));
    ASSERT_GE(pool.stats().idle, 6U);
    ASSERT_TRUE(eventually([&] {
      auto one = submitted(pool, [](auto&) {});
      return eventually([&] { return one->ended.load(); }) && pool.stats().busy == 0 && pool.stats().task_takes < 20us;
    }));
  }
};

// Two at work are as good as on their way, as far as anybody knows: the third waits for them, or for the clock.
TEST(blocking_pool, while_tasks_are_short_no_more_threads_are_woken_than_there_are_processors) {
  std::atomic<steady::duration> began = steady::duration(0);
  short_rig r({.spawn_after = 300ms});
  ASSERT_NO_FATAL_FAILURE(r.warm_up());
  for (int i = 0; i < 2; ++i) submitted(r.pool, [&](auto&) { r.hung.pass(); });
  ASSERT_TRUE(eventually([&] { return r.hung.waiting == 2; }));
  ASSERT_LT(r.pool.stats().task_takes, 50us);
  ASSERT_GE(r.pool.stats().idle, 4U);
  auto third = submitted(r.pool, [&](test_task& self) { began = steady::now() - self.made; });
  EXPECT_TRUE(eventually([&] { return third->ended.load(); })) << "the clock has seen that they block";
  EXPECT_GE(began.load(), 290ms);
  // From then on nobody takes that for granted.
  auto fourth = submitted(r.pool, [&](test_task& self) { began = steady::now() - self.made; });
  EXPECT_TRUE(eventually([&] { return fourth->ended.load(); }));
  EXPECT_LT(began.load(), 290ms);
}

// Tasks were short, and then some block: those behind them are held up for a moment each time, not for as long.
TEST(blocking_pool, blocking_tasks_among_short_ones_do_not_hold_the_others_up) {
  std::atomic<int> done = 0;
  short_rig r;
  ASSERT_NO_FATAL_FAILURE(r.warm_up());
  for (int i = 0; i < 2; ++i) submitted(r.pool, [&](auto&) { r.hung.pass(); });
  for (int burst = 1; burst <= 20; ++burst) {
    for (int i = 0; i < 100; ++i) submitted(r.pool, [&](auto&) { ++done; });
    ASSERT_TRUE(eventually([&] { return done == burst * 100; }, 10s)) << burst;
  }
  EXPECT_EQ(r.hung.waiting, 2) << "they have blocked all the time";
  EXPECT_TRUE(eventually([&] { return r.pool.stats().busy == 2; })) << "a task is over a moment after it has counted";
}

// ... and so if they compute: the threads that run are no reason to let the others sleep when nothing leaves the queue.
TEST(blocking_pool, long_computations_among_short_tasks_do_not_hold_the_others_up) {
  std::atomic<bool> stop = false;
  std::atomic<int> computing = 0;
  short_rig r;
  ASSERT_NO_FATAL_FAILURE(r.warm_up());
  const auto computes = [&](auto&) {
    ++computing;
    while (!stop) std::atomic_signal_fence(std::memory_order_seq_cst);
  };
  for (int i = 0; i < 2; ++i) submitted(r.pool, computes);
  EXPECT_TRUE(eventually([&] { return computing == 2; }));
  EXPECT_LT(r.pool.stats().task_takes, 50us);
  auto third = submitted(r.pool, [](auto&) {});
  EXPECT_TRUE(eventually([&] { return third->ended.load(); }, 5s));
  stop = true;
}

TEST(blocking_pool, idle_threads_leave_down_to_the_minimum) {
  rig r({.max_threads = 20, .min_threads = 2, .idle_timeout = 20ms});
  blocking_pool& pool = r.pool;
  for (int i = 0; i < 20; ++i) submitted(pool, [&](auto&) { r.hung.pass(); });
  ASSERT_TRUE(eventually([&] { return pool.stats().busy == 20; }));
  r.hung.open();
  ASSERT_TRUE(eventually([&] { return pool.stats().threads == 2; }));
  auto after = submitted(pool, [](auto&) {});
  EXPECT_TRUE(eventually([&] { return after->ended.load(); }));
}

TEST(blocking_pool, a_task_past_its_timeout_is_told_once_and_in_time) {
  rig r({.max_threads = 8, .min_threads = 4});
  blocking_pool& pool = r.pool;
  auto hangs = submitted(pool, [&](auto&) { r.hung.pass(); }, 100ms);
  auto shorter = submitted(pool, [&](auto&) { r.hung.pass(); }, 50ms);
  auto unwatched = submitted(pool, [&](auto&) { r.hung.pass(); });
  auto quick = submitted(pool, [](auto&) {}, 60ms);
  ASSERT_TRUE(eventually([&] { return hangs->timeouts == 1 && shorter->timeouts == 1; }));
  EXPECT_GE(hangs->late_after.load(), 100ms);
  EXPECT_GE(shorter->late_after.load(), 50ms);
  auto later = submitted(pool, [&](auto&) { r.hung.pass(); }, 50ms);  // the scans go on
  ASSERT_TRUE(eventually([&] { return later->timeouts == 1; }));
  EXPECT_EQ(hangs->timeouts, 1);
  EXPECT_EQ(hangs->silences, 0);
  EXPECT_EQ(unwatched->timeouts, 0);
  EXPECT_EQ(quick->timeouts, 0);
}

TEST(blocking_pool, a_task_in_the_queue_is_not_overdue) {
  rig r({.max_threads = 1});
  blocking_pool& pool = r.pool;
  auto first = submitted(pool, [&](auto&) { r.hung.pass(); }, 20ms);
  auto second = submitted(pool, [&](auto&) {}, 20ms);
  ASSERT_TRUE(eventually([&] { return first->timeouts == 1 && pool.stats().oldest_queued > 60ms; }));
  EXPECT_EQ(second->timeouts, 0);
  r.hung.open();
  ASSERT_TRUE(eventually([&] { return second->ended.load(); }));
  EXPECT_EQ(second->timeouts, 0);
}

TEST(blocking_pool, silence_is_reported_and_beats_prevent_it) {
  rig r({.min_threads = 2});
  blocking_pool& pool = r.pool;
  auto silent = submitted(pool, [&](auto&) { r.hung.pass(); }, 1h, 50ms);
  auto beats = submitted(
      pool,
      [silent](test_task& self) {
        while (silent->silences == 0 || steady::now() - self.made < 1100ms) {
          self.beat();
          std::this_thread::sleep_for(1ms);
        }
      },
      1h, 1s);
  ASSERT_TRUE(eventually([&] { return beats->ended.load(); }));
  EXPECT_EQ(silent->silences, 1);
  EXPECT_EQ(silent->timeouts, 0);
  EXPECT_GE(silent->late_after.load(), 50ms);
  EXPECT_EQ(beats->silences, 0);
}

TEST(blocking_pool, a_thread_written_off_is_replaced_and_rejoins) {
  rig r({.max_threads = 1, .written_off_limit = 1});
  blocking_pool& pool = r.pool;
  auto first = submitted(pool, [&](auto&) { r.hung.pass(); });
  auto second = std::make_shared<test_task>([&](auto&) { r.hung.pass(); });
  EXPECT_EQ(pool.write_off(*second), write_off_result::not_running);
  ASSERT_EQ(pool.submit(second), submit_result::accepted);
  ASSERT_TRUE(eventually([&] { return r.hung.waiting == 1; }));
  EXPECT_EQ(pool.write_off(*second), write_off_result::not_running);

  EXPECT_EQ(pool.write_off(*first), write_off_result::written_off);
  EXPECT_EQ(pool.write_off(*first), write_off_result::written_off);
  ASSERT_TRUE(eventually([&] { return r.hung.waiting == 2; }));
  EXPECT_EQ(pool.stats().threads, 1U);
  EXPECT_EQ(pool.stats().written_off_now, 1U);
  EXPECT_EQ(pool.write_off(*second), write_off_result::over_limit);
  EXPECT_EQ(pool.stats().busy, 1U);

  r.hung.open();
  ASSERT_TRUE(eventually([&] { return pool.stats().written_off_now == 0; }));
  EXPECT_EQ(pool.stats().written_off_total, 1U);
  auto third = submitted(pool, [](auto&) {});
  ASSERT_TRUE(eventually([&] { return third->ended.load() && pool.stats().idle == 1; }));
  EXPECT_EQ(pool.stats().threads, 1U);
}

// A thread of actors wakes the pool once for all that it submits in a turn.
TEST(blocking_pool, what_a_turn_has_submitted_begins_at_its_end) {
  rig r;
  std::thread([&] {
    turn::begin_thread();
    std::vector<std::shared_ptr<test_task>> tasks;
    for (int k = 0; k < 3; ++k) {
      tasks.push_back(std::make_shared<test_task>([](test_task&) {}));
      ASSERT_EQ(r.pool.submit(tasks.back()), submit_result::accepted);
    }
    EXPECT_EQ(r.pool.stats().queued, 3U);
    EXPECT_EQ(r.pool.stats().threads, 0U) << "nobody was asked to serve them";
    turn::ran_one(false);
    EXPECT_EQ(r.pool.stats().queued, 3U);
    turn::ran_one(true);
    for (const auto& t : tasks) EXPECT_TRUE(eventually([&] { return t->ended.load(); }));
    // A long one ends by itself.
    tasks.push_back(std::make_shared<test_task>([](test_task&) {}));
    ASSERT_EQ(r.pool.submit(tasks.back()), submit_result::accepted);
    for (unsigned k = 0; k < turn::longest; ++k) turn::ran_one(false);
    EXPECT_TRUE(eventually([&] { return tasks.back()->ended.load(); }));
  }).join();
}

// Code that computes for ever holds up nobody's attempt.
TEST(blocking_pool, what_a_turn_that_does_not_end_has_submitted_begins_all_the_same) {
  rig r;
  std::thread([&] {
    turn::begin_thread();
    for (int round = 0; round < 3; ++round) {  // without a thread, and with idle ones
      std::vector<std::shared_ptr<test_task>> tasks;
      for (int k = 0; k < 3; ++k) {
        tasks.push_back(std::make_shared<test_task>([](test_task&) {}));
        ASSERT_EQ(r.pool.submit(tasks.back()), submit_result::accepted);
      }
      turn::may_last();
      for (const auto& t : tasks) EXPECT_TRUE(eventually([&] { return t->ended.load(); })) << round;
      const auto idle = [&] { return r.pool.stats().busy == 0; };
      EXPECT_TRUE(eventually(idle));
    }
    turn::ran_one(true);
  }).join();
}

TEST(blocking_pool, a_full_queue_refuses) {
  rig r({.max_threads = 1, .max_queued = 3});
  blocking_pool& pool = r.pool;
  submitted(pool, [&](auto&) { r.hung.pass(); });
  ASSERT_TRUE(eventually([&] { return r.hung.waiting == 1; }));
  for (int i = 0; i < 3; ++i) submitted(pool, [](auto&) {});
  EXPECT_EQ(pool.submit(std::make_shared<test_task>([](auto&) {})), submit_result::full);
}

TEST(blocking_pool, stop_gives_back_what_did_not_begin_and_waits_for_the_rest) {
  rig r({.max_threads = 1});
  blocking_pool& pool = r.pool;
  auto running = submitted(pool, [&](auto&) { r.hung.pass(); }, 30ms);
  ASSERT_TRUE(eventually([&] { return r.hung.waiting == 1; }));
  auto second = submitted(pool, [](auto&) {});
  auto third = submitted(pool, [](auto&) {});
  std::thread releases([&] {  // the watchdog works while stop waits
    EXPECT_TRUE(eventually([&] { return running->timeouts == 1; }));
    EXPECT_EQ(pool.submit(std::make_shared<test_task>([](auto&) {})), submit_result::stopped);
    r.hung.open();
  });
  const auto stopped = pool.stop(steady::now() + patience);
  releases.join();
  EXPECT_TRUE(running->ended);
  ASSERT_EQ(stopped.not_begun.size(), 2U);
  EXPECT_EQ(stopped.not_begun[0], second);
  EXPECT_EQ(stopped.not_begun[1], third);
  EXPECT_EQ(stopped.detached, 0U);
  EXPECT_FALSE(second->ended);
}

TEST(blocking_pool, stop_waits_for_idle_threads_however_late_it_is) {
  rig r({.max_threads = 20, .min_threads = 20});
  blocking_pool& pool = r.pool;
  for (int i = 0; i < 20; ++i) submitted(pool, [&](auto&) { r.hung.pass(); });
  ASSERT_TRUE(eventually([&] { return pool.stats().busy == 20; }));
  r.hung.open();
  ASSERT_TRUE(eventually([&] { return pool.stats().idle == 20; }));
  EXPECT_EQ(pool.stop(steady::now()).detached, 0U);
}

TEST(blocking_pool, stop_detaches_threads_that_hang) {
  auto g = std::make_shared<gate>();
  std::shared_ptr<test_task> hangs;
  std::shared_ptr<test_task> off;
  {
    clock time;
    blocking_pool pool(time);
    hangs = submitted(pool, [g](auto&) { g->pass(); });
    off = submitted(pool, [g](auto&) { g->pass(); });
    ASSERT_TRUE(eventually([&] { return g->waiting == 2; }));
    ASSERT_EQ(pool.write_off(*off), write_off_result::written_off);
    EXPECT_EQ(pool.stop(steady::now() + 20ms).detached, 2U);
    EXPECT_EQ(pool.stop(steady::now()).detached, 0U);
  }
  EXPECT_FALSE(hangs->ended);
  g->open();  // clock and pool are gone
  EXPECT_TRUE(eventually([&] { return hangs.use_count() == 1 && off.use_count() == 1; }));
  EXPECT_TRUE(hangs->ended && off->ended);
}

// Tasks end at the moment at which they are overdue, are written off meanwhile, and threads come and go.
TEST(blocking_pool, survives_everything_at_once) {
  std::atomic<int> ended = 0;
  std::atomic<int> told = 0;
  std::atomic<int> told_twice = 0;
  std::atomic<int> written_off = 0;
  constexpr int threads = 3;
  constexpr int each = 700;
  rig r({.max_threads = 32, .min_threads = 2, .written_off_limit = 8, .idle_timeout = 2ms});
  blocking_pool& pool = r.pool;
  std::vector<std::thread> users;
  for (int t = 0; t < threads; ++t) {
    users.emplace_back([&, t] {
      std::vector<std::shared_ptr<test_task>> mine;
      for (int i = 0; i < each; ++i) {
        const auto nap = std::chrono::microseconds((i * 7 + t) % 13 == 0 ? 2'000 + i : 20);
        mine.push_back(submitted(
            pool,
            [&ended, nap](test_task& self) {
              self.beat();
              std::this_thread::sleep_for(nap);
              ++ended;
            },
            2ms, 2ms));
        if (i % 5 == 0 && pool.write_off(*mine[mine.size() / 2]) == write_off_result::written_off) ++written_off;
        if (i % 3 == 0 && pool.write_off(*mine.back()) == write_off_result::written_off) ++written_off;
        if (i % 100 != 0) continue;
        std::atomic<bool> leave = false;
        auto hangs = submitted(
            pool,
            [&](auto&) {
              while (!leave) std::this_thread::sleep_for(100us);
            },
            2ms);
        EXPECT_TRUE(eventually([&] { return hangs->timeouts == 1; }));
        if (pool.write_off(*hangs) == write_off_result::written_off) ++written_off;
        leave = true;
        EXPECT_TRUE(eventually([&] { return hangs->ended.load(); }));
      }
      EXPECT_TRUE(
          eventually([&] { return std::all_of(mine.begin(), mine.end(), [](auto& m) { return m->ended.load(); }); }));
      for (auto& m : mine) {
        const int n = m->timeouts + m->silences;
        told += n;
        told_twice += n > 1 ? 1 : 0;
      }
    });
  }
  for (auto& u : users) u.join();
  EXPECT_EQ(ended, threads * each);
  EXPECT_GT(told, 0);
  EXPECT_GT(written_off, 0);
  EXPECT_EQ(told_twice, 0);
  EXPECT_TRUE(eventually([&] { return pool.stats().written_off_now == 0 && pool.stats().threads <= 2; }));
  EXPECT_EQ(pool.stop(steady::now() + patience).detached, 0U);
}

}  // namespace
}  // namespace pawl::actors
