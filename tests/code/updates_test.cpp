// Updates: requests that code validates, handles and answers, each recorded once.
#include "tests/code/code_rig.hpp"

namespace pawl::engine {
namespace {

struct change {
  std::string plan;
  int seats = 1;
  PAWL_FIELDS(plan, (seats, 1))
};

int price(step_context&, const change& c) { return 10 * c.seats; }

task<std::vector<std::string>> changes(workflow_context& wf, int how_many) {
  std::vector<std::string> out;
  for (int n = 0; n < how_many; ++n) {
    auto u = co_await wf.update<change, int>("change-plan");
    if (u.input().seats < 1) {
      u.refuse("a plan has at least one seat", "no_seats");
      out.emplace_back("refused");
      continue;
    }
    const auto cost = co_await wf.step("price", price, u.input());
    u.answer(cost);
    out.push_back(u.input().plan);
  }
  co_return out;
}

std::vector<std::string> result_of(const code_rig& r) { return r.result<std::vector<std::string>>(); }

TEST(code_updates, are_answered_after_awaits_between) {
  code_rig r(changes);
  r.begin(1);
  EXPECT_EQ(r.update("change-plan", change{"gold", 3}).result, command_result::applied);
  EXPECT_EQ(r.news(), "run_started, update_received change-plan, attempt_started price");
  const auto asked = r.newest(event_kind::update_received).seq;
  EXPECT_TRUE(r.state->find_update(asked));
  r.perform(0);
  EXPECT_EQ(r.news(), "attempt_completed price, update_answered change-plan, run_completed");
  EXPECT_EQ(r.newest(event_kind::update_answered).answers, asked);
  EXPECT_EQ(r.answer<int>(), 30);
  EXPECT_FALSE(r.state->find_update(asked));
  EXPECT_EQ(result_of(r), (std::vector<std::string>{"gold"}));
}

TEST(code_updates, that_code_refuses_say_why) {
  code_rig r(changes);
  r.begin(1);
  r.update("change-plan", change{"gold", 0});
  EXPECT_EQ(r.news(), "run_started, update_received change-plan, update_answered change-plan, run_completed");
  const auto& e = r.newest(event_kind::update_answered);
  ASSERT_TRUE(e.error);
  EXPECT_EQ(e.error->code, "no_seats");
  EXPECT_EQ(e.error->message, "a plan has at least one seat");
  EXPECT_EQ(e.payload, "");
}

TEST(code_updates, come_in_order_before_and_after_the_await) {
  code_rig r(changes);
  r.begin(3);
  r.update("change-plan", change{"a", 1});
  r.update("change-plan", change{"b", 1});
  r.update("other", std::string("nobody reads it"));
  r.update("change-plan", change{"c", 1});
  EXPECT_EQ(r.state->updates.size(), 4U);
  r.perform_all();
  EXPECT_EQ(result_of(r), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(r.newest(event_kind::update_answered).error->code, "code_ended") << "the one that nobody reads";
  EXPECT_EQ(r.newest(event_kind::update_answered).name, "other");
}

TEST(code_updates, of_another_type_are_refused_at_the_door_while_code_awaits_them) {
  code_rig r(changes);
  r.begin(1);
  const auto o = r.update("change-plan", std::string("gold"));
  EXPECT_EQ(o.result, command_result::invalid);
  EXPECT_NE(o.message.find("update 'change-plan'"), std::string::npos) << o.message;
  EXPECT_EQ(r.news(), "run_started");
}

TEST(code_updates, of_another_type_that_came_before_are_refused_and_the_next_is_taken) {
  code_rig r(changes);
  r.begin(2);
  r.update("change-plan", change{"a", 1});
  EXPECT_EQ(r.update("change-plan", std::string("gold")).result, command_result::applied);
  r.update("change-plan", change{"b", 1});
  r.news();
  r.perform(0);
  EXPECT_EQ(r.news(),
            "attempt_completed price, update_answered change-plan, update_answered change-plan, attempt_started price");
  EXPECT_EQ(r.newest(event_kind::update_answered).error->code, "invalid");
  r.perform(1);
  EXPECT_EQ(result_of(r), (std::vector<std::string>{"a", "b"}));
}

TEST(code_updates, are_one_command_however_often_they_are_sent) {
  code_rig r(changes);
  r.begin(2);
  const auto first = r.update("change-plan", change{"a", 1}, "u-1");
  EXPECT_EQ(first.result, command_result::applied);
  const auto again = r.update("change-plan", change{"a", 1}, "u-1");
  EXPECT_EQ(again.result, command_result::duplicate);
  EXPECT_EQ(again.seq, first.seq);
}

TEST(code_updates, a_graph_takes_none) {
  rig r(chain({"a"}));
  r.start();
  EXPECT_EQ(r.ask(update_command{.name = "n"}).result, command_result::invalid);
}

TEST(code_updates, to_an_id_that_never_started_and_to_code_that_has_ended) {
  rig nobody(code_of(changes));
  EXPECT_EQ(nobody.ask(update_command{.name = "n"}).result, command_result::not_found);
  code_rig r(changes);
  r.begin(0);
  EXPECT_EQ(r.update("change-plan", change{"a", 1}).result, command_result::conflict);
}

task<void> drops(workflow_context& wf) {
  {
    auto u = co_await wf.update<int, int>("n");
  }
  co_await wf.sleep(1h);
}

TEST(code_updates, that_code_destroys_are_unanswered) {
  code_rig r(drops);
  r.begin();
  r.update("n", 1);
  EXPECT_EQ(r.news(), "run_started, update_received n, update_answered n, timer_started sleep");
  EXPECT_EQ(r.newest(event_kind::update_answered).error->code, "unanswered");
}

task<void> holds_one(workflow_context& wf) {
  std::optional<pawl::update<int, int>> held;
  held.emplace(co_await wf.update<int, int>("n"));
  co_await wf.sleep(1h);
  held->answer(held->input() + 1);
}

TEST(code_updates, survive_their_frames) {
  code_rig r(holds_one);
  r.begin();
  r.update("n", 41);
  const auto d = r.definition;
  r.reload(nullptr);
  r.reload(d);
  r.wake();
  EXPECT_EQ(r.news(), "run_started, update_received n, timer_started sleep") << "eviction answers nothing";
  r.pass(1h);
  EXPECT_EQ(r.news(), "timer_fired, update_answered n, run_completed");
  EXPECT_EQ(r.answer<int>(), 42);
}

TEST(code_updates, that_are_held_when_the_run_is_cancelled_are_unanswered) {
  code_rig r(holds_one);
  r.begin();
  r.update("n", 41);
  r.update("later", 1);
  r.news();
  r.ask(cancel_command{"enough"});
  EXPECT_EQ(r.news(), "cancel_requested, timer_cancelled, update_answered n, update_answered later, run_cancelled");
  EXPECT_EQ(r.history[r.history.size() - 3].error->code, "unanswered");
  EXPECT_EQ(r.history[r.history.size() - 2].error->code, "code_ended");
}

TEST(code_updates, kill_answers_nothing_more) {
  code_rig r(holds_one);
  r.begin();
  r.update("n", 41);
  r.news();
  r.ask(kill_command{"enough"});
  EXPECT_EQ(r.news(), "run_killed");
}

task<void> fails(workflow_context& wf) {
  auto u = co_await wf.update<int, int>("n");
  co_await wf.signal<void>("go");
  throw pawl::failure("out of luck");
}

TEST(code_updates, that_are_held_when_the_code_fails_are_unanswered) {
  code_rig r(fails);
  r.begin();
  r.update("n", 1);
  r.update("n", 2);
  r.news();
  r.ask(signal_command{.name = "go"});
  EXPECT_EQ(r.news(), "signal_received go, update_answered n, update_answered n, code_failed, run_failed");
}

task<std::string> races(workflow_context& wf) {
  auto first = co_await pawl::any(wf.update<int, int>("a"), wf.update<int, int>("b"), wf.sleep(1h));
  if (auto* b = std::get_if<1>(&first)) b->answer(b->input());
  auto limited = co_await wf.update<void, void>("c").within(1h);
  if (!limited.timed_out()) std::move(limited).value().answer();
  auto [x, y] = co_await pawl::all(wf.update<int, int>("x"), wf.update<int, int>("y"));
  x.answer(y.input());
  y.answer(x.input());
  co_return "index " + std::to_string(first.index());
}

TEST(code_updates, race_have_limits_and_are_awaited_together) {
  code_rig r(races);
  r.begin();
  r.update("b", 7);
  EXPECT_EQ(r.answer<int>(), 7);
  r.ask(update_command{.name = "c"});
  EXPECT_EQ(r.news(),
            "run_started, timer_started sleep, update_received b, timer_cancelled, update_answered b, timer_started "
            "within, update_received c, timer_cancelled, update_answered c");
  r.update("y", 1);
  r.update("x", 2);
  EXPECT_EQ(r.answer<int>(), 2);
  EXPECT_EQ(r.news(), "update_received y, update_received x, update_answered x, update_answered y, run_completed");
}

int refuses(step_context&, const int&) { throw permanent_error("no", "refused"); }
task<void> loses_one(workflow_context& wf) {
  try {
    co_await pawl::all(wf.update<int, int>("n"), wf.step("bad", refuses, 1));
  } catch (const step_failed&) {
  }
  co_await wf.sleep(1h);
}

TEST(code_updates, taken_by_who_fails_meanwhile_are_unanswered) {
  code_rig r(loses_one);
  r.begin();
  r.update("n", 1);
  r.news();
  r.perform(0);
  EXPECT_EQ(r.news(), "attempt_failed bad, step_failed bad, update_answered n, timer_started sleep");
  EXPECT_EQ(r.newest(event_kind::update_answered).error->code, "unanswered");
}

task<std::string> twice(workflow_context& wf) {
  auto u = co_await wf.update<int, int>("n");
  auto moved = std::move(u);
  moved.answer(1);
  std::string out;
  for (auto* each : {&u, &moved}) {
    try {
      each->answer(2);
    } catch (const std::logic_error& e) {
      out += e.what();
    }
  }
  co_return out;
}

TEST(code_updates, are_answered_once) {
  code_rig r(twice);
  r.begin();
  r.update("n", 1);
  EXPECT_EQ(r.answer<int>(), 1);
  EXPECT_NE(r.result<std::string>().find("answered once"), std::string::npos);
}

task<void> answers_much(workflow_context& wf) {
  auto u = co_await wf.update<void, std::string>("n");
  u.answer(std::string(10'000, 'x'));
  co_await wf.sleep(1h);
}

TEST(code_updates, whose_answer_is_too_large_fail_alone) {
  code_rig r(answers_much);
  r.limits.payload = 1'000;
  r.begin();
  r.ask(update_command{.name = "n"});
  EXPECT_EQ(r.news(), "run_started, update_received n, update_answered n, timer_started sleep");
  EXPECT_EQ(r.newest(event_kind::update_answered).error->code, "too_large");
}

TEST(code_updates, that_are_not_answered_are_so_many_at_most) {
  code_rig r(holds_one);
  r.begin();
  r.state->updates.resize(most_open_updates);
  const auto d = decide(*r.state, {.id = "u", .body = update_command{.name = "n"}}, r, r.now);
  EXPECT_EQ(d.outcome.result, command_result::conflict);
  EXPECT_NE(d.outcome.message.find("1000 updates"), std::string::npos) << d.outcome.message;
}

TEST(code_updates, are_answered_although_the_history_is_full) {
  code_rig r(holds_one);
  r.begin();
  r.update("n", 1);
  r.limits.history_events = r.history.size();
  EXPECT_EQ(r.update("n", 1).result, command_result::too_large);
  r.pass(1h);
  EXPECT_EQ(r.newest(event_kind::update_answered).name, "n");
}

task<std::vector<std::string>> never_answers(workflow_context& wf, int) {
  auto u = co_await wf.update<change, int>("change-plan");
  co_await wf.sleep(1h);
  u.answer(1);
  co_return std::vector<std::string>();
}

TEST(code_updates, that_other_code_does_not_answer_are_a_divergence) {
  code_rig r(changes);
  r.begin(2);
  r.update("change-plan", change{"a", 0});
  r.news();
  r.reload(code_of(never_answers));
  r.wake();
  EXPECT_EQ(r.news(), "run_paused(code_diverged)");
  EXPECT_EQ(r.last().error->message.substr(0, 81),
            "event 3 is update_answered 'change-plan', but the code asks for timer 1 'sleep'. ");
}

}  // namespace
}  // namespace pawl::engine
