// Runs that ask something of each other, in an environment.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <pawl/pawl.hpp>
#include <pawl/testing.hpp>

namespace {

using namespace std::chrono_literals;
namespace pt = pawl::testing;

int twice(pawl::step_context&, const int& n) { return 2 * n; }

pawl::task<int> small(pawl::workflow_context& wf, int n) {
  const auto m = co_await wf.step("twice", twice, n);
  co_await wf.sleep(1h);
  if (n == 13) throw pawl::failure("thirteen", "unlucky");
  co_return m;
}
pawl::task<int> family(pawl::workflow_context& wf, int n) {
  auto [a, b] = co_await pawl::all(wf.child("small", small, {.id = "left"}, n), wf.child("small", small, n + 1));
  co_return a + b;
}
pawl::task<int> impatient(pawl::workflow_context& wf) {
  const auto got = co_await pawl::within(wf, 10min, wf.child("small", small, {.id = "slow"}, 1));
  co_return got.timed_out() ? -1 : 1;
}
pawl::task<int> waits(pawl::workflow_context& wf) { co_return co_await wf.signal<int>("n"); }
pawl::task<void> tells(pawl::workflow_context& wf, std::string whom) { co_await wf.signal_to(whom, "n", 7); }
pawl::task<int> counts(pawl::workflow_context& wf, int n) {
  co_await wf.sleep(24h);
  if (n < 5) co_await wf.continue_as_new(n + 1);
  co_return n;
}

struct others : testing::Test {
  pawl::registry types;
  void SetUp() override {
    types.add("small", {}, small).add("family", {}, family).add("impatient", {}, impatient).add("waits", {}, waits);
    types.add("tells", {}, tells).add("counts", {}, counts);
  }
};

TEST_F(others, children_are_started_and_awaited) {
  pt::environment env(types);
  auto r = env.start("family", 3);
  EXPECT_EQ(r.waits_for().size(), 2U);
  r.run_to_end().expect_result(14);
  env.find("left").expect_result(6);
  EXPECT_THROW(env.find("nobody"), std::out_of_range);
}

TEST_F(others, a_child_that_fails_is_told_to_its_parent) {
  pt::environment env(types);
  auto r = env.start("family", 13);
  r.run_to_end().expect_failed("unlucky");
  env.find("left").expect_failed("unlucky");
}

TEST_F(others, a_child_that_is_given_up_is_cancelled) {
  pt::environment env(types);
  env.start("impatient").run_to_end().expect_result(-1);
  env.find("slow").run_to_end().expect_cancelled();
}

TEST_F(others, signals_reach_other_runs_or_are_refused) {
  pt::environment env(types);
  auto w = env.start("waits", {.id = "w"});
  env.start("tells", std::string("w")).run_to_end().expect_completed();
  w.run_to_end().expect_result(7);
  env.start("tells", std::string("nobody")).run_to_end().expect_failed("not_found");
}

TEST_F(others, a_run_that_continues_as_new_goes_on_in_the_same_handle) {
  pt::environment env(types);
  auto r = env.start("counts", 1);
  r.run_to_end().expect_result(5);
  EXPECT_EQ(env.now() - pt::options().start, 120h);
}

TEST_F(others, crashes_everywhere_change_nothing) {
  const auto happened = pt::for_each_crash(types, [](pt::environment& env) {
    env.start("family", 3).run_to_end().expect_result(14);
    EXPECT_THROW(env.find("nobody"), std::out_of_range) << env.story();
  });
  EXPECT_GE(happened.crashes, 10U);
  const auto seeds = pt::for_each_seed(types, 50, [](pt::environment& env) {
    auto r = env.start("family", 3);
    r.run_to_end().expect_result(14);
    env.start("counts", 3).run_to_end().expect_result(5);
  });
  EXPECT_GE(seeds.crashes, 10U);
}

}  // namespace
