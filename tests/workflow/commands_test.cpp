// Commands in every phase, their outcomes, and the ways out of a pause.
#include "tests/workflow/rig.hpp"

namespace pawl::engine {
namespace {

using result = command_result;

definition_ptr ab() { return chain({"a", "b"}, attempts(1)); }

// Brings a run of ab() into a phase.
void bring(rig& r, phase p) {
  if (p == phase::none) return;
  r.start();
  if (p == phase::running) return;
  if (p == phase::killed) return void(r.ask(kill_command{}));
  r.completes(0);
  if (p == phase::completed) return void(r.completes(1));
  if (p == phase::stopping) return void(r.ask(cancel_command{}));
  if (p == phase::cancelled) r.ask(cancel_command{});
  r.fails(1);
  if (p != phase::compensating) r.completes(0, true);
}

constexpr phase all_phases[] = {phase::none,      phase::running, phase::stopping,  phase::compensating,
                                phase::completed, phase::failed,  phase::cancelled, phase::killed};

template <class Body>
void expect(const Body& body, const std::vector<result>& expected) {
  for (std::size_t n = 0; n < std::size(all_phases); ++n) {
    rig r(ab());
    bring(r, all_phases[n]);
    ASSERT_EQ(r.state->phase, all_phases[n]);
    const auto events = r.history.size();
    const auto o = r.ask(body);
    EXPECT_EQ(o.result, expected[n]) << to_text(all_phases[n]) << ": " << to_text(o.result) << " " << o.message;
    EXPECT_EQ(o.result == result::applied, r.history.size() > events);
    EXPECT_EQ(o.message.empty(), o.result == result::applied);
  }
}

//                                                        none               running          stopping compensating
//                                                        closed ...
TEST(commands, cancel_in_every_phase) {
  expect(cancel_command{"x"}, {result::not_found, result::applied, result::conflict, result::conflict, result::conflict,
                               result::conflict, result::conflict, result::conflict});
}
TEST(commands, kill_in_every_phase) {
  expect(kill_command{"x"}, {result::not_found, result::applied, result::applied, result::applied, result::conflict,
                             result::conflict, result::conflict, result::conflict});
}
TEST(commands, pause_in_every_phase) {
  expect(pause_command{"x"}, {result::not_found, result::applied, result::applied, result::applied, result::conflict,
                              result::conflict, result::conflict, result::conflict});
}
TEST(commands, resume_in_every_phase) {
  expect(resume_command{}, {result::not_found, result::conflict, result::conflict, result::conflict, result::conflict,
                            result::conflict, result::conflict, result::conflict});
}
TEST(commands, skip_in_every_phase) {
  expect(skip_command{.step = "a"}, {result::not_found, result::conflict, result::conflict, result::conflict,
                                     result::conflict, result::conflict, result::conflict, result::conflict});
}
TEST(commands, start_in_every_phase) {
  rig of(ab());
  expect(of.start_of(), {result::applied, result::conflict, result::conflict, result::conflict, result::conflict,
                         result::conflict, result::conflict, result::conflict});
}

TEST(commands, paused_in_every_open_phase_everything_but_pause_works) {
  for (const auto p : {phase::running, phase::stopping, phase::compensating}) {
    rig r(ab());
    bring(r, p);
    ASSERT_EQ(r.ask(pause_command{}).result, result::applied);
    EXPECT_EQ(r.ask(pause_command{}).result, result::conflict);
    EXPECT_EQ(r.ask(cancel_command{}).result, p == phase::running ? result::applied : result::conflict);
    EXPECT_EQ(r.state->paused, p != phase::running) << "a cancel goes on at once";
    EXPECT_EQ(r.ask(kill_command{}).result, result::applied);
    EXPECT_FALSE(r.state->paused);
  }
}

TEST(commands, a_kill_ends_everything_at_once) {
  rig r(side_by_side({"a", "b"}));
  r.start();
  r.completes(0);
  r.ask(kill_command{"now"});
  EXPECT_EQ(r.last().kind, event_kind::run_killed);
  EXPECT_EQ(r.last().error->message, "now");
  EXPECT_EQ(r.completes(1).result, result::late);
  EXPECT_TRUE(r.work().attempts.empty());
  EXPECT_FALSE(r.work().wake_at);
}

TEST(commands, a_repeat_has_the_seq_of_the_first) {
  rig r(ab());
  EXPECT_EQ(r.start().seq, 1U);
  EXPECT_EQ(r.start().result, result::duplicate);
  EXPECT_EQ(r.start().seq, 1U);
  const auto paused = r.ask(pause_command{}, "p");
  EXPECT_EQ(r.ask(pause_command{}, "p").result, result::duplicate);
  EXPECT_EQ(r.ask(pause_command{}, "p").seq, paused.seq);
  EXPECT_EQ(r.ask(kill_command{}, "p").result, result::duplicate) << "an id is one command, whatever it asks";
  r.ask(kill_command{}, "k");
  EXPECT_EQ(r.ask(kill_command{}, "k").result, result::duplicate) << "after the end as well";
  r.reload(r.definition);
  EXPECT_EQ(r.ask(pause_command{}, "p").seq, paused.seq) << "and after a restart";
}

TEST(commands, a_pause_lets_running_attempts_end_and_starts_nothing) {
  rig r(side_by_side({"a", "b"}, attempts(3)));
  r.start();
  r.ask(pause_command{"look"});
  r.news();
  r.completes(0);
  r.fails(1);
  r.pass(1h);
  EXPECT_EQ(r.news(), "attempt_completed a, attempt_failed b");
  EXPECT_FALSE(r.work().wake_at);
  EXPECT_FALSE(r.work().wants_slot);
  r.ask(resume_command{});
  EXPECT_EQ(r.news(), "run_resumed(requested), attempt_started b");
}

// A person's pause is no pardon: a step that ran out of attempts meanwhile is dealt with as its policy says.
TEST(commands, a_step_exhausted_during_a_pause_stays_exhausted) {
  rig r(side_by_side({"a", "b"}, attempts(1)));
  r.start();
  r.completes(1);
  r.ask(pause_command{});
  r.fails(0);
  r.news();
  r.ask(resume_command{});
  EXPECT_EQ(r.news(), "run_resumed(requested), step_exhausted a, compensation_started(failed), attempt_started ~b");
}

TEST(commands, an_exhausted_step_may_pause_and_resume_gives_it_its_attempts_anew) {
  rig r(chain({"a", "b"}, attempts(2, when_exhausted::pause)));
  r.start();
  for (int round = 0; round < 3; ++round) {
    r.fails(0);
    r.pass(5s);
    r.news();
    r.fails(0);
    EXPECT_EQ(r.news(), "attempt_failed a, run_paused a(step_exhausted)");
    EXPECT_EQ(r.last().error->message, "no");
    r.ask(resume_command{});
    EXPECT_EQ(r.news(), "run_resumed(requested), attempt_started a");
  }
  r.completes(0);
  r.completes(1);
  EXPECT_EQ(r.state->phase, phase::completed);
}

TEST(commands, one_resume_is_for_all_exhausted_steps) {
  rig r(side_by_side({"a", "b", "c"}, attempts(1, when_exhausted::pause)));
  r.start();
  for (const auto k : {0U, 1U, 2U}) r.fails(k);
  r.news();
  r.ask(resume_command{});
  EXPECT_EQ(r.news(), "run_resumed(requested), attempt_started a, attempt_started b, attempt_started c");
}

TEST(commands, skip_gives_the_result_and_pauses_at_the_next) {
  rig r(side_by_side({"a", "b"}, attempts(1, when_exhausted::pause)));
  r.start();
  r.fails(0);
  r.fails(1);
  r.news();
  EXPECT_EQ(r.ask(skip_command{.step = "a", .result = "x"}).result, result::applied);
  EXPECT_EQ(r.news(), "step_skipped a, run_resumed(skipped), run_paused b(step_exhausted)");
  r.ask(skip_command{.step = "b", .result = "y"});
  EXPECT_EQ(r.news(), "step_skipped b, run_resumed(skipped), run_completed");
}

TEST(commands, skip_is_for_exhausted_steps_only) {
  rig r(chain({"a", "b"}, attempts(2)));
  r.start();
  EXPECT_EQ(r.ask(skip_command{.step = "nobody"}).result, result::invalid);
  EXPECT_EQ(r.ask(skip_command{.step = "a"}).result, result::conflict) << "running";
  EXPECT_EQ(r.ask(skip_command{.step = "b"}).result, result::conflict) << "not wanted yet";
  r.fails(0);
  EXPECT_EQ(r.ask(skip_command{.step = "a"}).result, result::conflict) << "waiting";
  r.ask(pause_command{});
  EXPECT_EQ(r.ask(skip_command{.step = "a"}).result, result::conflict) << "waiting, paused for another reason";
}

// The run fails because of a; b, exhausted as well, is part of what failed.
TEST(commands, nothing_is_skipped_in_a_run_that_is_stopping) {
  rig r(side_by_side({"a", "b", "c"}, attempts(1)));
  r.start();
  r.fails(0);
  r.fails(1);
  ASSERT_EQ(r.step(1).status, step_status::spent);
  EXPECT_EQ(r.ask(skip_command{.step = "b"}).result, result::conflict);
}

TEST(commands, cancel_before_anything_started) {
  rig r(ab());
  r.slots = 0;
  r.facts.start_at = r.now + 1h;
  r.start();
  EXPECT_EQ(r.work().wake_at, r.now + 1h);
  r.ask(cancel_command{"no"});
  EXPECT_EQ(r.news(), "run_started, cancel_requested, run_cancelled");
}

TEST(commands, a_delayed_start) {
  rig r(ab());
  r.facts.start_at = r.now + 1h;
  r.start();
  EXPECT_EQ(r.news(), "run_started");
  EXPECT_FALSE(r.work().wants_slot);
  r.pass(1h);
  EXPECT_EQ(r.news(), "attempt_started a");
}

TEST(commands, a_start_that_could_not_be_read_back_is_refused) {
  const auto start_with = [](auto change) {
    rig r(ab());
    auto s = r.start_of();
    change(s.facts);
    return r.ask(s).result;
  };
  EXPECT_EQ(start_with([](auto& f) { f.workflow_id.clear(); }), result::invalid);
  EXPECT_EQ(start_with([](auto& f) { f.workflow_id.assign(10'000, 'x'); }), result::too_large);
  EXPECT_EQ(start_with([](auto& f) { f.deadline = milliseconds::max(); }), result::invalid);
  EXPECT_EQ(start_with([](auto& f) { f.deadline = -1ms; }), result::invalid);
  EXPECT_EQ(start_with([](auto& f) { f.start_at = time_point::max(); }), result::invalid);
  EXPECT_EQ(start_with([](auto& f) { f.start_at = time_point::min(); }), result::invalid);
  EXPECT_EQ(start_with([](auto& f) {
              f.start_at = latest_time;
              f.deadline = longest_duration;
            }),
            result::applied);
}

// A history that cannot be followed accepts nothing: whatever were appended would follow the wrong event.
TEST(commands, a_broken_instance_takes_no_command_and_decides_nothing) {
  rig r(ab());
  r.start();
  event gap;
  gap.kind = event_kind::history_warning;
  gap.seq = 99;
  evolve(*r.state, gap);
  ASSERT_NE(r.state->broken, "");
  for (const command& c :
       {command{.id = "k", .body = kill_command{}}, command{.id = "p", .body = pause_command{}},
        command{.id = {}, .body = wake{}},
        command{.id = {}, .body = attempt_ended{.step = 0, .attempt = 1, .end = attempt_end::completed}}}) {
    const auto out = carry_out(*r.state, c, r, r.now);
    EXPECT_TRUE(out.events.empty());
    if (!c.id.empty()) {
      EXPECT_EQ(out.outcome.result, result::conflict);
      EXPECT_NE(out.outcome.message.find("event 99"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace pawl::engine
