// Attempts that fail, hang, fall silent or run out of time.
#include "tests/actors/node_laws.hpp"

namespace pawl::test {
namespace {

using namespace std::chrono_literals;

constexpr retry_options quick{.max_attempts = 5, .first_delay = 4ms, .factor = 1.5, .max_delay = 20ms};

class retries : public ::testing::Test {
 protected:
  template <class F>
  void one_step(const char* type, F f, step_options options) {
    workflow<int> g{type, {}};
    auto in = g.input();
    g.returns(g.step("only", std::move(f), options, in));
    types.add(g);
  }
  void TearDown() override {
    if (!node) return;
    gate_->open();
    expect_idle(*node);
    expect_laws(node->store, types);
    EXPECT_TRUE(log->repeated().empty());
  }
  test_node& up(actors::node_options o = {}) {
    node = std::make_unique<test_node>(types, std::make_shared<memory_store>(), std::move(o));
    return *node;
  }
  std::shared_ptr<call_log> log = std::make_shared<call_log>();
  std::shared_ptr<gate> gate_ = std::make_shared<gate>();
  registry types;
  std::unique_ptr<test_node> node;
};

TEST_F(retries, goes_on_until_it_succeeds) {
  one_step("flaky",
           [l = log](step_context& c, const int& n) {
             l->enter(c);
             if (c.attempt() < 4) throw std::runtime_error("not yet");
             return n;
           },
           {.retry = quick});
  auto s = up().start("flaky", "w", 5);
  const auto r = node->get(std::move(s.result));
  EXPECT_EQ(r.phase, phase::completed);
  EXPECT_EQ(decode<int>(r.payload), 5);
  EXPECT_EQ(log->total(), 4U);
  EXPECT_EQ(node->count("w", "attempt_failed"), 3U);
}

TEST_F(retries, ends_when_no_attempt_is_left) {
  one_step("hopeless",
           [l = log](step_context& c, const int&) -> int {
             l->enter(c);
             throw std::runtime_error("never");
           },
           {.retry = quick});
  auto s = up().start("hopeless", "w", 5);
  const auto r = node->get(std::move(s.result));
  EXPECT_EQ(r.phase, phase::failed);
  ASSERT_TRUE(r.error);
  EXPECT_EQ(r.error->message, "never");
  EXPECT_EQ(log->total(), 5U);
}

TEST_F(retries, a_permanent_error_ends_the_step_at_once) {
  one_step("refused",
           [l = log](step_context& c, const int&) -> int {
             l->enter(c);
             throw permanent_error("no such card", "card");
           },
           {.retry = quick});
  auto s = up().start("refused", "w", 5);
  const auto r = node->get(std::move(s.result));
  EXPECT_EQ(r.phase, phase::failed);
  ASSERT_TRUE(r.error);
  EXPECT_EQ(r.error->code, "card");
  EXPECT_EQ(log->total(), 1U);
}

TEST_F(retries, what_is_not_an_exception_is_a_failure_too) {
  one_step("odd",
           [l = log](step_context& c, const int& n) {
             if (l->enter(c); c.attempt() == 1) throw 7;
             return n;
           },
           {.retry = quick});
  auto s = up().start("odd", "w", 5);
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::completed);
}

TEST_F(retries, an_error_may_name_its_own_delay) {
  one_step("throttled",
           [l = log](step_context& c, const int& n) {
             if (l->enter(c); c.attempt() == 1) throw step_error("slow down", "throttled", 120ms);
             return n;
           },
           {.retry = {.max_attempts = 3, .first_delay = 10min, .max_delay = 10min}});
  auto s = up().start("throttled", "w", 5);
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::completed);
  const auto h = node->history("w");
  ASSERT_EQ(h.size(), 6U);
  EXPECT_GE(h[3].at - h[2].at, 120ms);
  EXPECT_LT(h[3].at - h[2].at, 60s);
}

