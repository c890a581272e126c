#include <netinet/in.h>
#include <sys/stat.h>

#include <fstream>
#include <random>

#include "node/http_client.hpp"
#include "node/http_server.hpp"
#include "tests/node/api_fixture.hpp"
#include "tests/node/http_raw.hpp"

namespace pawl::node {
namespace {

using namespace std::chrono_literals;

struct http_node : api_node {
  explicit http_node(http_options o = {}, api_options a = {})
      : api_node({}, std::move(a)),
        server(std::make_unique<http_server>(*asked, o)) {
    socket = directory.path() + "/pawl.sock";
    EXPECT_EQ(server->listen_unix(socket), "");
  }
  ~http_node() {
    doors.open();
    asked->stop();
    server.reset();
  }
  /// Without an answer the test has failed.
  answer call(const std::string& line, std::string body = {}, std::map<std::string, std::string> headers = {}) {
    auto r = client().call(request(line, std::move(body), std::move(headers)), 60s);
    if (!r) {
      ADD_FAILURE() << line << ": " << r.error().message;
      return {0, {}, {}};
    }
    return read(r.value());
  }
  http_client& client() {
    if (!client_) client_.emplace(socket);
    return *client_;
  }
  void start_gated(const std::string& id) {
    ASSERT_EQ(call("POST /v1/workflows", R"({"type":"gated","input":1,"id":")" + id + "\"}").status, 201);
  }

  std::unique_ptr<http_server> server;
  std::string socket;

 private:
  std::optional<http_client> client_;
};

std::size_t threads() {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/task"), {}));
}

TEST(http_server, serves_the_api_over_one_connection) {
  http_node node;
  EXPECT_EQ(
      node.call("POST /v1/workflows?wait_ms=30000", R"({"type":"order","id":"ü/ 1","input":{"id":"x","total":2}})")
          .body["result"],
      "x 4EUR");
  EXPECT_EQ(node.call("GET /v1/workflows/" + percent_encode("ü/ 1")).body["state"], "completed");
  EXPECT_EQ(node.call("GET /v1/nothing").status, 404);
  auto wrong = node.call("DELETE /v1/status");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.headers.at("allow"), "GET");
  EXPECT_EQ(node.server->stats().connections, 1U);
  EXPECT_EQ(node.server->stats().requests, 4U);
}

TEST(http_server, only_its_user_may_open_the_socket_which_goes_with_it) {
  http_node node;
  struct stat s{};
  ASSERT_EQ(::lstat(node.socket.c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 0777U, 0600U);
  node.server->stop();
  EXPECT_FALSE(std::filesystem::exists(node.socket));
  const auto gone = node.client().call(api_node::request("GET /v1/status"), 5s);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().what, transport_error::kind::no_node);
}

TEST(http_server, replaces_a_dead_socket_but_nothing_else) {
  http_node node;
  const auto path = node.directory.path() + "/other.sock";
  {
    http_server dead(*node.asked);
    ASSERT_EQ(dead.listen_unix(path), "");
    std::filesystem::create_hard_link(path, path + ".kept");
  }
  std::filesystem::rename(path + ".kept", path);
  http_client client(path);
  EXPECT_FALSE(client.call(api_node::request("GET /v1/status"), 5s));
  http_server next(*node.asked);
  EXPECT_EQ(next.listen_unix(path), "");
  EXPECT_TRUE(client.call(api_node::request("GET /v1/status"), 30s));
  const auto file = node.directory.path() + "/file";
  std::ofstream(file) << "precious";
  http_server refused(*node.asked);
  EXPECT_NE(refused.listen_unix(file).find("is not a socket"), std::string::npos);
  EXPECT_EQ(std::filesystem::file_size(file), 8U);
  EXPECT_NE(refused.listen_unix(node.directory.path() + "/no/such/pawl.sock"), "");
}

TEST(http_server, the_path_of_the_socket_may_be_long) {
  http_node node;
  const auto deep = node.directory.path() + "/" + std::string(120, 'd') + "/" + std::string(120, 'e');
  std::filesystem::create_directories(deep);
  http_server server(*node.asked);
  ASSERT_EQ(server.listen_unix(deep + "/pawl.sock"), "");
  http_client client(deep + "/pawl.sock");
  const auto r = client.call(api_node::request("GET /v1/status"), 30s);
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r.value().status, 200);
  server.stop();
  EXPECT_FALSE(std::filesystem::exists(deep + "/pawl.sock"));
}

