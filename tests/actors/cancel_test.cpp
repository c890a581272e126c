// Cancel, kill, and what is undone.
#include "tests/actors/node_laws.hpp"

namespace pawl::test {
namespace {

using namespace std::chrono_literals;

class cancelling : public ::testing::Test {
 protected:
  // a -> b -> c, each with an undo; `hold` waits where the test says.
  void chain(std::string hold_at, step_options held = {.timeout = 60s}) {
    workflow<int> g{"chain", {}};
    auto in = g.input();
    auto step = [l = log, b = hold, hold_at](step_context& c, const int& n) {
      l->enter(c);
      if (c.step() == hold_at) b(c);
      return n + 1;
    };
    auto undo = [l = log](step_context& c, const std::optional<int>& r) {
      l->enter(c);
      if (!r) EXPECT_TRUE(c.outcome_unknown());
    };
    auto a = g.step("a", step, hold_at == "a" ? held : step_options{}, in);
    auto b = g.step("b", step, hold_at == "b" ? held : step_options{}, a);
    auto c = g.step("c", step, hold_at == "c" ? held : step_options{}, b);
    g.undo(a, undo);
    g.undo(b, undo);
    g.undo(c, undo);
    g.returns(c);
    types.add(g);
  }
  void TearDown() override {
    if (!node) return;
    gate_->open();
    expect_idle(*node);
    expect_laws(node->store, types);
    EXPECT_TRUE(log->repeated().empty());
  }
  test_node& up() {
    node = std::make_unique<test_node>(types);
    return *node;
  }
  std::shared_ptr<call_log> log = std::make_shared<call_log>();
  std::shared_ptr<gate> gate_ = std::make_shared<gate>();
  std::function<void(step_context&)> hold = [g = gate_](step_context&) { g->pass(); };
  registry types;
  std::unique_ptr<test_node> node;
};

TEST_F(cancelling, tells_the_function_to_stop_and_undoes_newest_first) {
  hold = [](step_context& c) {
    while (!c.stop_token().stop_requested()) std::this_thread::sleep_for(1ms);
    throw std::runtime_error("stopped");
  };
  chain("c");
  auto s = up().start("chain", "w", 1);
  ASSERT_TRUE(log->reaches(3));
  const auto r = node->command("w", engine::cancel_command{"enough"});
  EXPECT_EQ(r.outcome.result, command_result::applied);
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::cancelled);
  EXPECT_EQ(log->order(), (std::vector<std::string>{"a", "b", "c", "b~", "a~"}));
}

TEST_F(cancelling, a_success_until_the_function_ends_is_a_completion_and_undone) {
  hold = [](step_context& c) {
    while (!c.stop_token().stop_requested()) std::this_thread::sleep_for(1ms);
  };
  chain("c");
  auto s = up().start("chain", "w", 1);
  ASSERT_TRUE(log->reaches(3));
  node->command("w", engine::cancel_command{"enough"});
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::cancelled);
  EXPECT_EQ(log->order(), (std::vector<std::string>{"a", "b", "c", "c~", "b~", "a~"}));
}

TEST_F(cancelling, a_function_that_hangs_delays_its_undo_until_it_returns) {
  chain("b", {.timeout = 300ms});
  auto s = up().start("chain", "w", 1);
  ASSERT_TRUE(gate_->holds(1));
  node->command("w", engine::cancel_command{"enough"});
  ASSERT_TRUE(eventually([&] { return node->count("w", "compensation_started") == 1; }));
  EXPECT_EQ(log->count("b~"), 0U) << "the undo waits for the function";
  gate_->open();
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::cancelled);
  EXPECT_EQ(log->order(), (std::vector<std::string>{"a", "b", "b~", "a~"}));
  for (const auto& e : node->history("w"))
    if (e.kind == engine::event_kind::attempt_started && e.undo) EXPECT_FALSE(e.begun->may_still_run);
}

TEST_F(cancelling, an_undo_waits_once_more_the_timeout_for_a_function_that_never_returns) {
  chain("b", {.timeout = 80ms});
  auto s = up().start("chain", "w", 1);
  ASSERT_TRUE(gate_->holds(1));
  node->command("w", engine::cancel_command{"enough"});
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::cancelled);
  const auto h = node->history("w");
  const auto timed_out =
      std::find_if(h.begin(), h.end(), [](const auto& e) { return e.kind == engine::event_kind::attempt_timed_out; });
  const auto undo = std::find_if(h.begin(), h.end(),
                                 [](const auto& e) { return e.kind == engine::event_kind::attempt_started && e.undo; });
  ASSERT_TRUE(timed_out != h.end() && undo != h.end());
  EXPECT_TRUE(undo->begun->may_still_run);
  EXPECT_GE(undo->at - timed_out->at, 80ms);
}

