// Updates and queries in an environment: what is answered, what is refused, and what crashes do not change.
#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>
#include <vector>

#include <pawl/pawl.hpp>
#include <pawl/testing.hpp>

namespace {

using namespace std::chrono_literals;
namespace pt = pawl::testing;

int bank_calls = 0;
int look_up(pawl::step_context&, const int& amount) {
  ++bank_calls;
  return amount;
}

// Takes deposits, each of which a bank confirms, until it is closed.
pawl::task<int> account(pawl::workflow_context& wf, int balance) {
  const auto asked = wf.on_query("balance", [&] { return balance; });
  const auto with = wf.on_query("balance-with", [&](int more) { return balance + more; });
  const auto known = wf.on_query("owner", []() -> std::string { throw pawl::failure("nobody owns it", "no_owner"); });
  const auto logs = wf.on_query("logs", [&] { return wf.log(pawl::log_level::info, "looked at"), 1; });
  for (;;) {
    auto next = co_await pawl::any(wf.update<int, int>("deposit"), wf.update<void, void>("close"));
    if (auto* close = std::get_if<1>(&next)) {
      close->answer();
      co_return balance;
    }
    auto& deposit = std::get<0>(next);
    if (deposit.input() <= 0) {
      deposit.refuse("nothing to deposit", "nothing");
      continue;
    }
    balance += co_await wf.step("look up", look_up, deposit.input());
    deposit.answer(balance);
  }
}

// Answers a day later, unless it is told to go on in the next run before that.
pawl::task<int> slow(pawl::workflow_context& wf, int lives) {
  auto u = co_await wf.update<void, int>("tell");
  const auto go = co_await wf.signal<int>("go on").within(24h);
  if (!go.timed_out()) co_await wf.continue_as_new(lives + 1);
  u.answer(lives);
  co_await wf.sleep(1h);
  co_return lives;
}

// Mistakes: a handler that counts, one that shows what is not the same in a replay, and one that changes what another
// one shows.
int read_from_outside = 0;
pawl::task<void> mistaken(pawl::workflow_context& wf) {
  int looks = 0;
  int sum = 0;
  const int outside = ++read_from_outside;
  auto counts = wf.on_query("counts", [&] { return ++looks; });
  auto reads = wf.on_query("outside", [&] { return outside; });
  auto adds = wf.on_query("adds", [&](int n) { return sum += n, 0; });
  auto shows = wf.on_query("sum", [&] { return sum; });
  co_await wf.signal<int>("never");
}

int same(pawl::step_context&, const int& n) { return n; }

struct replies : testing::Test {
  pawl::registry types;
  void SetUp() override {
    bank_calls = 0;
    types.add("account", {}, account).add("slow", {}, slow).add("mistaken", {}, mistaken);
    pawl::workflow<int> g{"graph", {.version = 1}};
    g.returns(g.step("same", same, {}, g.input()));
    types.add(g);
  }
};

std::string refusal(const std::function<void()>& f) {
  try {
    f();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "nothing was thrown";
}

TEST_F(replies, an_update_is_answered_or_refused_at_once) {
  pt::environment env(types);
  auto r = env.start("account", 10);
  EXPECT_EQ(r.waits_for(), (std::vector<std::string>{"update 'deposit'", "update 'close'"}));
  const auto first = r.update("deposit", 5);
  first.expect_answered().expect_answer(15);
  EXPECT_EQ(first.answer<int>(), 15);
  EXPECT_FALSE(first.refusal());
  const auto second = r.update("deposit", -1);
  second.expect_refused("nothing");
  EXPECT_EQ(second.refusal()->message, "nothing to deposit");
  r.update("close").expect_answered();
  r.expect_result(15).expect_steps({"look up"});
}

TEST_F(replies, refusals_at_the_door_are_seen_too) {
  pt::environment env(types);
  auto r = env.start("account", 10);
  r.update("deposit", std::string("much")).expect_refused("invalid");
  EXPECT_EQ(r.events(), 1U) << "none of it is on record";
  r.update("close").expect_answered();
  r.update("deposit", 1).expect_refused("conflict");
  env.step("same").takes(1s);
  env.start("graph", 1).update("deposit", 1).expect_refused("invalid");
}

TEST_F(replies, an_update_is_sent_later_and_answered_later) {
  pt::environment env(types);
  env.step("look up").takes(20s);
  auto r = env.start("account", 10);
  auto u = r.update("deposit", 5, {.after = 3h});
  u.expect_open();
  env.advance(1h);
  u.expect_open();
  EXPECT_NE(refusal([&] { u.expect_answered(); }).find("it is not sent yet"), std::string::npos);
  u.run_to_answer().expect_answer(15);
  EXPECT_EQ(env.now() - pt::options().start, 3h + 20s);
}

TEST_F(replies, one_command_id_is_one_update) {
  pt::environment env(types);
  auto r = env.start("account", 10);
  const auto first = r.update("deposit", 5, {.command_id = "d-1"});
  EXPECT_EQ(first.command_id(), "d-1");
  r.update("deposit", 5, {.command_id = "d-1"}).expect_answer(15);
  r.query("balance").expect_answer(15);
  r.update("close").expect_answered();
  r.update("deposit", 5, {.command_id = "d-1"}).expect_answer(15);
  EXPECT_EQ(bank_calls, 1);
}

TEST_F(replies, what_nothing_will_answer_says_what_the_run_waits_for) {
  pt::environment env(types);
  auto r = env.start("account", 10);
  auto u = r.update("borrow", 5);
  auto told = refusal([&] { u.run_to_answer(); });
  EXPECT_NE(told.find("update 'borrow' is not answered: the run waits for update 'deposit', update 'close'"),
            std::string::npos)
      << told;
  EXPECT_NE(told.find("update_received"), std::string::npos) << "the history is in it: " << told;
  r.pause("look");
  told = refusal([&] { u.run_to_answer(); });
  EXPECT_NE(told.find("the run is paused (requested)"), std::string::npos) << told;
  r.kill("enough");
  u.expect_refused("ended");
}

TEST_F(replies, an_answer_outlives_the_run_and_one_that_never_comes_is_refused) {
  pt::environment env(types);
  auto r = env.start("slow", 1);
  auto lost = r.update("tell");
  env.after(1h, [&] { r.signal("go on", 1); });
  lost.run_to_answer().expect_refused("code_ended");
  auto kept = r.update("tell", {.command_id = "k"});
  kept.run_to_answer().expect_answer(2);
  r.run_to_end().expect_result(2);
  r.update("tell", {.command_id = "k"}).expect_answer(2);
}

TEST_F(replies, expectations_that_do_not_hold_show_the_history) {
  pt::environment env(types);
  auto r = env.start("account", 10);
  const auto answered = r.update("deposit", 5);
  const auto refused = r.update("deposit", 0);
  const auto open = r.update("borrow", 1);
  for (const auto& [f, part] : std::vector<std::pair<std::function<void()>, std::string>>{
           {[&] { answered.expect_answer(16); }, "update 'deposit' is answered with 16; it is answered: 15"},
           {[&] { answered.expect_refused("nothing"); }, "is refused with 'nothing'; it is answered: 15"},
           {[&] { answered.expect_open(); }, "is not answered yet; it is answered: 15"},
           {[&] { refused.expect_answered(); }, "is answered; it is refused with 'nothing': nothing to deposit"},
           {[&] { refused.expect_refused("x"); }, "is refused with 'x'; it is refused with 'nothing'"},
           {[&] { (void)refused.answer<int>(); }, "is answered; it is refused with 'nothing'"},
           {[&] { (void)open.answer<int>(); }, "update 'borrow' is answered; it is not answered"},
           {[&] { r.query("balance").expect_answer(1); }, "query 'balance' is answered with 1; it is answered: 15"}}) {
    const auto told = refusal(f);
    EXPECT_NE(told.find(part), std::string::npos) << told;
    EXPECT_NE(told.find("update_received"), std::string::npos) << told;
  }
  EXPECT_THROW((void)answered.answer<std::string>(), pawl::codec_error);
}

TEST_F(replies, queries_look_and_record_nothing) {
  pt::environment env(types);
  auto r = env.start("account", 10);
  const auto before = r.events();
  r.query("balance").expect_answer(10);
  EXPECT_EQ(r.query("balance-with", 5).answer<int>(), 15);
  r.query("owner").expect_refused("no_owner");
  r.query("logs").expect_refused("query_changes_run");
  r.query("balance-with", std::string("five")).expect_refused("invalid");
  const auto unknown = r.query("balanse");
  unknown.expect_refused("invalid");
  EXPECT_NE(unknown.refusal()->message.find("the code answers the queries balance, balance-with"), std::string::npos)
      << unknown.refusal()->message;
  r.pause("look");
  r.query("balance").expect_answer(10);
  r.resume();
  EXPECT_EQ(r.events(), before + 2) << r.history();
  r.update("close").expect_answered();
  r.query("balance").expect_refused("conflict");
  env.step("same").takes(1s);
  env.start("graph", 1).query("x").expect_refused("invalid");
}

TEST_F(replies, handlers_that_change_what_they_look_at_are_found) {
  pt::environment env(types);
  auto r = env.start("mistaken");
  auto told = refusal([&] { (void)r.query("counts"); });
  EXPECT_NE(told.find("query 'counts' is answered: 1, and asked again answered: 2. Its handler changes"),
            std::string::npos)
      << told;
  told = refusal([&] { (void)r.query("outside"); });
  EXPECT_NE(told.find("in a replay of the same history answered"), std::string::npos) << told;
  pt::environment other(types);
  auto s = other.start("mistaken");
  s.query("sum").expect_answer(0);
  s.query("adds", 5).expect_answer(0);
  told = refusal([&] { (void)s.query("sum"); });
  EXPECT_NE(told.find("in a replay of the same history answered: 0. A handler has changed"), std::string::npos) << told;
}

TEST_F(replies, a_crash_anywhere_answers_each_update_once_and_the_same) {
  std::set<std::uint64_t> lengths;
  const auto happened = pt::for_each_crash(types, [&](pt::environment& env) {
    auto r = env.start("account", 10);
    env.step("look up").takes(20s);
    auto one = r.update("deposit", 5, {.after = 1h});
    auto two = r.update("deposit", 7, {.after = 1h + 10s});
    auto bad = r.update("deposit", 0, {.after = 1h + 15s});
    auto close = r.update("close", {.after = 24h});
    env.after(12h, [&] { r.query("balance").expect_answer(22); });
    r.run_to_end().expect_result(22).expect_steps({"look up", "look up"});
    one.expect_answer(15);
    two.expect_answer(22);
    bad.expect_refused("nothing");
    close.expect_answered();
    r.update("deposit", 5, {.command_id = one.command_id()}).expect_answer(15);
    const auto history = r.history();
    std::size_t answers = 0;
    for (auto at = history.find("update_answered"); at != std::string::npos;
         at = history.find("update_answered", at + 1))
      ++answers;
    EXPECT_EQ(answers, 4U) << env.story() << "\n" << history;
    lengths.insert(r.events());
  });
  EXPECT_GE(happened.crashes, 20U);
  EXPECT_GE(lengths.size(), 2U) << "attempts that were under way are on record as lost";
}

TEST_F(replies, a_crash_anywhere_does_not_lose_an_update_over_runs) {
  const auto happened = pt::for_each_crash(types, [&](pt::environment& env) {
    auto r = env.start("slow", 1);
    auto lost = r.update("tell");
    env.after(1h, [&] { r.signal("go on", 1); });
    auto kept = r.update("tell", {.after = 2h});
    r.run_to_end().expect_result(2);
    lost.expect_refused("code_ended");
    kept.expect_answer(2);
  });
  EXPECT_GE(happened.crashes, 10U);
}

TEST_F(replies, seeded_faults_change_no_answer) {
  const auto happened = pt::for_each_seed(types, 100, [&](pt::environment& env) {
    auto r = env.start("account", 10);
    std::vector<pt::sent_update> sent;
    for (int n = 1; n <= 3; ++n) sent.push_back(r.update("deposit", n, {.after = n * 1h}));
    env.after(100h, [&] { r.query("balance").expect_answer(16); });
    auto close = r.update("close", {.after = 200h});
    r.run_to_end().expect_result(16);
    for (std::size_t n = 0, sum = 10; n < sent.size(); ++n) sent[n].expect_answer(static_cast<int>(sum += n + 1));
    close.expect_answered();
  });
  EXPECT_GE(happened.crashes, 50U);
  EXPECT_GE(happened.evictions, 50U);
  EXPECT_GE(happened.failures, 20U);
}

}  // namespace
