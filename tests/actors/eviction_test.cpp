// Runs that sleep leave memory and come back.
#include <ctime>

#include "tests/actors/node_laws.hpp"

namespace pawl::test {
namespace {

using namespace std::chrono_literals;

engine::time_point in(std::chrono::milliseconds d) {
  return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now()) + d;
}

class evicting : public ::testing::Test {
 protected:
  evicting() {
    workflow<int> g{"w", {}};
    g.returns(g.step(
        "only",
        [l = log](step_context& c, const int& n) {
          l->enter(c);
          if (static_cast<int>(c.attempt()) < n) throw step_error("again", "again", 30ms);
          return n;
        },
        {.retry = {.max_attempts = 100}}, g.input()));
    types.add(g);
    options.partition.live = 20;
    options.partition.idle = 10ms;
    options.partition.load_page = 7;
    options.partition.horizon = 200ms;
  }
  test_node& up(std::shared_ptr<memory_store> s = std::make_shared<memory_store>()) {
    node = std::make_unique<test_node>(types, std::move(s), options);
    return *node;
  }
  void TearDown() override {
    expect_empty(*node);
    expect_laws(node->store, types);
    EXPECT_TRUE(log->repeated().empty());
  }
  // Insists when the node is busy.
  test_node::started start(const std::string& id, int input, std::optional<engine::time_point> at = {}) {
    for (;;) {
      auto s = node->start("w", id, input, "start-" + id, engine::closed_id_policy::reject, at);
      if (s.reply.state == reply_status::recorded) return s;
      EXPECT_EQ(s.reply.state, reply_status::busy);
      std::this_thread::sleep_for(1ms);
    }
  }
  std::shared_ptr<call_log> log = std::make_shared<call_log>();
  registry types;
  actors::node_options options;
  std::unique_ptr<test_node> node;
};

TEST_F(evicting, thousands_sleep_and_few_are_in_memory) {
  up();
  const auto at = in(6s);
  constexpr int runs = 1000;
  std::size_t most = 0;
  std::vector<test_node::started> s;
  for (int i = 0; i < runs; ++i) {
    s.push_back(start("w" + std::to_string(i), 1, at));
    if (i % 50 == 0) most = std::max(most, node->status().partition.live);
  }
  for (auto& x : s) EXPECT_EQ(node->get(std::move(x.result)).phase, phase::completed);
  EXPECT_LE(most, 20U + 1U);
  EXPECT_EQ(log->total(), static_cast<std::size_t>(runs));
  EXPECT_GE(node->status().partition.evicted, static_cast<std::uint64_t>(runs - 20));
}

// They are all in memory, and there would be room for all to run at once.
TEST_F(evicting, thousands_that_are_due_at_once_do_not_hold_up_who_asks_meanwhile) {
  options.partition.live = 100'000;
  options.partition.idle = 1h;
  up();
  const auto at = in(6s);
  constexpr int runs = 3000;
  for (int i = 0; i < runs; ++i) start("w" + std::to_string(i), 1, at);
  const auto closed = [&] { return node->status().partition.closed; };
  ASSERT_TRUE(eventually([&] { return closed() > 0; }));
  const auto before = closed();
  auto asked = node->start("w", "asks meanwhile", 1);
  EXPECT_EQ(asked.reply.state, reply_status::recorded) << "nor is it refused";
  EXPECT_EQ(node->get(std::move(asked.result)).phase, phase::completed);
  EXPECT_LT(closed() - before, 2'000U) << "only those went before that were at work already";
  EXPECT_TRUE(eventually([&] { return closed() == runs + 1; }));
}

// Lets so many runs into the journal as it is told, at least, and counts them.
class gate {
 public:
  void open_for(std::size_t runs) {
    const std::lock_guard lock(mutex_);
    until_ = runs;
    moved_.notify_all();
  }
  void pass(std::size_t runs) {
    std::unique_lock lock(mutex_);
    moved_.wait(lock, [&] { return passed_ < until_; });
    passed_ += runs;
  }
  std::size_t passed() {
    const std::lock_guard lock(mutex_);
    return passed_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable moved_;
  std::size_t until_ = SIZE_MAX;
  std::size_t passed_ = 0;
};

TEST_F(evicting, what_is_due_comes_many_at_a_time_before_all_of_those_are_done_and_lets_who_asks_in_between) {
  options.partition.live = 100'000;
  options.partition.load_page = 4'096;
  constexpr std::size_t runs = 1'500;
  constexpr std::size_t window = 512;
  constexpr std::size_t together = 128;
  auto store = std::make_shared<memory_store>();
  up(store);
  const auto at = in(4s);
  std::vector<test_node::started> begun;
  for (std::size_t i = 0; i < runs; ++i)
    begun.push_back(node->begin("w", "w" + std::to_string(i), 1, {}, engine::closed_id_policy::reject, at));
  for (auto& b : begun) ASSERT_EQ(node->get(std::move(b.replied)).state, reply_status::recorded);
  node.reset();
  ASSERT_LT(in(0ms), at) << "the starts took too long for this test";
  ASSERT_TRUE(eventually([&] { return in(0ms) > at; }));
  gate g;
  std::atomic<std::size_t> read{0}, calls{0}, most{0}, before_asked{0};
  store->change([&](memory_store& s) {
    s.on_opened = [&](std::span<const engine::run_key> keys) {
      ++calls;
      most = std::max(most.load(), keys.size());
      read += keys.size();
    };
    s.on_append = [&](const store::record& r) {
      g.pass(r.runs.size());
      for (const auto& c : r.runs)
        if (c.created && c.created->workflow_id == "asks") before_asked = g.passed();
    };
  });
  options.batch_bytes = 6'000;
  g.open_for(0);
  up(store);
  ASSERT_TRUE(eventually([&] { return node->status().commits.waiting > window - 200; }));
  EXPECT_EQ(read, window) << "no more than that are at work";
  EXPECT_EQ(node->status().partition.backlog, runs - window);
  auto asks = node->begin("w", "asks", 1);
  ASSERT_TRUE(eventually([&] { return node->status().partition.live == window + 1; }));
  g.open_for(together);
  EXPECT_TRUE(eventually([&] { return read > window; })) << "the next ones wait for all of those";
  EXPECT_LT(g.passed(), window);
  g.open_for(SIZE_MAX);
  EXPECT_EQ(node->get(std::move(asks.replied)).state, reply_status::recorded);
  EXPECT_EQ(node->get(std::move(asks.result)).phase, phase::completed);
  EXPECT_GT(before_asked, 0U);
  EXPECT_LE(before_asked, window + 2 * together) << "who asks waits for those before it only";
  for (std::size_t i = 0; i < runs; ++i) EXPECT_EQ(node->result("w" + std::to_string(i)).phase, phase::completed);
  EXPECT_EQ(most, together);
  EXPECT_LE(calls, runs / together + 8) << "they are read one by one";
  node->system->drain(0s);
  store->change([](memory_store& s) { s.on_opened = nullptr, s.on_append = nullptr; });
}

TEST_F(evicting, a_new_node_finds_thousands_that_sleep_page_by_page) {
  auto store = std::make_shared<memory_store>();
  up(store);
  const auto at = in(1500ms);
  constexpr int runs = 1000;
  for (int i = 0; i < runs; ++i) start("w" + std::to_string(i), 1, at + std::chrono::milliseconds(i % 300));
  node.reset();
  up(store);
  std::size_t most = 0;
  for (int i = 0; i < runs; ++i) {
    EXPECT_EQ(node->result("w" + std::to_string(i)).phase, phase::completed);
    most = std::max(most, node->status().partition.live);
  }
  EXPECT_LE(most, 20U + 1U);
}

TEST_F(evicting, commands_wake_those_that_sleep) {
  up();
  constexpr int runs = 200;
  std::vector<test_node::started> s;
  for (int i = 0; i < runs; ++i) s.push_back(start("w" + std::to_string(i), 1, in(1h)));
  ASSERT_TRUE(eventually([&] { return node->status().partition.live == 0; })) << "idle ones leave by themselves";
  for (int i = 0; i < runs; ++i) {
    const auto id = "w" + std::to_string(i);
    EXPECT_EQ(node->command(id, engine::pause_command{}, "p").outcome.result, command_result::applied);
    if (i % 2 == 0) EXPECT_EQ(node->command(id, engine::resume_command{}, "r").outcome.result, command_result::applied);
    EXPECT_EQ(node->command(id, engine::pause_command{}, "p").outcome.result, command_result::duplicate);
  }
  EXPECT_LE(node->status().partition.live, 21U);
  EXPECT_TRUE(node->describe("w0").found);
  for (int i = 0; i < runs; ++i)
    EXPECT_EQ(node->command("w" + std::to_string(i), engine::cancel_command{}).outcome.result, command_result::applied);
  for (auto& x : s) EXPECT_EQ(node->get(std::move(x.result)).phase, phase::cancelled);
}

TEST_F(evicting, timers_of_those_that_left_fire) {
  up();
  std::vector<test_node::started> s;
  for (int i = 0; i < 100; ++i) s.push_back(start("w" + std::to_string(i), 6));
  for (auto& x : s) EXPECT_EQ(node->get(std::move(x.result)).phase, phase::completed);
  EXPECT_GT(node->status().partition.evicted, 0U);
  EXPECT_EQ(log->total(), 600U);
}

TEST_F(evicting, a_timer_beyond_the_horizon_fires_after_eviction) {
  up();
  auto s = start("w", 1, in(700ms));
  ASSERT_TRUE(eventually([&] { return node->status().partition.live == 0; }));
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::completed);
}

// More runs due within the horizon than there is room for their timers: the partition waits without turning in circles.
TEST_F(evicting, waiting_costs_no_processor) {
  options.partition.load_page = 2;
  options.partition.horizon = 60s;
  auto store = std::make_shared<memory_store>();
  up(store);
  const auto at = in(2500ms);
  for (int i = 0; i < 200; ++i) start("w" + std::to_string(i), 1, at);
  node.reset();
  up(store);
  ASSERT_TRUE(eventually([&] { return node->status().partition.timers >= 8; }));
  const auto begun = std::chrono::steady_clock::now();
  const auto cpu = std::clock();
  std::this_thread::sleep_until(begun + 400ms);
  EXPECT_LT(static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC, 0.2);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(node->result("w" + std::to_string(i)).phase, phase::completed);
}

TEST_F(evicting, due_runs_that_only_go_on_waiting_make_room_for_the_next) {
  options.partition.idle = 10min;
  options.partition.horizon = 10min;
  auto store = std::make_shared<memory_store>();
  up(store);
  const auto at = in(600ms);
  for (int i = 0; i < 200; ++i) start("w" + std::to_string(i), 2, at);
  node.reset();
  EXPECT_TRUE(eventually([&] { return in(0ms) > at; }));
  up(store);
  // Long before anything else would make room for them.
  for (int i = 0; i < 200; ++i) EXPECT_EQ(node->result("w" + std::to_string(i)).phase, phase::completed);
}

TEST_F(evicting, a_view_that_fails_for_a_while_loses_nobody) {
  auto store = std::make_shared<memory_store>();
  auto failing = std::make_shared<std::atomic<int>>(0);
  auto failed = std::make_shared<std::atomic<int>>(0);
  store->on_due = [failing, failed] {
    if (*failing > 0) {
      --*failing;
      ++*failed;
      throw store::view_error("not now");
    }
  };
  up(store);
  for (int i = 0; i < 50; ++i) start("w" + std::to_string(i), 1, in(400ms));
  node.reset();
  *failing = 3;
  up(store);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(node->result("w" + std::to_string(i)).phase, phase::completed);
  EXPECT_EQ(*failed, 3);
}

TEST_F(evicting, closed_runs_leave_no_timers) {
  options.partition.horizon = 1h;
  up();
  std::vector<test_node::started> s;
  for (int i = 0; i < 100; ++i) {
    for (;;) {
      auto x = node->start("w", "w" + std::to_string(i), 1, "c" + std::to_string(i), engine::closed_id_policy::reject,
                           {}, 10min);
      if (x.reply.state != reply_status::recorded) continue;
      s.push_back(std::move(x));
      break;
    }
  }
  for (auto& x : s) EXPECT_EQ(node->get(std::move(x.result)).phase, phase::completed);
  EXPECT_TRUE(eventually([&] { return node->status().partition.timers == 0; }));
}

}  // namespace
}  // namespace pawl::test
