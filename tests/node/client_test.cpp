// pawl/client.hpp against a node on a socket and over TCP.
#include <pawl/client.hpp>

#include "node/http_server.hpp"
#include "tests/node/api_fixture.hpp"

namespace pawl::node {
namespace {

using namespace std::chrono_literals;

#if defined(__clang__)
task<std::string> asks(workflow_context& wf) {
  auto said = co_await wf.signal<api_order>("answer");
  co_return said.id + " " + said.currency;
}
#endif

struct served : api_node {
  served() : server(std::make_unique<http_server>(*asked)) {
#if defined(__clang__)
    types.add("asks", {}, asks);
#endif
    EXPECT_EQ(server->listen_unix(directory.path() + "/pawl.sock"), "");
    EXPECT_EQ(server->listen_tcp("127.0.0.1:0"), "");
  }
  ~served() {
    doors.open();
    asked->stop();
    server.reset();
  }
  client connect() { return client::on(directory.path()); }

  std::unique_ptr<http_server> server;
};

// What a call throws, as "status code".
template <class F>
std::string refusal(F call) {
  try {
    call();
  } catch (const client_error& e) {
    return std::to_string(e.status()) + " " + e.code();
  } catch (const run_failed& e) {
    return e.state() + " " + e.code() + " " + e.what();
  }
  return "nothing";
}

TEST(client, starts_and_waits_for_a_result) {
  served node;
  for (auto c : {1, 2}) {
    auto it = c == 1 ? node.connect() : client::at(node.server->address());
    const auto id = "o-" + std::to_string(c);
    const auto begun = it.start("order", id, api_order{.id = "x", .total = 2, .currency = "CHF"});
    EXPECT_TRUE(begun.began_now);
    EXPECT_EQ(begun.run, 1U);
    EXPECT_FALSE(begun.run_uid.empty());
    EXPECT_EQ(it.result<std::string>(id, 30s), "x 4CHF");
    EXPECT_EQ(it.result<std::string>(id), "x 4CHF") << "and it is still there";
  }
}

TEST(client, a_command_id_is_done_once) {
  served node;
  auto it = node.connect();
  EXPECT_TRUE(it.start("gated", "g", 1, {.command_id = "once"}).began_now);
  EXPECT_FALSE(it.start("gated", "g", 1, {.command_id = "once"}).began_now);
  EXPECT_EQ(refusal([&] { it.start("gated", "g", 1); }), "409 conflict");
  EXPECT_EQ(refusal([&] { it.result<int>("g", 20ms); }), "202 not_yet");
  node.doors.open();
  EXPECT_EQ(it.result<int>("g", 30s), 2);
  EXPECT_EQ(it.start("gated", "g", 4, {.again_if_closed = true}).run, 2U);
  EXPECT_EQ(it.result<int>("g", 30s), 5);
}

TEST(client, what_is_refused_says_why) {
  served node;
  auto it = node.connect();
  EXPECT_EQ(refusal([&] { it.start("ordr", "x", 1); }), "404 no_such_type");
  EXPECT_EQ(refusal([&] { it.start("order", "x", 1); }), "422 invalid");
  EXPECT_EQ(refusal([&] { it.result<int>("nobody"); }), "404 not_found");
  EXPECT_EQ(refusal([&] { it.signal("nobody", "hello", 1); }), "404 not_found");
  it.start("failing", "f");
  EXPECT_EQ(refusal([&] { it.result<int>("f", 30s); }), "failed declined workflow 'f' failed: no card");
  it.start("gated", "g", 1);
  it.cancel("g", "enough");
  EXPECT_EQ(refusal([&] { it.result<int>("g", 30s); }), "cancelled cancelled workflow 'g' was cancelled: enough");
  it.start("order", "o", api_order{.id = "x", .total = 2, .currency = "CHF"});
  EXPECT_EQ(refusal([&] { it.result<int>("o", 30s); }), "200 other_type");
}

TEST(client, without_a_node_nobody_knows_whether_it_is_done) {
  temporary_directory empty;
  auto it = client::on(empty.path());
  try {
    it.start("order", "x", 1);
    ADD_FAILURE() << "nobody is there";
  } catch (const client_error& e) {
    EXPECT_EQ(e.status(), 0);
    EXPECT_EQ(e.code(), "no_answer");
    EXPECT_EQ(e.command_id().size(), 32U) << "under which it may be sent again";
  }
}

#if defined(__clang__)
TEST(client, signals_code) {
  served node;
  auto it = node.connect();
  it.start("asks", "a");
  EXPECT_EQ(refusal([&] { it.signal("a", "answer", 5); }), "422 invalid");
  it.signal("a", "answer", api_order{.id = "me", .total = 1, .currency = "EUR"}, "c-1");
  EXPECT_EQ(it.result<std::string>("a", 30s), "me EUR");
  it.signal("a", "answer", api_order{.id = "me", .total = 1, .currency = "EUR"}, "c-1");
  EXPECT_EQ(refusal([&] { it.signal("a", "answer", 5, "c-2"); }), "409 conflict");
}
#endif

}  // namespace
}  // namespace pawl::node
