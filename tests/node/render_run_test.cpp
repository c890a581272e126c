// What people see of the api's answers. Answers of a newer node, or damaged ones, must be shown as far as they go.
#include "node/render_run.hpp"

#include "node/answer.hpp"
#include "node/render_history.hpp"
#include "node/render_lists.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <sstream>

namespace pawl::node {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using namespace std::chrono_literals;

constexpr std::int64_t now = 1'778'311'783'000'000;  // 2026-05-09T07:29:43Z

json running_order() {
  return json::parse(R"({
    "id": "o-17", "run": 1, "run_uid": "ab-1", "type": "fulfil-order", "version": 3, "state": "running", "paused": false,
    "started_at": "2026-05-09T07:29:33.000000Z", "closed_at": null, "events": 9, "wake_at": null, "pause": null, "code": "here",
    "start_at": null, "deadline_at": "2026-05-09T07:30:33Z", "input": {"id": "o-17", "total": 99.5},
    "pending": [{"step": "charge", "undo": false, "status": "waiting", "attempt": 2, "counted": 2, "max_attempts": 8,
                 "next_retry_at": "2026-05-09T07:29:46.200000Z", "last_error": {"code": "http_503", "message": "try later", "permanent": false}, "suspect": false}],
    "timeline": [
      {"step": "reserve", "undo": false, "attempt": 1, "started_at": "2026-05-09T07:29:33.000000Z", "ended_at": "2026-05-09T07:29:35.000000Z", "outcome": "completed"},
      {"step": "charge", "undo": false, "attempt": 1, "started_at": "2026-05-09T07:29:35.000000Z", "ended_at": "2026-05-09T07:29:37.000000Z", "outcome": "failed",
       "error": {"code": "http_503", "message": "busy", "permanent": false}},
      {"step": "charge", "undo": false, "attempt": 2, "started_at": "2026-05-09T07:29:39.000000Z", "ended_at": "2026-05-09T07:29:40.000000Z", "outcome": "timed_out"}]})");
}

TEST(run_bars, attempts_on_the_scale_of_the_run) {
  const auto b = bars_of(running_order(), now);
  ASSERT_EQ(b.rows.size(), 3U);
  EXPECT_EQ(b.total, 10s);  // to now, as the next attempt is still awaited
  EXPECT_EQ(b.rows[0].label, "reserve");
  EXPECT_EQ(std::make_tuple(b.rows[0].from, b.rows[0].to, b.rows[0].end), std::make_tuple(0us, 2s, bar_end::completed));
  EXPECT_EQ(std::make_tuple(b.rows[1].label, b.rows[1].waits_until, b.rows[1].note),
            std::make_tuple("charge", 6s, "http_503: busy"));
  EXPECT_EQ(std::make_tuple(b.rows[2].label, b.rows[2].waits_until, b.rows[2].end),
            std::make_tuple("charge #2", 10s, bar_end::timed_out));
}

TEST(run_bars, an_attempt_under_way_lasts_until_now) {
  auto run = running_order();
  run["timeline"][2]["ended_at"] = nullptr;
  const auto b = bars_of(run, now);
  EXPECT_EQ(b.rows[2].end, bar_end::running);
  EXPECT_EQ(b.rows[2].to, 10s);
}

TEST(run_bars, a_delayed_start_does_not_press_them_to_the_edge) {
  auto run = running_order();
  run["started_at"] = "2026-05-08T07:29:33Z";
  run["start_at"] = "2026-05-09T07:29:33Z";
  EXPECT_EQ(bars_of(run, now).rows[0].from, 0us);
  EXPECT_EQ(bars_of(run, now).total, 10s);
}

TEST(run_bars, a_closed_run_ends_the_scale) {
  auto run = running_order();
  run["closed_at"] = "2026-05-09T07:29:41Z";
  run["pending"] = json::array();
  EXPECT_EQ(bars_of(run, now).total, 8s);
}

TEST(run_bars, nothing_has_begun) {
  auto run = running_order();
  run["timeline"] = json::array();
  EXPECT_TRUE(bars_of(run, now).rows.empty());
  EXPECT_THAT(draw_run({}, run, now, false), HasSubstr("o-17"));
}

TEST(draw_run, says_what_it_is_and_waits_for) {
  canvas c;
  c.width = 100;
  const auto text = draw_run(c, running_order(), now, false);
  EXPECT_THAT(text, AllOf(HasSubstr("fulfil-order version 3"), HasSubstr("2026-05-09 07:29:33Z (10.0s ago)"),
                          HasSubstr("2, 2 of 8 used"), HasSubstr("in 3.20s"), HasSubstr("http_503: try later"),
                          HasSubstr("deadline"), HasSubstr(R"({"id":"o-17","total":99.5})")));
  EXPECT_THAT(text, AllOf(HasSubstr("█"), HasSubstr("···"), HasSubstr("timed out"), Not(HasSubstr("\x1b"))));
}

TEST(draw_run, a_pause_and_its_cause) {
  auto run = running_order();
  run["paused"] = true;
  run["pause"] = json::parse(
      R"({"cause": "step_exhausted", "step": "charge", "undo": true, "error": {"code": "x", "message": "no more"}})");
  EXPECT_THAT(draw_run({}, run, now, false),
              AllOf(HasSubstr("running, paused"), HasSubstr("step_exhausted, at undo charge: x: no more")));
}

