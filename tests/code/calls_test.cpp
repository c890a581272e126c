// What code asks of other workflows, and continuing as new. The rig stands for the partition: it says what was sent,
// and hands in answers.
#include <gtest/gtest.h>

#include "tests/code/code_rig.hpp"
#include "workflow/calls.hpp"

namespace pawl::engine {
namespace {

class caller : public code_rig {
 public:
  using code_rig::code_rig;

  std::optional<child_type> find_type(std::string_view type, std::uint32_t version) const override {
    if (type == "unknown") return std::nullopt;
    return child_type{.version = version == 0 ? 7 : version, .digest = 11, .code = true};
  }
  /// What the events since the last call of it send.
  std::vector<outgoing> sent() {
    const std::vector<event> events(history.begin() + static_cast<std::ptrdiff_t>(told_), history.end());
    told_ = history.size();
    return calls_of(*state, events);
  }
  outcome answers(std::uint32_t number, call_end end, std::string payload = {}, std::optional<failure> error = {}) {
    return hand_in({.run = state->facts.uid,
                    .number = number,
                    .end = end,
                    .payload = std::move(payload),
                    .error = std::move(error)});
  }
  // The event does not keep the command's id.
  outcome hand_in(call_ended c) { return say({.id = {}, .body = std::move(c)}); }

 private:
  std::size_t told_ = 0;
};

task<int> doubles(workflow_context&, int n) { co_return 2 * n; }

task<int> has_a_child(workflow_context& wf, int n) { co_return 1 + co_await wf.child("doubles", doubles, n); }

TEST(child, is_asked_for_once_and_gives_its_result) {
  caller r(has_a_child);
  r.begin(20);
  EXPECT_EQ(r.news(), "run_started, child_asked doubles");
  const auto out = r.sent();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].workflow_id, to_text(r.state->facts.uid) + "/1") << "its id is made of the run and the call";
  EXPECT_EQ(out[0].command.id, to_text(r.state->facts.uid) + "/1");
  const auto& start = std::get<start_command>(out[0].command.body);
  EXPECT_EQ(start.facts.type, "doubles");
  EXPECT_EQ(start.facts.version, 7U);
  EXPECT_EQ(start.facts.digest, 11U);
  EXPECT_EQ(decode<int>(start.input), 20);
  ASSERT_TRUE(start.facts.parent);
  EXPECT_EQ(start.facts.parent->workflow_id, "w");
  EXPECT_EQ(start.facts.parent->number, 1U);
  r.wake();
  EXPECT_EQ(r.news(), "") << "it is asked for once";
  EXPECT_FALSE(r.work().wants_slot || r.work().wake_at) << "nothing is to be done meanwhile";
  r.answers(1, call_end::completed, encode(40));
  EXPECT_EQ(r.news(), "child_ended(completed), run_completed");
  EXPECT_EQ(r.result<int>(), 41);
  EXPECT_EQ(r.answers(1, call_end::completed, encode(40)).result, command_result::late) << "and once more is too late";
}

TEST(child, an_answer_to_another_run_is_dropped) {
  caller r(has_a_child);
  r.begin(1);
  auto other = r.state->facts.uid;
  ++other.serial;
  EXPECT_EQ(r.hand_in({.run = other, .number = 1, .end = call_end::completed, .payload = encode(1)}).result,
            command_result::late);
  EXPECT_EQ(r.answers(2, call_end::completed, encode(1)).result, command_result::late) << "nor to another call";
  EXPECT_EQ(r.state->phase, phase::running);
}

task<std::string> catches(workflow_context& wf, std::string type) {
  try {
    co_await wf.child<int>(type, {.id = "my child", .version = 3}, 1);
  } catch (const child_failed& e) {
    co_return e.workflow_id() + " " + e.code() + ": " + e.what();
  }
  co_return "it completed";
}

TEST(child, one_that_does_not_complete_is_an_exception) {
  struct {
    call_end end;
    std::optional<failure> error;
    const char* text;
  } const all[] = {
      {call_end::failed, failure{"no_money", "the card is empty", true}, "my child no_money: the card is empty"},
      {call_end::cancelled, failure{"cancelled", "a whim", false}, "my child cancelled: a whim"},
      {call_end::killed, std::nullopt, "my child killed: it gave no reason"},
      {call_end::refused, failure{"conflict", "it runs already", true}, "my child conflict: it runs already"},
  };
  for (const auto& one : all) {
    caller r(catches);
    r.begin(std::string("any"));
    EXPECT_EQ(r.newest(event_kind::child_asked).child->version, 3U);
    r.answers(1, one.end, {}, one.error);
    EXPECT_EQ(r.result<std::string>(), one.text);
  }
}

