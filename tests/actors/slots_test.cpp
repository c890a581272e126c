// The ledger of slots, and runs that wait for them.
#include "tests/actors/node_laws.hpp"

namespace pawl::test {
namespace {

using namespace std::chrono_literals;
using actors::slot;
using actors::slot_ask;
using actors::slot_ledger;

TEST(slot_ledger, grants_in_the_order_of_asking) {
  slot_ledger l(1, 1);
  std::vector<int> order;
  std::vector<slot> held;
  auto first = l.try_take({});
  ASSERT_TRUE(first);
  EXPECT_FALSE(l.try_take({}));
  for (int i = 0; i < 5; ++i) l.wait({}, [&, i](slot) { order.push_back(i); });
  EXPECT_EQ(l.stats().waiting, 5U);
  first.release();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4}));
  EXPECT_EQ(l.stats().taken, 0U);
}

TEST(slot_ledger, a_line_of_a_million_that_are_gone_is_passed_without_recursion) {
  slot_ledger l(1, 1);
  auto first = l.try_take({});
  std::size_t passed = 0;
  for (int i = 0; i < 1'000'000; ++i) l.wait({}, [&](slot) { ++passed; });
  slot last;
  l.wait({}, [&](slot s) { last = std::move(s); });
  first.release();
  EXPECT_EQ(passed, 1'000'000U);
  EXPECT_TRUE(last);
  EXPECT_EQ(l.stats().taken, 1U);
}

TEST(slot_ledger, who_leaves_the_line_is_not_served) {
  slot_ledger l(1, 1);
  auto first = l.try_take({});
  int served = 0;
  const auto a = l.wait({}, [&](slot) { served += 1; });
  l.wait({}, [&](slot) { served += 10; });
  l.cancel({}, a);
  l.cancel({}, a);
  EXPECT_EQ(l.stats().waiting, 1U);
  first.release();
  EXPECT_EQ(served, 10);
}

TEST(slot_ledger, those_who_wait_for_a_limit_of_their_own_hold_up_nobody) {
  slot_ledger l(2, 1);
  const int definition = 0;
  const slot_ask limited{.max_concurrent = 1, .step = {&definition, 4}};
  const slot_ask child{.in_child = true};
  auto a = l.try_take(limited);
  auto b = l.try_take(child);
  slot c;
  slot d;
  slot e;
  l.wait(limited, [&](slot s) { c = std::move(s); });
  l.wait(child, [&](slot s) { d = std::move(s); });
  l.wait({}, [&](slot s) { e = std::move(s); });
  a.release();
  EXPECT_TRUE(c);
  EXPECT_FALSE(d);
  b.release();
  EXPECT_TRUE(d);
  EXPECT_FALSE(e);
  c.release();
  EXPECT_TRUE(e);
}

TEST(slot_ledger, one_slot_given_back_may_serve_two) {
  slot_ledger l(3, 1);
  const int definition = 0;
  const slot_ask both{.in_child = true, .max_concurrent = 1, .step = {&definition, 4}};
  const slot_ask limited{.max_concurrent = 1, .step = {&definition, 4}};
  auto a = l.try_take(both);
  slot c;
  slot d;
  l.wait({.in_child = true}, [&](slot s) { c = std::move(s); });
  l.wait(limited, [&](slot s) { d = std::move(s); });
  a.release();
  EXPECT_TRUE(c);
  EXPECT_TRUE(d);
}

TEST(slot_ledger, closed_it_grants_nothing) {
  slot_ledger l(1, 1);
  auto a = l.try_take({});
  int served = 0;
  l.wait({}, [&](slot) { ++served; });
  l.close();
  a.release();
  EXPECT_FALSE(l.try_take({}));
  EXPECT_EQ(l.wait({}, [&](slot) { ++served; }), 0U);
  EXPECT_EQ(served, 0);
  EXPECT_EQ(l.stats().waiting, 0U);
}

