// What a node does with requests about partitions that others lead.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gmock/gmock.h>

#include <fstream>

#include "tests/node/door_fixture.hpp"
#include "tests/node/json_schema_check.hpp"

namespace pawl::node {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// Takes connections and never says a word.
class silent_listener {
 public:
  silent_listener() {
    fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&at), size), 0);
    EXPECT_EQ(::listen(fd_, 64), 0);
    EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &size), 0);
    address_ = "127.0.0.1:" + std::to_string(ntohs(at.sin_port));
  }
  ~silent_listener() { ::close(fd_); }
  silent_listener(const silent_listener&) = delete;
  silent_listener& operator=(const silent_listener&) = delete;
  const std::string& address() const { return address_; }

 private:
  int fd_ = -1;
  std::string address_;
};

/// What is wrong with it, as docs/openapi.json has it.
std::vector<std::string> documented(const json& body, const std::string& schema) {
  const char* source = std::getenv("PAWL_SOURCE");
  std::ifstream in((source != nullptr ? std::string(source) : ".") + "/docs/openapi.json");
  const auto document = json::parse(in);
  return schema_check(document).check(body, document["components"]["schemas"][schema]);
}

TEST_F(door, any_node_answers_for_every_workflow) {
  EXPECT_EQ(a.start("0-x"), 201);
  EXPECT_EQ(a.start("1-x"), 201);
  EXPECT_FALSE(a.journal->open_view()->find("1-x"));
  EXPECT_TRUE(b.journal->open_view()->find("1-x"));
  for (auto* n : {&a, &b})
    for (const char* id : {"0-x", "1-x"}) {
      const std::string path = std::string("GET /v1/workflows/") + id;
      EXPECT_EQ(n->ask(path).body["state"], "completed");
      EXPECT_EQ(n->ask(path + "/result?wait_ms=30000").body["result"], "x 2EUR");
      EXPECT_GT(n->ask(path + "/history").body["events"].size(), 5U);
    }
  // As from the command line, whose Host on the socket is "node": that is about its own connection.
  EXPECT_EQ(a.ask("GET /v1/workflows/1-x", "", {{"host", "node"}, {"origin", "http://elsewhere"}}).status, 200);
  EXPECT_EQ(a.start("1-x"), 409) << "the leader's refusal comes back as it is";
  EXPECT_EQ(a.ask("GET /v1/workflows/1-nobody").status, 404);
  EXPECT_EQ(a.ask("POST /v1/workflows/1-x/cancel").status, 409);
  EXPECT_EQ(a.ask("POST /v1/workflows", R"({"type":"order","input":{"id":"y","total":1}})").status, 201);
  EXPECT_EQ(a.ask("POST /v1/workflows", R"({"type":"order","id":"","input":{"id":"y","total":1}})").status, 422);
}

// "order" is decided by partition 0, so by `a`; the message that tells partition 1 is the test's.
TEST_F(door, a_mark_is_answered_when_the_other_partitions_have_it) {
  const auto mark = [&](std::uint32_t version, std::uint64_t revision) {
    std::promise<actors::command_reply> taken;
    b.system->take_mark(1, {.type = "order", .version = version, .revision = revision, .at = 1, .by = "u"},
                        actors::owed_reply([&](const actors::command_reply& r) { taken.set_value(r); }));
    EXPECT_EQ(taken.get_future().wait_for(patience), std::future_status::ready);
  };
  const auto use = [&](door_node& n, const std::string& body) {
    return n.send(api_node::request("POST /v1/types/order/use", body));
  };
  for (auto* n : {&a, &b}) {
    const std::uint64_t revision = n == &a ? 1 : 2;
    auto asked = use(*n, R"({"version":1})");
    ASSERT_TRUE(eventually([&] { return a.system->marks()["order"].revision == revision; })) << "it is decided";
    EXPECT_EQ(asked.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout) << "the other has not heard";
    mark(1, revision);
    const auto answer = api_node::read(api_node::get(std::move(asked)));
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body["revision"], revision);
    EXPECT_EQ(answer.body["waiting_partitions"], json::array());
    EXPECT_THAT(documented(answer.body, "Used"), IsEmpty());
  }
  // One that does not hear is named.
  const auto late = api_node::read(api_node::get(use(b, R"({"clear":true})")));
  EXPECT_EQ(late.status, 200);
  EXPECT_EQ(late.body["waiting_partitions"], json::array({1}));
  for (auto* n : {&a, &b}) EXPECT_THAT(documented(n->ask("GET /v1/types").body, "Types"), IsEmpty());
  a.places.reads = 1;
  EXPECT_EQ(api_node::get(use(a, R"({"version":1})")).status, 503) << "a living node would not read it";
}