TEST(child, of_a_type_that_is_not_known_fails_at_once) {
  caller r(catches);
  r.begin(std::string("unknown"));
  EXPECT_EQ(r.news(), "run_started, child_asked unknown, child_ended(refused), run_completed");
  EXPECT_EQ(r.result<std::string>(), "my child no_such_type: this node has no workflow type unknown version 3");
  EXPECT_TRUE(r.sent().empty());
}

task<int> a_large_child(workflow_context& wf, int) {
  co_return co_await wf.child<int>("any", {}, std::string(2'000, 'x'));
}

TEST(child, one_whose_input_is_too_large_fails_alone) {
  caller r(a_large_child);
  r.limits.payload = 1'000;
  r.begin(1);
  EXPECT_EQ(r.newest(event_kind::child_ended).error->code, "too_large");
  EXPECT_TRUE(r.newest(event_kind::child_asked).payload.empty());
  EXPECT_EQ(r.state->phase, phase::failed);
}

task<int> gives_up(workflow_context& wf, parent_close what) {
  const auto got = co_await wf.child<int>("any", {.id = "child", .when_dropped = what}, 1).within(1h);
  co_return got.value_or(-1);
}
task<int> gives_up_cancel(workflow_context& wf) { co_return co_await gives_up(wf, parent_close::cancel); }
task<int> gives_up_kill(workflow_context& wf) { co_return co_await gives_up(wf, parent_close::kill); }
task<int> gives_up_abandon(workflow_context& wf) { co_return co_await gives_up(wf, parent_close::abandon); }

TEST(child, that_is_given_up_is_cancelled_killed_or_left_alone) {
  const auto dropped = [](caller r) {
    r.begin();
    r.sent();
    r.pass(1h);
    EXPECT_EQ(r.result<int>(), -1);
    EXPECT_EQ(r.newest(event_kind::child_dropped).number, 1U);
    return r.sent();
  };
  const auto cancel = dropped(caller(gives_up_cancel));
  ASSERT_EQ(cancel.size(), 1U);
  EXPECT_EQ(cancel[0].workflow_id, "child");
  EXPECT_TRUE(std::holds_alternative<cancel_command>(cancel[0].command.body));
  ASSERT_TRUE(cancel[0].command.only_child_of) << "somebody else's workflow of that id is left alone";
  const auto kill = dropped(caller(gives_up_kill));
  ASSERT_EQ(kill.size(), 1U);
  EXPECT_TRUE(std::holds_alternative<kill_command>(kill[0].command.body));
  EXPECT_TRUE(dropped(caller(gives_up_abandon)).empty());
}

TEST(child, is_cancelled_with_its_parent) {
  caller r(gives_up_cancel);
  r.begin();
  r.sent();
  r.ask(cancel_command{"a whim"});
  EXPECT_EQ(r.state->phase, phase::cancelled);
  const auto out = r.sent();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_TRUE(std::holds_alternative<cancel_command>(out[0].command.body));
}

TEST(child, goes_with_a_parent_that_is_killed_although_its_code_does_not_run) {
  caller r(gives_up_kill);
  r.begin();
  r.sent();
  r.ask(kill_command{"enough"});
  EXPECT_EQ(r.last().kind, event_kind::run_killed);
  const auto out = r.sent();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_TRUE(std::holds_alternative<kill_command>(out[0].command.body));
}

TEST(child, only_the_run_that_the_call_started_is_cancelled_by_its_drop) {
  code_rig child(doubles);
  auto start = child.start_of(encode(1));
  start.facts.start_at = child.now + 1h;
  start.facts.parent = return_address{.workflow_id = "p", .uid = {.reign = {5, 5}, .serial = 5}, .number = 2};
  child.say({.id = "start", .body = start});
  auto drop = command{.id = "d", .body = cancel_command{"dropped"}};
  drop.only_child_of = return_address{.workflow_id = {}, .uid = {.reign = {5, 5}, .serial = 5}, .number = 3};
  EXPECT_EQ(child.say(drop).result, command_result::conflict);
  drop.id = "e";
  drop.only_child_of->number = 2;
  EXPECT_EQ(child.say(drop).result, command_result::applied);
  const auto out = calls_of(*child.state, child.history);
  ASSERT_EQ(out.size(), 1U) << "and its parent hears of its end";
  EXPECT_EQ(out[0].workflow_id, "p");
  const auto& end = std::get<call_ended>(out[0].command.body);
  EXPECT_EQ(end.number, 2U);
  EXPECT_EQ(end.end, call_end::cancelled);
}

task<std::string> detaches(workflow_context& wf) { co_return co_await wf.start("doubles", doubles, {.id = "free"}, 3); }

TEST(child, one_that_is_detached_is_only_started) {
  caller r(detaches);
  r.begin();
  const auto out = r.sent();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_FALSE(std::get<start_command>(out[0].command.body).facts.parent);
  ASSERT_TRUE(out[0].command.back) << "but who started it hears whether it was";
  const auto told = answer_to_caller(out[0].command, {.result = command_result::applied, .seq = 1, .message = {}});
  ASSERT_TRUE(told);
  EXPECT_EQ(std::get<call_ended>(told->command.body).end, call_end::accepted);
  EXPECT_EQ(r.hand_in(std::get<call_ended>(told->command.body)).result, command_result::applied);
  EXPECT_EQ(r.result<std::string>(), "free");
}

task<std::vector<int>> has_many(workflow_context& wf, int n) {
  std::vector<int> all;
  for (int k = 0; k < n; ++k) all.push_back(k);
  co_return co_await pawl::each(all, 100, [&](int k) { return wf.child("doubles", doubles, k); });
}

TEST(child, many_run_side_by_side_and_end_in_any_order) {
  caller r(has_many);
  r.begin(300);
  while (r.more) r.wake();
  std::vector<std::uint32_t> open;
  int n = 0;
  while (r.state->phase == phase::running) {
    ASSERT_FALSE(r.state->calls.empty());
    EXPECT_LE(r.state->calls.size(), 100U);
    const auto& call = r.state->calls[static_cast<std::size_t>(n++ * 7) % r.state->calls.size()];
    r.answers(call.number, call_end::completed, encode(static_cast<int>(2 * (call.number - 1))));
    while (r.more) r.wake();
  }
  const auto all = r.result<std::vector<int>>();
  ASSERT_EQ(all.size(), 300U);
  for (int k = 0; k < 300; ++k) EXPECT_EQ(all[static_cast<std::size_t>(k)], 2 * k);
}

task<std::string> tells(workflow_context& wf, std::string id) {
  try {
    co_await wf.signal_to(id, "hello", 5);
    co_await wf.cancel(id, "enough");
  } catch (const signal_failed& e) {
    co_return e.workflow_id() + " " + e.code();
  }
  co_return "told";
}

TEST(signal_to, is_sent_once_and_waits_until_it_is_on_record) {
  caller r(tells);
  r.begin(std::string("other"));
  EXPECT_EQ(r.news(), "run_started, signal_sent hello(signal)");
  auto out = r.sent();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].workflow_id, "other");
  const auto& signal = std::get<signal_command>(out[0].command.body);
  EXPECT_EQ(signal.name, "hello");
  EXPECT_EQ(decode<int>(signal.payload), 5);
  r.answers(1, call_end::accepted);
  EXPECT_EQ(r.news(), "signal_answered, signal_sent cancel(cancel)");
  out = r.sent();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_NE(std::get<cancel_command>(out[0].command.body).reason.find("enough"), std::string::npos);
  r.answers(2, call_end::accepted);
  EXPECT_EQ(r.result<std::string>(), "told");
}

