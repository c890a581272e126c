#include <gmock/gmock.h>

#include "tests/node/api_fixture.hpp"

namespace pawl::node {
namespace {

constexpr const char* good_order = R"({"type":"order","id":"o-1","input":{"id":"x","total":2}})";

TEST(api_start, runs_a_workflow_and_waits_for_its_result) {
  api_node node;
  auto a = node.ask("POST /v1/workflows?wait_ms=30000", good_order);
  EXPECT_EQ(a.status, 201) << a.body;
  EXPECT_EQ(a.body["id"], "o-1");
  EXPECT_EQ(a.body["type"], "order");
  EXPECT_EQ(a.body["version"], 1);
  EXPECT_EQ(a.body["run"], 1);
  EXPECT_EQ(a.body["outcome"], "applied");
  EXPECT_EQ(a.body["seq"], 1);
  EXPECT_EQ(a.body["state"], "completed");
  EXPECT_EQ(a.body["result"], "x 4EUR");
  EXPECT_EQ(a.body["command_id"].get<std::string>().size(), 32U);
}

TEST(api_start, the_same_command_again_is_a_duplicate_and_waits_as_well) {
  api_node node;
  const std::map<std::string, std::string> key{{"idempotency-key", "c-1"}};
  auto first = node.ask("POST /v1/workflows", R"({"type":"gated","id":"g","input":1})", key);
  EXPECT_EQ(first.status, 201) << first.body;
  EXPECT_EQ(first.body["command_id"], "c-1");
  EXPECT_EQ(first.body["type"], "gated");
  auto again = api_node::send(*node.asked, api_node::request("POST /v1/workflows?wait_ms=60000",
                                                             R"({"type":"gated","id":"g","input":1})", key));
  auto other = node.ask("POST /v1/workflows", R"({"type":"gated","id":"g","input":1})");
  EXPECT_EQ(other.status, 409) << other.body;
  EXPECT_EQ(other.body["code"], "conflict");
  EXPECT_EQ(other.body["workflow_id"], "g");
  EXPECT_EQ(other.body["remembered_for_ms"], 86'400'000);
  node.doors.open();
  auto a = api_node::read(api_node::get(std::move(again)));
  EXPECT_EQ(a.status, 200) << a.body;
  EXPECT_EQ(a.body["outcome"], "duplicate");
  EXPECT_EQ(a.body["result"], 2);
  auto closed = node.ask("POST /v1/workflows?wait_ms=60000", R"({"type":"gated","id":"g","input":1})", key);
  EXPECT_EQ(closed.status, 200) << closed.body;
  EXPECT_EQ(closed.body["result"], 2);
  const auto next =
      node.ask("POST /v1/workflows?wait_ms=60000", R"({"type":"gated","id":"g","input":5,"closed_id":"allow"})");
  EXPECT_EQ(next.status, 201) << next.body;
  EXPECT_EQ(next.body["run"], 2);
  EXPECT_EQ(next.body["result"], 6);
}

TEST(api_start, without_time_to_wait_the_start_is_answered_without_a_result) {
  api_node node;
  auto a = node.ask("POST /v1/workflows?wait_ms=30", R"({"type":"gated","id":"g","input":1})");
  EXPECT_EQ(a.status, 201) << a.body;
  EXPECT_FALSE(a.body.contains("state"));
  EXPECT_FALSE(a.body.contains("result"));
}

TEST(api_start, refuses_what_it_cannot_read_and_says_what_to_do) {
  api_node node;
  struct refused {
    const char* body;
    int status;
    const char* code;
    const char* detail;
    const char* mend;
  };
  const refused all[] = {
      {"{", 400, "bad_json", "line 1, column 2: not JSON", "send one JSON object"},
      {"[]", 422, "invalid", "the body is not a JSON object", ""},
      {R"({"type":"order","imput":{}})", 422, "invalid", "body: a start has no field 'imput'", "did you mean 'input'?"},
      {R"({"type":"order","input":{"id":"x","totl":2}})", 422, "invalid", "input: order has no field 'totl'",
       "did you mean 'total'?"},
      {R"({"type":"order","input":{"id":"x"}})", 422, "invalid", "input: the field 'total' (float64) is missing", ""},
      {R"({"type":"order"})", 422, "invalid", "input: expected an object, got null", "give the input of 'order'"},
      {R"({"type":"order","input":{"id":"x","total":1,"total":2}})", 400, "bad_json",
       "body.input: the field 'total' stands there twice", ""},
      {R"({"type":"ordr","input":1})", 404, "no_such_type", "this node has no workflow type 'ordr'",
       "did you mean 'order'?"},
      {R"({"type":"gated","version":2,"input":1})", 404, "no_such_version", "no version 2 of workflow type 'gated'",
       "it has 3"},
      {R"({"type":"gated","id":"","input":1})", 422, "invalid", "a workflow id is at least one character long", ""},
      {R"({"type":"gated","id":"a\u0000b","input":1})", 422, "invalid", "control characters", ""},
      {R"({"type":"gated","input":1,"delay_ms":1,"start_at":"2030-01-01T00:00:00Z"})", 422, "invalid", "both there",
       "give one"},
      {R"({"type":"gated","input":1,"start_at":"tomorrow"})", 422, "invalid", "start_at is 'tomorrow'",
       "give a time as in"},
      {R"({"type":"gated","input":1,"delay_ms":-1})", 422, "invalid", "body.delay_ms: -1 does not fit", ""},
      {R"({"type":"gated","input":1,"closed_id":"alow"})", 422, "invalid", "'alow' is no", "did you mean 'allow'?"},
  };
  for (const auto& r : all) {
    auto a = node.ask("POST /v1/workflows", r.body);
    EXPECT_EQ(a.status, r.status) << r.body << a.body;
    EXPECT_EQ(a.body["code"], r.code) << r.body;
    EXPECT_NE(a.body["detail"].get<std::string>().find(r.detail), std::string::npos) << a.body;
    EXPECT_NE(a.body.value("mend", "").find(r.mend), std::string::npos) << a.body;
    EXPECT_EQ(a.body["status"], r.status);
    EXPECT_EQ(a.body["type"], std::string("urn:pawl:problem:") + r.code);
  }
  EXPECT_EQ(node.ask("GET /v1/workflows").body["workflows"].size(), 0U);
}

TEST(api_start, limits_have_their_names) {
  actors::node_options o;
  o.limits.payload = 1000;
  api_node node(std::move(o));
  auto large = node.ask("POST /v1/workflows",
                        R"({"type":"order","input":{"id":")" + std::string(2000, 'x') + R"(","total":1}})");
  EXPECT_EQ(large.status, 413) << large.body;
  EXPECT_EQ(large.body["setting"], "limits.payload");
  const auto long_id =
      node.ask("POST /v1/workflows", R"({"type":"gated","id":")" + std::string(10'000, 'x') + R"(","input":1})");
  EXPECT_EQ(long_id.status, 413) << long_id.body;
  EXPECT_EQ(long_id.body["setting"], "limits.id_length");
  EXPECT_EQ(node.ask("GET /v1/workflows/" + std::string(10'000, 'x')).status, 413);
  EXPECT_EQ(node.ask("POST /v1/workflows", good_order, {{"idempotency-key", std::string(10'000, 'x')}}).status, 413);
  EXPECT_EQ(node.ask("POST /v1/workflows", good_order, {{"idempotency-key", ""}}).status, 400);
}

TEST(api_start, at_a_time_or_after_a_delay) {
  api_node node;
  auto a = node.ask("POST /v1/workflows",
                    R"({"type":"gated","id":"later","input":1,"delay_ms":3600000,"deadline_ms":7200000})");
  EXPECT_EQ(a.status, 201) << a.body;
  auto b = node.ask("POST /v1/workflows",
                    R"({"type":"gated","id":"at","input":1,"start_at":"2099-03-05T10:00:00.25+01:00"})");
  EXPECT_EQ(b.status, 201) << b.body;
  auto at = node.ask("GET /v1/workflows/at");
  EXPECT_EQ(at.body["start_at"], "2099-03-05T09:00:00.250000Z");
  EXPECT_EQ(at.body["wake_at"], "2099-03-05T09:00:00.250000Z");
  EXPECT_NE(node.ask("GET /v1/workflows/later").body["deadline_at"], nullptr);
  EXPECT_EQ(node.ask("GET /v1/workflows/at/result").status, 202);
}

TEST(api_reads, show_a_run_that_failed_and_was_undone) {
  api_node node;
  auto end = node.ask("POST /v1/workflows?wait_ms=30000", R"({"type":"failing","id":"f"})");
  ASSERT_EQ(end.body["state"], "failed") << end.body;
  auto a = node.ask("GET /v1/workflows/f");
  EXPECT_EQ(a.status, 200);
  EXPECT_EQ(a.body["state"], "failed");
  EXPECT_EQ(a.body["code"], "here");
  EXPECT_EQ(a.body["error"]["code"], end.body["error"]["code"]);
  EXPECT_EQ(a.body["pending"].size(), 0U);
  const auto& bars = a.body["timeline"];
  ASSERT_EQ(bars.size(), 3U) << a.body;
  EXPECT_EQ(bars[0]["step"], "first");
  EXPECT_EQ(bars[0]["outcome"], "completed");
  EXPECT_EQ(bars[1]["step"], "second");
  EXPECT_EQ(bars[1]["outcome"], "failed");
  EXPECT_EQ(bars[1]["error"]["code"], "declined");
  EXPECT_EQ(bars[2]["step"], "first");
  EXPECT_EQ(bars[2]["undo"], true);
  EXPECT_NE(bars[2]["ended_at"], nullptr);
  auto result = node.ask("GET /v1/workflows/f/result");
  EXPECT_EQ(result.status, 200);
  EXPECT_EQ(result.body["state"], "failed");
  auto history = node.ask("GET /v1/workflows/f/history");
  std::vector<std::string> kinds;
  for (const auto& e : history.body["events"]) kinds.push_back(e["kind"]);
  EXPECT_EQ(kinds.front(), "run_started");
  EXPECT_EQ(kinds.back(), "run_failed");
  EXPECT_EQ(history.body["closed"], true);
  EXPECT_EQ(history.body["next"], nullptr);
  for (const auto& e : history.body["events"])
    if (e["kind"] == "compensation_started") EXPECT_EQ(e["order"], json::parse(R"(["first"])"));
}

TEST(api_reads, show_a_paused_run_and_a_skip_lets_it_go_on) {
  api_node node;
  ASSERT_EQ(node.ask("POST /v1/workflows", R"({"type":"stuck","id":"s"})").status, 201);
  ASSERT_TRUE(eventually([&] { return node.ask("GET /v1/workflows/s").body["paused"] == true; }));
  auto a = node.ask("GET /v1/workflows/s");
  EXPECT_EQ(a.body["pause"]["cause"], "step_exhausted") << a.body;
  EXPECT_EQ(a.body["pause"]["step"], "bad");
  ASSERT_EQ(a.body["pending"].size(), 1U);
  EXPECT_EQ(a.body["pending"][0]["last_error"]["code"], "broken_thing");
  EXPECT_EQ(node.ask("GET /v1/workflows?state=paused").body["workflows"].size(), 1U);

  auto misspelt = node.ask("POST /v1/workflows/s/skip", R"({"step":"bad","result":{"id":"a","totl":1}})");
  EXPECT_EQ(misspelt.status, 422);
  EXPECT_EQ(misspelt.body["mend"], "did you mean 'total'?");
  EXPECT_EQ(node.ask("POST /v1/workflows/s/skip", R"({"step":"bda","result":1})").status, 422);
  auto skipped = node.ask("POST /v1/workflows/s/skip", R"({"step":"bad","result":{"id":"a","total":1}})",
                          {{"idempotency-key", "k"}});
  EXPECT_EQ(skipped.status, 200) << skipped.body;
  EXPECT_EQ(skipped.body["outcome"], "applied");
  auto end = node.ask("GET /v1/workflows/s/result?wait_ms=30000");
  EXPECT_EQ(end.status, 200) << end.body;
  EXPECT_EQ(end.body["result"], json::parse(R"({"id":"a","total":1.0,"currency":"EUR"})"));
  // "unknown" is an answer that is asked again: the run's actor may just be leaving.
  api_node::answer again{503, {}, {}};
  EXPECT_TRUE(eventually([&] {
    again = node.ask("POST /v1/workflows/s/skip", R"({"step":"bad","result":{"id":"a","total":1}})",
                     {{"idempotency-key", "k"}});
    return again.status != 503;
  }));
  EXPECT_EQ(again.status, 200) << again.body;
  EXPECT_EQ(again.body["outcome"], "duplicate");
  EXPECT_EQ(again.body["seq"], skipped.body["seq"]);
}

TEST(api_commands, cancel_kill_pause_and_resume) {
  api_node node;
  for (const char* id : {"a", "b", "c"})
    ASSERT_EQ(node.ask("POST /v1/workflows", R"({"type":"gated","id":")" + std::string(id) + R"(","input":1})").status,
              201);
  EXPECT_EQ(node.ask("POST /v1/workflows/a/cancel", R"({"reason":"not wanted"})").status, 200);
  auto a = node.ask("GET /v1/workflows/a/result?wait_ms=30000");
  EXPECT_EQ(a.body["state"], "cancelled") << a.body;
  EXPECT_EQ(node.ask("POST /v1/workflows/b/kill").status, 200);
  EXPECT_EQ(node.ask("GET /v1/workflows/b/result?wait_ms=30000").body["state"], "killed");
  EXPECT_EQ(node.ask("POST /v1/workflows/c/pause", R"({"reason":"lunch"})").status, 200);
  EXPECT_EQ(node.ask("POST /v1/workflows/c/pause").status, 409);
  EXPECT_EQ(node.ask("GET /v1/workflows/c").body["pause"]["error"]["message"], "lunch");
  EXPECT_EQ(node.ask("POST /v1/workflows/c/resume", R"({"x":1})").status, 422);
  EXPECT_EQ(node.ask("POST /v1/workflows/c/resume").status, 200);
  EXPECT_EQ(node.ask("POST /v1/workflows/c/resume").status, 409);
  auto unknown = node.ask("POST /v1/workflows/nobody/cancel");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.body["code"], "not_found");
  EXPECT_EQ(node.ask("POST /v1/workflows/c/cancel", R"({"raeson":"x"})").body["mend"], "did you mean 'reason'?");
}

TEST(api_reads, lists_newest_first_in_pages) {
  api_node node;
  for (int i = 0; i < 7; ++i) {
    const auto id = (i % 2 == 0 ? "even-" : "odd-") + std::to_string(i);
    ASSERT_EQ(node.ask("POST /v1/workflows?wait_ms=30000",
                       R"({"type":"order","id":")" + id + R"(","input":{"id":"x","total":2}})")
                  .status,
              201);
  }
  std::vector<std::string> ids;
  std::string cursor;
  for (int page = 0; page < 10; ++page) {
    auto a = node.ask("GET /v1/workflows?limit=3" + (cursor.empty() ? "" : "&cursor=" + cursor));
    for (const auto& w : a.body["workflows"]) ids.push_back(w["id"]);
    if (a.body["next"].is_null()) break;
    cursor = a.body["next"];
  }
  EXPECT_EQ(ids, (std::vector<std::string>{"even-6", "odd-5", "even-4", "odd-3", "even-2", "odd-1", "even-0"}));
  EXPECT_EQ(node.ask("GET /v1/workflows?prefix=odd-").body["workflows"].size(), 3U);
  EXPECT_EQ(node.ask("GET /v1/workflows?type=gated").body["workflows"].size(), 0U);
  EXPECT_EQ(node.ask("GET /v1/workflows?state=completed").body["workflows"].size(), 7U);
  EXPECT_EQ(node.ask("GET /v1/workflows?state=open").body["workflows"].size(), 0U);
  EXPECT_EQ(node.ask("GET /v1/workflows?state=complete").body["mend"], "did you mean 'completed'?");
  for (const char* wrong :
       {"limit=0", "limit=1001", "limit=x", "limit=", "limit=1&limit=2", "limit=%zz", "cursor=-1", "stat=open"})
    EXPECT_EQ(node.ask(std::string("GET /v1/workflows?") + wrong).status, 400) << wrong;
}

TEST(api_reads, history_in_pages_and_from_a_seq) {
  api_node node;
  ASSERT_EQ(node.ask("POST /v1/workflows?wait_ms=30000", good_order).status, 201);
  auto whole = node.ask("GET /v1/workflows/o-1/history");
  const auto n = whole.body["events"].size();
  ASSERT_GE(n, 6U);
  EXPECT_EQ(whole.body["events"][0]["input"], json::parse(R"({"id":"x","total":2.0,"currency":"EUR"})"));
  EXPECT_EQ(whole.body["events"][n - 1]["result"], "x 4EUR");
  auto joined = json::array();
  for (json next = 1; !next.is_null();) {
    auto page = node.ask("GET /v1/workflows/o-1/history?limit=2&from=" + std::to_string(next.get<int>()));
    for (const auto& e : page.body["events"]) joined.push_back(e);
    next = page.body["next"];
  }
  EXPECT_EQ(joined, whole.body["events"]);
  EXPECT_EQ(node.ask("GET /v1/workflows/o-1/history?from=1000").body["events"].size(), 0U);
  EXPECT_EQ(node.ask("GET /v1/workflows/o-1/history?run=2").status, 404);
  EXPECT_EQ(node.ask("GET /v1/workflows/o-1?run=1").status, 200);
}

TEST(api_reads, ids_are_percent_encoded) {
  api_node node;
  ASSERT_EQ(
      node.ask("POST /v1/workflows?wait_ms=30000", R"({"type":"order","id":"a/b ü%","input":{"id":"x","total":2}})")
          .status,
      201);
  EXPECT_EQ(node.ask("GET /v1/workflows/a%2Fb%20%C3%BC%25").body["id"], "a/b ü%");
  EXPECT_EQ(node.ask("GET /v1/workflows?prefix=a%2Fb+").body["workflows"].size(), 1U);
  EXPECT_EQ(node.ask("GET /v1/workflows/a%2").status, 400);
  EXPECT_EQ(node.ask("GET /v1/workflows/%FF").status, 400);
  EXPECT_EQ(node.ask("GET /v1/workflows/%00").status, 400);
}

TEST(api_routes, what_is_not_there_is_said_so) {
  api_node node;
  for (const char* path : {"", "/", "/v1", "/v1/", "/v1/statusx", "/v1/workflows/", "/v1/workflows//history",
                           "/v1/workflows/a/", "/v1/workflows/a/b", "/v2/status", "v1/status"})
    EXPECT_EQ(node.ask("GET " + std::string(path)).body["code"], "no_such_route") << path;
  auto a = node.ask("DELETE /v1/workflows/a");
  EXPECT_EQ(a.status, 405);
  EXPECT_EQ(a.headers.at("Allow"), "GET");
  EXPECT_EQ(node.ask("PUT /v1/workflows").headers.at("Allow"), "POST, GET");
  EXPECT_EQ(node.ask("GET /v1/status?x=1").status, 400);
}

TEST(api_reads, status_types_and_config) {
  api_options o;
  o.configuration = {{"data.dir", "./x", "default", "Where"}};
  api_node node({}, std::move(o));
  ASSERT_EQ(node.ask("POST /v1/workflows?wait_ms=30000", good_order).status, 201);
  auto status = node.ask("GET /v1/status");
  EXPECT_EQ(status.status, 200);
  EXPECT_EQ(status.body["running"], true);
  EXPECT_EQ(status.body["runs"]["closed"], 1);
  EXPECT_EQ(status.body["node"]["version"], "0.0.1");
  EXPECT_EQ(status.body["partition"]["started"], 1);
  auto types = node.ask("GET /v1/types").body["types"];
  const auto at = std::find_if(types.begin(), types.end(), [](const json& t) { return t["type"] == "order"; });
  ASSERT_NE(at, types.end());
  EXPECT_GE(types.size(), 4U);
  const auto& order = (*at)["versions"][0];
  EXPECT_EQ(order["input_schema"]["$defs"]["order"]["required"], json::parse(R"(["id","total"])"));
  EXPECT_EQ(order["steps"][1]["arguments"], json::parse(R"(["input","twice"])"));
  EXPECT_EQ(order["steps"][1]["options"]["timeout_ms"], 5000);
  EXPECT_EQ(order["returns"], "say");
  EXPECT_EQ(node.ask("GET /v1/config").body["settings"][0]["value"], "./x");
}

TEST(api_types, a_version_is_marked_for_new_runs) {
  api_node node;
  const auto gated = [&] {
    const auto types = node.ask("GET /v1/types").body["types"];
    return *std::find_if(types.begin(), types.end(), [](const json& t) { return t["type"] == "gated"; });
  };
  const auto use = [&](const std::string& type, const std::string& body, const std::string& command = "u-1") {
    return node.ask("POST /v1/types/" + type + "/use", body, {{"idempotency-key", command}});
  };
  EXPECT_EQ(gated()["current"], 3);
  EXPECT_EQ(gated()["current_by"], "local");
  EXPECT_TRUE(gated()["marked"].is_null());

  auto r = use("gated", R"({"version":4})");
  EXPECT_EQ(r.status, 404);
  EXPECT_EQ(r.body["code"], "no_such_version");
  EXPECT_THAT(r.body["detail"].get<std::string>(),
              ::testing::HasSubstr("version 4 of workflow type 'gated': this node runs 3"));
  r = use("gate", R"({"version":4,"force":true})");
  EXPECT_EQ(r.status, 404);
  EXPECT_EQ(r.body["code"], "no_such_type");
  EXPECT_THAT(r.body["mend"].get<std::string>(), ::testing::HasSubstr("gated"));
  for (const char* wrong :
       {"{}", R"({"version":3,"clear":true})", R"({"version":0})", R"({"version":"3"})", R"({"versoin":3})"})
    EXPECT_EQ(use("gated", wrong).status, 422) << wrong;

  r = use("gated", R"({"version":4,"force":true})");
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(r.body["outcome"], "applied") << "what was refused before has used up no command id";
  EXPECT_EQ(r.body["revision"], 1);
  EXPECT_EQ(r.body["waiting_partitions"], json::array());
  EXPECT_EQ(use("gated", R"({"version":4})").body["outcome"], "duplicate") << "a repeat is not looked at anew";
  EXPECT_EQ(gated()["current"], 4);
  EXPECT_EQ(gated()["current_by"], "marked");
  r = node.ask("POST /v1/workflows", R"({"type":"gated","id":"g","input":1})");
  EXPECT_EQ(r.status, 404);
  EXPECT_THAT(r.body["detail"].get<std::string>(), ::testing::HasSubstr("marked for new runs"));
  EXPECT_EQ(node.ask("POST /v1/workflows", R"({"type":"gated","id":"g","input":1,"version":3})").body["version"], 3);

  // One that was applied before is answered as it was then.
  EXPECT_EQ(use("gated", R"({"clear":true})", "u-2").body["revision"], 2);
  const std::string early = R"({"type":"gated","id":"e","input":1})";
  EXPECT_EQ(node.ask("POST /v1/workflows", early, {{"idempotency-key", "c-e"}}).status, 201);
  EXPECT_EQ(use("gated", R"({"version":4,"force":true})", "u-3").body["revision"], 3);
  r = node.ask("POST /v1/workflows", early, {{"idempotency-key", "c-e"}});
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(r.body["version"], 3);
  EXPECT_EQ(r.body["outcome"], "duplicate");
  EXPECT_EQ(node.ask("POST /v1/workflows", early, {{"idempotency-key", "c-other"}}).status, 404);
  EXPECT_EQ(use("gated", R"({"clear":true})", "u-4").body["revision"], 4);
  EXPECT_TRUE(gated()["marked"].is_null());
  r = node.ask("POST /v1/workflows", R"({"type":"gated","id":"h","input":1})", {{"idempotency-key", "c-1"}});
  EXPECT_EQ(r.body["version"], 3);
  EXPECT_EQ(node.ask("GET /v1/types/gated/use").status, 405);
  EXPECT_EQ(node.ask("POST /v1/types//use", R"({"version":3})").status, 404);
  node.doors.open();
}

// That a run has not ended is as of now: who cannot prove that it leads does not say it.
TEST(api_waits, a_wait_that_ends_without_a_result_is_proved_current) {
  std::atomic<bool> leads{true};
  api_options o;
  o.prove = [&](std::function<void(bool)> done) { std::thread([&leads, done] { done(leads); }).detach(); };
  api_node node(std::nullopt, std::move(o));
  const std::string gated = R"({"type":"gated","id":"g","input":1})";
  const auto begun = node.ask("POST /v1/workflows?wait_ms=10", gated, {{"idempotency-key", "c-1"}});
  EXPECT_EQ(begun.status, 201);
  EXPECT_FALSE(begun.body.contains("state"));
  EXPECT_EQ(node.ask("GET /v1/workflows/g/result?wait_ms=10").status, 202);
  leads = false;
  const auto again = node.ask("POST /v1/workflows?wait_ms=10", gated, {{"idempotency-key", "c-1"}});
  EXPECT_EQ(again.status, 503);
  EXPECT_EQ(again.body["code"], "unavailable");
  EXPECT_EQ(again.body["command_id"], "c-1");
  const auto r = node.ask("GET /v1/workflows/g/result?wait_ms=10");
  EXPECT_EQ(r.status, 503);
  EXPECT_EQ(r.body["code"], "unavailable");
  EXPECT_EQ(r.body["workflow_id"], "g");
  // What has ended has ended, whoever leads.
  auto last = node.send(*node.asked, api_node::request("GET /v1/workflows/g/result?wait_ms=30000"));
  ASSERT_TRUE(eventually([&] { return node.ask("GET /v1/status").body["node"]["waiting_requests"] == 1; }));
  node.doors.open();
  EXPECT_EQ(api_node::read(api_node::get(std::move(last))).body["state"], "completed");
  EXPECT_EQ(node.ask("GET /v1/workflows/g/result?wait_ms=10&stale_ok=true").status, 400);
}

TEST(api_reads, without_a_node_reading_goes_on_and_commands_are_refused) {
  api_node node;
  ASSERT_EQ(node.ask("POST /v1/workflows?wait_ms=30000", good_order).status, 201);
  auto shown = node.ask("GET /v1/workflows/o-1");
  auto listed = node.ask("GET /v1/workflows");
  node.asked->stop();
  node.system.reset();
  node.journal.reset();
  api alone(node.types, nullptr, [&] { return store::open_view(node.directory.path()); },
            {.version = "1", .data_dir = "d", .readers = 0});
  const auto ask = [&](const std::string& line, std::string body = {}) {
    return api_node::read(api_node::get(api_node::send(alone, api_node::request(line, std::move(body)))));
  };
  EXPECT_EQ(ask("GET /v1/workflows/o-1").body, shown.body);
  EXPECT_EQ(ask("GET /v1/workflows").body, listed.body);
  EXPECT_EQ(ask("GET /v1/workflows/o-1/result?wait_ms=1000").body["result"], "x 4EUR");
  EXPECT_EQ(ask("GET /v1/status").body["running"], false);
  EXPECT_EQ(ask("GET /v1/status").body["runs"]["closed"], 1);
  EXPECT_EQ(ask("POST /v1/workflows", good_order).body["code"], "no_node");
  EXPECT_EQ(ask("POST /v1/workflows?wait_ms=10000", good_order).body["code"], "no_node");
  EXPECT_EQ(ask("POST /v1/workflows/o-1/cancel").body["code"], "no_node");
  std::vector<std::string> lines;
  bool ended = false;
  const auto followed =
      api_node::get(api_node::send(alone, api_node::request("GET /v1/workflows/o-1/history?follow=true")));
  ASSERT_TRUE(followed.stream);
  followed.stream(
      [&](std::string_view l) { return l.empty() ? line_answer::more : (lines.emplace_back(l), line_answer::full); },
      [&] { ended = true; });
  EXPECT_TRUE(ended);
  EXPECT_EQ(lines.size(), shown.body["events"].get<std::size_t>());
}

}  // namespace
}  // namespace pawl::node
