// A node that ends with everything in flight: nothing hangs, nothing leaks, nobody is left without an answer.
#include "tests/actors/node_laws.hpp"

namespace pawl::test {
namespace {

using namespace std::chrono_literals;

struct answers {
  std::atomic<int> owed{0};
  std::atomic<int> given{0};
  std::atomic<int> twice{0};
};

class shutting_down : public ::testing::Test {
 protected:
  shutting_down() {
    workflow<int> g{"w", {}};
    auto v = g.input();
    for (int k = 0; k < 3; ++k)
      v = g.step(
          "s" + std::to_string(k),
          [l = log](step_context& c, const int& n) {
            l->enter(c);
            if (n % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
            if (n % 7 == 0 && c.attempt() == 1) throw step_error("again", "again", 5ms);
            return n + 1;
          },
          {}, v);
    g.returns(v);
    types.add(g);
    workflow<int> h{"hangs", {}};
    h.step(
        "h",
        [l = log, gt = gate_](step_context& c, const int&) {
          l->enter(c);
          gt->pass();
          c.heartbeat(1);
          c.log(log_level::info, "back");
        },
        {.timeout = 60s}, h.input());
    types.add(h);
  }
  template <class T>
  std::function<void(const T&)> counted() {
    struct once {
      std::shared_ptr<answers> a;
      std::atomic<bool> done{false};
    };
    auto o = std::make_shared<once>();
    o->a = all;
    ++all->owed;
    return [o](const T&) {
      if (o->done.exchange(true))
        ++o->a->twice;
      else
        ++o->a->given;
    };
  }
  void ask_everything(test_node& n, int i) {
    const auto id = "w" + std::to_string(i);
    actors::command_request r;
    r.workflow_id = id;
    r.command.id = "c" + std::to_string(i);
    engine::start_command c;
    c.facts.type = i % 10 == 0 ? "hangs" : "w";
    c.facts.version = 0;
    c.input = encode(i);
    r.command.body = std::move(c);
    r.reply = actors::owed_reply(counted<actors::command_reply>());
    n.system->submit(std::move(r));
    n.system->await_result({.workflow_id = id, .on_result = counted<actors::run_result>()});
    n.system->describe({.workflow_id = id, .on_description = counted<actors::run_description>()});
    n.system->status(counted<actors::node_status>());
    actors::command_request k;
    k.workflow_id = "w" + std::to_string(i / 2);
    k.command.id = "k" + std::to_string(i);
    if (i % 3 == 0)
      k.command.body = engine::kill_command{};
    else if (i % 3 == 1)
      k.command.body = engine::cancel_command{};
    else
      k.command.body = engine::pause_command{};
    k.reply = actors::owed_reply(counted<actors::command_reply>());
    n.system->submit(std::move(k));
  }
  std::shared_ptr<answers> all = std::make_shared<answers>();
  std::shared_ptr<call_log> log = std::make_shared<call_log>();
  std::shared_ptr<gate> gate_ = std::make_shared<gate>();
  registry types;
};

TEST_F(shutting_down, with_everything_in_flight) {
  for (int round = 0; round < 12; ++round) {
    auto store = std::make_shared<memory_store>();
    const auto begun = std::chrono::steady_clock::now();
    {
      actors::node_options o;
      o.pool.max_threads = 8;
      if (round % 3 == 1)
        store->failures[static_cast<std::size_t>(20 + round)] = {store::append_status::unknown, round % 2 == 0};
      if (round % 3 == 2) {
        store->failures[static_cast<std::size_t>(10 + round)] = {store::append_status::no_space, false};
        store->reopen_refusals = 1'000'000;
      }
      test_node n(types, store, std::move(o));
      std::atomic<bool> stop{false};
      std::thread asks([&] {
        for (int i = 0; i < 300 && !stop; ++i) ask_everything(n, i);
      });
      eventually([&] { return log->total() > static_cast<std::size_t>(20 * round); }, 300ms);
      if (round % 2 == 0) {
        n.system->drain(std::chrono::milliseconds(round));
        for (int i = 1000; i < 1020; ++i) ask_everything(n, i);  // too late, and answered
      }
      stop = true;
      asks.join();
      n.system.reset();
    }
    EXPECT_EQ(all->given, all->owed) << "round " << round;
    EXPECT_EQ(all->twice, 0);
    EXPECT_LT(std::chrono::steady_clock::now() - begun, 9s) << "round " << round;
    expect_laws(store, types);
    if (HasFailure()) break;
  }
  gate_->open();
  EXPECT_TRUE(gate_->empty());
  EXPECT_EQ(log->repeated(), std::vector<std::string>{});
}

TEST_F(shutting_down, what_started_while_it_drains_does_not_hold_it_up) {
  for (int round = 0; round < 20; ++round) {
    auto store = std::make_shared<memory_store>();
    test_node n(types, store);
    const auto before = log->total();
    for (int i = 0; i < 20; ++i) n.begin("hangs", "h" + std::to_string(i), i);
    if (round % 4 != 0) eventually([&] { return log->total() >= before + static_cast<std::size_t>(round % 4); });
    const auto begun = std::chrono::steady_clock::now();
    n.system->drain(std::chrono::milliseconds(round % 3));
    EXPECT_LT(std::chrono::steady_clock::now() - begun, 4s);
    n.system.reset();
    expect_laws(store, types);
  }
  gate_->open();
  EXPECT_TRUE(gate_->empty());
}

TEST_F(shutting_down, a_drain_that_is_hurried_ends_at_once) {
  test_node n(types);
  auto s = n.start("hangs", "h", 1);
  ASSERT_TRUE(gate_->holds(1));
  std::atomic<bool> hurry{false};
  std::thread t([&] {
    eventually([&] { return n.status().draining; });
    hurry = true;
  });
  const auto begun = std::chrono::steady_clock::now();
  const auto d = n.system->drain(60s, [&] { return hurry.load(); });
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 5s);
  EXPECT_EQ(d.interrupted, 1U);
  t.join();
  EXPECT_EQ(n.start("w", "late", 1).reply.state, reply_status::unavailable);
  EXPECT_EQ(n.system->drain(60s).interrupted, 0U) << "a second drain has nothing to do";
  gate_->open();
  EXPECT_TRUE(gate_->empty());
}

TEST_F(shutting_down, a_function_that_returns_when_the_node_is_gone_touches_nothing) {
  for (int i = 0; i < 10; ++i) {
    auto log_lines = std::make_unique<std::atomic<int>>(0);
    auto g = std::make_shared<gate>();
    registry r;
    workflow<int> h{"hangs", {}};
    h.step(
        "h",
        [g](step_context& c, const int&) {
          g->pass();
          c.heartbeat(1);
          c.log(log_level::info, "back");
          throw std::runtime_error("late");
        },
        {.timeout = 60s}, h.input());
    r.add(h);
    actors::node_options o;
    o.log = [lines = log_lines.get()](log_level, std::string_view) { ++*lines; };
    {
      test_node n(r, std::make_shared<memory_store>(), std::move(o));
      n.start("hangs", "x", 1);
      ASSERT_TRUE(g->holds(1));
    }
    log_lines.reset();
    g->open();
    EXPECT_TRUE(g->empty());
  }
}

TEST_F(shutting_down, children_that_never_report_do_not_hold_it_up) {
  auto store = std::make_shared<memory_store>();
  std::vector<std::function<void(bool)>> kept;
  {
    test_node before(types, store);
    before.start("hangs", "x", 1);
    ASSERT_TRUE(gate_->holds(1));
    store = copy_of(*store);
    gate_->open();
  }
  std::atomic<int> killed{0};
  std::atomic<int> begun_children{0};
  actors::node_options o;
  o.run_in_child = [&](std::shared_ptr<actors::attempt>, std::function<void(bool)> done) -> std::function<void()> {
    kept.push_back(std::move(done));
    ++begun_children;
    return [&] { ++killed; };
  };
  {
    test_node n(types, store, std::move(o));
    ASSERT_TRUE(eventually([&] { return begun_children == 1; }));
    const auto begun = std::chrono::steady_clock::now();
    n.system.reset();
    EXPECT_LT(std::chrono::steady_clock::now() - begun, 5s);
    EXPECT_EQ(killed, 1);
  }
  for (auto& d : kept) d(true);
  expect_laws(store, types);
}

}  // namespace
}  // namespace pawl::test