TEST(signal_to, who_never_started_is_not_found) {
  caller r(tells);
  r.begin(std::string("nobody"));
  const auto out = r.sent();
  const auto told = answer_to_caller(
      out.at(0).command, {.result = command_result::not_found, .seq = 0, .message = "there is no workflow 'nobody'"});
  ASSERT_TRUE(told);
  EXPECT_EQ(told->workflow_id, "w");
  r.hand_in(std::get<call_ended>(told->command.body));
  EXPECT_EQ(r.result<std::string>(), "nobody not_found");
}

TEST(signal_to, a_repeat_is_not_answered_again) {
  caller r(tells);
  r.begin(std::string("other"));
  EXPECT_FALSE(
      answer_to_caller(r.sent().at(0).command, {.result = command_result::duplicate, .seq = 3, .message = {}}));
}

TEST(call, other_code_than_the_history_was_written_with_is_found_out) {
  caller r(tells);
  r.begin(std::string("other"));
  r.reload(code_of(has_a_child));  // of the same type and version, and other types: the digest tells
  r.wake();
  EXPECT_EQ(r.state->pause_cause, paused_mismatch);
}

task<std::string> tells_more(workflow_context& wf, std::string id) {
  co_await wf.signal_to(id, "good bye", 5);
  co_return "told";
}

TEST(call, code_that_sends_something_else_diverges) {
  caller r(tells);
  r.begin(std::string("other"));
  r.reload(code_of(tells_more));
  r.wake();
  EXPECT_EQ(r.state->pause_cause, paused_diverged);
  EXPECT_NE(r.newest(event_kind::run_paused).error->message.find("call 1 'good bye'"), std::string::npos)
      << r.newest(event_kind::run_paused).error->message;
}

// ---- continue as new

task<int> counts(workflow_context& wf, int n) {
  const auto step = co_await wf.signal<int>("add");
  if (step == 0) co_return n;
  co_await wf.continue_as_new(n + step);
  throw std::logic_error("it does not come back");
}

