// A node ends, with or without a drain, and another opens the same journal.
#include "tests/actors/node_laws.hpp"

namespace pawl::test {
namespace {

using namespace std::chrono_literals;

engine::time_point in(std::chrono::milliseconds d) {
  return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now()) + d;
}

// Child processes as the node sees them: a thread each, which runs the attempt, or "dies".
struct fake_children {
  std::atomic<int> started{0};
  std::atomic<int> deaths_left{0};
  std::atomic<int> killed{0};
  std::mutex mutex;
  std::vector<std::thread> threads;
  actors::child_runner runner() {
    return [this](std::shared_ptr<actors::attempt> a, std::function<void(bool)> done) -> std::function<void()> {
      ++started;
      const std::lock_guard lock(mutex);
      threads.emplace_back([this, a, done] {
        if (deaths_left > 0) {
          --deaths_left;
          return done(true);
        }
        step_context c(a->call.facts, *a, a->stop_token());
        a->report(actors::run_function(a->call, c));
        done(false);
      });
      return [this] { ++killed; };
    };
  }
  ~fake_children() {
    for (auto& t : threads) t.join();
  }
};

class restarts : public ::testing::Test {
 protected:
  restarts() { define(types); }
  void define(registry& r, bool changed = false) {
    workflow<int> g{"flow", {}};
    auto i = g.input();
    auto a = g.step(
        "a",
        [l = log](step_context& c, const int& n) {
          l->enter(c);
          return n + 1;
        },
        {}, i);
    auto b = g.step(
        changed ? "b2" : "b",
        [l = log, gt = gate_](step_context& c, const int& n) {
          l->enter(c);
          c.heartbeat(static_cast<int>(c.attempt()));
          if (c.attempt() == 1) gt->pass();
          return n * 10 + c.last_details<int>().value_or(0);
        },
        {.timeout = 60s}, a);
    g.returns(b);
    r.add(g);
    workflow<int> w{"waits", {}};
    w.returns(w.step(
        "s",
        [l = log](step_context& c, const int& n) {
          l->enter(c);
          if (c.attempt() == 1) throw step_error("later", "later", 300ms);
          return n;
        },
        {}, w.input()));
    r.add(w);
  }
  void TearDown() override {
    gate_->open();
    if (node) expect_idle(*node);
  }
  std::shared_ptr<call_log> log = std::make_shared<call_log>();
  std::shared_ptr<gate> gate_ = std::make_shared<gate>();
  registry types;
  fake_children children;
  std::unique_ptr<test_node> node;

