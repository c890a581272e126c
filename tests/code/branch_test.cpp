// Code in runs that were reset or forked: it goes through what was kept as it did, and then its own way.
#include "workflow/branch.hpp"
#include "tests/code/code_rig.hpp"

namespace pawl::engine {
namespace {

constexpr run_uid own{.reign = {1, 2}, .serial = 40};

/// The start of workflow `id` with what `r` has up to `seq`.
start_command branch_start(const rig& r, std::uint64_t seq, const std::string& id = "w") {
  auto b =
      branch_of(r.history, {.kind = id == "w" ? origin_kind::reset : origin_kind::forked, .seq = seq}, r.limits, r.now);
  EXPECT_FALSE(b.events.empty()) << b.refusal.message;
  start_command s;
  s.facts = *b.events.front().start;
  s.facts.workflow_id = id;
  s.facts.run = id == "w" ? 2 : 1;
  s.facts.uid = own;
  s.input = b.events.front().payload;
  s.kept = std::move(b.events);
  return s;
}

int twice(step_context&, const int& n) { return 2 * n; }

task<int> original(workflow_context& wf) {
  const auto a = co_await wf.step("first", twice, 1);
  co_await wf.sleep(1h);
  co_return co_await wf.step("second", twice, a);
}
task<int> renamed(workflow_context& wf) {
  const auto a = co_await wf.step("first", twice, 1);
  co_await wf.sleep(1h);
  co_return co_await wf.step("other", twice, a);
}

TEST(code_branch, a_run_that_cannot_be_followed_goes_on_where_the_code_still_fits) {
  code_rig r(original);
  r.begin();
  r.perform(0);
  r.pass(1h);
  r.reload(code_of(renamed));
  r.wake();
  ASSERT_EQ(r.last().cause, paused_diverged);
  const auto fired = r.newest(event_kind::timer_fired).seq;
  const auto start = branch_start(r, fired);
  EXPECT_EQ(r.say({.id = {}, .body = reset_command{.seq = fired}}).result, command_result::applied);
  EXPECT_EQ(r.state->phase, phase::continued);
  code_rig next(renamed);
  next.now = r.now;
  EXPECT_EQ(next.say({.id = "r", .body = start}).result, command_result::applied);
  EXPECT_EQ(next.last().kind, event_kind::attempt_started);
  EXPECT_EQ(next.last().name, "other");
  next.perform(1);
  EXPECT_EQ(next.result<int>(), 4);
}

task<std::string> names(workflow_context& wf) {
  const auto said = [&] {
    return wf.workflow_id() + "/" + std::to_string(wf.run()) + "/" + wf.run_uid().substr(33) + "/" +
           std::to_string(wf.random(1000));
  };
  auto all = said();
  wf.log(log_level::info, "begun");
  all += " " + co_await wf.signal<std::string>("a") + " " + said();
  wf.log(log_level::info, "between");
  all += " " + co_await wf.signal<std::string>("b") + " " + said();
  co_return all;
}

TEST(code_branch, what_was_kept_has_the_names_and_numbers_that_it_had) {
  code_rig r(names);
  r.begin();
  r.signal("a", std::string("one"));
  r.signal("b", std::string("two"));
  const auto whole = r.result<std::string>();
  for (const std::string id : {"w", "v"}) {
    code_rig next(names);
    next.say({.id = "f", .body = branch_start(r, 2, id)});
    const auto result = next.result<std::string>();  // the signal behind the cut has come along
    const auto same = result.find(" one ");
    EXPECT_EQ(result.substr(0, same), whole.substr(0, whole.find(" one "))) << result;
    const auto mine = " " + id + (id == "w" ? "/2/40/" : "/1/40/");
    EXPECT_NE(result.find(" one" + mine), std::string::npos) << result;
    EXPECT_NE(result.find(" two" + mine), std::string::npos) << result;
    EXPECT_NE(result.substr(same), whole.substr(same)) << "other numbers are drawn";
    // And once more: three runs' names, one behind the other.
    code_rig last(names);
    auto again = branch_start(next, 3, id);
    again.facts.uid.serial = 50;
    again.facts.run = 3;
    last.say({.id = "g", .body = again});
    const auto third = last.result<std::string>();
    EXPECT_EQ(third.substr(0, third.find(" two ")), result.substr(0, result.find(" two "))) << third;
    EXPECT_NE(third.find(" two " + id + "/3/50/"), std::string::npos) << third;
  }
}

TEST(code_branch, the_log_is_silent_in_what_was_kept) {
  code_rig r(names);
  r.begin();
  r.signal("a", std::string("one"));
  r.state->program->take_log();
  code_rig next(names);
  next.say({.id = "f", .body = branch_start(r, 2)});
  EXPECT_TRUE(next.state->program->take_log().empty());
  next.signal("b", std::string("two"));
  code_rig whole(names);
  whole.begin();
  EXPECT_EQ(whole.state->program->take_log().size(), 1U);
}

task<int> before_the_change(workflow_context& wf) {
  co_await wf.signal<int>("a");
  co_await wf.sleep(1s);
  co_await wf.signal<int>("b");
  co_return 1;
}
task<int> changed_code(workflow_context& wf) {
  co_await wf.signal<int>("a");
  if (co_await wf.changed("no-sleep"))
    co_await wf.signal<int>("b");
  else
    co_await wf.sleep(1s), co_await wf.signal<int>("b");
  co_return 2;
}

TEST(code_branch, a_changed_place_in_what_was_kept_keeps_its_way_and_one_behind_it_takes_the_new) {
  code_rig r(before_the_change);
  r.begin();
  r.signal("a", 1);
  const auto slept = r.last().seq;
  ASSERT_EQ(r.last().kind, event_kind::timer_started);
  r.pass(1s);
  code_rig old(changed_code);
  old.now = r.now;
  old.say({.id = "f", .body = branch_start(r, slept)});
  EXPECT_EQ(old.news(), "run_started, signal_received a, timer_started sleep, timer_fired");
  old.commands = 10;  // those of the other rig are on record
  EXPECT_EQ(old.signal("b", 1).message, "");
  EXPECT_EQ(old.news(), "signal_received b, run_completed");
  EXPECT_EQ(old.result<int>(), 2);
  code_rig fresh(changed_code);
  fresh.now = r.now;
  fresh.say({.id = "f", .body = branch_start(r, slept - 1)});
  EXPECT_EQ(fresh.news(), "run_started, signal_received a, change_noted no-sleep");
}

task<int> changed_beside_a_step(workflow_context& wf) {
  auto [a, b] = co_await pawl::all(wf.step("slow", twice, 1), changed_code(wf));
  co_return a + b;
}
task<int> unchanged_beside_a_step(workflow_context& wf) {
  auto [a, b] = co_await pawl::all(wf.step("slow", twice, 1), before_the_change(wf));
  co_return a + b;
}

TEST(code_branch, a_changed_place_takes_the_new_way_whatever_else_was_under_way) {
  code_rig r(unchanged_beside_a_step);
  r.begin();
  r.signal("a", 1);
  code_rig next(changed_beside_a_step);
  next.now = r.now;
  next.say({.id = "f", .body = branch_start(r, r.newest(event_kind::signal_received).seq)});
  EXPECT_EQ(next.news(),
            "run_started, attempt_started slow, signal_received a, attempt_not_begun slow, "
            "change_noted no-sleep, attempt_started slow");
}

task<int> kid(workflow_context&) { co_return 1; }
task<int> family(workflow_context& wf) {
  auto [a, b] = co_await pawl::all(wf.child("code", kid), wf.sleep(1s));
  co_return a + co_await wf.child("code", kid);
}

class family_rig : public code_rig {
 public:
  family_rig() : code_rig(family) {}
  std::optional<child_type> find_type(std::string_view, std::uint32_t) const override {
    return child_type{.version = 1, .digest = 5, .code = true};
  }
  void answer(std::uint32_t number) {
    say({.id = {},
         .body = call_ended{.run = state->facts.uid, .number = number, .end = call_end::completed, .payload = "\x05"}});
  }
};

TEST(code_branch, children_that_were_answered_are_kept_and_new_ones_have_new_names) {
  family_rig r;
  r.begin();
  const auto asked = r.newest(event_kind::child_asked).seq;
  const auto refused = branch_of(r.history, {.seq = asked}, r.limits, r.now);
  EXPECT_EQ(refused.refusal.result, command_result::conflict);
  EXPECT_NE(refused.refusal.message.find("choose an event before " + std::to_string(asked)), std::string::npos)
      << refused.refusal.message;
  r.answer(1);
  const auto first = r.newest(event_kind::child_asked).child->workflow_id;
  r.pass(1s);
  ASSERT_EQ(r.newest(event_kind::child_asked).number, 2U);
  const auto second = r.newest(event_kind::child_asked).child->workflow_id;
  family_rig next;
  next.now = r.now;
  next.say({.id = "f", .body = branch_start(r, r.newest(event_kind::child_ended).seq)});
  EXPECT_EQ(next.state->broken, "");
  EXPECT_EQ(next.history[1].child ? next.history[1].child->workflow_id : next.history[2].child->workflow_id, first);
  EXPECT_EQ(next.newest(event_kind::child_asked).number, 2U);
  EXPECT_NE(next.newest(event_kind::child_asked).child->workflow_id, second);
  EXPECT_EQ(next.newest(event_kind::child_asked).child->workflow_id, to_text(own) + "/2");
  next.answer(2);
  EXPECT_EQ(next.result<int>(), 10);
}

}  // namespace
}  // namespace pawl::engine
