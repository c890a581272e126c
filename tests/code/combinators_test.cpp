// all, any, each, shield, and tasks within tasks.
#include "tests/code/code_rig.hpp"

namespace pawl::engine {
namespace {

int twice(step_context&, const int& n) { return 2 * n; }
int refuses(step_context&, const int&) { throw permanent_error("no", "refused"); }

task<int> pair(workflow_context& wf, int n) {
  auto [a, b] = co_await pawl::all(wf.step("a", twice, n), wf.step("b", twice, n + 1));
  co_return a + b;
}

TEST(code_all, begins_in_order_and_gives_all_results) {
  code_rig r(pair);
  r.begin(1);
  EXPECT_EQ(r.news(), "run_started, attempt_started a, attempt_started b");
  r.perform(1);
  EXPECT_EQ(r.news(), "attempt_completed b");
  r.perform(0);
  EXPECT_EQ(r.result<int>(), 6);
}

task<std::string> failing_pair(workflow_context& wf) {
  try {
    co_await pawl::all(wf.step("bad", refuses, 1), wf.step("slow", twice, 2), wf.sleep(1h));
  } catch (const step_failed& e) {
    co_return e.step();
  }
  co_return "";
}

TEST(code_all, the_first_failure_cancels_the_rest) {
  code_rig r(failing_pair);
  r.begin();
  r.perform(0);
  EXPECT_EQ(r.news(),
            "run_started, attempt_started bad, attempt_started slow, timer_started sleep, attempt_failed bad, "
            "step_failed bad, step_abandoned slow, timer_cancelled");
  EXPECT_TRUE(r.step(1).abandoned);
  EXPECT_EQ(r.state->phase, phase::running) << "the attempt that nobody waits for ends before the run does";
  r.ends(attempt_end::interrupted, 1);
  EXPECT_EQ(r.news(), "attempt_interrupted slow, run_completed");
  EXPECT_EQ(r.result<std::string>(), "bad");
}

task<std::size_t> race(workflow_context& wf) {
  const auto first = co_await pawl::any(wf.step("a", twice, 1), wf.signal<void>("go"), wf.sleep(1h));
  co_return first.index();
}

TEST(code_any, the_first_that_is_done_wins) {
  {
    code_rig r(race);
    r.begin();
    r.perform(0);
    EXPECT_EQ(r.news(),
              "run_started, attempt_started a, timer_started sleep, attempt_completed a, timer_cancelled, "
              "run_completed");
    EXPECT_EQ(r.result<std::size_t>(), 0U);
  }
  {
    code_rig r(race);
    r.begin();
    r.ask(signal_command{.name = "go"});
    r.perform(0);
    EXPECT_EQ(r.result<std::size_t>(), 1U);
  }
  {
    code_rig r(race);
    r.begin();
    r.pass(1h);
    r.perform(0);
    EXPECT_EQ(r.news(),
              "run_started, attempt_started a, timer_started sleep, timer_fired, step_abandoned a, "
              "attempt_completed a, run_completed");
    EXPECT_EQ(r.result<std::size_t>(), 2U);
  }
}

task<std::size_t> late_race(workflow_context& wf) {
  co_await wf.sleep(1s);
  co_return (co_await pawl::any(wf.signal<int>("n"), wf.step("never", twice, 1), wf.sleep(1h))).index();
}

TEST(code_any, what_is_over_before_it_begins_leaves_the_rest_unbegun) {
  code_rig r(late_race);
  r.begin();
  r.signal("n", 5);
  r.pass(1s);
  EXPECT_EQ(r.news(), "run_started, timer_started sleep, signal_received n, timer_fired, run_completed");
}

task<std::vector<int>> many(workflow_context& wf, std::vector<int> ns) {
  co_return co_await pawl::each(ns, 2, [&](int n) { return wf.step("n" + std::to_string(n), twice, n); });
}

TEST(code_each, has_a_limit_and_keeps_the_order) {
  code_rig r(many);
  r.begin(std::vector{1, 2, 3, 4});
  EXPECT_EQ(r.news(), "run_started, attempt_started n1, attempt_started n2");
  r.perform(1);
  EXPECT_EQ(r.news(), "attempt_completed n2, attempt_started n3");
  r.perform(2);
  r.perform(3);
  r.perform(0);
  EXPECT_EQ(r.result<std::vector<int>>(), (std::vector{2, 4, 6, 8}));
}

TEST(code_each, of_nothing_is_done_at_once) {
  code_rig r(many);
  r.begin(std::vector<int>{});
  EXPECT_EQ(r.result<std::vector<int>>(), std::vector<int>{});
}

task<int> helper(workflow_context& wf, int n) {
  const auto a = co_await wf.step("h", twice, n);
  co_await wf.sleep(1s);
  co_return a;
}
task<int> nested_each(workflow_context& wf) {
  std::vector<std::vector<int>> rows{{1, 2}, {3}, {}};
  int sum = 0;
  for (const auto& part : co_await pawl::each(rows, 2, [&](const std::vector<int>& row) {
         return pawl::each(row, 1, [&](int n) { return helper(wf, n); });
       }))
    for (const auto n : part) sum += n;
  co_return sum;
}

TEST(code_each, nests_and_takes_tasks) {
  code_rig r(nested_each);
  r.begin();
  for (int n = 0; n < 10 && !is_closed(r.state->phase); ++n) {
    r.perform_all();
    r.pass(1s);
  }
  EXPECT_EQ(r.result<int>(), 12);
}

task<std::string> each_fails(workflow_context& wf) {
  std::vector<int> ns{1, 2, 3, 4};
  try {
    co_await pawl::each(ns, 2, [&](int n) { return n == 2 ? wf.step("bad", refuses, n) : wf.step("ok", twice, n); });
  } catch (const step_failed& e) {
    co_return e.step();
  }
  co_return "";
}

TEST(code_each, the_first_failure_stops_it) {
  code_rig r(each_fails);
  r.begin();
  r.perform(1);
  r.perform(0);
  EXPECT_EQ(r.news(),
            "run_started, attempt_started ok, attempt_started bad, attempt_failed bad, step_failed bad, "
            "step_abandoned ok, attempt_completed ok, run_completed");
  EXPECT_EQ(r.result<std::string>(), "bad");
}

task<void> tidies(workflow_context& wf, std::string what) {
  bool stopped = false;
  try {
    co_await wf.sleep(100h);
  } catch (const cancelled&) {
    stopped = true;
  }
  if (stopped) co_await pawl::shield(wf.step("tidy " + what, twice, 1));
}
task<std::size_t> race_of_tasks(workflow_context& wf) {
  co_return (co_await pawl::any(tidies(wf, "a"), wf.sleep(1h), tidies(wf, "b"))).index();
}

TEST(code_any, a_task_that_loses_is_cancelled_at_its_await_and_may_clean_up_first) {
  code_rig r(race_of_tasks);
  r.begin();
  r.pass(1h);
  EXPECT_EQ(r.news(),
            "run_started, timer_started sleep, timer_started sleep, timer_started sleep, timer_fired, "
            "timer_cancelled, timer_cancelled, attempt_started tidy a, attempt_started tidy b");
  r.perform(1);
  r.perform(0);
  EXPECT_EQ(r.result<std::size_t>(), 1U);
}

task<std::string> task_within(workflow_context& wf) {
  const auto t = co_await pawl::within(wf, 5s, helper(wf, 2));
  co_return t.timed_out() ? "late" : "in time";
}

TEST(code_within, limits_a_task) {
  code_rig r(task_within);
  r.begin();
  r.perform(0);
  r.pass(5s);
  EXPECT_EQ(r.result<std::string>(), "in time");
  code_rig late(task_within);
  late.begin();
  late.pass(5s);
  late.perform(0);
  EXPECT_EQ(late.result<std::string>(), "late");
}

}  // namespace
}  // namespace pawl::engine
