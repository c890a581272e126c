// What code awaits, and what the history says about it.
#include "tests/code/code_rig.hpp"

namespace pawl::engine {
namespace {

int twice(step_context&, const int& n) { return 2 * n; }
void note(step_context&, const std::string&) {}
void untwice(step_context&, const int&, const std::optional<int>&) {}
int refuses(step_context&, const int&) { throw permanent_error("no", "refused"); }

// --- steps

task<int> two_steps(workflow_context& wf, int n) {
  const auto a = co_await wf.step("first", twice, n);
  co_return co_await wf.step("second", twice, a);
}

TEST(code_steps, run_one_after_the_other_and_give_typed_results) {
  code_rig r(two_steps);
  r.begin(5);
  EXPECT_EQ(r.news(), "run_started, attempt_started first");
  r.perform(0);
  EXPECT_EQ(r.news(), "attempt_completed first, attempt_started second");
  r.perform(1);
  EXPECT_EQ(r.news(), "attempt_completed second, run_completed");
  EXPECT_EQ(r.result<int>(), 20);
}

task<std::string> catches(workflow_context& wf) {
  try {
    co_await wf.step("bad", refuses, 1);
  } catch (const step_failed& e) {
    co_return e.step() + " " + e.code() + " " + e.what();
  }
  co_return "it went through";
}

TEST(code_steps, a_failed_step_is_an_exception_that_code_goes_on_from) {
  code_rig r(catches);
  r.begin();
  r.perform(0);
  EXPECT_EQ(r.news(), "run_started, attempt_started bad, attempt_failed bad, step_failed bad, run_completed");
  EXPECT_EQ(r.result<std::string>(), "bad refused no");
}

task<void> undone(workflow_context& wf, int n) {
  co_await wf.step("a", twice, n).undo(untwice, n);
  co_await wf.step("b", twice, {.timeout = 3s}, n).undo(untwice, {.timeout = 2s}, n);
  co_await wf.step("bad", refuses, n);
}

TEST(code_steps, what_code_does_not_catch_fails_the_run_and_undoes_the_newest_first) {
  code_rig r(undone);
  r.begin(1);
  r.perform_all();
  EXPECT_EQ(r.news(),
            "run_started, attempt_started a, attempt_completed a, attempt_started b, attempt_completed b, "
            "attempt_started bad, attempt_failed bad, step_failed bad, code_failed, compensation_started(failed), "
            "attempt_started ~b, attempt_completed ~b, attempt_started ~a, attempt_completed ~a, run_failed");
  EXPECT_EQ(r.last().error->code, "refused");
  EXPECT_EQ(r.newest(event_kind::code_failed).error->message, "no");
}

task<int> throws_failure(workflow_context& wf) {
  co_await wf.step("note", note, "hello");
  throw pawl::failure("not approved", "refused");
}

TEST(code_steps, a_failure_thrown_by_the_code_is_the_error_of_the_run) {
  code_rig r(throws_failure);
  r.begin();
  r.perform(0);
  EXPECT_EQ(r.last().kind, event_kind::run_failed);
  EXPECT_EQ(r.last().error->code, "refused");
  EXPECT_EQ(r.last().error->message, "not approved");
}

task<int> throws_int(workflow_context&) {
  throw 5;
  co_return 1;
}

TEST(code_steps, an_exception_of_any_kind_before_the_first_await_fails_the_run) {
  code_rig r(throws_int);
  r.begin();
  EXPECT_EQ(r.news(), "run_started, code_failed, run_failed");
}

TEST(code_steps, an_input_that_does_not_fit_fails_the_run) {
  code_rig r(two_steps);
  r.begin(std::string("five"));
  EXPECT_EQ(r.news(), "run_started, code_failed, run_failed");
  EXPECT_EQ(r.last().error->code, "codec_error");
}

// --- timers

task<int> sleeps(workflow_context& wf) {
  const auto before = wf.now();
  co_await wf.sleep(24h * 90);
  co_return static_cast<int>(std::chrono::duration_cast<std::chrono::hours>(wf.now() - before).count());
}

TEST(code_timers, a_sleep_is_a_timer_on_record_and_time_comes_from_the_context) {
  code_rig r(sleeps);
  r.begin();
  EXPECT_EQ(r.news(), "run_started, timer_started sleep");
  EXPECT_EQ(r.work().wake_at, r.now + 24h * 90);
  r.pass(24h * 90 - 1ms);
  EXPECT_EQ(r.news(), "");
  r.pass(1ms);
  EXPECT_EQ(r.news(), "timer_fired, run_completed");
  EXPECT_EQ(r.result<int>(), 24 * 90);
}

TEST(code_timers, a_later_start_is_a_timer_too) {
  code_rig r(sleeps);
  r.facts.start_at = r.now + 1h;
  r.begin();
  EXPECT_EQ(r.news(), "run_started, timer_started start");
  r.pass(1h);
  EXPECT_EQ(r.news(), "timer_fired, timer_started sleep");
  r.pass(24h * 90);
  EXPECT_EQ(r.result<int>(), 24 * 90);
}

// --- signals

task<std::vector<int>> three_signals(workflow_context& wf) {
  std::vector<int> out;
  out.push_back(co_await wf.signal<int>("n"));
  co_await wf.step("note", note, "between");
  out.push_back(co_await wf.signal<int>("n"));
  out.push_back(co_await wf.signal<int>("n"));
  co_return out;
}

TEST(code_signals, come_in_order_before_and_after_the_await) {
  code_rig r(three_signals);
  r.begin();
  EXPECT_EQ(r.news(), "run_started");
  r.signal("n", 1);
  r.signal("n", 2);
  r.signal("other", std::string("nobody reads it"));
  r.signal("n", 3);
  r.perform(0);
  EXPECT_EQ(r.result<std::vector<int>>(), (std::vector{1, 2, 3}));
}

TEST(code_signals, of_another_type_are_refused_at_the_door_while_code_awaits_them) {
  code_rig r(three_signals);
  r.begin();
  const auto o = r.signal("n", std::string("one"));
  EXPECT_EQ(o.result, command_result::invalid);
  EXPECT_NE(o.message.find("signal 'n'"), std::string::npos) << o.message;
  EXPECT_EQ(r.news(), "run_started");
}

TEST(code_signals, are_one_command_however_often_they_are_sent) {
  code_rig r(three_signals);
  r.begin();
  EXPECT_EQ(r.ask(signal_command{.name = "n", .payload = encode(1)}, "s-1").result, command_result::applied);
  EXPECT_EQ(r.ask(signal_command{.name = "n", .payload = encode(1)}, "s-1").result, command_result::duplicate);
}

TEST(code_signals, a_graph_takes_none) {
  rig r(chain({"a"}));
  r.start();
  EXPECT_EQ(r.ask(signal_command{.name = "n"}).result, command_result::invalid);
}

TEST(code_signals, come_with_the_start) {
  code_rig r(three_signals);
  auto s = r.start_of("\xc0");
  s.signal = signal_command{.name = "n", .payload = encode(7)};
  r.say({.id = "start", .body = s});
  EXPECT_EQ(r.news(), "run_started, signal_received n, attempt_started note");
  EXPECT_EQ(r.ask(s, "again").result, command_result::applied) << "the workflow runs: the signal alone is delivered";
  r.perform(0);
  EXPECT_EQ(r.news(), "signal_received n, attempt_completed note");
}

task<bool> approval(workflow_context& wf) {
  auto a = co_await wf.signal<bool>("approved").within(48h);
  co_return a.value_or(false);
}

TEST(code_within, what_comes_in_time_cancels_the_timer) {
  code_rig r(approval);
  r.begin();
  EXPECT_EQ(r.news(), "run_started, timer_started within");
  r.signal("approved", true);
  EXPECT_EQ(r.news(), "signal_received approved, timer_cancelled, run_completed");
  EXPECT_TRUE(r.result<bool>());
}

TEST(code_within, a_limit_that_passes_gives_nothing) {
  code_rig r(approval);
  r.begin();
  r.pass(48h);
  EXPECT_EQ(r.news(), "run_started, timer_started within, timer_fired, run_completed");
  EXPECT_FALSE(r.result<bool>());
}

task<bool> hurried_step(workflow_context& wf) {
  auto a = co_await wf.step("slow", twice, 1).undo(untwice, 1).within(5s);
  if (a.timed_out()) throw pawl::failure("too slow");
  co_return true;
}

TEST(code_within, a_step_that_is_given_up_is_told_to_stop_and_undone_when_it_completes_all_the_same) {
  code_rig r(hurried_step);
  r.begin();
  r.pass(5s);
  EXPECT_EQ(r.news(),
            "run_started, attempt_started slow, timer_started within, timer_fired, step_abandoned slow, code_failed");
  r.perform(0);
  EXPECT_EQ(r.news(), "attempt_completed slow, compensation_started(failed), attempt_started ~slow");
  r.perform(0, true);
  EXPECT_EQ(r.last().kind, event_kind::run_failed);
}

TEST(code_within, a_step_that_is_given_up_is_not_tried_again) {
  code_rig r(hurried_step);
  r.begin();
  r.pass(5s);
  r.fails(0);
  EXPECT_EQ(r.last().kind, event_kind::run_failed);
  EXPECT_FALSE(r.newest(event_kind::attempt_failed).due);
}

}  // namespace
}  // namespace pawl::engine
