// Histories that are followed through another node than the one that leads.
#include <gmock/gmock.h>

#include "tests/node/door_fixture.hpp"

namespace pawl::node {
namespace {

using ::testing::HasSubstr;

TEST_F(door, a_history_is_followed_on_another_node) {
  ASSERT_EQ(a.ask("POST /v1/workflows", R"({"type":"gated","id":"1-g","input":4})").status, 201);
  const auto r = api_node::get(a.send(api_node::request("GET /v1/workflows/1-g/history?follow=true")));
  ASSERT_TRUE(r.stream);
  std::mutex mutex;
  std::string lines;
  std::promise<void> ended;
  r.stream(
      [&](std::string_view line) {
        const std::lock_guard lock(mutex);
        if (!line.empty()) lines += std::string(line) + "\n";
        return line_answer::more;
      },
      [&] { ended.set_value(); });
  EXPECT_TRUE(eventually([&] {
    const std::lock_guard lock(mutex);
    return lines.find("attempt_started") != std::string::npos;
  }));
  b.doors.open();
  ASSERT_EQ(ended.get_future().wait_for(patience), std::future_status::ready);
  EXPECT_THAT(lines, HasSubstr("run_completed"));
  EXPECT_EQ(a.ask("GET /v1/workflows/1-nobody/history?follow=true").status, 404);
}

/// A history that is followed until it ends, with all of its lines.
struct followed {
  explicit followed(const api_response& r) {
    EXPECT_TRUE(r.stream) << r.body;
    if (!r.stream) {
      ended.set_value();
      return;
    }
    r.stream(
        [this](std::string_view line) {
          const std::lock_guard lock(mutex);
          if (!line.empty()) lines.push_back(json::parse(line));
          return line_answer::more;
        },
        [this] { ended.set_value(); });
  }
  std::size_t count() {
    const std::lock_guard lock(mutex);
    return lines.size();
  }
  json last() {
    EXPECT_EQ(ended.get_future().wait_for(patience), std::future_status::ready);
    const std::lock_guard lock(mutex);
    return lines.empty() ? json() : lines.back();
  }
  std::mutex mutex;
  std::vector<json> lines;
  std::promise<void> ended;
};

TEST_F(door, a_followed_history_ends_with_a_last_line_when_its_leader_is_deposed) {
  ASSERT_EQ(a.ask("POST /v1/workflows", R"({"type":"gated","id":"1-g","input":4})").status, 201);
  const auto follow = [](door_node& n) {
    return api_node::get(n.send(api_node::request("GET /v1/workflows/1-g/history?follow=true")));
  };
  followed of_leader(follow(b));
  followed passed_on(follow(a));
  followed own_view(
      api_node::get(b.send(api_node::request("GET /v1/workflows/1-g/history?follow=true&stale_ok=true"))));
  ASSERT_TRUE(eventually([&] { return of_leader.count() >= 2 && passed_on.count() >= 2 && own_view.count() >= 2; }));
  b.places.say(1, {.node = "another"});
  for (auto* f : {&of_leader, &passed_on}) {
    const auto last = f->last();
    EXPECT_EQ(last["code"], "not_leader") << last;
    EXPECT_EQ(last["status"], 503);
    EXPECT_FALSE(last.contains("seq"));
  }
  // Who takes what this node knows by itself follows on.
  b.doors.open();
  EXPECT_EQ(own_view.last()["kind"], "run_completed");
}

TEST_F(door, a_followed_history_ends_with_a_last_line_when_its_leader_does_not_answer) {
  ASSERT_EQ(a.ask("POST /v1/workflows", R"({"type":"gated","id":"1-g","input":4})").status, 201);
  followed f(api_node::get(a.send(api_node::request("GET /v1/workflows/1-g/history?follow=true"))));
  ASSERT_TRUE(eventually([&] { return f.count() >= 2; }));
  b.asked->stop();
  b.front->stop();
  b.server.reset();
  EXPECT_EQ(f.last()["code"], "not_leader");
}

}  // namespace
}  // namespace pawl::node
