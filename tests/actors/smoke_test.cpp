#include "tests/actors/node_fixture.hpp"

namespace pawl::test {
namespace {

using namespace std::chrono_literals;

TEST(node, runs_three_steps_to_the_end) {
  workflow<int> g{"three", {}};
  auto in = g.input();
  auto a = g.step("a", [](step_context&, const int& n) { return n + 1; }, {}, in);
  auto b = g.step("b", [](step_context&, const int& n) { return n * 2; }, {}, a);
  auto c = g.step("c", [](step_context&, const int& n, const int& m) { return n + m; }, {}, a, b);
  g.returns(c);
  registry types;
  types.add(g);
  test_node node(types);
  auto s = node.start("three", "w-1", 20);
  ASSERT_EQ(s.reply.state, actors::command_reply::status::recorded) << s.reply.message;
  EXPECT_EQ(s.reply.outcome.result, engine::command_result::applied);
  const auto r = node.get(std::move(s.result));
  EXPECT_EQ(r.phase, engine::phase::completed);
  EXPECT_EQ(decode<int>(r.payload), 63);
  EXPECT_EQ(node.kinds("w-1"),
            (std::vector<std::string>{"run_started", "attempt_started", "attempt_completed", "attempt_started",
                                      "attempt_completed", "attempt_started", "attempt_completed", "run_completed"}));
  EXPECT_TRUE(node.store->violations.empty());
}

// The disk is slower than the delay: the next attempt is due before the failure of the last one is durable, so no timer
// is set for it.
TEST(node, goes_on_when_a_retry_becomes_due_during_a_commit) {
  workflow<int> g{"flaky", {}};
  auto in = g.input();
  g.returns(g.step(
      "fail",
      [](step_context& ctx, const int& n) {
        if (ctx.attempt() <= 5) throw std::runtime_error("not yet");
        return n;
      },
      {.retry = {.max_attempts = 10, .first_delay = 4ms, .factor = 1.0, .max_delay = 4ms}}, in));
  registry types;
  types.add(g);
  auto slow = std::make_shared<memory_store>();
  slow->append_takes = 10ms;
  test_node node(types, slow);
  auto s = node.start("flaky", "w-1", 1);
  EXPECT_EQ(node.get(std::move(s.result)).phase, engine::phase::completed);
}

TEST(node, starts_a_delayed_run_whose_time_comes_during_its_commit) {
  workflow<int> g{"plain", {}};
  auto in = g.input();
  g.returns(g.step("a", [](step_context&, const int& n) { return n; }, {}, in));
  registry types;
  types.add(g);
  auto slow = std::make_shared<memory_store>();
  slow->append_takes = 20ms;
  test_node node(types, slow);
  const auto soon = std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now() + 10ms);
  auto s = node.start("plain", "w-1", 1, {}, engine::closed_id_policy::reject, soon);
  EXPECT_EQ(node.get(std::move(s.result)).phase, engine::phase::completed);
}

TEST(node, may_be_ended_by_another_thread_than_began_it) {
  registry types;
  auto node = std::make_unique<test_node>(types);
  std::promise<void> gone;
  std::thread([&] {
    node->system.reset();
    gone.set_value();
  }).detach();
  // Not joined: a destructor that never ends must fail the test, not hang it.
  ASSERT_EQ(gone.get_future().wait_for(patience), std::future_status::ready);
}

}  // namespace
}  // namespace pawl::test
