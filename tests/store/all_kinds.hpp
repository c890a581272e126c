// A small store in which every kind of event, phase and table occurs.
#pragma once

#include <string>

#include "tests/store/fixture.hpp"

namespace pawl::store {

/// Appends it to an empty journal, at fixed times and under a fixed reign. The records go through `append`.
template <class Append>
void append_all_kinds(const Append& append) {
  using r = scripted_run;
  std::int64_t now = first_time;
  const engine::reign reign{0x0123456789abcdefULL, 0xfedcba9876543210ULL};
  const auto tick = [&] { return now += 1'500'000; };
  const auto make = [&](engine::run_key key, const char* id, std::uint32_t run = 1, const char* type = "order") {
    return scripted_run(key, id, {reign, static_cast<std::uint64_t>(key)}, run, type);
  };
  const auto commit = [&](run_change c) {
    record out;
    out.runs.push_back(std::move(c));
    append(out);
  };
  const auto told = [](event_kind kind, const char* command, const char* cause = "") {
    auto e = r::of(kind);
    e.command_id = command;
    e.cause = cause;
    e.error = engine::failure{.code = "asked", .message = "by a person"};
    return e;
  };
  const auto completed = [](std::uint32_t step, std::uint32_t attempt, bool undo = false) {
    auto e = r::of_step(event_kind::attempt_completed, step, attempt, undo);
    e.payload =
        "\xa4"
        "done";
    return e;
  };

  auto good = make(1, "o-good");
  commit(good.add(tick(), {good.started("\x81\xa2id\xa6o-good"), r::of_step(event_kind::step_scheduled, 0),
                           r::of_step(event_kind::step_scheduled, 1)}));
  commit(
      good.add(tick(), {r::of_step(event_kind::attempt_started, 0, 1), r::of_step(event_kind::attempt_started, 1, 1)}));
  commit(good.add(tick(), {completed(1, 1), r::of_step(event_kind::attempt_not_begun, 0, 1),
                           r::of_step(event_kind::attempt_started, 0, 2)}));
  commit(good.add(tick(), {completed(0, 2), r::of(event_kind::history_warning), r::of(event_kind::run_completed)}));

  auto bad = make(2, "o-bad");
  commit(bad.start(tick()));
  commit(bad.add(tick(), {completed(0, 1), r::of_step(event_kind::attempt_started, 1, 1)}));
  commit(bad.add(tick(), {r::failed(1, 1, now + 250'000)}, now + 250'000));
  commit(bad.add(tick(), {r::of_step(event_kind::attempt_started, 1, 2)}));
  auto late = r::of_step(event_kind::attempt_timed_out, 1, 2);
  late.error = engine::failure{
      .code = "timeout", .message = "30 s", .permanent = false, .retry_in = std::chrono::milliseconds(5)};
  auto spent = r::of_step(event_kind::step_exhausted, 1, 2);
  spent.error = late.error;
  auto back = r::of(event_kind::compensation_started);
  back.order = {1, 0};
  back.cause = "failed";
  commit(bad.add(tick(), {late, spent, back, r::of_step(event_kind::attempt_started, 1, 1, true)}));
  commit(bad.add(tick(), {completed(1, 1, true), r::of_step(event_kind::attempt_started, 0, 1, true)}));
  commit(bad.add(tick(), {r::failed(0, 1, {}, true), told(event_kind::run_paused, "", "undo_exhausted")}, wake_never));
  auto skipped = r::of_step(event_kind::step_skipped, 0, 0, true);
  skipped.command_id = "skip-1";
  commit(bad.add(tick(), {skipped, told(event_kind::run_resumed, "", "skipped"), told(event_kind::run_failed, "")}));

  auto cancelled = make(3, "o-cancelled", 1, "refund");
  commit(cancelled.start(tick()));
  commit(cancelled.add(tick(), {told(event_kind::cancel_requested, "cancel-1")}));
  commit(
      cancelled.add(tick(), {r::of_step(event_kind::attempt_interrupted, 0, 1), told(event_kind::run_cancelled, "")}));

  auto killed = make(4, "o-killed");
  commit(killed.start(tick()));
  commit(killed.add(tick(), {told(event_kind::run_killed, "kill-1")}));

  auto again = make(5, "o-killed", 2);
  auto first = again.started();
  first.start->start_at = engine::from_micros(now + 60'000'000);
  first.start->deadline = std::chrono::hours(1);
  commit(again.add(tick(), {first}, now + 55'000'000));
  auto deadline = r::of(event_kind::deadline_passed);
  deadline.error = engine::failure{
      .code = "deadline_exceeded", .message = "the run did not end within its deadline", .permanent = true};
  commit(again.add(tick(), {deadline, r::of(event_kind::run_failed)}));

  auto lost = make(6, "o-paused");
  commit(lost.start(tick()));
  auto child = r::of_step(event_kind::attempt_lost, 0, 1);
  child.cause = engine::lost_with_child;
  commit(lost.add(tick(), {child, r::of(event_kind::waiting_for_code)}));
  commit(lost.add(tick(), {r::of(event_kind::code_found), told(event_kind::run_paused, "pause-1", "requested")},
                  wake_never));

  auto sleeping = make(7, "o-\xc3\xa4\"'\\sleeping");
  commit(sleeping.start(tick()));
  record beats;
  beats.heartbeats.push_back({.key = 7, .step = 0, .undo = false, .details = "\xcc\x80"});
  beats.outcomes.push_back({.command_id = "resume-1",
                            .workflow_id = "o-good",
                            .outcome = {.result = engine::command_result::conflict,
                                        .seq = 0,
                                        .message = "workflow 'o-good' is completed already"},
                            .at = now});
  append(beats);
  commit(sleeping.add(tick(), {r::failed(0, 1, now + 3'600'000'000)}, now + 3'600'000'000));

  // Durable code: a limit that passes and one that does not, a signal, a step that fails and one that is given up.
  const auto timer = [&](event_kind kind, std::uint32_t number, std::int64_t due = 0) {
    auto e = r::of(kind);
    e.number = number;
    if (due > 0) e.due = engine::from_micros(due);
    if (due > 0) e.name = "within";
    return e;
  };
  auto code = make(8, "o-code");
  auto begun = code.started();
  begun.start->code = true;
  auto status = r::of(event_kind::status_published);
  status.payload =
      "\x82\xa4text\xa4"
      "asks\xaa"
      "attributes\x80";
  auto noted = r::of(event_kind::change_noted);
  noted.name = "mail-twice";
  commit(code.add(tick(), {begun, noted, status, timer(event_kind::timer_started, 1, now + 1'000'000)}));
  commit(code.add(tick(), {timer(event_kind::timer_fired, 1), timer(event_kind::timer_started, 3, now + 9'000'000)}));
  auto signal = told(event_kind::signal_received, "signal-1");
  signal.error.reset();
  signal.name = "approved";
  signal.payload = "\xc3";
  commit(code.add(tick(), {signal, timer(event_kind::timer_cancelled, 3), r::of_step(event_kind::attempt_started, 0, 1),
                           r::of_step(event_kind::attempt_started, 1, 1)}));
  auto asked = told(event_kind::update_received, "update-1");
  asked.error.reset();
  asked.name = "change-plan";
  asked.payload = "\xa4gold";
  auto answered = r::of(event_kind::update_answered);
  answered.name = "change-plan";
  answered.answers = 11;
  answered.payload = "\x1e";
  commit(code.add(tick(), {asked, answered}));
  auto failed = r::of_step(event_kind::step_failed, 0, 1);
  failed.error = engine::failure{.code = "http_402", .message = "declined", .permanent = true};
  commit(code.add(tick(), {r::failed(0, 1, {}), failed, r::of_step(event_kind::step_abandoned, 1, 1)}));
  auto thrown = r::of(event_kind::code_failed);
  thrown.error = failed.error;
  commit(
      code.add(tick(), {r::of_step(event_kind::attempt_interrupted, 1, 1), thrown, told(event_kind::run_failed, "")}));

  // Code that calls others: a child that completes, one that is refused and one that is dropped, a signal, the next
  // run.
  const auto call = [&](event_kind kind, std::uint32_t number, const char* name = "", const char* cause = "") {
    auto e = r::of(kind);
    e.number = number;
    e.name = name;
    e.cause = cause;
    return e;
  };
  auto parent = make(9, "o-parent");
  auto calls = parent.started();
  calls.start->code = true;
  calls.start->parent =
      engine::return_address{.workflow_id = "o-grandparent", .uid = {.reign = reign, .serial = 77}, .number = 3};
  auto child_1 = call(event_kind::child_asked, 1, "ship");
  child_1.child = engine::child_facts{
      .workflow_id = "o-child", .version = 2, .digest = 99, .code = true, .deadline = std::chrono::hours(1)};
  auto child_2 = call(event_kind::child_asked, 2, "gone");
  child_2.child = engine::child_facts{.workflow_id = "o-none", .policy = engine::child_policy::abandon};
  auto none = call(event_kind::child_ended, 2, "", "refused");
  none.error = engine::failure{.code = "no_such_type", .message = "there is none", .permanent = true};
  auto child_3 = call(event_kind::child_asked, 4, "ship");
  child_3.child =
      engine::child_facts{.workflow_id = "o-late", .version = 2, .digest = 99, .policy = engine::child_policy::kill};
  auto sent = call(event_kind::signal_sent, 5, "hello", "signal");
  sent.target = "o-code";
  sent.payload = "\x05";
  commit(parent.add(tick(), {calls, child_1, child_2, none, child_3, sent}));
  auto done = call(event_kind::child_ended, 1, "", "completed");
  done.payload = "\xa2ok";
  auto dropped = call(event_kind::child_dropped, 4, "", "kill");
  dropped.target = "o-late";
  auto renewed = r::of(event_kind::run_continued);
  renewed.payload = "\x2a";
  commit(parent.add(tick(), {done, call(event_kind::signal_answered, 5), dropped, renewed}));
  auto next = make(10, "o-parent", 2);
  auto goes_on = next.started("\x2a");
  goes_on.start->code = true;
  goes_on.start->parent = calls.start->parent;
  goes_on.start->origin =
      engine::run_origin{.kind = engine::origin_kind::continued, .uid = {.reign = reign, .serial = 9}, .seq = 10};
  commit(next.add(tick(), {goes_on}));
  auto reset = r::of(event_kind::run_reset);
  reset.number = 2;
  reset.answers = 1;
  reset.error = engine::failure{.code = "reset", .message = "once more"};
  auto third = make(11, "o-parent", 3);
  auto anew = goes_on;
  anew.start = third.started("\x2a").start;
  anew.start->code = true;
  anew.start->parent = calls.start->parent;
  anew.start->origin = engine::run_origin{.kind = engine::origin_kind::reset,
                                          .uid = {.reign = reign, .serial = 10},
                                          .seq = 1,
                                          .workflow_id = "o-parent",
                                          .run = 2};
  anew.command_id = "start-11";
  commit(next.add(tick(), {reset}));
  commit(third.add(tick(), {anew}));

  record marks;
  marks.marks = {{.type = "order", .version = 2, .revision = 2, .at = tick(), .by = "use-2"},
                 {.type = "order", .version = 1, .revision = 1, .at = now, .by = "use-1"},
                 {.type = "refund", .revision = 3, .at = now, .by = "use-3"}};
  append(marks);
}

}  // namespace pawl::store