  // One run of "flow" whose second step is under way in a node that is gone.
  std::shared_ptr<memory_store> lost_in_b() {
    test_node before(types);
    before.start("flow", "x", 1);
    EXPECT_TRUE(gate_->holds(1));
    EXPECT_TRUE(eventually([&] {
      const std::lock_guard lock(before.store->mutex);
      return !before.store->heartbeats.empty();
    }));
    auto store = copy_of(*before.store);
    gate_->open();
    return store;
  }
  void open(std::shared_ptr<memory_store> store, const registry* with = nullptr, bool with_children = true) {
    actors::node_options o;
    if (with_children) o.run_in_child = children.runner();
    node = std::make_unique<test_node>(with ? *with : types, std::move(store), std::move(o));
  }
};

TEST_F(restarts, a_lost_attempt_is_tried_again_in_a_child_process) {
  open(lost_in_b());
  const auto r = node->result("x");
  EXPECT_EQ(r.phase, phase::completed);
  EXPECT_EQ(decode<int>(r.payload), 21) << "the details of its last heartbeat were kept";
  EXPECT_EQ(children.started, 1);
  EXPECT_EQ(node->count("x", "attempt_lost"), 1U);
  EXPECT_EQ(node->status().attempts_lost, 1U);
  EXPECT_EQ(log->count("a"), 1U);
  expect_laws(node->store, types);
}

TEST_F(restarts, without_children_a_suspect_runs_on_the_pool) {
  open(lost_in_b(), nullptr, false);
  EXPECT_EQ(node->result("x").phase, phase::completed);
}

TEST_F(restarts, a_child_that_dies_once_is_forgiven) {
  children.deaths_left = 1;
  open(lost_in_b());
  EXPECT_EQ(node->result("x").phase, phase::completed);
  EXPECT_EQ(children.started, 2);
}

TEST_F(restarts, a_child_that_dies_twice_convicts_the_step) {
  children.deaths_left = 2;
  open(lost_in_b());
  ASSERT_TRUE(eventually([&] { return node->describe("x").paused; }));
  EXPECT_EQ(node->describe("x").pause_cause, "step_kills_process");
  EXPECT_EQ(children.started, 2);
  expect_idle(*node);
  EXPECT_EQ(node->command("x", engine::resume_command{}).outcome.result, command_result::applied);
  EXPECT_EQ(node->result("x").phase, phase::completed);
  expect_laws(node->store, types);
}

TEST_F(restarts, a_drain_interrupts_and_nothing_is_suspected) {
  auto store = std::make_shared<memory_store>();
  {
    test_node before(types, store);
    auto s = before.start("flow", "x", 1);
    ASSERT_TRUE(gate_->holds(1));
    const auto d = before.system->drain(20ms);
    EXPECT_EQ(d.interrupted, 1U);
    EXPECT_EQ(d.hung, 1U);
    before.system.reset();
    EXPECT_EQ(before.get(std::move(s.result)).state, result_status::unavailable);
    gate_->open();
    EXPECT_TRUE(gate_->empty());
  }
  open(store);
  EXPECT_EQ(node->result("x").phase, phase::completed);
  EXPECT_EQ(children.started, 0);
  EXPECT_EQ(node->count("x", "attempt_interrupted"), 1U);
  EXPECT_EQ(node->count("x", "attempt_lost"), 0U);
  expect_laws(store, types);
}

TEST_F(restarts, a_drain_waits_for_results) {
  auto store = std::make_shared<memory_store>();
  test_node before(types, store);
  auto s = before.start("flow", "x", 1);
  ASSERT_TRUE(gate_->holds(1));
  std::thread opens([&] {
    eventually([&] { return before.status().draining; });
    gate_->open();
  });
  EXPECT_EQ(before.system->drain(20s).interrupted, 0U);
  opens.join();
  EXPECT_EQ(before.count("x", "attempt_completed"), 2U);
  before.system.reset();
  expect_laws(store, types);
}

TEST_F(restarts, delays_and_retries_survive) {
  auto store = std::make_shared<memory_store>();
  const auto at = in(400ms);
  {
    test_node before(types, store);
    gate_->open();
    before.start("flow", "delayed", 1, {}, engine::closed_id_policy::reject, at);
    before.start("waits", "retries", 5);
    ASSERT_TRUE(eventually([&] { return before.count("retries", "attempt_failed") == 1; }));
  }
  open(store);
  EXPECT_EQ(node->result("delayed").phase, phase::completed);
  EXPECT_EQ(node->result("retries").phase, phase::completed);
  EXPECT_EQ(log->count("s"), 2U);
  for (const auto& e : node->history("delayed"))
    if (e.kind == engine::event_kind::attempt_started) EXPECT_GE(e.at, at);
}

TEST_F(restarts, a_run_waits_for_its_code) {
  auto store = lost_in_b();
  registry none;
  open(store, &none);
  ASSERT_TRUE(eventually([&] { return node->count("x", "waiting_for_code") == 1; }));
  EXPECT_EQ(node->command("x", engine::pause_command{"p"}).outcome.result, command_result::applied);
  EXPECT_EQ(node->command("x", engine::resume_command{}).outcome.result, command_result::applied);
  EXPECT_TRUE(node->describe("x").found);
  open(store);
  EXPECT_EQ(node->result("x").phase, phase::completed);
  EXPECT_EQ(node->count("x", "code_found"), 1U);
  expect_laws(store, types);
}

TEST_F(restarts, a_changed_definition_pauses_until_the_right_one_is_back) {
  auto store = lost_in_b();
  registry changed;
  define(changed, true);
  open(store, &changed);
  ASSERT_TRUE(eventually([&] { return node->describe("x").paused; }));
  EXPECT_EQ(node->describe("x").pause_cause, "definition_changed");
  EXPECT_EQ(node->command("x", engine::resume_command{}).outcome.result, command_result::conflict);
  open(store);
  EXPECT_EQ(node->result("x").phase, phase::completed);
  expect_laws(store, types);
}

// A definition with fewer steps than the history names: nothing may be read from it.
TEST_F(restarts, describing_a_run_of_another_definition_reads_nothing_of_it) {
  auto store = lost_in_b();
  registry smaller;
  workflow<int> g{"flow", {}};
  g.step("z", [](step_context&, const int&) {}, g.input());
  smaller.add(g);
  open(store, &smaller);
  ASSERT_TRUE(eventually([&] { return node->describe("x").paused; }));
  const auto d = node->describe("x");
  ASSERT_EQ(d.steps.size(), 1U);
  EXPECT_EQ(d.steps[0].step, "#1");
}

TEST_F(restarts, histories_that_cannot_be_followed_pause_alone) {
  auto store = std::make_shared<memory_store>();
  {
    test_node before(types, store);
    for (const char* id : {"gap", "garbled", "empty", "fine"}) before.start("waits", id, 5);
    ASSERT_TRUE(eventually([&] {
      return before.count("fine", "attempt_failed") == 1 && before.count("empty", "attempt_failed") == 1 &&
             before.count("gap", "attempt_failed") == 1 && before.count("garbled", "attempt_failed") == 1;
    }));
  }
  store->change([](memory_store& m) {
    const auto key = [&](const char* id) { return m.by_id.at(id).at(1); };
    auto& gap = m.events[key("gap")];
    gap.erase(gap.begin() + 1);
    m.events[key("garbled")][1].body = "\xc1 nonsense";
    m.events[key("empty")].clear();
  });
  open(store);
  EXPECT_EQ(node->result("fine").phase, phase::completed);
  for (const char* id : {"gap", "garbled", "empty"}) {
    EXPECT_TRUE(eventually([&] {
      const std::lock_guard lock(store->mutex);
      return store->runs.at(store->by_id.at(id).at(1)).summary.paused;
    })) << id;
    const auto r = node->command(id, engine::resume_command{});
    EXPECT_EQ(r.state, reply_status::invalid);
    EXPECT_NE(r.message.find("cannot be restored"), std::string::npos) << r.message;
  }
  EXPECT_EQ(node->status().commits.failures, 0U);
  EXPECT_TRUE(store->violations.empty()) << store->violations.front();
  const auto appends = store->appends;
  open(store);
  EXPECT_EQ(node->result("fine").phase, phase::completed);
  EXPECT_EQ(node->command("gap", engine::resume_command{}).state, reply_status::invalid);
  EXPECT_EQ(store->appends, appends) << "what is on record is not recorded again";
}

TEST_F(restarts, many_at_any_moment_all_end) {
  gate_->open();
  auto store = std::make_shared<memory_store>();
  for (int life = 0; life < 6; ++life) {
    test_node n(types, store);
    for (int i = 0; i < 20; ++i) n.begin("flow", "w" + std::to_string(life) + "-" + std::to_string(i), i);
    eventually([&] { return log->total() > static_cast<std::size_t>(life * 30); }, 2s);
    store = copy_of(*store);
  }
  open(store);
  std::vector<std::string> ids;
  for (const auto& b : store->by_id) ids.push_back(b.first);
  for (const auto& id : ids) EXPECT_EQ(node->result(id).phase, phase::completed) << id;
  expect_empty(*node);
  expect_laws(store, types);
}

}  // namespace
}  // namespace pawl::test
