// Cancelling: an exception at the await, clean-up that awaits, compensation, and what never waits for code.
#include "tests/code/code_rig.hpp"

namespace pawl::engine {
namespace {

int twice(step_context&, const int& n) { return 2 * n; }
void untwice(step_context&, const int&, const std::optional<int>&) {}

task<int> waits(workflow_context& wf) {
  co_await wf.step("done", twice, 1).undo(untwice, 1);
  std::string reason;
  try {
    co_await wf.step("slow", twice, 2).undo(untwice, 2);
  } catch (const cancelled& c) {
    reason = c.reason();
  }
  wf.status("cleans up because " + reason);
  co_await pawl::shield(wf.step("tidy", twice, 3));
  co_await wf.sleep(1h);  // is cancelled as well
  co_return 1;
}

TEST(code_cancel, reaches_the_code_at_its_await_and_clean_up_may_await) {
  code_rig r(waits);
  r.begin();
  r.perform(0);
  EXPECT_EQ(r.ask(cancel_command{"changed my mind"}).result, command_result::applied);
  EXPECT_EQ(r.news(),
            "run_started, attempt_started done, attempt_completed done, attempt_started slow, cancel_requested, "
            "step_abandoned slow, status_published, attempt_started tidy");
  EXPECT_EQ(r.state->phase, phase::stopping);
  r.ends(attempt_end::interrupted, 1);
  EXPECT_EQ(r.news(), "attempt_interrupted slow");
  r.perform(2);
  EXPECT_EQ(r.news(), "attempt_completed tidy, compensation_started(cancelled), attempt_started ~slow");
  r.perform(1, true);
  r.perform(0, true);
  EXPECT_EQ(r.last().kind, event_kind::run_cancelled);
  EXPECT_EQ(r.last().error->message, "changed my mind");
}

TEST(code_cancel, a_clean_up_step_is_retried_as_any_other) {
  code_rig r(waits);
  r.begin();
  r.perform(0);
  r.ask(cancel_command{"x"});
  r.fails(2);
  EXPECT_TRUE(r.last().due);
  r.pass(60s);
  EXPECT_EQ(r.last().kind, event_kind::attempt_started);
  EXPECT_EQ(r.last().name, "tidy");
}

TEST(code_cancel, a_kill_waits_for_nobody) {
  code_rig r(waits);
  r.begin();
  r.ask(kill_command{"now"});
  EXPECT_EQ(r.last().kind, event_kind::run_killed);
}

task<void> sleeps(workflow_context& wf) { co_await wf.sleep(100h); }

TEST(code_cancel, code_that_does_not_care_ends_at_once) {
  code_rig r(sleeps);
  r.begin();
  r.ask(cancel_command{"x"});
  EXPECT_EQ(r.news(), "run_started, timer_started sleep, cancel_requested, timer_cancelled, run_cancelled");
}

TEST(code_cancel, a_run_that_has_not_begun_yet) {
  code_rig r(sleeps);
  r.facts.start_at = r.now + 1h;
  r.begin();
  r.ask(cancel_command{"x"});
  EXPECT_EQ(r.news(), "run_started, timer_started start, cancel_requested, timer_cancelled, run_cancelled");
}

TEST(code_cancel, the_deadline_of_the_run_is_told_the_same_way) {
  code_rig r(sleeps);
  r.facts.deadline = 10h;
  r.begin();
  r.pass(10h);
  EXPECT_EQ(r.news(), "run_started, timer_started sleep, deadline_passed, timer_cancelled, run_failed");
  EXPECT_EQ(r.last().error->code, "deadline_exceeded");
}

task<void> stubborn(workflow_context& wf) {
  for (int n = 0; n < 3; ++n) {
    try {
      co_await wf.sleep(1h);
    } catch (const cancelled&) {
    }
  }
  co_await pawl::shield(wf.signal<void>("enough"));
}

TEST(code_cancel, shielded_waits_go_on_and_others_are_cancelled_every_time) {
  code_rig r(stubborn);
  r.begin();
  r.ask(cancel_command{"x"});
  EXPECT_EQ(r.news(), "run_started, timer_started sleep, cancel_requested, timer_cancelled");
  r.ask(signal_command{.name = "enough"});
  EXPECT_EQ(r.news(), "signal_received enough, run_cancelled");
  EXPECT_EQ(r.ask(signal_command{.name = "enough"}).result, command_result::conflict);
}

task<void> tidies(workflow_context& wf) {
  std::optional<cancelled> why;
  try {
    co_await wf.sleep(100h);
  } catch (const cancelled& c) {
    why = c;
  }
  co_await pawl::shield(wf.sleep(2h));
  if (why) throw cancelled(*why);
}
task<void> limited(workflow_context& wf) {
  try {
    const auto came = co_await pawl::within(wf, 1h, tidies(wf));
    wf.status(came.timed_out() ? "timed out" : "done");
  } catch (const cancelled& c) {
    wf.status("cancelled: " + c.reason());
    throw;
  }
}

TEST(code_cancel, a_limit_that_passes_while_the_code_cleans_up_is_not_what_ended_it) {
  code_rig r(limited);
  r.begin();
  r.ask(cancel_command{"x"});
  EXPECT_EQ(r.news(),
            "run_started, timer_started within, timer_started sleep, cancel_requested, timer_cancelled, "
            "timer_cancelled, timer_started sleep");
  r.pass(2h);
  EXPECT_EQ(r.last().kind, event_kind::run_cancelled);
  EXPECT_NE(r.newest(event_kind::status_published).payload.find("cancelled: x"), std::string::npos);
}

}  // namespace
}  // namespace pawl::engine
