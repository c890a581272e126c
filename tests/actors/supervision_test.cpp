// Actors of runs that die, and neighbours that do not notice.
#include "tests/actors/node_laws.hpp"

namespace pawl::test {
namespace {

using namespace std::chrono_literals;

class supervision : public ::testing::Test {
 protected:
  supervision() {
    workflow<int> g{"w", {}};
    auto a = g.step(
        "a",
        [l = log, gt = gate_](step_context& c, const int& n) {
          l->enter(c);
          gt->pass();
          return n;
        },
        {.timeout = 60s}, g.input());
    g.returns(g.step(
        "b",
        [l = log](step_context& c, const int& n) {
          l->enter(c);
          return n + 1;
        },
        {}, a));
    types.add(g);
    // Reading the history of `poisoned` throws as often as `times` says.
    store->on_history = [this](engine::run_key key) {
      if (key != poisoned || times <= 0) return;
      --times;
      ++thrown;
      if (as_view_error) throw store::view_error("cannot read");
      throw std::runtime_error("poison");
    };
    options.partition.idle = 10ms;
    options.partition.live = 50;
  }
  void up() { node = std::make_unique<test_node>(types, store, options); }
  void TearDown() override {
    gate_->open();
    node.reset();
  }
  engine::run_key key_of(const std::string& id) { return memory_view(store).find(id)->key; }
  bool paused(const std::string& id) { return memory_view(store).find(id)->summary.paused; }
  // "x" and its neighbours sleep on disk; the history of x is poisoned.
  void poison(int n) {
    up();
    gate_->open();
    const auto at = std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now()) + 1h;
    node->start("w", "x", 1, {}, engine::closed_id_policy::reject, at);
    for (int i = 0; i < 10; ++i) node->start("w", "n" + std::to_string(i), 1);
    for (int i = 0; i < 10; ++i) EXPECT_EQ(node->result("n" + std::to_string(i)).phase, phase::completed);
    EXPECT_TRUE(eventually([&] { return node->status().partition.live == 0; }));
    poisoned = key_of("x");
    times = n;
  }
  std::shared_ptr<call_log> log = std::make_shared<call_log>();
  std::shared_ptr<gate> gate_ = std::make_shared<gate>();
  std::shared_ptr<memory_store> store = std::make_shared<memory_store>();
  std::atomic<engine::run_key> poisoned{-1};
  std::atomic<int> times{0};
  std::atomic<int> thrown{0};
  std::atomic<bool> as_view_error{false};
  registry types;
  actors::node_options options;
  std::unique_ptr<test_node> node;
};

TEST_F(supervision, an_actor_that_dies_is_restarted) {
  poison(2);
  EXPECT_EQ(node->command("x", engine::cancel_command{}, "c").state, reply_status::unknown);
  EXPECT_TRUE(
      eventually([&] { return node->command("x", engine::cancel_command{}, "c").state == reply_status::recorded; }));
  EXPECT_EQ(node->result("x").phase, phase::cancelled);
  EXPECT_EQ(thrown, 2);
  EXPECT_EQ(node->status().partition.restarts, 2U);
  expect_empty(*node);
  expect_laws(store, types);
}

TEST_F(supervision, who_dies_too_often_is_paused_and_its_neighbours_go_on) {
  poison(1'000'000);
  auto waiter = node->await("x");
  EXPECT_EQ(node->command("x", engine::pause_command{}).state, reply_status::unknown);
  for (int i = 0; i < 20; ++i) {
    auto s = node->start("w", "m" + std::to_string(i), i);
    EXPECT_EQ(decode<int>(node->get(std::move(s.result)).payload), i + 1);
  }
  EXPECT_TRUE(eventually([&] { return paused("x"); }));
  EXPECT_GE(node->status().partition.restarts, 4U);
  // Where it has left memory since, it is loaded again, and dies as often once more before it is paused.
  actors::command_reply r;
  EXPECT_TRUE(eventually([&] {
    r = node->command("x", engine::resume_command{});
    return r.state == reply_status::invalid;
  })) << r.message;
  EXPECT_NE(r.message.find("poison"), std::string::npos) << r.message;
  times = 0;
  EXPECT_TRUE(eventually([&] { return node->status().partition.live == 0; }));
  EXPECT_EQ(node->command("x", engine::resume_command{}).outcome.result, command_result::applied)
      << "it can be followed again";
  EXPECT_EQ(node->command("x", engine::cancel_command{}).outcome.result, command_result::applied);
  EXPECT_EQ(node->get(std::move(waiter)).phase, phase::cancelled);
  expect_laws(store, types);
}

TEST_F(supervision, a_view_that_cannot_be_read_kills_nobody_for_ever) {
  as_view_error = true;
  poison(3);
  EXPECT_TRUE(
      eventually([&] { return node->command("x", engine::cancel_command{}, "c").state == reply_status::recorded; }));
  EXPECT_EQ(node->result("x").phase, phase::cancelled);
  expect_laws(store, types);
}

// It dies while a function of its run is under way: the next actor adopts the attempt.
TEST_F(supervision, an_attempt_outlives_the_actor_of_its_run) {
  up();
  auto s = node->start("w", "x", 1);
  ASSERT_TRUE(gate_->holds(1));
  poisoned = key_of("x");
  times = 1;
  // A failed commit discards the actor; the next one dies of the poison, the third gets it.
  store->change([](memory_store& m) { m.failures[m.appends + 1] = {store::append_status::unknown, false}; });
  EXPECT_EQ(node->start("w", "y", 1).reply.state, reply_status::unknown);
  EXPECT_TRUE(eventually([&] { return thrown == 1; }));
  gate_->open();
  EXPECT_EQ(decode<int>(node->get(std::move(s.result)).payload), 2);
  EXPECT_EQ(log->count("a"), 1U);
  EXPECT_TRUE(log->repeated().empty());
  expect_empty(*node);
  expect_laws(store, types);
}

TEST_F(supervision, attempts_of_a_run_that_cannot_be_restored_are_let_go) {
  up();
  auto s = node->start("w", "x", 1);
  ASSERT_TRUE(gate_->holds(1));
  poisoned = key_of("x");
  times = 1'000'000;
  store->change([](memory_store& m) { m.failures[m.appends + 1] = {store::append_status::unknown, false}; });
  EXPECT_EQ(node->start("w", "y", 1).reply.state, reply_status::unknown);
  EXPECT_TRUE(eventually([&] { return paused("x"); }));
  gate_->open();
  EXPECT_TRUE(eventually([&] { return node->status().attempts == 0 && node->status().slots.taken == 0; }));
  const auto begun = std::chrono::steady_clock::now();
  node->system->drain(1s);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 3s);
}

TEST_F(supervision, a_callback_that_throws_harms_nobody) {
  up();
  gate_->open();
  for (int i = 0; i < 5; ++i) {
    node->system->status([](const actors::node_status&) { throw std::runtime_error("callback"); });
    node->system->await_result({.workflow_id = "nobody",
                                .on_result = [](const actors::run_result&) { throw std::runtime_error("callback"); }});
  }
  auto s = node->start("w", "x", 1);
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::completed);
}

}  // namespace
}  // namespace pawl::test
