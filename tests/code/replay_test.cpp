// Frames are a cache of the history: other code is noticed, frames are destroyed and made again, depth is no matter.
#include "tests/code/code_rig.hpp"

namespace pawl::engine {
namespace {

int twice(step_context&, const int& n) { return 2 * n; }
void nothing(step_context&, const int&, const std::optional<int>&) {}

task<int> original(workflow_context& wf) {
  const auto a = co_await wf.step("first", twice, 1);
  co_await wf.sleep(1h);
  co_return co_await wf.step("second", twice, a).undo(nothing, a);
}
task<int> renamed(workflow_context& wf) {
  const auto a = co_await wf.step("first", twice, 1);
  co_await wf.sleep(1h);
  co_return co_await wf.step("other", twice, a);
}
task<int> without_sleep(workflow_context& wf) {
  const auto a = co_await wf.step("first", twice, 1);
  co_return co_await wf.step("second", twice, a);
}
task<int> sleeps_longer(workflow_context& wf) {
  const auto a = co_await wf.step("first", twice, 1);
  co_await wf.sleep(2h);
  co_return co_await wf.step("second", twice, a);
}

TEST(code_replay, a_step_of_another_name_pauses_the_run_and_the_right_code_resumes_it) {
  code_rig r(original);
  const auto right = r.definition;
  r.begin();
  r.perform(0);
  r.pass(1h);
  r.news();
  r.reload(code_of(renamed));
  r.wake();
  EXPECT_EQ(r.news(), "run_paused(code_diverged)");
  EXPECT_EQ(r.last().error->message,
            "event 6 is attempt_started of step 1 'second', but the code asks for step 1 'other'. Start a binary that "
            "has the code that the run was written with, or give changed code a new version");
  EXPECT_EQ(r.ask(resume_command{}).result, command_result::conflict);
  r.reload(right);
  r.wake();
  EXPECT_EQ(r.news(), "run_resumed(definition_found)");
  r.perform(1);
  EXPECT_EQ(r.result<int>(), 4);
}

TEST(code_replay, what_the_code_does_not_ask_for_any_more_is_named) {
  code_rig r(original);
  r.begin();
  r.perform(0);
  r.news();
  for (const auto& other : {code_of(without_sleep), code_of(sleeps_longer)}) {
    code_rig copy(original);
    copy.history = r.history;
    copy.now = r.now;
    copy.seen = r.history.size();
    copy.reload(other);
    copy.wake();
    EXPECT_EQ(copy.news(), "run_paused(code_diverged)");
    EXPECT_NE(copy.last().error->message.find("event 4 is timer_started of timer 1 'sleep'"), std::string::npos)
        << copy.last().error->message;
  }
}

TEST(code_replay, a_run_that_cannot_be_followed_can_be_killed_and_cancelling_it_does_not_crash) {
  code_rig r(original);
  r.begin();
  r.perform(0);
  r.pass(1h);
  r.ask(pause_command{"look"});
  r.reload(code_of(renamed));
  r.ask(cancel_command{"x"});
  EXPECT_EQ(r.last().kind, event_kind::run_paused);
  EXPECT_EQ(r.ask(kill_command{"x"}).result, command_result::applied);
}

TEST(code_replay, a_node_without_the_code_waits_for_it) {
  code_rig r(original);
  const auto right = r.definition;
  r.begin();
  r.perform(0);
  r.news();
  r.reload(nullptr);
  r.wake();
  EXPECT_EQ(r.news(), "waiting_for_code");
  r.reload(right);
  r.pass(1h);
  EXPECT_EQ(r.news(), "code_found, timer_fired, attempt_started second");
}

// --- frames

int alive = 0;
struct counted {
  counted() { ++alive; }
  counted(const counted&) { ++alive; }
  ~counted() { --alive; }
};

task<void> holds(workflow_context& wf) {
  counted a;
  co_await wf.sleep(1h);
  counted b;
  co_await wf.sleep(1h);
}
task<void> holds_in_helpers(workflow_context& wf) {
  counted a;
  co_await pawl::all(holds(wf), holds(wf));
}

TEST(code_frames, are_destroyed_with_the_instance_and_made_again) {
  {
    code_rig r(holds_in_helpers);
    r.begin();
    EXPECT_EQ(alive, 3);
    r.pass(1h);
    EXPECT_EQ(alive, 5);
    auto again = fold(r.definition, r.history);
    EXPECT_EQ(alive, 10);
    again.reset();
    EXPECT_EQ(alive, 5);
    r.pass(1h);
    EXPECT_EQ(alive, 0) << "code that has ended holds nothing";
    EXPECT_EQ(r.last().kind, event_kind::run_completed);
  }
  EXPECT_EQ(alive, 0);
}

task<int> deep(workflow_context& wf, int n) {
  counted c;
  if (n == 0) {
    co_await wf.sleep(1h);
    co_return 0;
  }
  co_return 1 + co_await deep(wf, n - 1);
}
task<int> dives(workflow_context& wf, int n) { co_return co_await deep(wf, n); }

TEST(code_frames, a_hundred_thousand_nested_tasks_need_no_stack) {
  constexpr int depth = 100'000;
  {
    auto i = make_instance(code_of(dives));
    event started;
    started.kind = event_kind::run_started;
    started.seq = 1;
    started.payload = encode(depth);
    started.start.emplace().code = true;
    started.start->digest = i->definition->digest;
    evolve(*i, started);
    EXPECT_EQ(alive, depth + 1);
  }
  EXPECT_EQ(alive, 0) << "destroyed while all of them wait";
  {
    code_rig r(dives);
    r.begin(depth);
    r.pass(1h);
    EXPECT_EQ(r.result<int>(), depth);
  }
  {
    code_rig r(dives);
    r.begin(depth);
    r.ask(cancel_command{"x"});
    EXPECT_EQ(r.last().kind, event_kind::run_cancelled);
  }
}

task<int> nothing_to_wait_for(workflow_context&) { co_return 1; }
task<int> million(workflow_context& wf) {
  int sum = 0;
  for (int n = 0; n < 1'000'000; ++n) sum += co_await nothing_to_wait_for(wf);
  co_return sum;
}

TEST(code_frames, a_million_awaits_in_a_loop_need_no_stack) {
  code_rig r(million);
  r.begin();
  EXPECT_EQ(r.result<int>(), 1'000'000);
}

// --- what the context gives

task<std::string> draws(workflow_context& wf) {
  const auto before = std::to_string(wf.random()) + wf.new_id() + std::to_string(wf.random(10));
  co_await wf.sleep(1s);
  co_return before + wf.new_id();
}

TEST(code_context, random_numbers_and_ids_are_the_same_in_every_replay) {
  code_rig r(draws);
  r.begin();
  const auto again = fold(r.definition, r.history);
  r.pass(1s);
  evolve(*again, r.newest(event_kind::timer_fired));
  ASSERT_EQ(again->program->wants().size(), 1U);
  EXPECT_EQ(again->program->wants().front().text, r.last().payload);
}

task<void> talks(workflow_context& wf) {
  wf.log(log_level::info, "before");
  wf.status("asleep");
  wf.attribute("n", 5);
  co_await wf.sleep(1s);
  wf.log(log_level::warn, "after");
}

TEST(code_context, the_log_is_silent_in_replay) {
  code_rig r(talks);
  r.begin();
  const auto lines = r.state->program->take_log();
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0].text, "before");
  r.reload(r.definition);
  EXPECT_TRUE(r.state->program->take_log().empty());
  r.pass(1s);
  ASSERT_EQ(r.state->program->take_log().size(), 1U);
}

TEST(code_context, a_status_is_recorded_with_what_the_code_does_next) {
  code_rig r(talks);
  r.begin();
  EXPECT_EQ(r.news(), "run_started, status_published, timer_started sleep");
  EXPECT_NE(r.state->status.find("asleep"), std::string::npos);
}

task<void> fills(workflow_context& wf) {
  while (true) co_await wf.step("n", twice, 1);
}

TEST(code_limits, a_full_history_ends_the_code) {
  code_rig r(fills);
  r.limits.history_events = 20;
  r.begin();
  for (int n = 0; n < 30 && !is_closed(r.state->phase); ++n) r.perform_all();
  EXPECT_EQ(r.last().kind, event_kind::run_failed);
  EXPECT_EQ(r.last().error->code, "too_large");
  EXPECT_LE(r.history.size(), 24U);
}

}  // namespace
}  // namespace pawl::engine
