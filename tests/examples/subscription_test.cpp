// How code with updates and queries is tested: years of it in no time, asked and changed in between, with a node that
// dies everywhere.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <pawl/testing.hpp>

#include "examples/subscription/subscription_workflow.hpp"

namespace {

using namespace std::chrono_literals;
namespace pt = pawl::testing;
using subscription::account;
using subscription::agreed;
using subscription::contract;
using subscription::new_plan;

constexpr std::chrono::milliseconds month = std::chrono::hours(24 * 30);

struct subscriptions : testing::Test {
  pawl::registry types;
  const contract basic{.customer = "ada", .plan = "basic"};
  void SetUp() override { subscription::add_to(types); }
};

TEST_F(subscriptions, three_years_are_billed_over_three_runs) {
  pt::environment env(types);
  auto r = env.start("subscription", basic);
  r.run_to_end().expect_completed();
  EXPECT_EQ(r.result<account>().billed, 360);
  EXPECT_EQ(env.now() - pt::options().start, 36 * month);
}

TEST_F(subscriptions, a_plan_is_changed_and_refused) {
  pt::environment env(types);
  auto r = env.start("subscription", basic);
  env.advance(month + 1h);
  const auto gold = r.update("change-plan", new_plan{"gold"}).answer<agreed>();
  EXPECT_EQ(gold.price, 25);
  EXPECT_EQ(gold.from_month, 2);
  r.update("change-plan", new_plan{"gold"}).expect_refused("no_change");
  r.update("change-plan", new_plan{"copper"}).expect_refused("no_such_plan");
  EXPECT_EQ(r.query("status").answer<account>().plan, "gold");
  r.query("forecast", 12).expect_answer(10.0 + 12 * 25);
}

TEST_F(subscriptions, the_plan_holds_over_the_runs_that_follow) {
  pt::environment env(types);
  auto r = env.start("subscription", basic);
  const auto gold = r.update("change-plan", new_plan{"gold"}, {.after = 12 * month + 1h});
  env.advance(13 * month);
  gold.expect_answered();
  EXPECT_EQ(r.query("status").answer<account>().months_billed, 13);
  r.run_to_end();
  EXPECT_EQ(r.result<account>().billed, 12 * 10 + 24 * 25);
}

TEST_F(subscriptions, who_cancels_is_not_billed_any_more) {
  pt::environment env(types);
  auto r = env.start("subscription", basic);
  const auto end = r.update("cancel", {.after = 5 * month + 1h});
  r.run_to_end().expect_completed();
  EXPECT_EQ(end.answer<account>().months_billed, 5);
  EXPECT_EQ(r.result<account>().billed, 50);
  r.update("change-plan", new_plan{"gold"}).expect_refused("conflict");
}

TEST_F(subscriptions, wherever_the_node_dies_each_month_is_billed_once_and_each_answer_given_once) {
  const auto happened = pt::for_each_crash(types, [&](pt::environment& env) {
    std::vector<std::string> keys;
    env.step("charge").does([&](pawl::step_context& c, const std::string&, const double&, const int&) {
      if (keys.empty() || keys.back() != c.idempotency_key()) keys.push_back(c.idempotency_key());
    });
    auto r = env.start("subscription", contract{.customer = "ada", .plan = "basic", .months = 6, .months_a_run = 4});
    const auto gold = r.update("change-plan", new_plan{"gold"}, {.after = month + 1h});
    const auto copper = r.update("change-plan", new_plan{"copper"}, {.after = 2 * month + 1h});
    env.after(5 * month + 1h, [&] { EXPECT_EQ(r.query("status").answer<account>().months_billed, 5) << env.story(); });
    r.run_to_end().expect_completed();
    EXPECT_EQ(gold.answer<agreed>().from_month, 2) << env.story();
    copper.expect_refused("no_such_plan");
    EXPECT_EQ(r.result<account>().billed, 10 + 5 * 25) << env.story();
    EXPECT_EQ(keys.size(), 6U) << "the bank knows a payment by its key. " << env.story();
  });
  EXPECT_GE(happened.crashes, 20U);
}

TEST_F(subscriptions, faults_of_all_kinds_change_no_answer) {
  const auto happened = pt::for_each_seed(types, 30, [&](pt::environment& env) {
    auto r = env.start("subscription", contract{.customer = "ada", .plan = "basic", .months = 12});
    const auto gold = r.update("change-plan", new_plan{"gold"}, {.after = month + 1h});
    const auto end = r.update("cancel", {.after = 6 * month + 1h});
    r.run_to_end().expect_completed();
    EXPECT_EQ(gold.answer<agreed>().from_month, 2) << env.story();
    EXPECT_EQ(end.answer<account>().billed, 10 + 5 * 25) << env.story();
  });
  EXPECT_GE(happened.crashes, 10U);
  EXPECT_GE(happened.evictions, 10U);
}

}  // namespace