TEST_F(door, the_leader_picks_the_version_of_a_start) {
  const auto runs = [](std::vector<std::uint32_t> versions) {
    actors::fleet::nodes nodes(1);
    nodes.front().id = "x";
    nodes.front().types["gated"] = std::move(versions);
    return nodes;
  };
  // They run version 3. What `b` knows counts for partition 1, whoever is asked.
  a.system->set_fleet(runs({2}));
  b.system->set_fleet(runs({3}));
  const std::string gated = R"({"type":"gated","id":"1-g","input":4})";
  EXPECT_EQ(a.ask("POST /v1/workflows", gated).body["version"], 3);
  // Nobody here has what `a` would pick, and says so.
  const auto r = b.ask("POST /v1/workflows", R"({"type":"gated","id":"0-g","input":4})");
  EXPECT_EQ(r.status, 404);
  EXPECT_EQ(r.body["code"], "no_such_version");
  EXPECT_THAT(r.body["detail"].get<std::string>(), HasSubstr("version 2"));
}

TEST_F(door, partitions_are_told_by_their_leaders) {
  ASSERT_EQ(a.start("0-x"), 201);
  ASSERT_EQ(a.ask("POST /v1/workflows", R"({"type":"gated","id":"1-g","input":4})").status, 201);
  ASSERT_TRUE(eventually([&] { return b.ask("GET /v1/workflows/1-g").body["pending"].size() == 1; }));
  const auto all = a.ask("GET /v1/partitions");
  ASSERT_EQ(all.status, 200);
  EXPECT_THAT(documented(all.body, "Partitions"), ::testing::IsEmpty()) << all.body;
  const auto& rows = all.body["partitions"];
  EXPECT_EQ(rows[0]["here"], true);
  EXPECT_EQ(rows[0]["runs"], json({{"open", 0}, {"paused", 0}, {"closed", 1}}));
  EXPECT_TRUE(rows[0]["oldest_step"].is_null());
  EXPECT_EQ(rows[1]["here"], false);
  EXPECT_EQ(rows[1]["answered"], true);
  EXPECT_EQ(rows[1]["runs"]["open"], 1);
  EXPECT_EQ(rows[1]["oldest_step"]["workflow_id"], "1-g");
  EXPECT_EQ(rows[1]["oldest_step"]["step"], "wait");
  EXPECT_EQ(rows[1]["oldest_step"]["status"], "running");
  const auto own = a.ask("GET /v1/partitions?scope=node");
  EXPECT_TRUE(own.body["partitions"][1]["runs"].is_null());
  EXPECT_EQ(own.body["partitions"][1]["answered"], false);
  EXPECT_EQ(a.ask("GET /v1/partitions?scope=all").status, 400);

  std::promise<cluster_counts> promise;
  a.front->count(true, [&](const cluster_counts& c) { promise.set_value(c); });
  const auto counts = promise.get_future().get();
  EXPECT_EQ(counts.all.open, 1U);
  EXPECT_EQ(counts.all.closed, 1U);
  EXPECT_EQ(counts.own.open, 0U);
  EXPECT_EQ(counts.led, 1U);
  EXPECT_EQ(counts.partitions, 2U);
  EXPECT_TRUE(counts.missing.empty());
}