TEST(slot_ledger, many_threads_lose_no_slot) {
  slot_ledger l(3, 1);
  std::atomic<int> granted{0};
  std::atomic<int> held{0};
  std::vector<std::thread> threads;
  constexpr int each = 3000;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < each; ++i)
        l.wait({.in_child = i % 7 == 0}, [&](slot s) {
          EXPECT_LE(++held, 3);
          --held;
          ++granted;
          s.release();
        });
    });
  for (auto& t : threads) t.join();
  EXPECT_TRUE(eventually([&] { return granted == 4 * each; }));
  EXPECT_EQ(l.stats().taken, 0U);
  EXPECT_EQ(l.stats().waiting, 0U);
}

class slots : public ::testing::Test {
 protected:
  test_node& up(std::size_t threads) {
    actors::node_options o;
    o.pool.max_threads = threads;
    node = std::make_unique<test_node>(types, std::make_shared<memory_store>(), std::move(o));
    return *node;
  }
  void TearDown() override {
    gate_->open();
    expect_empty(*node);
    expect_laws(node->store, types);
    EXPECT_TRUE(log->repeated().empty());
  }
  std::shared_ptr<call_log> log = std::make_shared<call_log>();
  std::shared_ptr<gate> gate_ = std::make_shared<gate>();
  registry types;
  std::unique_ptr<test_node> node;
};

TEST_F(slots, two_serve_fifty_workflows_fairly) {
  auto running = std::make_shared<std::atomic<int>>(0);
  auto most = std::make_shared<std::atomic<int>>(0);
  workflow<int> g{"steps", {}};
  auto v = g.input();
  for (int k = 0; k < 5; ++k)
    v = g.step(
        "s" + std::to_string(k),
        [l = log, running, most](step_context& c, const int& n) {
          l->enter(c);
          const int now = ++*running;
          for (int seen = *most; now > seen && !most->compare_exchange_weak(seen, now);) {
          }
          std::this_thread::sleep_for(1ms);
          --*running;
          return n + 1;
        },
        {}, v);
  g.returns(v);
  types.add(g);
  workflow<int> hold{"hold", {}};
  hold.step("h", [gt = gate_](step_context&, const int&) { gt->pass(); }, {.timeout = 60s}, hold.input());
  types.add(hold);
  up(2);
  std::vector<test_node::started> s;
  for (int i = 0; i < 2; ++i) node->start("hold", "h" + std::to_string(i), i);
  ASSERT_TRUE(gate_->holds(2));
  for (int i = 0; i < 50; ++i) s.push_back(node->begin("steps", "w" + std::to_string(i), i));
  ASSERT_TRUE(eventually([&] { return node->status().slots.waiting == 50; }));
  gate_->open();
  for (int i = 0; i < 50; ++i)
    EXPECT_EQ(decode<int>(node->get(std::move(s[static_cast<std::size_t>(i)].result)).payload), i + 5);
  EXPECT_LE(*most, 2);
  // Fair: the last to start its first step does so before the first has had its fourth.
  const auto order = log->order();
  const auto last_first = std::find(order.rbegin(), order.rend(), "s0");
  const auto first_fourth = std::find(order.begin(), order.end(), "s3");
  EXPECT_LT(std::distance(order.begin(), last_first.base()), std::distance(order.begin(), first_fourth));
}

TEST_F(slots, a_limit_of_a_step_holds_and_holds_up_nobody_else) {
  auto running = std::make_shared<std::atomic<int>>(0);
  workflow<int> g{"limited", {}};
  auto v = g.input();
  g.step(
      "narrow",
      [l = log, running](step_context& c, const int&) {
        l->enter(c);
        EXPECT_LE(++*running, 2);
        std::this_thread::sleep_for(1ms);
        --*running;
      },
      {.max_concurrent = 2}, v);
  g.step("wide", [l = log](step_context& c, const int&) { l->enter(c); }, {}, v);
  types.add(g);
  up(8);
  std::vector<test_node::started> s;
  for (int i = 0; i < 60; ++i) s.push_back(node->begin("limited", "w" + std::to_string(i), i));
  for (auto& x : s) EXPECT_EQ(node->get(std::move(x.result)).phase, phase::completed);
}

