// Deadlines of steps and runs, and code that is missing or changed.
#include "tests/workflow/rig.hpp"

namespace pawl::engine {
namespace {

step_options within(milliseconds deadline, int most = 100, when_exhausted e = when_exhausted::compensate) {
  auto o = attempts(most, e);
  o.deadline = deadline;
  return o;
}

TEST(step_deadline, counts_from_the_scheduling) {
  rig r(chain({"a"}, within(10s)));
  r.slots = 0;
  r.start();
  EXPECT_EQ(r.news(), "run_started, step_scheduled a");
  EXPECT_EQ(r.work().wake_at, r.now + 10s);
  r.pass(10s);
  EXPECT_EQ(r.news(), "step_exhausted a, run_failed");
  EXPECT_EQ(r.last().error->code, "deadline_exceeded");
}

TEST(step_deadline, ends_a_step_between_attempts) {
  rig r(chain({"a"}, within(10s)));
  r.start();
  r.ends(attempt_end::failed, 0, false, failure{.code = "e", .message = "the reason", .retry_in = 9s});
  r.slots = 0;
  r.pass(9s);
  r.news();
  r.pass(1s);
  EXPECT_EQ(r.news(), "step_exhausted a, run_failed");
  EXPECT_NE(r.last().error->message.find("the reason"), std::string::npos);
}

TEST(step_deadline, a_retry_that_would_come_too_late_is_not_planned) {
  rig r(chain({"a"}, within(10s)));
  r.start();
  r.ends(attempt_end::failed, 0, false, failure{.code = "e", .message = "m", .retry_in = 10s});
  EXPECT_EQ(r.last().kind, event_kind::run_failed);
  EXPECT_EQ(r.last().error->code, "e");
}

// The step is not out of attempts, only out of time: resume must give it time.
TEST(step_deadline, that_pauses_can_be_resumed) {
  rig r(chain({"a"}, within(10s, 100, when_exhausted::pause)));
  r.slots = 0;
  r.start();
  r.news();
  r.pass(10s);
  EXPECT_EQ(r.news(), "run_paused a(step_exhausted)");
  r.slots = 5;
  r.pass(1h);
  r.ask(resume_command{});
  EXPECT_EQ(r.news(), "run_resumed(requested), attempt_started a");
  r.is_lost(0);
  EXPECT_EQ(r.news(), "attempt_lost a, attempt_started a");
}

TEST(step_deadline, that_pauses_can_be_skipped) {
  rig r(chain({"a"}, within(10s, 100, when_exhausted::pause)));
  r.slots = 0;
  r.start();
  r.pass(10s);
  r.news();
  EXPECT_EQ(r.ask(skip_command{.step = "a", .result = "x"}).result, command_result::applied);
  EXPECT_EQ(r.news(), "step_skipped a, run_resumed(skipped), run_completed");
}

TEST(step_deadline, of_an_undo_pauses_and_can_be_resumed) {
  rig r(chain({"a", "b"}, {}, within(10s)));
  r.start();
  r.completes(0);
  r.slots = 0;
  r.fails_for_good(1);
  r.news();
  r.pass(10s);
  EXPECT_EQ(r.news(), "run_paused ~a(undo_exhausted)");
  r.slots = 5;
  r.ask(resume_command{});
  EXPECT_EQ(r.news(), "run_resumed(requested), attempt_started ~a");
}

TEST(run_deadline, stops_the_run) {
  rig r(side_by_side({"a", "b"}));
  r.facts.deadline = 10s;
  r.start();
  r.completes(0);
  EXPECT_EQ(r.work().wake_at, r.now + 10s);
  r.news();
  r.pass(10s);
  EXPECT_EQ(r.news(), "deadline_passed");
  r.fails(1);
  EXPECT_EQ(r.news(), "attempt_failed b, compensation_started(failed), attempt_started ~a");
  r.completes(0, true);
  EXPECT_EQ(r.last().kind, event_kind::run_failed);
  EXPECT_EQ(r.last().error->code, "deadline_exceeded");
}

TEST(run_deadline, passes_during_a_pause) {
  rig r(chain({"a"}, attempts(1, when_exhausted::pause)));
  r.facts.deadline = 10s;
  r.start();
  r.fails(0);
  EXPECT_EQ(r.work().wake_at, r.now + 10s);
  r.news();
  r.pass(10s);
  EXPECT_EQ(r.news(), "deadline_passed, run_failed");
}

TEST(run_deadline, counts_from_a_delayed_start_and_never_from_before_the_run) {
  rig later(chain({"a"}));
  later.facts.deadline = 10s;
  later.facts.start_at = later.now + 1h;
  later.start();
  later.pass(1h);
  EXPECT_EQ(later.work().wake_at, later.now + 10s);
  rig past(chain({"a"}));
  past.facts.deadline = 10s;
  past.facts.start_at = past.now - 1h;
  past.start();
  EXPECT_EQ(past.news(), "run_started, attempt_started a");
}

TEST(run_deadline, is_of_no_interest_once_the_run_is_stopping) {
  rig r(chain({"a", "b"}));
  r.facts.deadline = 10s;
  r.start();
  r.ask(cancel_command{});
  r.news();
  r.pass(1h);
  EXPECT_EQ(r.news(), "");
  r.fails(0);
  EXPECT_EQ(r.last().kind, event_kind::run_cancelled);
}

// --- code
// --------------------------------------------------------------------------------------------------------------

TEST(code, a_node_without_it_waits) {
  const auto d = chain({"a", "b"}, attempts(3));
  rig r(d);
  r.start();
  r.reload(nullptr);
  r.news();
  r.wake();
  EXPECT_EQ(r.news(), "waiting_for_code");
  r.wake();
  r.is_lost(0);
  EXPECT_EQ(r.news(), "attempt_lost") << "recorded once; attempts still end";
  EXPECT_FALSE(r.work().wants_slot);
  EXPECT_EQ(r.ask(skip_command{.step = "a"}).result, command_result::conflict);
  r.reload(d);
  r.wake();
  EXPECT_EQ(r.news(), "code_found, attempt_started a");
}

TEST(code, without_it_a_start_is_accepted_and_a_run_can_be_killed_or_cancelled) {
  rig r(nullptr);
  r.start();
  EXPECT_EQ(r.news(), "run_started, waiting_for_code");
  r.ask(pause_command{});
  r.ask(resume_command{});
  r.ask(cancel_command{});
  EXPECT_EQ(r.state->phase, phase::stopping);
  r.ask(kill_command{});
  EXPECT_EQ(r.state->phase, phase::killed);
}

TEST(code, a_changed_definition_pauses_until_the_right_one_is_back) {
  const auto d = chain({"a", "b"});
  rig r(d);
  r.start();
  r.completes(0);
  r.reload(sim::changed(d));
  r.news();
  r.wake();
  EXPECT_EQ(r.news(), "run_paused(definition_changed)");
  EXPECT_EQ(r.ask(resume_command{}).result, command_result::conflict);
  r.is_lost(1);  // a step that the changed definition does not have
  EXPECT_EQ(r.ask(skip_command{.step = "a"}).result, command_result::conflict);
  r.reload(d);
  r.news();
  r.wake();
  EXPECT_EQ(r.news(), "run_resumed(definition_found), attempt_started b");
}

// The history names steps that the changed definition does not have: that is a mismatch, not a broken history.
TEST(code, a_changed_definition_can_be_folded_whatever_the_history_says) {
  const auto d = chain({"a", "b", "c"});
  hand_built_graph other;
  other.step("x");
  rig r(d);
  r.start();
  for (const auto k : {0U, 1U}) r.completes(k);
  r.fails_for_good(2);
  r.reload(other.build());
  r.news();
  r.wake();
  EXPECT_EQ(r.news(), "run_paused(definition_changed)");
  r.completes(1, true);
  r.reload(d);
  r.wake();
  EXPECT_EQ(r.news(), "attempt_completed, run_resumed(definition_found), attempt_started ~a");
}

TEST(code, a_person_s_pause_outlives_a_changed_definition) {
  const auto d = chain({"a", "b"});
  rig r(d);
  r.start();
  r.completes(0);
  r.ask(pause_command{"hands off"});
  r.fails(1);
  r.reload(sim::changed(d));
  r.news();
  r.wake();
  EXPECT_EQ(r.news(), "");
  r.reload(d);
  r.pass(1h);
  EXPECT_EQ(r.news(), "") << "still paused";
  r.reload(sim::changed(d));
  r.ask(resume_command{});
  EXPECT_EQ(r.news(), "run_resumed(requested), run_paused(definition_changed)");
  r.reload(d);
  r.wake();
  EXPECT_EQ(r.news(), "run_resumed(definition_found), attempt_started b");
}

TEST(code, an_exhausted_step_is_not_tried_again_because_the_code_came_back) {
  const auto d = chain({"a"}, attempts(1));
  rig r(d);
  r.start();
  r.reload(sim::changed(d));
  r.wake();
  r.fails(0);
  r.reload(d);
  r.news();
  r.wake();
  EXPECT_EQ(r.news(), "run_resumed(definition_found), step_exhausted a, run_failed");
}

}  // namespace
}  // namespace pawl::engine