TEST(http_server, follows_a_history_to_its_end) {
  http_node node;
  node.start_gated("g");
  std::vector<json> events;
  const auto r =
      node.client().stream(api_node::request("GET /v1/workflows/g/history?follow=true"), [&](std::string_view line) {
        events.push_back(json::parse(line));
        if (events.back()["kind"] == "attempt_started") node.doors.open();
        return true;
      });
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r.value().status, 200);
  EXPECT_EQ(r.value().content_type, "application/x-ndjson");
  ASSERT_GE(events.size(), 4U);
  EXPECT_EQ(events.front()["kind"], "run_started");
  EXPECT_EQ(events.back()["kind"], "run_completed");
  for (std::size_t i = 0; i < events.size(); ++i) EXPECT_EQ(events[i]["seq"], i + 1);
  const auto from = std::to_string(events.size());
  std::size_t lines = 0;
  EXPECT_TRUE(node.client().stream(api_node::request("GET /v1/workflows/g/history?follow=true&from=" + from),
                                   [&](std::string_view) { return ++lines, true; }));
  EXPECT_EQ(lines, 1U);
  const auto none = node.client().stream(api_node::request("GET /v1/workflows/x/history?follow=true"),
                                         [](std::string_view) { return true; });
  EXPECT_EQ(none.value().status, 404);
  EXPECT_EQ(node.call("GET /v1/workflows/g").status, 200);  // the connection is as good as before
}

TEST(http_server, a_client_that_stops_following_is_noticed) {
  http_node node;
  node.start_gated("g");
  http_client other(node.socket);
  const auto r = other.stream(api_node::request("GET /v1/workflows/g/history?follow=true"),
                              [&](std::string_view) { return false; });
  EXPECT_TRUE(r);
  bool stop = false;
  (void)other.stream(
      api_node::request("GET /v1/workflows/g/history?follow=true"), [&](std::string_view) { return stop = true; },
      [&] { return stop; });
  EXPECT_TRUE(eventually([&] { return node.call("GET /v1/status").body["node"]["followers"] == 0; }));
}