TEST(draw_run, long_payloads_are_cut_unless_wide) {
  auto run = running_order();
  run["input"] = std::string(10'000, 'x');
  EXPECT_LT(draw_run({}, run, now, false).size(), 5'000U);
  EXPECT_GT(draw_run({}, run, now, true).size(), 10'000U);
}

TEST(draw_run, many_attempts_are_cut_unless_wide) {
  auto run = running_order();
  const auto one = run["timeline"][0];
  for (int i = 0; i < 1'000; ++i) run["timeline"].push_back(one);
  EXPECT_THAT(draw_run({}, run, now, false), HasSubstr("803 earlier attempts are left out"));
  EXPECT_THAT(draw_run({}, run, now, true), Not(HasSubstr("left out")));
}

// Every member replaced by something else, one at a time: it is shown, whatever it is.
void spoil(const json& whole, json& part, const std::function<void(const json&)>& look) {
  static const std::vector<json> others{
      nullptr, true, -1, 1.5, "", "x\n\x1b", json::array(), json::object(), json::array({nullptr, 1})};
  for (const auto& other : others) {
    const auto kept = std::exchange(part, other);
    look(whole);
    part = kept;
  }
  if (part.is_structured())
    for (auto& inner : part) spoil(whole, inner, look);
}

TEST(draw_run, answers_that_are_not_as_expected_are_shown_as_far_as_they_go) {
  auto run = running_order();
  int looked = 0;
  spoil(run, run, [&](const json& r) {
    const auto text = draw_run({}, r, now, true);
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
    ++looked;
  });
  EXPECT_GT(looked, 300);
}

TEST(draw_event, one_line_each_with_what_it_says) {
  canvas c;
  c.width = 200;
  const auto failed = json::parse(
      R"({"seq": 5, "at": "2026-05-09T07:29:33.250000Z", "kind": "attempt_failed", "step": "charge", "attempt": 2,
                                      "error": {"code": "http_503", "message": "busy"}, "next_attempt_at": "2026-05-09T07:29:34.500000Z"})");
  EXPECT_EQ(draw_event(c, failed, false),
            "    5  2026-05-09 07:29:33.250Z  attempt_failed       charge #2          http_503: busy  next attempt in "
            "1.25s\n");
  const auto undo = json::parse(
      R"({"seq": 6, "at": "2026-05-09T07:29:33Z", "kind": "compensation_started", "cause": "failed", "order": ["b", "a"]})");
  EXPECT_THAT(draw_event(c, undo, false), HasSubstr("undoes b, a"));
  EXPECT_THAT(draw_event(c, json::parse(R"({"seq": 1, "kind": "run_started", "input": null})"), false),
              HasSubstr("input=null"));
}

TEST(draw_event, updates_and_changes_by_their_names) {
  canvas c;
  c.width = 200;
  const auto answered = json::parse(R"({"seq": 8, "at": "2026-05-09T07:29:33Z", "kind": "update_answered",
                                         "update": "change-plan", "answers": 7, "answer": {"plan": "gold"}})");
  EXPECT_THAT(draw_event(c, answered, false), AllOf(HasSubstr("change-plan"), HasSubstr(R"(answer={"plan":"gold"})")));
  const auto noted =
      json::parse(R"({"seq": 9, "at": "2026-05-09T07:29:33Z", "kind": "change_noted", "change": "twice"})");
  EXPECT_THAT(draw_event(c, noted, false), HasSubstr("change_noted         twice"));
}

TEST(draw_event, keeps_to_the_width_of_a_terminal) {
  canvas c;
  c.cut = true;
  const json event{{"seq", 7},     {"at", "2026-05-09T07:29:33Z"},   {"kind", "attempt_completed"}, {"step", "charge"},
                   {"attempt", 1}, {"result", std::string(400, 'x')}};
  for (c.width = 60; c.width < 200; ++c.width) {
    const auto line = draw_event(c, event, false);
    EXPECT_LE(display_width(line.substr(0, line.size() - 1)), c.width) << line;
  }
  EXPECT_THAT(draw_event(c, event, true), HasSubstr(std::string(400, 'x')));
}

TEST(draw_lists, workflows_types_and_status) {
  const auto list = json{{"workflows", json::array({running_order()})}, {"next", nullptr}};
  EXPECT_THAT(draw_workflows({}, list, now, false), AllOf(HasSubstr("o-17"), HasSubstr("10.0s ago")));
  EXPECT_THAT(draw_workflows({}, list, now, true), HasSubstr("ab-1"));
  const auto types = json::parse(
      R"({"types": [{"type": "t", "latest": 2, "versions": [{"version": 2, "digest": "d", "input": "in", "returns": "b", "deadline_ms": null,
    "input_schema": {"type": "object"}, "steps": [{"name": "a", "arguments": ["input"], "after": [], "undo": true, "options": {"timeout_ms": 5, "where": "pool"}}]}]}]})");
  EXPECT_THAT(draw_types({}, types), AllOf(HasSubstr("t"), HasSubstr("in")));
  EXPECT_THAT(draw_type({}, types["types"][0], true),
              AllOf(HasSubstr("timeout_ms=5"), HasSubstr("yes"), HasSubstr("\"object\""), Not(HasSubstr("where"))));
  EXPECT_THAT(
      draw_status(
          {},
          json::parse(
              R"({"running": false, "node": {"data_dir": "d"}, "runs": {"open": 1, "paused": 0, "closed": 2}})"),
          false),
      AllOf(HasSubstr("no node runs"), HasSubstr("1 open")));
  EXPECT_THAT(draw_status({}, nullptr, true), HasSubstr("no node runs"));
}

}  // namespace
}  // namespace pawl::node
