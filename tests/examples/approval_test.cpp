// How a workflow of one's own is tested: days pass in no time, the mail is not sent, the node dies everywhere.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <pawl/testing.hpp>

#include "examples/approval/approval_workflow.hpp"

namespace {

using namespace std::chrono_literals;
namespace pt = pawl::testing;
using approval::decision;
using approval::expense;
using approval::outcome;

struct approvals : testing::Test {
  pawl::registry types;
  const expense fare{.who = "ada", .what = "a train", .amount = 40};
  void SetUp() override { approval::add_to(types); }
};

TEST_F(approvals, the_boss_agrees_on_the_same_day) {
  pt::environment env(types);
  std::vector<std::string> mails;
  env.step("ask").does([&](const std::string& to, const std::string& text) { mails.push_back(to + ": " + text); });
  auto r = env.start("approve-expense", fare);
  EXPECT_EQ(r.status(), "waits for a decision");
  env.after(3h, [&] { r.signal("decision", decision{.approved = true, .by = "grace"}); });
  r.run_to_end().expect_completed().expect_steps({"reserve", "ask", "pay"}).expect_undone({});
  EXPECT_EQ(r.result<outcome>().why, "approved by grace");
  EXPECT_EQ(mails, (std::vector<std::string>{"boss: ada asks for a train"}));
}

TEST_F(approvals, the_boss_is_reminded_after_a_day) {
  pt::environment env(types);
  auto r = env.start("approve-expense", fare);
  env.advance(25h);
  EXPECT_EQ(r.status(), "waits for a decision, reminded");
  r.signal("decision", decision{.approved = true, .by = "grace"}).run_to_end().expect_completed();
  EXPECT_EQ(r.result<outcome>().reminders, 1);
}

TEST_F(approvals, nobody_decides_and_the_budget_is_given_back) {
  pt::environment env(types);
  auto r = env.start("approve-expense", fare);
  r.run_to_end().expect_failed("no_decision").expect_steps({"reserve", "ask", "remind"}).expect_undone({"reserve"});
  EXPECT_EQ(env.now() - pt::options().start, 96h);
}

TEST_F(approvals, a_refusal_gives_the_budget_back) {
  pt::environment env(types);
  env.undo("reserve").fails(3, "http_503");
  auto r = env.start("approve-expense", fare);
  r.signal("decision", decision{.approved = false, .by = "grace"});
  r.run_to_end().expect_failed("refused").expect_undone({"reserve"});
}

TEST_F(approvals, wherever_the_node_dies_it_is_paid_once) {
  std::string key;
  const auto happened = pt::for_each_crash(types, [&](pt::environment& env) {
    key.clear();
    bool twice = false;
    env.step("pay").does([&](pawl::step_context& c, const expense&, const std::string&) {
      twice = twice || (!key.empty() && key != c.idempotency_key());
      key = c.idempotency_key();
    });
    auto r = env.start("approve-expense", fare);
    env.after(30h, [&] { r.signal("decision", decision{.approved = true, .by = "grace"}); });
    r.run_to_end().expect_completed();
    EXPECT_EQ(r.result<outcome>().reminders, 1) << env.story();
    EXPECT_FALSE(twice) << "the bank knows a payment by its key. " << env.story();
  });
  EXPECT_GE(happened.crashes, 20U);
}

TEST_F(approvals, faults_of_all_kinds_change_nothing) {
  const auto happened = pt::for_each_seed(types, 50, [&](pt::environment& env) {
    auto r = env.start("approve-expense", fare);
    env.after(30h, [&] { r.signal("decision", decision{.approved = true, .by = "grace"}); });
    r.run_to_end().expect_completed();
  });
  EXPECT_GE(happened.failures + happened.losses + happened.crashes, 20U);
}

}  // namespace
