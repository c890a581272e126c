// docs/event.schema.json against what is published.
#include "node/feed_json.hpp"

#include <gmock/gmock.h>

#include <cstdlib>
#include <fstream>

#include "node/json_codec.hpp"
#include "tests/node/json_schema_check.hpp"
#include "workflow/event.hpp"

namespace pawl::node {
namespace {

using engine::event_kind;

const json& schema() {
  static const json d = [] {
    const char* source = std::getenv("PAWL_SOURCE");
    std::ifstream in((source != nullptr ? std::string(source) : ".") + "/docs/event.schema.json");
    return json::parse(in);
  }();
  return d;
}

store::run_header header() {
  store::run_header h;
  h.workflow_id = "o-17 ü";
  h.run = 2;
  h.uid = {{1, 2}, 17};
  h.type = "fulfil-order";
  h.version = 3;
  return h;
}

const std::string uid = "00000000000000010000000000000002-17";  // of header()

/// An event of that kind with everything that there can be.
engine::event full(event_kind kind) {
  engine::event e;
  e.kind = kind;
  e.undo = true;
  e.seq = 4;
  e.at = engine::from_micros(1'700'000'000'123'456);
  e.step = 1;
  e.attempt = 2;
  e.name = "charge";
  e.command_id = "c-1";
  e.payload =
      "\x81\xa1"
      "a\x01";
  e.error =
      engine::failure{.code = "http_503", .message = "away", .permanent = true, .retry_in = engine::milliseconds(7)};
  e.cause = "requested";
  e.due = engine::from_micros(1'700'000'001'000'000);
  e.start = engine::start_facts{.workflow_id = "o-17 ü",
                                .type = "fulfil-order",
                                .version = 3,
                                .digest = UINT64_MAX,
                                .run = 2,
                                .uid = {{1, 2}, 17},
                                .start_at = engine::from_micros(1'700'000'002'000'000),
                                .deadline = engine::milliseconds(5)};
  e.begun = engine::attempt_facts{.policy = {}, .incarnation = 5, .in_child = true, .may_still_run = true};
  e.begun->policy.heartbeat = e.begun->policy.deadline = engine::milliseconds(9);
  e.start->parent = engine::return_address{.workflow_id = "p", .uid = {{3, 4}, 5}, .number = 6};
  e.start->origin = engine::run_origin{.kind = engine::origin_kind::continued, .uid = {{3, 4}, 6}, .seq = 7};
  e.child = engine::child_facts{.workflow_id = "c", .version = 2, .deadline = engine::milliseconds(8)};
  e.target = "t";
  e.order = {1, 0};
  e.number = 3;
  e.answers = 2;
  return e;
}

// Everything that is published is in the schema, which says nothing against more; this test does.
json closed(json s) {
  for (auto& [name, member] : s["$defs"].items()) member["additionalProperties"] = false;
  return s;
}

TEST(feed_json, every_kind_is_as_the_schema_says) {
  const auto s = closed(schema());
  schema_check check(s);
  const registry none;
  for (unsigned k = 1; k <= engine::last_event_kind; ++k) {
    if (!is_known(static_cast<event_kind>(k))) continue;
    const auto run = header();
    const auto e = full(static_cast<event_kind>(k));
    if (!is_known(e.kind)) continue;
    const auto m = present_for_feed({.run = run, .run_uid = uid, .event = e}, none);
    EXPECT_EQ(m.time, "2023-11-14T22:13:20.123456Z");
    const auto shown = json::parse(m.value);
    for (const auto& wrong : check.check(shown, s["$defs"]["event"])) ADD_FAILURE() << to_text(e.kind) << " " << wrong;
    EXPECT_EQ(shown["workflow_id"], "o-17 ü");
    EXPECT_EQ(shown["run_uid"], to_text(run.uid));
    EXPECT_EQ(shown["kind"], to_text(e.kind));
    EXPECT_EQ(shown["at"], m.time);
    const auto& kinds = s["$defs"]["event"]["properties"]["kind"]["anyOf"][0]["enum"];
    EXPECT_NE(std::find(kinds.begin(), kinds.end(), json(to_text(e.kind))), kinds.end()) << to_text(e.kind);
  }
}

TEST(feed_json, what_is_required_is_always_there) {
  schema_check check(schema());
  engine::event e;
  e.kind = event_kind::code_found;
  e.seq = 1;
  const auto run = header();
  const auto shown = json::parse(present_for_feed({.run = run, .run_uid = uid, .event = e}, {}).value);
  EXPECT_TRUE(check.check(shown, schema()["$defs"]["event"]).empty());
  EXPECT_EQ(shown.size(), 8U) << to_text(shown);
}

TEST(feed_json, a_payload_that_does_not_fit_is_left_out) {
  const auto run = header();
  auto e = full(event_kind::run_started);
  e.payload.assign(100'000, '\xc0');
  const auto m = present_for_feed({.run = run, .run_uid = uid, .event = e, .without_payload = true}, {});
  const auto shown = json::parse(m.value);
  EXPECT_LT(m.value.size(), 2'000U);
  EXPECT_EQ(shown["payload_left_out"], true);
  EXPECT_FALSE(shown.contains("input"));
  const auto s = closed(schema());
  EXPECT_TRUE(schema_check(s).check(shown, s["$defs"]["event"]).empty());
}

}  // namespace
}  // namespace pawl::node