TEST_F(retries, a_function_that_hangs_is_timed_out_and_its_late_result_refused) {
  one_step("hangs",
           [l = log, g = gate_](step_context& c, const int& n) {
             l->enter(c);
             if (c.attempt() == 1) g->pass();
             return n + static_cast<int>(c.attempt());
           },
           {.timeout = 60ms, .retry = quick});
  auto s = up().start("hangs", "w", 5);
  const auto r = node->get(std::move(s.result));
  EXPECT_EQ(r.phase, phase::completed);
  EXPECT_EQ(decode<int>(r.payload), 7);
  ASSERT_TRUE(gate_->holds(1));
  EXPECT_TRUE(eventually([&] { return node->status().slots.taken == 0; }))
      << "the slot of a function written off is free again";
  EXPECT_EQ(node->status().lingering, 1U);
  EXPECT_EQ(node->status().attempts_timed_out, 1U);
  EXPECT_EQ(node->status().pool.written_off_now, 1U);
  EXPECT_EQ(node->status().late_results, 0U);
  gate_->open();
  EXPECT_TRUE(eventually([&] { return node->status().late_results == 1; }));
  EXPECT_TRUE(eventually([&] { return node->status().pool.written_off_now == 0; }));
  EXPECT_EQ(node->count("w", "attempt_completed"), 1U);
}

TEST_F(retries, the_node_drains_although_a_function_hangs) {
  one_step("hangs",
           [l = log, g = gate_](step_context& c, const int& n) {
             l->enter(c);
             g->pass();
             return n;
           },
           {.timeout = 50ms, .retry = {.max_attempts = 1}});
  auto s = up().start("hangs", "w", 5);
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::failed);
  const auto begun = std::chrono::steady_clock::now();
  const auto d = node->system->drain(1s);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 5s);
  EXPECT_EQ(d.interrupted, 0U);
  EXPECT_EQ(d.hung, 1U);
  node->system.reset();
  gate_->open();
  EXPECT_TRUE(gate_->empty());
  expect_laws(node->store, types);
  node.reset();
}

TEST_F(retries, over_the_limit_of_threads_written_off_the_slot_stays_taken) {
  one_step("hangs",
           [l = log, g = gate_](step_context& c, const int& n) {
             l->enter(c);
             g->pass();
             return n;
           },
           {.timeout = 40ms, .retry = {.max_attempts = 1}});
  actors::node_options o;
  o.pool.max_threads = 2;
  o.pool.written_off_limit = 1;
  auto& n = up(std::move(o));
  for (int i = 0; i < 3; ++i) {
    auto s = n.start("hangs", "w" + std::to_string(i), 1);
    EXPECT_EQ(n.get(std::move(s.result)).phase, phase::failed);
  }
  EXPECT_EQ(n.status().slots.taken, 2U);
  auto waits = n.start("hangs", "w3", 1);
  EXPECT_EQ(waits.reply.state, reply_status::recorded);
  EXPECT_TRUE(eventually([&] { return n.status().slots.waiting == 1; }));
  EXPECT_EQ(log->total(), 3U);
  gate_->open();
  EXPECT_EQ(n.get(std::move(waits.result)).phase, phase::completed);
}

TEST_F(retries, silence_ends_an_attempt_that_has_to_be_heard_of) {
  one_step("silent",
           [l = log, g = gate_](step_context& c, const int& n) {
             if (l->enter(c); c.attempt() == 1) g->pass();
             return n;
           },
           {.timeout = 60s, .heartbeat = 60ms, .retry = quick});
  auto s = up().start("silent", "w", 5);
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::completed);
  const auto h = node->history("w");
  ASSERT_GE(h.size(), 3U);
  EXPECT_EQ(h[2].kind, engine::event_kind::attempt_timed_out);
  ASSERT_TRUE(h[2].error);
  EXPECT_EQ(h[2].error->code, "heartbeat_timeout");
}