TEST_F(door, a_leader_that_does_not_answer_leaves_its_partitions_uncounted) {
  silent_listener hangs;
  a.places.say(1, {.node = "hangs", .address = hangs.address()});
  const auto rows = a.ask("GET /v1/partitions").body["partitions"];
  EXPECT_EQ(rows[1]["answered"], false);
  EXPECT_TRUE(rows[1]["runs"].is_null());
  std::promise<cluster_counts> promise;
  a.front->count(true, [&](const cluster_counts& c) { promise.set_value(c); });
  EXPECT_EQ(promise.get_future().get().missing, std::vector<std::int32_t>{1});
}

TEST_F(door, a_large_start_is_read_and_passed_on) {
  const auto body = R"({"type":"order","id":"1-l","input":{"id":")" + std::string(200'000, 'x') + R"(","total":1}})";
  EXPECT_EQ(a.ask("POST /v1/workflows?wait_ms=30000", body).status, 201);
  EXPECT_TRUE(b.journal->open_view()->find("1-l"));
  EXPECT_EQ(a.ask("POST /v1/workflows", std::string(100'000, '{')).status, 400);
}

/// `b` has no type at all, and both know it.
class mixed : public ::testing::Test {
 protected:
  void SetUp() override {
    a.knows(b);
    b.knows(a);
    for (auto* n : {&a, &b})
      for (const char* type : {"order", "gated", "none"}) n->places.lacks(b.name(), type);
    for (auto* n : {&a, &b}) n->places.lacks(a.name(), "none");
  }
  static std::string order(const std::string& id, const std::string& total = "1") {
    return R"({"type":"order","id":")" + id + R"(","input":{"id":"x","total":)" + total + "}}";
  }
  std::vector<std::string> kinds(const std::string& id) {
    std::vector<std::string> out;
    const auto history = b.ask("GET /v1/workflows/" + id + "/history").body;
    for (const auto& e : history["events"]) out.push_back(e["kind"]);
    return out;
  }
  door_node a{0};
  door_node b{1, {}, false};
};

TEST_F(mixed, a_start_is_checked_by_who_has_the_type_and_waits_for_its_code_where_the_leader_lacks_it) {
  const auto begun = a.ask("POST /v1/workflows", order("1-x"), {{"idempotency-key", "c-1"}});
  EXPECT_EQ(begun.status, 201) << begun.body;
  EXPECT_EQ(begun.body["version"], 1);
  EXPECT_EQ(a.ask("POST /v1/workflows", order("1-x"), {{"idempotency-key", "c-1"}}).body["outcome"], "duplicate");
  const std::vector<std::string> waits{"run_started", "waiting_for_code"};
  EXPECT_TRUE(eventually([&] { return kinds("1-x") == waits; }));
  EXPECT_EQ(b.ask("GET /v1/workflows/1-x").body["code"], "missing");
  // The leader itself, asked first, finds one that checks.
  EXPECT_EQ(b.ask("POST /v1/workflows", order("1-y")).status, 201);
  EXPECT_TRUE(eventually([&] { return kinds("1-y") == waits; }));
  EXPECT_EQ(b.ask("POST /v1/workflows?wait_ms=30000", order("0-z")).body["state"], "completed");
  for (auto* n : {&a, &b}) {
    EXPECT_EQ(n->ask("POST /v1/workflows", order("1-w", "\"much\"")).status, 422) << "it is checked";
    EXPECT_EQ(n->ask("POST /v1/workflows", R"({"type":"none","id":"1-v"})").status, 404) << "nobody has that";
  }
  EXPECT_FALSE(b.journal->open_view()->find("1-w"));
}

TEST_F(mixed, no_start_is_written_that_a_living_node_does_not_read) {
  a.places.reads = 1;
  const auto r = a.ask("POST /v1/workflows", order("1-x"));
  EXPECT_EQ(r.status, 503);
  EXPECT_EQ(r.body["code"], "unavailable");
  EXPECT_THAT(r.body["detail"].get<std::string>(), HasSubstr("too old"));
  EXPECT_FALSE(b.journal->open_view()->find("1-x"));
  EXPECT_EQ(a.start("0-x"), 201) << "where the leader has the type nothing new is needed";
}

TEST_F(door, a_list_that_may_be_stale_says_how_old_it_is) {
  ASSERT_EQ(a.start("0-x"), 201);
  ASSERT_EQ(a.start("1-x"), 201);
  a.places.say(0, {});  // nobody leads it
  const auto r = a.ask("GET /v1/workflows?stale_ok=true");
  ASSERT_EQ(r.status, 200);
  EXPECT_EQ(r.body["missing_partitions"], json::array());
  EXPECT_EQ(r.body["workflows"].size(), 2U) << "its own view of one, and what the other's leader says";
  EXPECT_EQ(r.headers.at("Pawl-Stale-Ms"), "1234");
  EXPECT_EQ(a.ask("GET /v1/workflows").body["missing_partitions"], json::array({0}));
  EXPECT_FALSE(b.ask("GET /v1/workflows").headers.contains("Pawl-Stale-Ms"));
}

TEST_F(door, where_nobody_leads_the_answer_is_unavailable) {
  a.places.say(1, {});
  const auto r = a.ask("GET /v1/workflows/1-x");
  EXPECT_EQ(r.status, 503);
  EXPECT_EQ(r.body["code"], "unavailable");
  EXPECT_THAT(r.body["detail"].get<std::string>(), HasSubstr("no node leads partition 1"));
  EXPECT_TRUE(r.headers.contains("Retry-After"));
  EXPECT_EQ(a.start("1-x"), 503);
}

TEST_F(door, two_that_take_each_other_for_the_leader_do_not_go_round_in_circles) {
  b.system->leave(1);
  b.places.say(1, {.node = a.name(), .address = a.server->address()});
  const auto r = a.ask("GET /v1/workflows/1-x");
  EXPECT_EQ(r.status, 503);
  EXPECT_THAT(r.body["detail"].get<std::string>(), HasSubstr("it takes node node-0 for its leader"));
}

TEST_F(door, a_leader_that_was_deposed_does_not_get_through_the_barrier) {
  ASSERT_EQ(b.start("1-x"), 201);
  b.system->leave(1);  // its own book still says that it leads
  const auto r = a.ask("GET /v1/workflows/1-x");
  EXPECT_EQ(r.status, 503);
  EXPECT_THAT(r.body["detail"].get<std::string>(), HasSubstr("does not lead partition 1 any more"));
  const auto stale = b.ask("GET /v1/workflows/1-x?stale_ok=true");
  EXPECT_EQ(stale.status, 200);
  EXPECT_EQ(stale.headers.at("Pawl-Stale-Ms"), "1234");
  EXPECT_EQ(a.ask("GET /v1/workflows/1-x?stale_ok=true").status, 503) << "it holds no view of it";
}

TEST_F(door, a_leader_that_is_gone_is_told_from_one_that_may_have_done_it) {
  b.server.reset();
  EXPECT_EQ(a.ask("GET /v1/workflows/1-x").body["code"], "unavailable");
  EXPECT_EQ(a.ask("POST /v1/workflows/1-x/cancel").body["code"], "unavailable") << "nobody took it";
}

// Who waits for one that hangs is let go when another one leads, and at once when this node stops.
TEST_F(door, a_leader_that_hangs_holds_up_nobody_else) {
  silent_listener hangs;
  a.places.say(1, {.node = "hangs", .address = hangs.address()});
  std::vector<std::future<api_response>> waiting;
  for (int k = 0; k < 200; ++k)
    waiting.push_back(a.send(api_node::request("GET /v1/workflows/1-x/result?wait_ms=600000")));
  auto command = a.send(api_node::request("POST /v1/workflows/1-x/cancel", "", {{"idempotency-key", "c-1"}}));
  EXPECT_EQ(a.start("0-x"), 201);
  a.places.say(0, {.node = b.name(), .address = b.server->address()});
  EXPECT_EQ(a.ask("GET /v1/workflows/0-x").status, 503) << "asked of the other node, which answers at once";
  a.knows(b);
  for (auto& w : waiting) EXPECT_EQ(api_node::read(api_node::get(std::move(w))).body["code"], "unavailable");
  const auto unknown = api_node::read(api_node::get(std::move(command)));
  EXPECT_EQ(unknown.body["code"], "unknown");
  EXPECT_EQ(unknown.body["command_id"], "c-1");

  a.places.say(1, {.node = "hangs", .address = hangs.address()});
  auto last = a.send(api_node::request("GET /v1/workflows/1-x/result?wait_ms=600000"));
  const auto begun = std::chrono::steady_clock::now();
  a.front->stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(10));
  EXPECT_EQ(api_node::read(api_node::get(std::move(last))).status, 503);
  EXPECT_EQ(a.start("0-y"), 503);
}

TEST_F(door, a_list_puts_the_partitions_together_and_names_those_that_are_missing) {
  for (int k = 0; k < 4; ++k)
    for (const char* p : {"0-", "1-"}) ASSERT_EQ(a.start(p + std::to_string(k)), 201);
  std::string cursor;
  std::vector<std::string> ids;
  std::vector<std::string> times;
  for (int page = 0; page < 10; ++page) {
    const auto r = b.ask("GET /v1/workflows?limit=3" + (cursor.empty() ? "" : "&cursor=" + cursor));
    ASSERT_EQ(r.status, 200) << r.body;
    EXPECT_EQ(r.body["missing_partitions"], json::array());
    EXPECT_LE(r.body["workflows"].size(), 3U);
    for (const auto& w : r.body["workflows"]) {
      ids.push_back(w["id"]);
      times.push_back(w["started_at"]);
    }
    if (r.body["next"].is_null()) break;
    cursor = r.body["next"];
  }
  EXPECT_THAT(ids, ::testing::UnorderedElementsAre("0-0", "0-1", "0-2", "0-3", "1-0", "1-1", "1-2", "1-3"));
  EXPECT_TRUE(std::is_sorted(times.rbegin(), times.rend())) << "newest first";
  EXPECT_EQ(b.ask("GET /v1/workflows?prefix=1-").body["workflows"].size(), 4U);
  EXPECT_EQ(b.ask("GET /v1/workflows?state=nonsense").status, 400);
  EXPECT_EQ(b.ask("GET /v1/workflows?limit=0").status, 400);
  EXPECT_EQ(b.ask("GET /v1/workflows?cursor=7").status, 400);
  b.places.say(0, {});
  const auto half = b.ask("GET /v1/workflows");
  EXPECT_EQ(half.status, 200);
  EXPECT_EQ(half.body["workflows"].size(), 4U);
  EXPECT_EQ(half.body["missing_partitions"], json::array({0}));
}

TEST_F(door, says_what_it_knows_of_the_cluster) {
  EXPECT_EQ(a.ask("GET /v1/partitions").body["partitions"][1]["leader"], "node-1");
  EXPECT_EQ(a.ask("GET /v1/partitions").body["partitions"][0]["here"], true);
  const auto nodes = a.ask("GET /v1/nodes").body;
  EXPECT_EQ(nodes["nodes"][0]["health"], "ok");
  EXPECT_THAT(documented(nodes, "Nodes"), ::testing::IsEmpty()) << nodes;
  EXPECT_EQ(a.ask("DELETE /v1/nodes").status, 405);
}

TEST(door_token, is_shown_to_the_other_nodes) {
  const access_token token("0123456789abcdef-token");
  door_node a(0, token);
  door_node b(1, token);
  a.knows(b);
  EXPECT_EQ(a.start("1-x"), 201);
  door_node stranger(0, access_token("another-token-0123456789"));
  stranger.knows(b);
  EXPECT_EQ(stranger.ask("GET /v1/workflows/1-x").status, 401);
}

}  // namespace
}  // namespace pawl::node