TEST_F(cancelling, a_kill_waits_for_nobody_and_leaves_nothing_behind) {
  chain("b");
  auto s = up().start("chain", "w", 1);
  ASSERT_TRUE(gate_->holds(1));
  const auto r = node->command("w", engine::kill_command{"now"});
  EXPECT_EQ(r.outcome.result, command_result::applied);
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::killed);
  EXPECT_TRUE(eventually([&] { return node->status().partition.live == 0; }));
  EXPECT_EQ(node->status().attempts, 1U);
  EXPECT_EQ(node->status().slots.taken, 1U);
  gate_->open();
  expect_empty(*node);
  EXPECT_EQ(log->order(), (std::vector<std::string>{"a", "b"}));
}

TEST_F(cancelling, a_killed_id_may_be_started_again_while_the_old_function_runs) {
  chain("b");
  auto first = up().start("chain", "w", 1);
  ASSERT_TRUE(gate_->holds(1));
  node->command("w", engine::kill_command{"now"});
  auto second = node->start("chain", "w", 10, {}, engine::closed_id_policy::allow);
  EXPECT_EQ(second.reply.run, 2U) << second.reply.message;
  ASSERT_TRUE(gate_->holds(2));
  gate_->open();
  EXPECT_EQ(node->get(std::move(first.result)).phase, phase::killed);
  const auto r = node->get(std::move(second.result));
  EXPECT_EQ(r.run, 2U);
  EXPECT_EQ(decode<int>(r.payload), 13);
}

TEST_F(cancelling, cancel_before_the_first_step_began) {
  chain("none");
  up();
  auto s = node->start("chain", "w", 1, {}, engine::closed_id_policy::reject,
                       std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now()) + 1h);
  EXPECT_EQ(node->command("w", engine::cancel_command{"enough"}).outcome.result, command_result::applied);
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::cancelled);
  EXPECT_EQ(log->total(), 0U);
}

TEST_F(cancelling, many_cancelled_at_any_moment_end) {
  chain("none");
  up();
  constexpr int runs = 300;
  std::vector<test_node::started> s;
  std::vector<std::future<actors::command_reply>> cancels;
  for (int i = 0; i < runs; ++i) {
    s.push_back(node->begin("chain", "w" + std::to_string(i), 1));
    cancels.push_back(node->send("w" + std::to_string(i / 2), engine::cancel_command{"enough"}));
  }
  for (auto& c : cancels) EXPECT_EQ(node->get(std::move(c)).state, reply_status::recorded);
  for (auto& x : s) {
    const auto p = node->get(std::move(x.result)).phase;
    EXPECT_TRUE(p == phase::completed || p == phase::cancelled) << to_text(p);
  }
  expect_empty(*node);
}

TEST_F(cancelling, parallel_steps_are_all_told_and_undone_in_reverse_order) {
  workflow<int> g{"fan", {}};
  auto in = g.input();
  std::vector<value<int>> parts;
  auto undo = [l = log](step_context& c, const std::optional<int>&) { l->enter(c); };
  for (const char* name : {"p", "q", "r", "s"}) {
    parts.push_back(g.step(
        name,
        [l = log](step_context& c, const int& n) {
          l->enter(c);
          while (!c.stop_token().stop_requested()) std::this_thread::sleep_for(1ms);
          return n;
        },
        {.timeout = 60s}, in));
    g.undo(parts.back(), undo);
  }
  types.add(g);
  auto s = up().start("fan", "w", 1);
  ASSERT_TRUE(log->reaches(4));
  node->command("w", engine::cancel_command{"enough"});
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::cancelled);
  std::vector<std::string> closed;
  std::vector<std::string> undone;
  for (const auto& e : node->history("w"))
    if (e.kind == engine::event_kind::attempt_completed) (e.undo ? undone : closed).push_back(e.name);
  std::reverse(closed.begin(), closed.end());
  EXPECT_EQ(closed.size(), 4U);
  EXPECT_EQ(undone, closed);
}

}  // namespace
}  // namespace pawl::test
