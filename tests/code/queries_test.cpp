// Queries: handlers that look at the state of code, and change nothing.
#include "tests/code/code_rig.hpp"

namespace pawl::engine {
namespace {

using status = query_answer::status;

int twice(step_context&, const int& n) { return 2 * n; }

task<void> account(workflow_context& wf) {
  int balance = 10;
  auto q = wf.on_query("balance", [&] { return balance; });
  auto with = wf.on_query("balance-with", [&](int more) { return balance + more; });
  balance += co_await wf.signal<int>("deposit");
  {
    auto newer = wf.on_query("balance", [&] { return -balance; });
    co_await wf.signal<int>("look");
  }
  co_await wf.sleep(1h);
}

template <class T>
T value_of(const query_answer& a) {
  EXPECT_EQ(a.state, status::answered) << a.message;
  return a.state == status::answered ? decode<T>(a.value) : T();
}

TEST(code_queries, see_the_local_variables_between_two_awaits_and_record_nothing) {
  code_rig r(account);
  r.begin();
  EXPECT_EQ(value_of<int>(r.query("balance")), 10);
  r.signal("deposit", 5);
  r.news();
  EXPECT_EQ(value_of<int>(r.query("balance-with", encode(100))), 115);
  r.wake();
  EXPECT_EQ(r.news(), "");
}

TEST(code_queries, are_answered_by_the_newest_handler_of_the_name_until_its_guard_goes) {
  code_rig r(account);
  r.begin();
  r.signal("deposit", 5);
  EXPECT_EQ(value_of<int>(r.query("balance")), -15);
  r.signal("look", 0);
  EXPECT_EQ(value_of<int>(r.query("balance")), 15);
}

TEST(code_queries, that_nobody_answers_list_those_that_are) {
  code_rig r(account);
  r.begin();
  const auto a = r.query("balanse");
  EXPECT_EQ(a.state, status::unknown);
  EXPECT_EQ(a.message, "the code answers the queries balance, balance-with");
  r.signal("deposit", 5);
  r.signal("look", 5);
  r.pass(1h);
  EXPECT_EQ(r.query("balance").state, status::unknown);
  EXPECT_EQ(r.query("balance").message, "the code answers no queries now");
}

TEST(code_queries, with_another_input_say_so) {
  code_rig r(account);
  r.begin();
  const auto a = r.query("balance-with", encode(std::string("five")));
  EXPECT_EQ(a.state, status::invalid);
  EXPECT_NE(a.message, "");
}

TEST(code_queries, see_replayed_frames_too) {
  code_rig r(account);
  r.begin();
  r.signal("deposit", 5);
  const auto d = r.definition;
  r.reload(nullptr);
  r.reload(d);
  EXPECT_EQ(value_of<int>(r.query("balance")), -15);
}

task<void> misbehaves(workflow_context& wf) {
  auto held = std::optional<pawl::update<int, int>>(co_await wf.update<int, int>("n"));
  auto logs = wf.on_query("logs", [&] { return wf.log(log_level::info, "seen"), 1; });
  auto publishes = wf.on_query("publishes", [&] {
    try {
      wf.status("looked at");
    } catch (const std::exception&) {
      // It does not help.
    }
    return 1;
  });
  auto draws = wf.on_query("draws", [&] { return wf.random(); });
  auto answers = wf.on_query("answers", [&] { return held->answer(5), 1; });
  auto drops = wf.on_query("drops", [&] { return held.reset(), 1; });
  auto adds = wf.on_query("adds", [&] {
    auto other = wf.on_query("other", [] { return 1; });
    return 1;
  });
  auto throws = wf.on_query("throws", [&]() -> int { throw pawl::failure("no such account", "unknown_account"); });
  auto time = wf.on_query("time", [&] { return wf.workflow_id() + std::to_string(wf.run()); });
  co_await wf.sleep(1h);
}

TEST(code_queries, whose_handlers_change_the_run_are_caught) {
  code_rig r(misbehaves);
  r.begin();
  r.update("n", 1);
  r.news();
  for (const auto* name : {"logs", "publishes", "draws", "answers", "adds"}) {
    const auto a = r.query(name);
    EXPECT_EQ(a.state, status::failed) << name;
    EXPECT_EQ(a.code, "query_changes_run") << name;
    EXPECT_NE(a.message.find("changes nothing"), std::string::npos) << name << ": " << a.message;
  }
  EXPECT_EQ(r.query("drops").code, "query_changes_run");
  EXPECT_EQ(value_of<std::string>(r.query("time")), "w1") << "what it may ask";
  r.wake();
  EXPECT_EQ(r.news(), "") << "nothing came of it";
}

TEST(code_queries, whose_handlers_throw_give_their_error) {
  code_rig r(misbehaves);
  r.begin();
  r.update("n", 1);
  const auto a = r.query("throws");
  EXPECT_EQ(a.state, status::failed);
  EXPECT_EQ(a.code, "unknown_account");
  EXPECT_EQ(a.message, "no such account");
}

class deaf final : public pawl::detail::observer {
 public:
  void on_done(pawl::detail::operation&) noexcept override {}
};
// No handler can await. This does what awaiting would.
template <class Op>
int begin_it(Op op) {
  deaf nobody;
  op.begin(nobody);
  return 1;
}
task<void> begins_things(workflow_context& wf) {
  auto made = wf.on_query("made", [&] {
    const auto a = wf.changed("x");
    const auto b = wf.step("work", twice, 1);
    return a.begun() || b.begun();
  });
  auto changes = wf.on_query("changes", [&] { return begin_it(wf.changed("x")); });
  auto steps = wf.on_query("steps", [&] { return begin_it(wf.step("work", twice, 1)); });
  auto sleeps = wf.on_query("sleeps", [&] { return begin_it(wf.sleep(1h)); });
  auto signals = wf.on_query("signals", [&] { return begin_it(wf.signal<int>("n")); });
  auto updates = wf.on_query("updates", [&] { return begin_it(wf.update<int, int>("n")); });
  auto tells = wf.on_query("tells", [&] { return begin_it(wf.signal_to("w", "n", 1)); });
  auto renews = wf.on_query("renews", [&] { return begin_it(wf.continue_as_new(1)); });
  co_await wf.sleep(1h);
}

TEST(code_queries, begin_nothing_whatever_their_handlers_make) {
  code_rig r(begins_things);
  r.begin();
  r.ask(signal_command{.name = "n", .payload = encode(1)});
  r.ask(update_command{.name = "n", .payload = encode(1)});
  r.news();
  EXPECT_FALSE(value_of<bool>(r.query("made")));
  for (const auto* name : {"changes", "steps", "sleeps", "signals", "updates", "tells", "renews"}) {
    const auto a = r.query(name);
    EXPECT_EQ(a.state, status::failed) << name;
    EXPECT_EQ(a.code, "query_changes_run") << name;
  }
  r.wake();
  EXPECT_EQ(r.news(), "");
  r.pass(1h);
  EXPECT_EQ(r.news(), "timer_fired, update_answered n, run_completed");
}

task<std::string> names(workflow_context& wf) {
  std::string out;
  try {
    auto q = wf.on_query("", [] { return 1; });
  } catch (const definition_error& e) {
    out = e.what();
  }
  co_return out;
}

TEST(code_queries, have_a_name) {
  code_rig r(names);
  r.begin();
  EXPECT_NE(r.result<std::string>().find("query ''"), std::string::npos) << r.result<std::string>();
}

task<int> moves_guards(workflow_context& wf) {
  std::vector<pawl::query_guard> guards;
  for (int n = 0; n < 3; ++n) guards.push_back(wf.on_query("q" + std::to_string(n), [n] { return n; }));
  guards.erase(guards.begin());
  co_await wf.step("work", twice, 1);
  co_return 1;
}

TEST(code_queries, have_guards_that_move) {
  code_rig r(moves_guards);
  r.begin();
  EXPECT_EQ(value_of<int>(r.query("q1")), 1);
  EXPECT_EQ(value_of<int>(r.query("q2")), 2);
  EXPECT_EQ(r.query("q0").state, status::unknown);
}

TEST(code_queries, a_graph_answers_none) {
  rig r(chain({"a"}));
  r.start();
  EXPECT_EQ(r.state->program->query("x", "\xc0").state, status::unknown);
}

}  // namespace
}  // namespace pawl::engine
