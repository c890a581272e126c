// wf.changed: code that is changed at one place, while runs of it are open.
#include <algorithm>
#include <set>

#include "tests/code/code_rig.hpp"

namespace pawl::engine {
namespace {

int echo(step_context&, const int& n) { return n; }

task<int> before(workflow_context& wf, int n) {
  n += co_await wf.step("first", echo, 1);
  co_await wf.sleep(1h);
  n += co_await wf.step("second", echo, 10);
  co_return n;
}
// The sleep is replaced by a signal that may be late, and what follows is done twice.
task<int> after(workflow_context& wf, int n) {
  n += co_await wf.step("first", echo, 1);
  const auto asked_at = wf.now();
  if (co_await wf.changed("no-sleep")) {
    n += co_await wf.step("instead", echo, 100);
  } else {
    co_await wf.sleep(1h);
  }
  if (wf.now() < asked_at) throw failure("time runs backwards");
  n += co_await wf.step("second", echo, 10);
  if (co_await wf.changed("no-sleep")) n += 1'000;  // the same answer, and no event
  co_return n;
}

void to_the_end(code_rig& r) {
  for (int n = 0; n < 20 && !is_closed(r.state->phase); ++n) {
    r.perform_all();
    r.pass(1h);
  }
}

std::string kinds(const std::vector<event>& history) {
  std::string out;
  for (const auto& e : history) out += (out.empty() ? "" : " ") + std::string(to_text(e.kind));
  return out;
}

TEST(code_changed, a_new_run_takes_the_new_way_and_that_is_on_record) {
  code_rig r(after);
  r.begin(0);
  to_the_end(r);
  EXPECT_EQ(r.result<int>(), 1'111);
  EXPECT_EQ(kinds(r.history),
            "run_started attempt_started attempt_completed change_noted attempt_started attempt_completed "
            "attempt_started attempt_completed run_completed");
  EXPECT_EQ(r.history[3].name, "no-sleep");
}

// The first event of an old history whose code had gone on from the changed place.
constexpr std::size_t went_on_at = 4;  // timer_started

TEST(code_changed, a_run_goes_on_the_way_that_it_was_on_wherever_the_code_is_replaced) {
  code_rig old(before);
  old.begin(0);
  to_the_end(old);
  ASSERT_EQ(old.result<int>(), 11);
  ASSERT_EQ(old.history[went_on_at - 1].kind, event_kind::timer_started);
  for (std::size_t cut = 1; cut < old.history.size(); ++cut) {
    SCOPED_TRACE("the code is replaced after event " + std::to_string(cut));
    code_rig r(before);
    r.history.assign(old.history.begin(), old.history.begin() + static_cast<std::ptrdiff_t>(cut));
    r.now = r.history.back().at;
    r.reload(code_of(after));
    r.wake();
    to_the_end(r);
    ASSERT_EQ(r.last().kind, event_kind::run_completed) << kinds(r.history);
    EXPECT_EQ(r.result<int>(), cut < went_on_at ? 1'111 : 11);
  }
}

TEST(code_changed, a_whole_old_history_is_followed_to_its_end) {
  code_rig old(before);
  old.begin(0);
  to_the_end(old);
  const auto again = fold(code_of(after), old.history);
  EXPECT_FALSE(is_broken(*again));
}

TEST(code_changed, whatever_is_cut_comes_to_an_end_and_replays) {
  code_rig whole(after);
  whole.begin(0);
  to_the_end(whole);
  std::set<int> ends;
  for (std::size_t cut = 1; cut < whole.history.size(); ++cut) {
    code_rig r(after);
    r.history.assign(whole.history.begin(), whole.history.begin() + static_cast<std::ptrdiff_t>(cut));
    r.now = r.history.back().at;
    r.reload(r.definition);
    for (const auto& s : std::vector<step_state>(r.state->steps))
      if (s.status == step_status::running) r.is_lost(s.step);
    r.wake();
    to_the_end(r);
    ASSERT_EQ(r.last().kind, event_kind::run_completed) << "cut after event " << cut << ": " << kinds(r.history);
    ends.insert(r.result<int>());
  }
  EXPECT_EQ(ends, std::set<int>{1'111}) << "the note is made before anything else is decided";
}

// A signal that comes with the start is in the same decision, behind the event at which the code asks.
task<bool> asks_at_once(workflow_context& wf) {
  const bool changed = co_await wf.changed("x");
  co_await wf.signal<int>("go");
  co_return changed;
}
task<bool> did_not_ask(workflow_context& wf) {
  co_await wf.signal<int>("go");
  co_return false;
}

TEST(code_changed, a_signal_that_comes_with_the_start_does_not_make_a_run_old) {
  code_rig r(asks_at_once);
  auto s = r.start_of("\xc0");
  s.signal = signal_command{.name = "go", .payload = encode(1)};
  r.say({.id = "start", .body = s});
  EXPECT_EQ(r.news(), "run_started, change_noted x, signal_received go, run_completed");
  EXPECT_TRUE(r.result<bool>());
}

// As a run begins that goes on where another one has continued as new: signals that nobody has read are on record
// behind its start before its code has run.
TEST(code_changed, signals_that_were_there_before_the_code_do_not_make_a_run_old) {
  code_rig r(asks_at_once);
  auto s = r.start_of("\xc0");
  s.signal = signal_command{.name = "go", .payload = encode(1)};
  code_rig old(did_not_ask);
  old.say({.id = "start", .body = s});
  r.history.assign(old.history.begin(), old.history.begin() + 2);
  r.now = r.history.back().at + 1s;
  r.reload(r.definition);
  r.seen = 2;
  r.wake();
  EXPECT_EQ(r.news(), "change_noted x, run_completed");
  EXPECT_TRUE(r.result<bool>());
}

// The old code had the time of the event before, and does now.
task<void> old_sleeper(workflow_context& wf) {
  const auto until = wf.now() + 1h;
  co_await wf.signal<int>("go");
  co_await wf.sleep_until(until);
}
task<void> new_sleeper(workflow_context& wf) {
  if (co_await wf.changed("x")) co_return;
  const auto until = wf.now() + 1h;
  co_await wf.signal<int>("go");
  co_await wf.sleep_until(until);
}

TEST(code_changed, the_old_way_has_the_times_that_it_had) {
  code_rig r(old_sleeper);
  r.begin();
  r.pass(10min);
  r.signal("go", 1);
  r.pass(1min);
  EXPECT_FALSE(is_broken(*fold(code_of(new_sleeper), r.history)));
  r.reload(code_of(new_sleeper));
  r.pass(1h);
  EXPECT_EQ(r.last().kind, event_kind::run_completed);
  EXPECT_EQ(r.newest(event_kind::timer_fired).at - r.history.front().at, 71min);
}

TEST(code_changed, an_old_run_that_waits_for_a_signal_has_not_gone_on) {
  code_rig r(did_not_ask);
  r.begin();
  r.news();
  r.reload(code_of(asks_at_once));
  r.signal("go", 1);
  EXPECT_EQ(r.news(), "change_noted x, signal_received go, run_completed");
  EXPECT_TRUE(r.result<bool>());

  code_rig done(did_not_ask);
  done.begin();
  done.signal("go", 1);
  EXPECT_FALSE(is_broken(*fold(code_of(asks_at_once), done.history)));
}

// An update comes just where the code is to be changed. It may be on record when the code is replaced.
task<int> desk_before(workflow_context& wf) {
  const int n = co_await wf.step("first", echo, 1);
  auto u = co_await wf.update<int, int>("n");
  const int m = co_await wf.step("work", echo, u.input());
  u.answer(m);
  co_return n + m;
}
task<int> desk_after(workflow_context& wf) {
  const int n = co_await wf.step("first", echo, 1);
  const bool changed = co_await wf.changed("x");
  auto u = co_await wf.update<int, int>("n");
  int m = co_await wf.step("work", echo, u.input());
  if (changed) m += 100;
  u.answer(m);
  co_return n + m;
}

TEST(code_changed, an_update_that_is_on_record_at_the_changed_place_is_answered_once_and_on_one_way) {
  code_rig old(desk_before);
  old.begin();
  old.perform_all();
  old.update("n", 5, "u-1");
  old.perform_all();
  ASSERT_EQ(kinds(old.history),
            "run_started attempt_started attempt_completed update_received attempt_started attempt_completed "
            "update_answered run_completed");
  EXPECT_FALSE(is_broken(*fold(code_of(desk_after), old.history)));
  for (std::size_t cut = 1; cut < old.history.size(); ++cut) {
    SCOPED_TRACE("the code is replaced after event " + std::to_string(cut));
    code_rig r(desk_before);
    r.history.assign(old.history.begin(), old.history.begin() + static_cast<std::ptrdiff_t>(cut));
    r.now = r.history.back().at;
    r.reload(code_of(desk_after));
    r.wake();
    r.perform_all();
    const auto result = r.update("n", 5, "u-1").result;
    EXPECT_EQ(result, cut < 4 ? command_result::applied : command_result::duplicate);
    r.perform_all();
    ASSERT_EQ(r.last().kind, event_kind::run_completed) << kinds(r.history);
    const bool changed = cut <= 4;  // behind update_received there was nothing that the old code had caused
    EXPECT_EQ(r.result<int>(), changed ? 106 : 6);
    EXPECT_EQ(r.answer<int>(), changed ? 105 : 5);
    EXPECT_EQ(std::count_if(r.history.begin(), r.history.end(),
                            [](const event& e) { return e.kind == event_kind::update_answered; }),
              1);
    EXPECT_FALSE(is_broken(*fold(code_of(desk_after), r.history)));
  }
}

task<int> reads_late(workflow_context& wf) {
  co_await wf.signal<int>("go");
  co_return 0;
}
task<int> counts_events(workflow_context& wf) {
  co_await wf.changed("x");
  auto u = co_await wf.update<void, int>("n");
  const auto events = static_cast<int>(wf.history_length());
  u.answer(events);
  co_return events;
}

TEST(code_changed, an_update_that_was_there_before_the_note_counts_the_note) {
  code_rig r(reads_late);
  r.begin();
  r.ask(update_command{.name = "n"});
  r.news();
  r.reload(code_of(counts_events));
  r.wake();
  EXPECT_EQ(r.news(), "change_noted x, update_answered n, run_completed");
  EXPECT_EQ(r.result<int>(), 3) << "the update is event 2, the note event 3";
}

TEST(code_changed, a_paused_run_and_one_that_is_cancelled_are_asked_too) {
  code_rig r(after);
  r.begin(0);
  r.ask(pause_command{"look"});
  r.news();
  r.perform(0);
  EXPECT_EQ(r.news(), "attempt_completed first, change_noted no-sleep");
  r.ask(resume_command{});
  to_the_end(r);
  EXPECT_EQ(r.result<int>(), 1'111);

  code_rig c(after);
  c.begin(0);
  c.ask(cancel_command{"x"});
  c.perform_all();
  EXPECT_EQ(c.last().kind, event_kind::run_cancelled);
}

// Two places at once, one of which is asked for twice.
task<int> side(workflow_context& wf, std::string id, int worth) {
  const bool yes = co_await wf.changed(id);
  co_await wf.step("s", echo, 1);
  co_return yes ? worth : 0;
}
task<int> several(workflow_context& wf) {
  auto [a, b, c] = co_await pawl::all(side(wf, "a", 1), side(wf, "b", 2), side(wf, "a", 4));
  co_return a + b + c;
}
task<int> several_before(workflow_context& wf) {
  auto [a, b, c] = co_await pawl::all(wf.step("s", echo, 1), wf.step("s", echo, 1), wf.step("s", echo, 1));
  co_return a + b + c - 3;
}

TEST(code_changed, several_places_are_asked_at_once) {
  code_rig r(several);
  r.begin();
  EXPECT_EQ(r.news(),
            "run_started, change_noted a, change_noted b, attempt_started s, attempt_started s, attempt_started s");
  r.perform_all();
  EXPECT_EQ(r.result<int>(), 7);

  code_rig old(several_before);
  old.begin();
  old.reload(code_of(several));
  old.perform_all();
  EXPECT_EQ(old.result<int>(), 0);
}

task<int> question_taken_out(workflow_context& wf, int n) {
  n += co_await wf.step("first", echo, 1);
  n += co_await wf.step("instead", echo, 100);
  n += co_await wf.step("second", echo, 10);
  co_return n + 1'000;
}

TEST(code_changed, the_question_may_be_taken_out_when_no_run_is_on_the_old_way) {
  code_rig r(after);
  r.begin(0);
  r.perform_all();
  to_the_end(r);
  EXPECT_FALSE(is_broken(*fold(code_of(question_taken_out), r.history)));
}

task<void> bad_id(workflow_context& wf) { co_await wf.changed(""); }
task<int> given_up(workflow_context& wf) {
  const auto first = co_await pawl::any(wf.changed("x"), wf.sleep(1h));
  co_return static_cast<int>(first.index());
}

TEST(code_changed, an_id_has_1_to_128_bytes_and_a_race_with_it_is_won_by_it) {
  code_rig r(bad_id);
  r.begin();
  EXPECT_EQ(r.last().kind, event_kind::run_failed);
  EXPECT_EQ(r.last().error->code, "definition_error");
  code_rig race(given_up);
  race.begin();
  EXPECT_EQ(race.result<int>(), 0);
}

TEST(code_changed, a_full_history_notes_nothing) {
  code_rig r(after);
  r.limits.history_events = 3;
  r.begin(0);
  r.perform_all();
  EXPECT_EQ(r.last().kind, event_kind::run_failed);
  EXPECT_EQ(r.last().error->code, "too_large");
}

}  // namespace
}  // namespace pawl::engine
