// Pause, resume, skip, delayed starts, deadlines of runs.
#include "tests/actors/node_laws.hpp"

namespace pawl::test {
namespace {

using namespace std::chrono_literals;

engine::time_point in(std::chrono::milliseconds d) {
  return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now()) + d;
}

class control : public ::testing::Test {
 protected:
  // a -> b; b fails as long as `broken`.
  void two_steps(step_options of_b) {
    workflow<int> g{"two", {}};
    auto i = g.input();
    auto a = g.step(
        "a",
        [l = log, gt = gate_](step_context& c, const int& n) {
          l->enter(c);
          if (n < 0) gt->pass();
          return n + 1;
        },
        {.timeout = 60s}, i);
    auto b = g.step(
        "b",
        [l = log, bad = broken](step_context& c, const int& n) {
          l->enter(c);
          if (*bad) throw std::runtime_error("broken");
          return n * 10;
        },
        of_b, a);
    g.undo(a,
           [l = log, bad = undo_broken](step_context& c, const std::optional<int>&) {
             l->enter(c);
             if (*bad) throw std::runtime_error("undo broken");
           },
           {.retry = {.max_attempts = 2, .first_delay = 1ms}});
    g.returns(b);
    types.add(g);
    node = std::make_unique<test_node>(types);
  }
  void TearDown() override {
    gate_->open();
    expect_idle(*node);
    expect_laws(node->store, types);
    EXPECT_TRUE(log->repeated().empty());
  }
  bool pauses(const std::string& id) {
    return eventually([&] { return node->describe(id).paused; });
  }
  std::shared_ptr<call_log> log = std::make_shared<call_log>();
  std::shared_ptr<gate> gate_ = std::make_shared<gate>();
  std::shared_ptr<std::atomic<bool>> broken = std::make_shared<std::atomic<bool>>(false);
  std::shared_ptr<std::atomic<bool>> undo_broken = std::make_shared<std::atomic<bool>>(false);
  registry types;
  std::unique_ptr<test_node> node;
};

constexpr retry_options twice{.max_attempts = 2, .first_delay = 1ms, .max_delay = 2ms};

TEST_F(control, a_paused_run_starts_nothing_until_it_is_resumed) {
  two_steps({});
  auto s = node->start("two", "w", -1);
  ASSERT_TRUE(gate_->holds(1));
  EXPECT_EQ(node->command("w", engine::pause_command{"wait"}).outcome.result, command_result::applied);
  EXPECT_EQ(node->command("w", engine::pause_command{"wait"}).outcome.result, command_result::conflict);
  gate_->open();
  ASSERT_TRUE(eventually([&] { return node->count("w", "attempt_completed") == 1; }));
  EXPECT_TRUE(node->describe("w").paused);
  EXPECT_EQ(log->count("b"), 0U);
  EXPECT_EQ(node->command("w", engine::resume_command{}).outcome.result, command_result::applied);
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::completed);
}

TEST_F(control, an_exhausted_step_pauses_and_is_tried_again_on_resume) {
  two_steps({.retry = twice, .exhausted = when_exhausted::pause});
  *broken = true;
  auto s = node->start("two", "w", 1);
  ASSERT_TRUE(pauses("w"));
  EXPECT_EQ(node->describe("w").pause_cause, "step_exhausted");
  EXPECT_EQ(log->count("b"), 2U);
  *broken = false;
  EXPECT_EQ(node->command("w", engine::resume_command{}).outcome.result, command_result::applied);
  EXPECT_EQ(decode<int>(node->get(std::move(s.result)).payload), 20);
}

TEST_F(control, an_exhausted_step_may_be_skipped_with_a_result) {
  two_steps({.retry = twice, .exhausted = when_exhausted::pause});
  *broken = true;
  auto s = node->start("two", "w", 1);
  ASSERT_TRUE(pauses("w"));
  EXPECT_EQ(node->command("w", engine::skip_command{.step = "a", .result = encode(1)}).outcome.result,
            command_result::conflict);
  EXPECT_EQ(node->command("w", engine::skip_command{.step = "nope", .result = encode(1)}).outcome.result,
            command_result::invalid);
  EXPECT_EQ(node->command("w", engine::skip_command{.step = "b", .result = encode(7)}).outcome.result,
            command_result::applied);
  EXPECT_EQ(decode<int>(node->get(std::move(s.result)).payload), 7);
}

