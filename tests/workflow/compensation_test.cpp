// Failure and cancel: what is undone, when, and in which order.
#include "tests/workflow/rig.hpp"

namespace pawl::engine {
namespace {

TEST(compensation, undoes_newest_first) {
  rig r(chain({"a", "b", "c"}));
  r.start();
  r.completes(0);
  r.completes(1);
  r.news();
  r.fails_for_good(2);
  EXPECT_EQ(r.news(), "attempt_failed c, step_exhausted c, compensation_started(failed), attempt_started ~b");
  r.completes(1, true);
  EXPECT_EQ(r.news(), "attempt_completed ~b, attempt_started ~a");
  r.completes(0, true);
  EXPECT_EQ(r.news(), "attempt_completed ~a, run_failed");
}

TEST(compensation, the_order_is_that_of_closing_not_of_definition) {
  rig r(side_by_side({"a", "b", "c"}));
  r.start();
  for (const auto k : {2U, 0U}) r.completes(k);
  r.news();
  r.times_out(1);
  r.ask(cancel_command{"enough"});
  EXPECT_EQ(r.state->undo_order, (std::vector<std::uint32_t>{1, 0, 2}));
  EXPECT_EQ(r.news(), "attempt_timed_out b, cancel_requested, compensation_started(cancelled), attempt_started ~b");
}

TEST(compensation, waits_for_running_attempts_and_takes_their_success) {
  rig r(side_by_side({"a", "b", "c", "d"}));
  r.start();
  r.completes(0);
  r.news();
  r.fails_for_good(1);
  EXPECT_EQ(r.news(), "attempt_failed b, step_exhausted b");
  EXPECT_EQ(r.state->phase, phase::stopping);
  r.completes(2);  // told to stop, but it was done
  EXPECT_EQ(r.news(), "attempt_completed c");
  r.fails(3);
  EXPECT_EQ(r.news(), "attempt_failed d, compensation_started(failed), attempt_started ~c") << "nothing is retried";
  EXPECT_FALSE(r.newest(event_kind::attempt_failed).due);
  r.completes(2, true);
  r.completes(0, true);
  EXPECT_EQ(r.state->phase, phase::failed);
}

TEST(compensation, includes_what_may_have_run) {
  for (const auto how : {attempt_end::timed_out, attempt_end::lost, attempt_end::interrupted}) {
    rig r(side_by_side({"a", "b"}, attempts(1)));
    r.start();
    r.ask(cancel_command{"enough"});
    r.ends(how, 0);
    r.news();
    r.fails(1);
    EXPECT_EQ(r.news(), "attempt_failed b, compensation_started(cancelled), attempt_started ~a");
  }
}

TEST(compensation, leaves_out_what_never_ran_or_failed) {
  rig r(side_by_side({"a", "b"}, attempts(1)));
  r.start();
  r.ask(cancel_command{"enough"});
  r.ends(attempt_end::not_begun, 0);
  r.news();
  r.fails(1);
  EXPECT_EQ(r.news(), "attempt_failed b, run_cancelled");
  EXPECT_EQ(r.last().error->message, "enough");
}

TEST(compensation, undo_when_completed_opts_out_of_the_unknown) {
  step_options o = attempts(1);
  o.undo = undo_when::completed;
  rig r(side_by_side({"a", "b"}, o));
  r.start();
  r.completes(1);
  r.news();
  r.times_out(0);
  EXPECT_EQ(r.news(), "attempt_timed_out a, step_exhausted a, compensation_started(failed), attempt_started ~b");
  r.completes(1, true);
  EXPECT_EQ(r.state->phase, phase::failed);
}

// A deadline closes a step after attempts that ended before others completed.
TEST(compensation, a_step_closed_by_its_deadline_counts_from_there) {
  step_options o = attempts(100);
  o.deadline = 10s;
  rig r(side_by_side({"a", "b"}, o));
  r.start();
  r.ends(attempt_end::timed_out, 0, false, failure{.code = "slow", .message = "", .retry_in = 9s});
  r.completes(1);
  r.slots = 0;
  r.pass(10s);
  EXPECT_EQ(r.state->undo_order, (std::vector<std::uint32_t>{0, 1}));
}

TEST(compensation, skipped_steps_are_undone) {
  rig r(chain({"a", "b"}, attempts(1, when_exhausted::pause)));
  r.start();
  r.fails(0);
  r.ask(skip_command{.step = "a", .result = "x"});
  r.news();
  r.ask(cancel_command{"enough"});
  r.fails(1);
  EXPECT_EQ(r.news(), "cancel_requested, attempt_failed b, compensation_started(cancelled), attempt_started ~a");
}

TEST(compensation, steps_without_an_undo_are_passed_over) {
  hand_built_graph g;
  const auto a = g.step("a");
  const auto b = g.step("b", {}, {a});
  g.step("c", {}, {b});
  g.undo(a);
  rig r(g.build());
  r.start();
  r.completes(0);
  r.completes(1);
  r.fails_for_good(2);
  EXPECT_EQ(r.state->undo_order, (std::vector<std::uint32_t>{0}));
}

TEST(compensation, an_undo_waits_for_a_function_that_still_runs) {
  step_options o = attempts(1);
  o.timeout = 10s;
  rig r(chain({"a"}, o));
  r.start();
  r.pass(10s);
  r.lingering = {0};
  r.times_out(0);
  EXPECT_EQ(r.news(),
            "run_started, attempt_started a, attempt_timed_out a, step_exhausted a, compensation_started(failed)");
  EXPECT_EQ(r.work().wake_at, r.now + 10s);
  EXPECT_FALSE(r.work().wants_slot);
  r.pass(5s);
  r.lingering.clear();
  r.wake();
  EXPECT_EQ(r.news(), "attempt_started ~a");
  EXPECT_FALSE(r.last().begun->may_still_run);
}

TEST(compensation, an_undo_waits_once_more_the_timeout_at_most) {
  step_options o = attempts(1);
  o.timeout = 10s;
  rig r(chain({"a"}, o));
  r.start();
  r.lingering = {0};
  r.times_out(0);
  r.pass(10s - 1ms);
  EXPECT_EQ(r.last().kind, event_kind::compensation_started);
  r.pass(1ms);
  EXPECT_EQ(r.last().kind, event_kind::attempt_started);
  EXPECT_TRUE(r.last().begun->may_still_run);
}

TEST(compensation, an_undo_waits_for_an_older_attempt_of_a_completed_step) {
  rig r(chain({"a", "b"}, attempts(5)));
  r.start();
  r.times_out(0);
  r.pass(5s);
  r.completes(0);
  r.lingering = {0};
  r.fails_for_good(1);
  EXPECT_EQ(r.last().kind, event_kind::compensation_started);
  r.lingering.clear();
  r.wake();
  EXPECT_EQ(r.last().kind, event_kind::attempt_started);
}

TEST(compensation, an_undo_is_retried) {
  rig r(chain({"a", "b"}, {}, attempts(3)));
  r.start();
  r.completes(0);
  r.fails_for_good(1);
  r.news();
  r.fails(0, true);
  EXPECT_TRUE(r.work().wake_at);
  r.pass(5s);
  r.is_lost(0, true);
  EXPECT_EQ(r.news(), "attempt_failed ~a, attempt_started ~a, attempt_lost ~a, attempt_started ~a");
  EXPECT_TRUE(r.last().begun->in_child);
}

TEST(compensation, an_exhausted_undo_pauses_and_resume_tries_again) {
  rig r(chain({"a", "b"}, {}, attempts(2)));
  r.start();
  r.completes(0);
  r.fails_for_good(1);
  r.fails(0, true);
  r.pass(5s);
  r.news();
  r.fails(0, true);
  EXPECT_EQ(r.news(), "attempt_failed ~a, run_paused ~a(undo_exhausted)");
  EXPECT_EQ(r.ask(cancel_command{}).result, command_result::conflict);
  r.ask(resume_command{});
  EXPECT_EQ(r.news(), "run_resumed(requested), attempt_started ~a");
  r.fails(0, true);
  EXPECT_EQ(r.step(0, true).status, step_status::waiting) << "its attempts are new";
  EXPECT_EQ(r.step(1).status, step_status::exhausted) << "and only its";
  r.pass(5s);
  r.completes(0, true);
  EXPECT_EQ(r.state->phase, phase::failed);
}

TEST(compensation, an_exhausted_undo_can_be_skipped) {
  rig r(chain({"a", "b", "c"}, {}, attempts(1)));
  r.start();
  r.completes(0);
  r.completes(1);
  r.fails_for_good(2);
  r.fails(1, true);
  r.news();
  EXPECT_EQ(r.ask(skip_command{.step = "b"}).result, command_result::conflict) << "the step itself is done";
  EXPECT_EQ(r.ask(skip_command{.step = "a", .undo = true}).result, command_result::conflict) << "not its turn";
  r.ask(skip_command{.step = "b", .undo = true});
  EXPECT_EQ(r.news(), "step_skipped ~b, run_resumed(skipped), attempt_started ~a");
}

TEST(compensation, a_pause_holds_it_back) {
  rig r(chain({"a", "b"}));
  r.start();
  r.completes(0);
  r.ask(cancel_command{});
  r.ask(pause_command{"look first"});
  r.news();
  r.fails(1);
  EXPECT_EQ(r.news(), "attempt_failed b, compensation_started(cancelled)");
  r.ask(resume_command{});
  EXPECT_EQ(r.news(), "run_resumed(requested), attempt_started ~a");
}

TEST(compensation, a_step_that_kills_its_process_does_so_when_undone) {
  rig r(chain({"a", "b"}));
  r.start();
  r.completes(0);
  r.fails_for_good(1);
  for (const auto how : {attempt_end::lost, attempt_end::child_died}) r.ends(how, 0, true);
  r.news();
  r.ends(attempt_end::child_died, 0, true);
  EXPECT_EQ(r.news(), "attempt_lost ~a(child_died), run_paused ~a(step_kills_process)");
  r.ask(skip_command{.step = "a", .undo = true});
  EXPECT_EQ(r.news(), "step_skipped ~a, run_resumed(skipped), run_failed");
}

}  // namespace
}  // namespace pawl::engine