TEST_F(retries, heartbeats_keep_an_attempt_alive) {
  one_step("alive",
           [l = log](step_context& c, const int& n) {
             l->enter(c);
             const auto until = std::chrono::steady_clock::now() + 400ms;
             while (std::chrono::steady_clock::now() < until) {
               c.heartbeat();
               std::this_thread::sleep_for(2ms);
             }
             return n;
           },
           {.timeout = 60s, .heartbeat = 300ms, .retry = quick});
  auto s = up().start("alive", "w", 5);
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::completed);
  EXPECT_EQ(log->total(), 1U);
}

TEST_F(retries, details_of_heartbeats_reach_the_next_attempt) {
  auto seen = std::make_shared<std::vector<int>>();
  one_step("resumable",
           [l = log, seen](step_context& c, const int& n) {
             l->enter(c);
             const int from = c.last_details<int>().value_or(0);
             seen->push_back(from);
             for (int i = from + 1; i <= from + 10; ++i) c.heartbeat(i);
             if (c.attempt() < 4) throw std::runtime_error("not yet");
             return n + from;
           },
           {.timeout = 60s, .retry = quick});
  auto s = up().start("resumable", "w", 0);
  EXPECT_EQ(decode<int>(node->get(std::move(s.result)).payload), 30);
  EXPECT_EQ(*seen, (std::vector<int>{0, 10, 20, 30}));
}

TEST_F(retries, a_timeout_hands_its_details_on) {
  one_step("resumable",
           [l = log, g = gate_](step_context& c, const int& n) {
             l->enter(c);
             if (c.attempt() > 1) return n + c.last_details<int>().value_or(0);
             c.heartbeat(1);
             c.heartbeat(41);
             g->pass();
             return n;
           },
           {.timeout = 60ms, .retry = quick});
  auto s = up().start("resumable", "w", 1);
  EXPECT_EQ(decode<int>(node->get(std::move(s.result)).payload), 42);
}

TEST_F(retries, a_step_ends_at_its_deadline_while_it_waits_and_while_it_runs) {
  one_step("waits",
           [l = log](step_context& c, const int&) -> int {
             l->enter(c);
             throw std::runtime_error("never");
           },
           {.timeout = 100ms,
            .deadline = 100ms,
            .retry = {.max_attempts = 100, .first_delay = 20ms, .factor = 1, .max_delay = 20ms}});
  one_step("runs",
           [g = gate_](step_context& c, const int& n) {
             if (c.attempt() == 1) throw step_error("again", "again", 400ms);
             g->pass();
             return n;
           },
           {.timeout = 500ms, .deadline = 500ms, .retry = {.max_attempts = 100}});
  auto waits = up().start("waits", "a", 5);
  auto runs = node->start("runs", "b", 5);
  EXPECT_EQ(node->get(std::move(waits.result)).phase, phase::failed);
  EXPECT_EQ(node->get(std::move(runs.result)).phase, phase::failed);
  EXPECT_LT(log->total(), 100U);
  EXPECT_EQ(node->count("b", "attempt_started"), 2U);
  EXPECT_EQ(node->count("b", "attempt_timed_out"), 1U);
  const auto h = node->history("b");
  EXPECT_LT(h.back().at - h.front().at, 800ms)
      << "the second attempt has what is left of the deadline, not its whole timeout";
}

TEST_F(retries, results_that_are_too_large_fail_alone) {
  actors::node_options o;
  o.limits.payload = 1000;
  one_step("large", [](step_context&, const int& n) { return std::string(static_cast<std::size_t>(n), 'x'); },
           {.retry = quick});
  auto& n = up(std::move(o));
  auto bad = n.start("large", "a", 2000);
  auto good = n.start("large", "b", 900);
  const auto r = n.get(std::move(bad.result));
  EXPECT_EQ(r.phase, phase::failed);
  ASSERT_TRUE(r.error);
  EXPECT_EQ(r.error->code, "too_large");
  EXPECT_EQ(n.get(std::move(good.result)).phase, phase::completed);
}

}  // namespace
}  // namespace pawl::test