TEST(continue_as_new, ends_the_run_and_gives_the_next_its_input_and_unread_signals) {
  caller r(counts);
  r.begin(5);
  r.signal("add", 3);
  EXPECT_EQ(r.last().kind, event_kind::run_continued);
  EXPECT_EQ(r.state->phase, phase::continued);
  EXPECT_EQ(decode<int>(r.last().payload), 8);
  EXPECT_TRUE(is_closed(r.state->phase));
}

task<int> counts_late(workflow_context& wf, int n) {
  co_await wf.sleep(1h);
  const auto step = co_await wf.signal<int>("add");
  if (step == 0) co_return n;
  co_await wf.continue_as_new(n + step);
  co_return -1;
}

TEST(continue_as_new, the_next_run_begins_with_what_nobody_has_read) {
  caller r(counts_late);
  auto start = r.start_of(encode(1));
  start.facts.parent = return_address{.workflow_id = "p", .uid = {.reign = {5, 5}, .serial = 5}, .number = 2};
  r.say({.id = "start", .body = start});
  r.ask(signal_command{.name = "add", .payload = encode(3)}, "first");
  r.ask(signal_command{.name = "other", .payload = encode(9)}, "second");
  r.ask(signal_command{.name = "add", .payload = encode(4)}, "third");
  r.pass(1h);
  ASSERT_EQ(r.state->phase, phase::continued);
  EXPECT_TRUE(r.sent().empty()) << "whoever waits for its end waits for that of the next run";
  const auto events = next_run(*r.state, r, {.reign = {9, 9}, .serial = 1});
  ASSERT_EQ(events.size(), 3U);
  const auto& f = *events[0].start;
  EXPECT_EQ(f.workflow_id, "w");
  EXPECT_EQ(f.run, 2U);
  EXPECT_EQ(f.version, 7U) << "the version for new runs";
  EXPECT_EQ(f.parent, start.facts.parent);
  ASSERT_TRUE(f.origin);
  EXPECT_EQ(f.origin->uid, r.state->facts.uid);
  EXPECT_EQ(f.origin->seq, r.state->last_seq);
  EXPECT_EQ(decode<int>(events[0].payload), 4);
  EXPECT_EQ(events[1].name, "other");
  EXPECT_EQ(events[1].command_id, "second");
  EXPECT_EQ(events[2].command_id, "third");
  EXPECT_EQ(events[2].seq, 3U);

  rig next(code_of(counts_late, 7));
  for (auto e : events) {
    e = recoded(e);
    if (e.start) e.start->digest = next.definition->digest;
    evolve(*next.state, e);
    ASSERT_EQ(next.state->broken, "");
    next.history.push_back(e);
  }
  next.now = r.now;
  next.wake();
  next.pass(1h);
  EXPECT_EQ(next.state->phase, phase::continued) << "the signal that came before is read there";
  EXPECT_EQ(next.ask(signal_command{.name = "add", .payload = encode(4)}, "third").result, command_result::duplicate)
      << "and its command is remembered";
}

task<int> continues_with_children(workflow_context& wf, int n) {
  auto done = co_await pawl::any(wf.child<int>("any", {.id = "kept", .when_dropped = parent_close::abandon}, 1),
                                 wf.child<int>("any", {.id = "stopped"}, 1), wf.signal<int>("go"));
  if (done.index() != 2) co_return n;
  co_await wf.continue_as_new(n + 1);
  co_return 0;
}

TEST(continue_as_new, open_children_are_dealt_with_as_their_calls_say) {
  caller r(continues_with_children);
  r.begin(1);
  r.sent();
  r.signal("go", 1);
  ASSERT_EQ(r.state->phase, phase::continued);
  const auto out = r.sent();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].workflow_id, "stopped");
}

task<int> never_stops(workflow_context& wf, int n) {
  std::optional<std::string> why;
  try {
    co_await wf.sleep(24h);
  } catch (const cancelled& c) {
    why = c.reason();
  }
  co_await wf.continue_as_new(n);
  co_return 1;
}

TEST(continue_as_new, a_run_that_is_cancelled_does_not_go_on) {
  caller r(never_stops);
  r.begin(1);
  r.ask(cancel_command{"a whim"});
  EXPECT_EQ(r.state->phase, phase::cancelled);
}

task<int> renews_a_lot(workflow_context& wf, int) {
  co_await wf.continue_as_new(std::string(2'000, 'x'));
  co_return 1;
}

TEST(continue_as_new, an_input_that_is_too_large_fails_the_run) {
  caller r(renews_a_lot);
  r.limits.payload = 1'000;
  r.begin(1);
  EXPECT_EQ(r.state->phase, phase::failed);
  EXPECT_EQ(r.last().error->code, "too_large");
}

}  // namespace
}  // namespace pawl::engine
