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
  EXPECT_EQ(node.kinds("w-1"), (std::vector<std::string>{"run_started", "attempt_started", "attempt_completed", "attempt_started",
                                                        "attempt_completed", "attempt_started", "attempt_completed", "run_completed"}));
  EXPECT_TRUE(node.store->violations.empty());
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
