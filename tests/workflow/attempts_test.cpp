// Attempts of steps: how each kind of end is dealt with.
#include "tests/workflow/rig.hpp"

namespace pawl::engine {
namespace {

TEST(attempts, a_chain_runs_from_end_to_end) {
  rig r(chain({"a", "b"}));
  EXPECT_EQ(r.start().result, command_result::applied);
  EXPECT_EQ(r.news(), "run_started, attempt_started a");
  EXPECT_EQ(r.last().begun->incarnation, 9U);
  r.completes(0);
  EXPECT_EQ(r.news(), "attempt_completed a, attempt_started b");
  r.completes(1);
  EXPECT_EQ(r.news(), "attempt_completed b, run_completed");
  EXPECT_EQ(r.last().payload, "r1");
  EXPECT_EQ(r.state->phase, phase::completed);
}

TEST(attempts, what_can_run_side_by_side_does) {
  hand_built_graph g;
  const auto a = g.step("a");
  const auto b = g.step("b", {}, {a});
  const auto c = g.step("c", {}, {}, {a});
  g.step("d", {}, {b, b}, {c});
  rig r(g.build());
  r.start();
  r.completes(a);
  EXPECT_EQ(r.news(), "run_started, attempt_started a, attempt_completed a, attempt_started b, attempt_started c");
  r.completes(c);
  EXPECT_EQ(r.news(), "attempt_completed c");
  r.completes(b);
  EXPECT_EQ(r.news(), "attempt_completed b, attempt_started d");
  r.completes(3);
  EXPECT_EQ(r.last().payload, "\xc0");
}

TEST(attempts, a_graph_without_steps_completes_at_once) {
  hand_built_graph g;
  g.returns_input();
  rig r(g.build());
  r.start("what came in");
  EXPECT_EQ(r.news(), "run_started, run_completed");
  EXPECT_EQ(r.last().payload, "what came in");
}

TEST(attempts, without_a_slot_the_want_is_recorded_once) {
  rig r(side_by_side({"a", "b"}));
  r.slots = 1;
  r.start();
  EXPECT_EQ(r.news(), "run_started, attempt_started a, step_scheduled b");
  EXPECT_TRUE(r.work().wants_slot);
  r.wake();
  EXPECT_EQ(r.news(), "");
  r.slots = 1;
  r.wake();
  EXPECT_EQ(r.news(), "attempt_started b");
  EXPECT_FALSE(r.work().wants_slot);
}

TEST(attempts, a_failure_is_retried_when_it_is_due) {
  rig r(chain({"a"}, attempts(3)));
  r.start();
  r.fails(0);
  const auto due = r.step(0).due;
  EXPECT_EQ(r.step(0).status, step_status::waiting);
  EXPECT_LT(due, r.now + 1s);
  EXPECT_EQ(r.work().wake_at, due);
  r.news();
  r.now = due - std::chrono::microseconds(1);
  r.wake();
  EXPECT_EQ(r.news(), "");
  r.now = due;
  r.wake();
  EXPECT_EQ(r.news(), "attempt_started a");
  EXPECT_EQ(r.last().attempt, 2U);
  EXPECT_FALSE(r.last().begun->in_child);
}

TEST(attempts, the_error_may_say_when) {
  rig r(chain({"a"}, attempts(3)));
  r.start();
  r.ends(attempt_end::failed, 0, false, failure{.code = "429", .message = "later", .retry_in = 90s});
  EXPECT_EQ(r.step(0).due, r.now + 90s);
}

// A delay that cannot be read back would make the history unreadable for ever.
TEST(attempts, an_absurd_delay_is_cut_before_it_is_recorded) {
  for (const auto asked : {milliseconds::max(), milliseconds::min(), milliseconds(-1)}) {
    rig r(chain({"a"}, attempts(3)));
    r.start();
    r.ends(attempt_end::failed, 0, false, failure{.code = "429", .message = "later", .retry_in = asked});
    EXPECT_EQ(*r.newest(event_kind::attempt_failed).error->retry_in, asked < 0ms ? 0ms : longest_asked_delay);
  }
}

TEST(attempts, failures_and_timeouts_count) {
  rig r(chain({"a"}, attempts(3)));
  r.start();
  r.fails(0);
  r.pass(2s);
  r.times_out(0);
  r.pass(4s);
  EXPECT_EQ(
      r.news(),
      "run_started, attempt_started a, attempt_failed a, attempt_started a, attempt_timed_out a, attempt_started a");
  r.fails(0);
  // The time-out left its outcome unknown, so it is undone although no attempt completed.
  EXPECT_EQ(r.news(), "attempt_failed a, step_exhausted a, compensation_started(failed), attempt_started ~a");
  r.completes(0, true);
  EXPECT_EQ(r.last().kind, event_kind::run_failed);
  EXPECT_EQ(r.last().error->code, "error");
}

TEST(attempts, a_permanent_error_ends_the_step_at_once) {
  rig r(chain({"a"}, attempts(100)));
  r.start();
  r.fails_for_good(0);
  EXPECT_EQ(r.news(), "run_started, attempt_started a, attempt_failed a, step_exhausted a, run_failed");
  EXPECT_EQ(r.last().error->code, "bad");
}

TEST(attempts, lost_interrupted_and_not_begun_count_towards_nothing) {
  rig r(chain({"a"}, attempts(1)));
  r.start();
  for (const auto how : {attempt_end::not_begun, attempt_end::interrupted, attempt_end::lost, attempt_end::not_begun,
                         attempt_end::lost}) {
    r.ends(how, 0);
    EXPECT_EQ(r.step(0).status, step_status::running) << "the next attempt starts at once";
  }
  EXPECT_EQ(r.step(0).attempt, 6U);
  EXPECT_EQ(r.step(0).counted, 0U);
  r.completes(0);
  EXPECT_EQ(r.state->phase, phase::completed);
}

TEST(attempts, only_a_lost_one_makes_a_suspect) {
  rig r(chain({"a"}));
  r.start();
  r.ends(attempt_end::interrupted, 0);
  EXPECT_FALSE(r.last().begun->in_child);
  r.ends(attempt_end::not_begun, 0);
  EXPECT_FALSE(r.requests.back().in_child);
  r.is_lost(0);
  EXPECT_TRUE(r.last().begun->in_child);
  EXPECT_TRUE(r.requests.back().in_child);
  r.fails(0);
  r.pass(1h);
  EXPECT_TRUE(r.last().begun->in_child) << "a suspect stays one";
}

TEST(attempts, where_no_children_are_possible_suspects_run_on_the_pool) {
  rig r(chain({"a"}));
  r.children = false;
  r.start();
  r.is_lost(0);
  EXPECT_FALSE(r.last().begun->in_child);
}

TEST(attempts, a_child_that_dies_twice_in_a_row_convicts) {
  rig r(chain({"a"}, attempts(1)));
  r.start();
  r.is_lost(0);
  r.ends(attempt_end::child_died, 0, false, failure{"child_died", "signal 11", false});
  r.is_lost(0);  // the node killed the child: nothing is counted
  r.news();
  r.ends(attempt_end::child_died, 0, false, failure{"child_died", "signal 11", false});
  EXPECT_EQ(r.news(), "attempt_lost a(child_died), run_paused a(step_kills_process)");
  EXPECT_NE(r.last().error->message.find("signal 11"), std::string::npos);
  EXPECT_FALSE(r.work().wants_slot);
  r.ask(resume_command{});
  EXPECT_EQ(r.news(), "run_resumed(requested), attempt_started a");
  EXPECT_TRUE(r.last().begun->in_child);
  r.ends(attempt_end::child_died, 0);
  EXPECT_EQ(r.news(), "attempt_lost a(child_died), attempt_started a") << "it takes two again";
}

TEST(attempts, deaths_that_are_not_in_a_row_do_not) {
  rig r(chain({"a"}, attempts(10)));
  r.start();
  r.is_lost(0);
  for (int n = 0; n < 4; ++n) {
    r.ends(attempt_end::child_died, 0);
    r.fails(0);
    r.pass(1h);
  }
  EXPECT_FALSE(r.state->paused);
}

TEST(attempts, a_convicted_step_can_be_skipped) {
  rig r(chain({"a", "b"}));
  r.start();
  for (const auto how : {attempt_end::lost, attempt_end::child_died, attempt_end::child_died}) r.ends(how, 0);
  r.news();
  EXPECT_EQ(r.ask(skip_command{.step = "a", .result = "x"}).result, command_result::applied);
  EXPECT_EQ(r.news(), "step_skipped a, run_resumed(skipped), attempt_started b");
  EXPECT_EQ(r.state->program->value_of(0), "x");
}

TEST(attempts, late_results_are_refused) {
  rig r(chain({"a"}, attempts(3)));
  EXPECT_EQ(r.completes(0).result, command_result::late) << "of a run that is not there";
  r.start();
  r.times_out(0);
  const command late{.id = {},
                     .body = attempt_ended{.step = 0, .attempt = 1, .end = attempt_end::completed, .result = "late"}};
  EXPECT_EQ(r.say(late).result, command_result::late) << "while it waits";
  r.pass(5s);
  EXPECT_EQ(r.say(late).result, command_result::late) << "while the next one runs";
  EXPECT_EQ(r.say({.id = {}, .body = attempt_ended{.step = 0, .attempt = 3, .end = attempt_end::completed}}).result,
            command_result::late);
  EXPECT_EQ(r.say({.id = {}, .body = attempt_ended{.step = 77, .attempt = 1, .end = attempt_end::completed}}).result,
            command_result::late);
  EXPECT_EQ(
      r.say({.id = {}, .body = attempt_ended{.step = 0, .undo = true, .attempt = 2, .end = attempt_end::completed}})
          .result,
      command_result::late);
  r.completes(0);
  EXPECT_EQ(r.completes(0).result, command_result::late) << "twice";
  EXPECT_EQ(r.state->phase, phase::completed);
}

TEST(attempts, details_of_a_heartbeat_go_to_the_next_attempt) {
  rig r(chain({"a"}, attempts(3)));
  r.start();
  r.state->find(0, false)->details = "half";  // as the store's row is laid over the fold
  auto out = carry_out(
      *r.state, {.id = {}, .body = attempt_ended{.step = 0, .attempt = 1, .end = attempt_end::interrupted}}, r, r.now);
  EXPECT_EQ(out.events.back().kind, event_kind::attempt_started);
  EXPECT_EQ(out.events.back().payload, "half");
}

TEST(attempts, the_policy_on_record_holds_and_a_new_attempt_takes_the_present_one) {
  rig r(chain({"a"}));
  r.defaults.step.max_attempts = 2;
  r.start();
  r.defaults.step.max_attempts = 50;
  r.fails(0);
  EXPECT_EQ(r.step(0).policy.max_attempts, 2U);
  r.pass(1h);
  EXPECT_EQ(r.step(0).policy.max_attempts, 50U);
  r.fails(0);
  EXPECT_EQ(r.step(0).status, step_status::waiting);
}

TEST(attempts, long_messages_are_cut_between_characters) {
  rig r(chain({"a"}));
  r.start();
  std::string message = "x";
  while (message.size() < 3 * failure_message_limit) message += "\xe2\x82\xac";  // a euro sign
  r.ends(attempt_end::failed, 0, false, failure{std::string(1000, 'c'), message, false});
  ASSERT_EQ(r.last().kind, event_kind::attempt_failed);
  EXPECT_EQ(r.last().error->message.size(), failure_message_limit);  // 1 + 3 * 1365
  EXPECT_EQ(r.last().error->message.substr(failure_message_limit - 3), "\xe2\x82\xac");
  EXPECT_EQ(r.last().error->code.size(), 128U);
}

}  // namespace
}  // namespace pawl::engine