// A run that waits for two kinds of slots gets either when it is free.
TEST_F(slots, a_run_waits_for_each_kind_of_slot_that_it_lacks) {
  auto second = std::make_shared<gate>();
  workflow<int> hold{"hold", {}};
  hold.step("h", [g = gate_](step_context&, const int&) { g->pass(); }, {.timeout = 60s}, hold.input());
  types.add(hold);
  workflow<int> g{"both", {}};
  auto v = g.input();
  g.step(
      "narrow",
      [l = log, second](step_context& c, const int& n) {
        l->enter(c);
        if (n == 0) second->pass();
      },
      {.timeout = 60s, .max_concurrent = 1}, v);
  auto first = g.step(
      "wide",
      [l = log](step_context& c, const int& n) {
        l->enter(c);
        return n;
      },
      {}, v);
  (void)first;
  types.add(g);
  up(2);
  auto a = node->start("both", "a", 0);  // has the only narrow slot
  ASSERT_TRUE(second->holds(1));
  ASSERT_TRUE(log->reaches(2));
  ASSERT_TRUE(eventually([&] { return node->status().slots.taken == 1; }));
  auto h = node->start("hold", "h", 0);  // and the pool is full
  ASSERT_TRUE(gate_->holds(1));
  auto b = node->start("both", "b", 1);
  ASSERT_TRUE(eventually([&] { return node->status().slots.waiting == 2; }));
  gate_->open();
  EXPECT_TRUE(eventually([&] { return log->count("wide") == 2; })) << "the wide step need not wait for the narrow one";
  EXPECT_EQ(log->count("narrow"), 1U);
  second->open();
  for (auto* x : {&a, &h, &b}) EXPECT_EQ(node->get(std::move(x->result)).phase, phase::completed);
}

TEST_F(slots, runs_that_are_killed_while_they_wait_leave_the_line) {
  workflow<int> g{"hold", {}};
  g.step(
      "h",
      [l = log, gt = gate_](step_context& c, const int&) {
        l->enter(c);
        gt->pass();
      },
      {.timeout = 60s}, g.input());
  types.add(g);
  up(1);
  auto first = node->start("hold", "first", 0);
  ASSERT_TRUE(gate_->holds(1));
  std::vector<test_node::started> s;
  for (int i = 0; i < 200; ++i) s.push_back(node->begin("hold", "w" + std::to_string(i), 0));
  ASSERT_TRUE(eventually([&] { return node->status().slots.waiting == 200; }));
  for (int i = 0; i < 199; ++i) node->send("w" + std::to_string(i), engine::kill_command{});
  for (int i = 0; i < 199; ++i)
    EXPECT_EQ(node->get(std::move(s[static_cast<std::size_t>(i)].result)).phase, phase::killed);
  EXPECT_TRUE(eventually([&] { return node->status().slots.waiting == 1; }));
  gate_->open();
  EXPECT_EQ(node->get(std::move(first.result)).phase, phase::completed);
  EXPECT_EQ(node->get(std::move(s.back().result)).phase, phase::completed);
  EXPECT_EQ(log->total(), 2U);
}

TEST_F(slots, functions_may_run_in_place) {
  workflow<int> g{"here", {}};
  auto v = g.input();
  for (int k = 0; k < 20; ++k)
    v = g.step(
        "s" + std::to_string(k),
        [l = log](step_context& c, const int& n) {
          l->enter(c);
          if (c.attempt() == 1 && n % 5 == 0) throw std::runtime_error("again");
          return n + 1;
        },
        {.retry = {.first_delay = 1ms}, .where = run_on::in_place}, v);
  g.returns(v);
  types.add(g);
  up(2);
  std::vector<test_node::started> s;
  for (int i = 0; i < 20; ++i) s.push_back(node->begin("here", "w" + std::to_string(i), i));
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(decode<int>(node->get(std::move(s[static_cast<std::size_t>(i)].result)).payload), i + 20);
  EXPECT_EQ(node->status().pool.threads_started_total, 0U);
}

TEST_F(slots, more_parallel_steps_than_slots_all_run) {
  workflow<int> g{"wide", {}};
  auto v = g.input();
  for (int k = 0; k < 100; ++k)
    g.step("s" + std::to_string(k), [l = log](step_context& c, const int&) { l->enter(c); }, {}, v);
  types.add(g);
  up(3);
  auto s = node->start("wide", "w", 0);
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::completed);
  EXPECT_EQ(log->total(), 100U);
}

}  // namespace
}  // namespace pawl::test
