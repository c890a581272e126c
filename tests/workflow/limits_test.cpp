// One oversized thing fails alone.
#include "tests/workflow/rig.hpp"

namespace pawl::engine {
namespace {

using result = command_result;

TEST(limits, of_an_input) {
  rig r(chain({"a"}));
  r.limits.payload = 10;
  EXPECT_EQ(r.start(std::string(11, 'x')).result, result::too_large);
  EXPECT_TRUE(r.history.empty());
  EXPECT_EQ(r.start(std::string(10, 'x')).result, result::applied);
}

// Its function has done its work, so it is undone.
TEST(limits, of_a_result_fails_the_step) {
  rig r(chain({"a"}, attempts(5)));
  r.start();
  r.limits.payload = 1;
  r.news();
  r.completes(0);
  EXPECT_EQ(r.news(),
            "attempt_failed a(result_too_large), step_exhausted a, compensation_started(failed), attempt_started ~a");
  r.completes(0, true);
  EXPECT_EQ(r.last().error->code, "too_large");
}

TEST(limits, of_a_history_let_undos_and_steps_without_a_result_complete) {
  rig r(chain({"a", "b"}));
  r.start();
  r.completes(0);
  r.limits.history_bytes = r.state->history_bytes;
  r.say({.id = {}, .body = attempt_ended{.step = 1, .attempt = 1, .end = attempt_end::completed}});
  EXPECT_EQ(r.state->phase, phase::completed);
  rig undone(chain({"a", "b"}));
  undone.start();
  undone.completes(0);
  undone.limits.history_bytes = undone.state->history_bytes;
  undone.fails(1);
  undone.completes(0, true);
  EXPECT_EQ(undone.state->phase, phase::failed);
}

TEST(limits, of_a_skip) {
  rig r(chain({"a"}, attempts(1, when_exhausted::pause)));
  r.start();
  r.fails(0);
  r.limits.payload = 10;
  EXPECT_EQ(r.ask(skip_command{.step = "a", .result = std::string(11, 'x')}).result, result::too_large);
  r.limits.history_bytes = r.state->history_bytes + 9;
  EXPECT_EQ(r.ask(skip_command{.step = "a", .result = std::string(10, 'x')}).result, result::too_large);
  EXPECT_EQ(r.ask(skip_command{.step = "a", .result = "x"}).result, result::applied);
}

TEST(limits, of_ids) {
  rig r(chain({"a"}));
  r.start();
  EXPECT_EQ(r.ask(pause_command{}, std::string(513, 'x')).result, result::too_large);
  EXPECT_EQ(r.ask(pause_command{}, std::string(512, 'x')).result, result::applied);
}

TEST(limits, of_remembered_commands_leave_a_way_out) {
  rig r(chain({"a", "b"}));
  r.limits.command_ids = 4;
  r.start();
  for (int n = 0; n < 2; ++n) {
    EXPECT_EQ(r.ask(pause_command{}).result, result::applied);
    EXPECT_EQ(r.ask(resume_command{}).result, result::applied);
  }
  EXPECT_EQ(r.ask(pause_command{}).result, result::too_large);
  EXPECT_EQ(r.ask(pause_command{}, "c1").result, result::duplicate) << "those that it has are still known";
  EXPECT_EQ(r.ask(cancel_command{}).result, result::applied);
  EXPECT_EQ(r.ask(kill_command{}).result, result::applied);
}

TEST(limits, of_a_history_warn_at_half_by_events) {
  rig r(chain({"a"}, attempts(100)));
  r.limits.history_events = 8;
  r.start();
  r.fails(0);
  EXPECT_FALSE(r.state->warned);
  r.pass(1h);
  EXPECT_EQ(r.news(), "run_started, attempt_started a, attempt_failed a, attempt_started a, history_warning");
  r.wake();
  EXPECT_EQ(r.news(), "");
}

TEST(limits, of_a_history_warn_at_half_by_bytes) {
  rig r(chain({"a"}));
  r.limits.history_bytes = 4'000;
  r.start(std::string(2'000, 'x'));
  EXPECT_EQ(r.news(), "run_started, history_warning, attempt_started a");
}

TEST(limits, of_a_history_stop_retries_and_new_steps) {
  rig r(chain({"a", "b"}, attempts(100)));
  r.limits.history_events = 9;
  r.start();
  for (int n = 0; n < 10 && r.state->phase == phase::running; ++n) {
    r.fails(0);
    r.pass(1h);
  }
  EXPECT_EQ(r.last().kind, event_kind::run_failed);
  EXPECT_LE(r.state->last_seq, 9U + 3U);
}

TEST(limits, of_a_history_stop_a_step_that_is_lost_again_and_again) {
  rig r(chain({"a"}));
  r.limits.history_events = 30;
  r.start();
  for (int n = 0; n < 100 && r.state->phase == phase::running; ++n) r.is_lost(0);
  ASSERT_FALSE(is_closed(r.state->phase)) << "it may have run, so it is undone";
  EXPECT_LE(r.state->last_seq, 34U);
  r.completes(0, true);
  EXPECT_EQ(r.last().error->code, "too_large");
}

TEST(limits, of_a_history_count_bytes_of_results) {
  rig r(side_by_side({"a", "b"}));
  r.start();
  r.limits.history_bytes = r.state->history_bytes + 10;
  r.say(
      {.id = {},
       .body = attempt_ended{.step = 0, .attempt = 1, .end = attempt_end::completed, .result = std::string(11, 'x')}});
  EXPECT_EQ(r.step(0).status, step_status::exhausted);
  EXPECT_EQ(r.step(0).last_error->code, "too_large");
}

TEST(limits, a_full_history_takes_no_pause_but_what_ends_the_run) {
  rig r(chain({"a", "b"}, attempts(1, when_exhausted::pause)));
  r.limits.history_events = 5;
  r.start();
  r.completes(0);
  ASSERT_GE(r.state->last_seq, 5U);
  EXPECT_EQ(r.ask(pause_command{}).result, result::too_large);
  EXPECT_EQ(r.ask(cancel_command{}).result, result::applied);
  r.completes(1);
  r.completes(1, true);
  r.completes(0, true);
  EXPECT_EQ(r.state->phase, phase::cancelled);
}

TEST(limits, of_wants_spread_a_wide_graph_over_decisions) {
  std::vector<std::string> names;
  for (int n = 0; n < 25; ++n) names.push_back("s" + std::to_string(n));
  rig r(side_by_side(names));
  r.limits.wants = 10;
  r.start();
  int decisions = 1;
  while (r.more) {
    ++decisions;
    const auto before = r.history.size();
    r.wake();
    EXPECT_LE(r.history.size() - before, 20U);
  }
  EXPECT_GE(decisions, 3);
  EXPECT_EQ(r.state->running_attempts, 25U);
  for (std::uint32_t k = 0; k < names.size(); ++k) r.completes(k);
  EXPECT_EQ(r.state->phase, phase::completed);
}

// What one decision writes stays within limits.decision, whatever the payloads are.
TEST(limits, of_a_decision_in_bytes) {
  constexpr int width = 12;
  hand_built_graph g;
  for (int n = 0; n < width; ++n) g.step("s" + std::to_string(n), attempts(3));
  g.returns_input();
  rig r(g.build());
  r.limits.payload = 1'000;
  r.limits.decision = 2'000;
  r.start(std::string(1'000, 'x'));
  while (r.more) r.wake();
  ASSERT_EQ(r.state->running_attempts, static_cast<std::uint32_t>(width));
  // All are interrupted while the run is paused, with details for the next attempts.
  r.ask(pause_command{});
  for (std::uint32_t k = 0; k < width; ++k) r.ends(attempt_end::interrupted, k);
  for (auto& s : r.state->steps) s.details.assign(1'000, 'd');
  std::uint32_t started = 0;
  auto out = carry_out(*r.state, {.id = "go", .body = resume_command{}}, r, r.now);
  for (;;) {
    std::size_t bytes = 0;
    for (const auto& e : out.events) {
      bytes += e.payload.size();
      started += e.begun ? 1U : 0U;
    }
    EXPECT_LE(bytes, 2'000U);
    if (!out.more) break;
    out = carry_out(*r.state, {}, r, r.now);
  }
  EXPECT_EQ(started, static_cast<std::uint32_t>(width));
}

}  // namespace
}  // namespace pawl::engine
