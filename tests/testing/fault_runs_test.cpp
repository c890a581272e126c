// Crashes after every event and faults from a seed, as users' tests have them.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <set>
#include <string>

#include <pawl/pawl.hpp>
#include <pawl/testing.hpp>

namespace {

using namespace std::chrono_literals;
namespace pt = pawl::testing;

// A service that keeps idempotency keys, as services should.
std::map<std::string, std::set<std::string>> effects;

int pay(pawl::step_context& c, const int& amount) {
  effects["pay"].insert(c.idempotency_key());
  return amount;
}
void pay_back(pawl::step_context& c, const int&, const std::optional<int>&) {
  effects["pay back"].insert(c.idempotency_key());
}
// It forgets them: each call is another effect.
int times_called = 0;
int careless(pawl::step_context&, const int& amount) {
  ++times_called;
  return amount;
}

pawl::task<int> pays_three(pawl::workflow_context& wf, bool careful) {
  int sum = 0;
  for (int n = 1; n <= 3; ++n) {
    sum += co_await wf.step("pay", pay, n).undo(pay_back, n);
    co_await wf.sleep(1h);
  }
  if (!careful) sum += co_await wf.step("careless", careless, 1);
  const auto go = co_await wf.signal<bool>("go").within(24h);
  if (go.timed_out()) throw pawl::failure("nobody said so", "silence");
  co_return sum;
}

struct fault_runs : testing::Test {
  pawl::registry types;
  void SetUp() override { types.add("pays", {.version = 1}, pays_three); }
};

TEST_F(fault_runs, a_crash_after_every_event_comes_to_the_same_end) {
  std::set<std::uint64_t> lengths;
  const auto all = pt::for_each_crash(types, [&](pt::environment& env) {
    effects.clear();
    auto r = env.start("pays", true);
    env.after(5h, [&] { r.signal("go", true); });
    r.run_to_end().expect_result(6).expect_steps({"pay", "pay", "pay"});
    EXPECT_EQ(effects["pay"].size(), 3U) << env.story();
    lengths.insert(r.events());
  });
  EXPECT_GE(all.crashes, 12U);
  EXPECT_EQ(all.scenarios, all.crashes + 1);
  EXPECT_GE(lengths.size(), 2U) << "attempts that were under way are lost, and are on record";
}

TEST_F(fault_runs, undoing_survives_crashes_too) {
  const auto all = pt::for_each_crash(types, [&](pt::environment& env) {
    effects.clear();
    auto r = env.start("pays", true);
    r.run_to_end().expect_failed("silence").expect_undone({"pay", "pay", "pay"});
    EXPECT_EQ(effects["pay back"].size(), 3U);
  });
  EXPECT_GE(all.crashes, 15U);
}

TEST_F(fault_runs, a_signal_that_was_not_on_record_is_sent_again) {
  const auto all = pt::for_each_crash(types, [&](pt::environment& env) {
    auto r = env.start("pays", true);
    r.signal("go", true);
    r.run_to_end().expect_result(6);
  });
  EXPECT_GE(all.crashes, 12U);
}

TEST_F(fault_runs, seeds_bring_every_fault_and_are_told) {
  const auto all = pt::for_each_seed(types, 200, [&](pt::environment& env) {
    effects.clear();
    EXPECT_NE(env.story().find("seed "), std::string::npos);
    auto r = env.start("pays", true);
    env.after(5h, [&] { r.signal("go", true); });
    r.run_to_end().expect_completed();
    EXPECT_EQ(effects["pay"].size(), 3U) << env.story();
  });
  EXPECT_EQ(all.scenarios, 200U);
  EXPECT_GE(all.failures, 20U);
  EXPECT_GE(all.time_outs, 10U);
  EXPECT_GE(all.losses, 20U);
  EXPECT_GE(all.crashes, 50U);
  EXPECT_GE(all.evictions, 100U);
}

TEST_F(fault_runs, the_same_seed_is_the_same_history) {
  std::vector<std::string> histories;
  for (int n = 0; n < 2; ++n) {
    pt::environment env(types, {.seed = 17, .faults = pt::fault_rates{}});
    auto r = env.start("pays", true);
    env.after(5h, [&] { r.signal("go", true); });
    r.run_to_end();
    histories.push_back(r.history());
  }
  EXPECT_EQ(histories[0], histories[1]);
}

TEST_F(fault_runs, a_step_that_is_not_safe_to_repeat_is_found_and_the_seed_alone_finds_it_again) {
  const auto careless_once = [](pt::environment& env) {
    times_called = 0;
    auto r = env.start("pays", false);
    env.after(5h, [&] { r.signal("go", true); });
    r.run_to_end().expect_completed();
    if (times_called != 1) throw std::runtime_error("called " + std::to_string(times_called) + " times");
  };
  std::string told;
  try {
    pt::for_each_seed(types, 200, careless_once);
  } catch (const pt::mismatch& e) {
    told = e.what();
  }
  ASSERT_EQ(told.find("seed "), 0U) << told;
  const auto seed = told.substr(5, told.find(' ', 5) - 5);
  ::setenv("PAWL_TEST_SEED", seed.c_str(), 1);
  EXPECT_THROW(pt::for_each_seed(types, 200, careless_once), pt::mismatch);
  ::unsetenv("PAWL_TEST_SEED");

  told.clear();
  try {
    pt::for_each_crash(types, careless_once);
  } catch (const pt::mismatch& e) {
    told = e.what();
  }
  EXPECT_EQ(told.find("crash before event "), 0U) << told;
}

TEST_F(fault_runs, a_scripted_failure_is_not_eaten_by_a_crash) {
  pt::for_each_crash(types, [&](pt::environment& env) {
    env.step("pay").fails_for_good("declined");
    auto r = env.start("pays", true);
    r.run_to_end().expect_failed("declined");
  });
}

}  // namespace