TEST(http_server, what_is_not_http_is_refused) {
  http_node node;
  for (const std::string_view bytes :
       {"hello\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n", "POST /v1/workflows HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    raw_client c(node.socket);
    ASSERT_TRUE(c.send(bytes));
    c.end_of_sending();
    const auto answer = c.read_to_the_end();
    EXPECT_TRUE(status_of(answer) == 400 || answer.empty()) << bytes << answer;
    EXPECT_TRUE(c.closed);
  }
  EXPECT_EQ(node.call("GET /v1/types").status, 200);
}

TEST(http_server, random_bytes_do_not_hurt_it) {
  http_node node({.header_timeout = 200ms, .body_timeout = 200ms});
  std::random_device device;
  const auto seed = device();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const std::string good =
      "POST /v1/workflows?wait_ms=10 HTTP/1.1\r\nHost: n\r\nContent-Length: "
      "46\r\n\r\n{\"type\":\"order\",\"input\":{\"id\":\"x\",\"total\":2}}\n\n";
  std::size_t answered = 0;
  for (int i = 0; i < 300; ++i) {
    auto bytes = good;
    for (auto n = random() % 4 + 1; n > 0; --n) bytes[random() % bytes.size()] = static_cast<char>(random());
    if (random() % 3 == 0) bytes.resize(random() % bytes.size());
    raw_client c(node.socket);
    c.send(bytes);
    c.end_of_sending();
    answered += status_of(c.read_to_the_end()) != 0 ? 1 : 0;
  }
  EXPECT_GT(answered, 100U);
  EXPECT_EQ(node.call("GET /v1/types").status, 200);
}

TEST(http_server, bodies_and_headers_over_the_limit_are_told_so) {
  http_node node({.max_body = 100'000});
  raw_client whole(node.socket);
  // The client goes on sending; the answer reaches it nevertheless.
  std::thread sender([&] {
    whole.send("POST /v1/workflows HTTP/1.1\r\nContent-Length: 10000000\r\n\r\n");
    const std::string part(100'000, 'x');
    for (int i = 0; i < 100 && whole.send(part); ++i) {
    }
  });
  const auto answer = whole.read_answer();
  sender.join();
  EXPECT_EQ(status_of(answer), 413) << answer;
  EXPECT_NE(answer.find("limits.payload"), std::string::npos);

  raw_client chunks(node.socket);
  chunks.send("POST /v1/workflows HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
  const auto chunk = "c350\r\n" + std::string(50'000, ' ') + "\r\n";
  for (int i = 0; i < 3; ++i) chunks.send(chunk);
  EXPECT_EQ(status_of(chunks.read_answer()), 413);

  raw_client header(node.socket);
  header.send("GET /v1/status HTTP/1.1\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n");
  EXPECT_EQ(status_of(header.read_answer()), 431);

  auto large = node.call("POST /v1/workflows",
                         R"({"type":"order","input":{"id":")" + std::string(90'000, 'x') + R"(","total":1}})");
  EXPECT_EQ(large.status, 201) << large.body;
}

TEST(http_server, an_input_of_ten_megabytes_is_too_large) {
  http_node node;
  auto r = node.call("POST /v1/workflows",
                     R"({"type":"order","input":{"id":")" + std::string(10'000'000, 'x') + R"(","total":1}})");
  EXPECT_EQ(r.status, 413);
  EXPECT_EQ(r.body["code"], "too_large");
}

TEST(http_server, speaks_http_as_clients_do) {
  http_node node;
  raw_client c(node.socket);
  c.send("GET /v1/types HTTP/1.1\r\nHost: n\r\n\r\nGET http://n/v1/config HTTP/1.1\r\nHost: n\r\n\r\n");
  EXPECT_EQ(status_of(c.read_answer()), 200);
  EXPECT_NE(c.read_answer().find("\"settings\""), std::string::npos);
  c.send("POST /v1/workflows HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(c.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  c.send("{}");
  EXPECT_EQ(status_of(c.read_answer()), 422);
  c.send("HEAD /v1/types HTTP/1.1\r\n\r\n");
  EXPECT_EQ(status_of(c.read_until("\r\n\r\n")), 405);  // and no body, so that what follows is the next answer
  c.send("GET /v1/types HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(status_of(c.read_to_the_end()), 200);
  raw_client old(node.socket);
  old.send("GET /v1/types HTTP/1.0\r\n\r\n");
  EXPECT_EQ(status_of(old.read_to_the_end()), 200);
  node.start_gated("g");
  node.doors.open();
  raw_client stream(node.socket);
  stream.send("GET /v1/workflows/g/history?follow=true HTTP/1.0\r\n\r\n");
  const auto text = stream.read_to_the_end();
  EXPECT_NE(text.find("\n{\"seq\":1,"), std::string::npos) << text;
  EXPECT_NE(text.find("run_completed"), std::string::npos);
}

TEST(http_server, slow_clients_are_dropped) {
  http_node node({.header_timeout = 100ms, .body_timeout = 100ms, .idle_timeout = 100ms});
  raw_client silent(node.socket);
  EXPECT_EQ(silent.read_to_the_end(), "");
  raw_client header(node.socket);
  header.send("GET /v1/status HT");
  EXPECT_EQ(header.read_to_the_end(), "");
  raw_client body(node.socket);
  body.send("POST /v1/workflows HTTP/1.1\r\nContent-Length: 10\r\n\r\n{");
  EXPECT_EQ(body.read_to_the_end(), "");
  EXPECT_TRUE(eventually([&] { return node.server->stats().connections == 0; }));
  EXPECT_EQ(node.server->stats().dropped_slow, 2U);
}

TEST(http_server, a_reader_that_takes_nothing_is_dropped_and_costs_little) {
  http_node node({.stream_buffer = 64 * 1024, .write_timeout = 300ms});
  auto big = node.call("POST /v1/workflows?wait_ms=30000", R"({"type":"order","id":"big","input":{"id":")" +
                                                               std::string(900'000, 'x') + R"(","total":1}})");
  ASSERT_EQ(big.body["state"], "completed");
  raw_client reader(node.socket);
  reader.send("GET /v1/workflows/big/history?follow=true HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(eventually([&] { return node.server->stats().dropped_slow == 1; }));
  EXPECT_TRUE(eventually([&] { return node.call("GET /v1/status").body["node"]["followers"] == 0; }));
}

TEST(http_server, connections_over_the_limit_are_refused_with_an_answer) {
  http_node node({.max_connections = 5});
  std::vector<std::unique_ptr<raw_client>> clients;
  for (int i = 0; i < 5; ++i) {
    clients.push_back(std::make_unique<raw_client>(node.socket));
    clients.back()->send("GET /v1/types HTTP/1.1\r\n\r\n");
    EXPECT_EQ(status_of(clients.back()->read_answer()), 200);
  }
  raw_client sixth(node.socket);
  sixth.send("GET /v1/types HTTP/1.1\r\n\r\n");
  const auto answer = sixth.read_answer();
  EXPECT_EQ(status_of(answer), 503) << answer;
  EXPECT_NE(answer.find("Retry-After: 1"), std::string::npos);
  EXPECT_EQ(node.server->stats().refused_connections, 1U);
  clients.clear();
  EXPECT_TRUE(eventually([&] { return node.server->stats().connections <= 1; }));
  EXPECT_EQ(node.call("GET /v1/types").status, 200);
}

TEST(http_server, a_client_that_leaves_while_it_waits_gives_its_place_back) {
  http_node node;
  node.start_gated("g");
  {
    raw_client c(node.socket);
    c.send("GET /v1/workflows/g/result?wait_ms=60000 HTTP/1.1\r\n\r\n");
    ASSERT_TRUE(eventually([&] { return node.server->stats().waiting == 1; }));
  }
  EXPECT_TRUE(eventually([&] { return node.server->stats().waiting == 0; }));
  raw_client half(node.socket);
  half.send("GET /v1/workflows/g/result?wait_ms=60000 HTTP/1.1\r\n\r\n");
  half.end_of_sending();
  ASSERT_TRUE(eventually([&] { return node.server->stats().waiting == 1; }));
  node.doors.open();
  EXPECT_EQ(status_of(half.read_answer()), 200);
}

TEST(http_server, stopping_answers_those_who_wait) {
  http_node node;
  node.start_gated("g");
  raw_client waits(node.socket);
  waits.send("GET /v1/workflows/g/result?wait_ms=60000 HTTP/1.1\r\n\r\n");
  raw_client follows(node.socket);
  follows.send("GET /v1/workflows/g/history?follow=true HTTP/1.1\r\n\r\n");
  follows.read_until("run_started");
  raw_client idle(node.socket);
  ASSERT_TRUE(eventually([&] { return node.server->stats().waiting == 2; }));
  node.asked->stop();
  node.server->stop(10s);
  EXPECT_EQ(status_of(waits.read_to_the_end()), 503);
  const auto stream = follows.read_to_the_end();
  EXPECT_TRUE(stream.ends_with("0\r\n\r\n")) << stream;
  EXPECT_EQ(idle.read_to_the_end(), "");
}

TEST(http_server, waits_end_in_time_and_the_node_is_asked_once) {
  http_node node;
  node.start_gated("g");
  for (int i = 0; i < 20; ++i) EXPECT_EQ(node.call("GET /v1/workflows/g/result?wait_ms=10").status, 202);
  auto status = node.call("GET /v1/status");
  EXPECT_EQ(status.body["partition"]["waiters"], 1) << status.body;
  EXPECT_EQ(status.body["node"]["waiting_requests"], 0);
}

TEST(http_server, loopback_only_and_no_foreign_pages) {
  http_node node;
  ASSERT_EQ(node.server->listen_tcp("127.0.0.1:0"), "");
  ASSERT_NE(node.server->port(), 0);
  for (const char* wrong :
       {"0.0.0.0:80", "[::]:80", "192.168.1.1:80", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "name:80", ""})
    EXPECT_NE(node.server->listen_tcp(wrong), "") << wrong;
  const auto ask = [&](const std::string& headers) {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(node.server->port());
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    const auto text = "GET /v1/types HTTP/1.1\r\nConnection: close\r\n" + headers + "\r\n";
    EXPECT_EQ(::send(fd, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
    std::string got;
    char bytes[4096];
    for (ssize_t n = 0; (n = ::recv(fd, bytes, sizeof bytes, 0)) > 0;) got.append(bytes, static_cast<std::size_t>(n));
    ::close(fd);
    return status_of(got);
  };
  const auto port = std::to_string(node.server->port());
  EXPECT_EQ(ask("Host: localhost:" + port + "\r\n"), 200);
  EXPECT_EQ(ask("Host: 127.0.0.1:" + port + "\r\nOrigin: http://127.0.0.1:" + port + "\r\n"), 200);
  EXPECT_EQ(ask("Host: evil.example:" + port + "\r\n"), 403);
  EXPECT_EQ(ask("Host: 127.0.0.1:" + port + "\r\nOrigin: http://evil.example\r\n"), 403);
}

TEST(http_server, over_tcp_the_token_is_asked_for) {
  const std::string secret = "0123456789abcdef0123456789abcdef";
  http_node node({.token = access_token(secret)});
  ASSERT_EQ(node.server->listen_tcp("0.0.0.0:0"), "");  // with a token others may reach it
  const auto address = "127.0.0.1:" + std::to_string(node.server->port());
  EXPECT_EQ(node.server->address(), "0.0.0.0:" + std::to_string(node.server->port()));
  const auto ask = [&](access_token shown) {
    http_client client(remote_node{address, std::move(shown)});
    const auto r = client.call(api_node::request("GET /v1/types"), 60s);
    return r ? r.value() : api_response{.status = 0, .body = r.error().message};
  };
  EXPECT_EQ(ask(access_token(secret)).status, 200);
  for (const auto& wrong : {std::string(), secret.substr(1), secret + "0", "1" + secret.substr(1), std::string("x")}) {
    const auto refused = ask(access_token(wrong));
    EXPECT_EQ(refused.status, 401) << wrong;
    EXPECT_EQ(refused.content_type, "application/problem+json");
    EXPECT_EQ(refused.headers.at("www-authenticate"), "Bearer");
    EXPECT_EQ(refused.body.find(secret.substr(4, 8)), std::string::npos);
  }
  EXPECT_EQ(node.call("GET /v1/types").status, 200);  // on the Unix socket nobody asks
  const access_token token(secret);
  EXPECT_TRUE(token.shown_by("bearer " + secret));
  for (const std::string& wrong :
       std::vector<std::string>{secret, "Basic " + secret, "Bearer", "Bearer  " + secret, "Bearer " + secret + " "})
    EXPECT_FALSE(token.shown_by(wrong)) << wrong;
  EXPECT_FALSE(access_token().shown_by("Bearer "));
}

// 10,000 clients in another process (this one may not have files enough for both ends), each waiting for the same run.
TEST(http_waiting, ten_thousand_requests_cost_no_threads) {
  constexpr std::size_t clients = 10'000;
  http_node node({.max_connections = clients + 100});
  node.start_gated("g");
  EXPECT_EQ(node.call("GET /v1/workflows/g/result?wait_ms=1").status, 202);  // all threads are there now
  const auto before = threads();
  const char* source = std::getenv("PAWL_SOURCE");
  const auto script = (source != nullptr ? std::string(source) : ".") + "/tests/node/waiting_clients.py";
  std::future<std::string> done = std::async(std::launch::async, [&] {
    std::string out;
    FILE* p = ::popen(("python3 " + script + " " + node.socket + " " + std::to_string(clients)).c_str(), "r");
    char bytes[4096];
    for (std::size_t n = 0; (n = std::fread(bytes, 1, sizeof bytes, p)) > 0;) out.append(bytes, n);
    return out + "exit " + std::to_string(::pclose(p));
  });
  const bool all = eventually(
      [&] { return node.server->stats().waiting == clients || done.wait_for(0s) == std::future_status::ready; }, 120s);
  EXPECT_TRUE(all);
  EXPECT_EQ(node.server->stats().waiting, clients);
  EXPECT_LE(threads(), before + 1);  // the one that waits for python
  EXPECT_EQ(node.call("GET /v1/status").body["partition"]["waiters"], 1);
  node.doors.open();
  EXPECT_EQ(done.get(), std::to_string(clients) + " answers\nexit 0");
}

}  // namespace
}  // namespace pawl::node