TEST_F(control, an_exhausted_undo_pauses_and_goes_on) {
  two_steps({.retry = twice});
  *broken = *undo_broken = true;
  auto s = node->start("two", "w", 1);
  ASSERT_TRUE(pauses("w"));
  EXPECT_EQ(node->describe("w").pause_cause, "undo_exhausted");
  *undo_broken = false;
  node->command("w", engine::resume_command{});
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::failed);
  EXPECT_EQ(log->count("a~"), 3U);
}

TEST_F(control, a_delayed_start_begins_at_its_time) {
  two_steps({});
  auto s = node->start("two", "w", 1, {}, engine::closed_id_policy::reject, in(150ms));
  EXPECT_EQ(s.reply.outcome.result, command_result::applied);
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::completed);
  const auto h = node->history("w");
  EXPECT_GE(h[1].at - h[0].at, 100ms);
}

TEST_F(control, a_start_in_the_past_begins_at_once) {
  two_steps({});
  auto s = node->start("two", "w", 1, {}, engine::closed_id_policy::reject, in(-1h));
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::completed);
}

TEST_F(control, a_run_ends_at_its_deadline_and_is_undone) {
  two_steps({.retry = {.max_attempts = 1000, .first_delay = 5ms, .factor = 1, .max_delay = 5ms}});
  *broken = true;
  auto s = node->start("two", "w", 1, {}, engine::closed_id_policy::reject, {}, 150ms);
  const auto r = node->get(std::move(s.result));
  EXPECT_EQ(r.phase, phase::failed);
  ASSERT_TRUE(r.error);
  EXPECT_EQ(r.error->code, "deadline_exceeded");
  EXPECT_EQ(log->count("a~"), 1U);
}

TEST_F(control, the_deadline_of_a_run_passes_while_it_is_paused) {
  two_steps({});
  auto s = node->start("two", "w", -1, {}, engine::closed_id_policy::reject, {}, 200ms);
  ASSERT_TRUE(gate_->holds(1));
  EXPECT_EQ(node->command("w", engine::pause_command{"wait"}).outcome.result, command_result::applied);
  gate_->open();
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::failed);
}

TEST_F(control, the_deadline_of_a_run_stops_a_function_that_runs) {
  workflow<int> g{"listens", {.version = 1, .deadline = 100ms}};
  auto i = g.input();
  g.step(
      "a",
      [](step_context& c, const int&) {
        while (!c.stop_token().stop_requested()) std::this_thread::sleep_for(1ms);
      },
      {.timeout = 60s}, i);
  types.add(g);
  two_steps({});
  auto s = node->start("listens", "w", 1);
  const auto r = node->get(std::move(s.result));
  EXPECT_EQ(r.phase, phase::failed);
  EXPECT_EQ(r.error->code, "deadline_exceeded");
}

TEST_F(control, a_long_chain_of_waits_is_not_slower_than_its_delays) {
  two_steps({.retry = {.max_attempts = 60, .first_delay = 1ms, .factor = 1, .max_delay = 1ms}});
  *broken = true;
  const auto begun = std::chrono::steady_clock::now();
  auto s = node->start("two", "w", 1);
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::failed);
  EXPECT_EQ(log->count("b"), 60U);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 10s);
}

TEST_F(control, describe_tells_of_sleeping_and_running_runs) {
  two_steps({.retry = {.max_attempts = 5, .first_delay = 1h, .max_delay = 1h}});
  *broken = true;
  node->start("two", "w", 1);
  ASSERT_TRUE(eventually([&] {
    const auto d = node->describe("w");
    return d.found && d.steps.size() == 1 && d.steps[0].step == "b" && d.steps[0].next_retry;
  }));
  EXPECT_FALSE(node->describe("nobody").found);
  EXPECT_EQ(node->command("w", engine::kill_command{}).outcome.result, command_result::applied);
}

}  // namespace
}  // namespace pawl::test
