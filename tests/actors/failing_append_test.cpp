// Every append of a small workload fails once, in every way that an append can fail, and every writing of a view that
// is written behind its journal.
#include "tests/actors/node_laws.hpp"

namespace pawl::test {
namespace {

using namespace std::chrono_literals;
using store::append_status;

std::string describe_fault(std::size_t at, planned_failure f) {
  return "append " + std::to_string(at) + " fails with status " + std::to_string(static_cast<int>(f.status)) +
         (f.written ? ", written" : ", not written");
}

class workload {
 public:
  workload() {
    workflow<int> g{"flow", {}};
    auto in = g.input();
    auto a = g.step(
        "a",
        [l = log](step_context& c, const int& n) {
          l->enter(c);
          c.heartbeat(n);
          return n + 1;
        },
        {}, in);
    auto b = g.step(
        "b",
        [l = log](step_context& c, const int& n) {
          l->enter(c);
          if (c.attempt() == 1) throw std::runtime_error("again");
          return n * 2;
        },
        {.retry = {.first_delay = 2ms, .max_delay = 4ms}}, a);
    auto d = g.step(
        "c",
        [l = log](step_context& c, const int& n, const int& m) {
          l->enter(c);
          if (m == 7) throw permanent_error("seven");
          return n + m;
        },
        {}, b, in);
    g.undo(a, [l = log](step_context& c, const std::optional<int>&) { l->enter(c); });
    g.undo(b, [l = log](step_context& c, const std::optional<int>&) { l->enter(c); });
    g.returns(d);
    types.add(g);
  }

  // Sends a command again under its id until its outcome is known.
  template <class Send>
  static actors::command_reply insist(Send send, bool& unknown) {
    for (;;) {
      const auto r = send();
      if (r.state == reply_status::recorded || r.state == reply_status::invalid) return r;
      if (r.state == reply_status::unknown) unknown = true;
      std::this_thread::sleep_for(1ms);
    }
  }

  struct plan {
    std::optional<std::pair<std::size_t, planned_failure>> append{};
    bool view_lags = false;
    std::optional<std::pair<std::size_t, append_status>> show{};
  };
  // Returns the store, which knows how many appends and showings it took.
  std::shared_ptr<memory_store> run(const plan& p) {
    const auto& fault = p.append;
    auto store = std::make_shared<memory_store>();
    store->view_lags = p.view_lags;
    if (fault) store->failures[fault->first] = fault->second;
    if (p.show) store->show_failures[p.show->first] = p.show->second;
    test_node node(types, store);
    const std::vector<std::pair<std::string, int>> runs{{"one", 1}, {"seven", 7}, {"cancelled", 3}};
    bool unknown = false;
    for (const auto& [id, input] : runs) {
      const auto reply =
          insist([&, in = input, i = id] { return node.start("flow", i, in, "start-" + i).reply; }, unknown);
      EXPECT_TRUE(reply.outcome.result == command_result::applied ||
                  (unknown && reply.outcome.result == command_result::duplicate))
          << id << ": " << to_text(reply.outcome.result);
      EXPECT_FALSE(node.history(id).empty()) << "what is answered is on record";
    }
    const auto cancel =
        insist([&] { return node.command("cancelled", engine::cancel_command{"x"}, "cancel"); }, unknown);
    EXPECT_EQ(
        insist([&] { return node.command("cancelled", engine::cancel_command{"x"}, "cancel"); }, unknown).outcome.seq,
        cancel.outcome.seq);
    EXPECT_EQ(
        insist([&] { return node.command("nobody", engine::cancel_command{"x"}, "lost"); }, unknown).outcome.result,
        command_result::not_found);
    for (const auto& [id, input] : runs) {
      EXPECT_TRUE(eventually([&, i = id] { return node.result(i).state == result_status::closed; }))
          << id << " does not end";
    }
    EXPECT_EQ(decode<int>(node.result("one").payload), 5);
    EXPECT_EQ(node.result("seven").phase, phase::failed);
    EXPECT_EQ(log->repeated(), std::vector<std::string>{});
    EXPECT_EQ(log->count("b~") + log->count("a~"), 2U + undone(node));
    expect_empty(node);
    node.await_views();
    expect_laws(store, types);
    const std::lock_guard lock(store->mutex);
    if (fault) EXPECT_EQ(store->failures_fired, fault->first <= store->appends ? 1U : 0U);
    if (p.show) EXPECT_EQ(store->show_failures_fired, p.show->first <= store->shows ? 1U : 0U);
    return store;
  }

  // How many steps of the cancelled run were undone, by its history.
  static std::size_t undone(test_node& node) {
    std::size_t n = 0;
    for (const auto& e : node.history("cancelled"))
      if (e.kind == engine::event_kind::attempt_completed && e.undo) ++n;
    return n;
  }

  std::shared_ptr<call_log> log = std::make_shared<call_log>();
  registry types;
};

struct flavour {
  append_status status;
  bool written;
  bool view_lags = false;
};
class every_append : public ::testing::TestWithParam<flavour> {};

TEST_P(every_append, may_fail_and_nothing_is_lost_or_done_twice) {
  const auto [status, written, view_lags] = GetParam();
  std::size_t longest = workload().run({.view_lags = view_lags})->appends;
  std::size_t fired = 0;
  for (std::size_t at = 1; at <= longest; ++at) {
    const planned_failure f{status, written};
    SCOPED_TRACE(describe_fault(at, f));
    workload w;
    const auto appends = w.run({.append = std::pair{at, f}, .view_lags = view_lags})->appends;
    fired += appends >= at ? 1 : 0;
    longest = std::max(longest, std::min<std::size_t>(appends, 40));
    if (HasFailure()) return;
  }
  EXPECT_GE(fired, 10U);
  std::printf("faults fired: %zu of %zu\n", fired, longest);
}

// What was acknowledged is in the journal, whatever becomes of the view: it is read from there. How often it is shown
// is up to how long there is nothing to append in between: so several times.
TEST(every_showing, may_fail_and_nothing_is_lost_or_done_twice) {
  constexpr int passes = 3;
  std::size_t longest = workload().run({.view_lags = true})->shows;
  std::size_t fired = 0;
  for (int pass = 1; pass <= passes; ++pass) {
    for (std::size_t at = 1; at <= longest; ++at) {
      SCOPED_TRACE("showing " + std::to_string(at) + " fails, pass " + std::to_string(pass));
      workload w;
      const auto store = w.run({.view_lags = true, .show = std::pair{at, append_status::unknown}});
      fired += store->show_failures_fired;
      longest = std::max(longest, std::min<std::size_t>(store->shows, 40));
      if (HasFailure()) return;
    }
  }
  EXPECT_GE(fired, 10U);
  std::printf("faults fired: %zu of %zu\n", fired, passes * longest);
}

constexpr flavour flavours[] = {{append_status::refused, false},     {append_status::unknown, false},
                                {append_status::unknown, true},      {append_status::no_space, false},
                                {append_status::no_space, true},     {append_status::unknown, false, true},
                                {append_status::unknown, true, true}};

std::string name_of(const ::testing::TestParamInfo<flavour>& p) {
  const char* names[] = {"committed", "refused", "no_space", "unknown", "broken"};
  return std::string(names[static_cast<int>(p.param.status)]) + (p.param.written ? "_written" : "_not_written") +
         (p.param.view_lags ? "_behind" : "");
}

INSTANTIATE_TEST_SUITE_P(flavours, every_append, ::testing::ValuesIn(flavours), name_of);

class failing_append : public ::testing::Test {
 protected:
  void one_step(step_options o = {.timeout = 60s}) {
    workflow<int> g{"w", {}};
    auto in = g.input();
    auto a = g.step(
        "a",
        [l = log, gt = gate_](step_context& c, const int& n) {
          l->enter(c);
          gt->pass();
          if (c.stop_token().stop_requested()) throw std::runtime_error("told to stop");
          return n + 1;
        },
        o, in);
    g.undo(a, [l = log](step_context& c, const std::optional<int>&) { l->enter(c); });
    g.returns(a);
    types.add(g);
    node = std::make_unique<test_node>(types);
  }
  // The next record that holds such an event fails.
  void fail_at(engine::event_kind kind, planned_failure f) {
    node->store->change([&](memory_store& m) {
      m.fail_if = [kind, f, fired = false](const store::record& r) mutable -> std::optional<planned_failure> {
        if (fired) return std::nullopt;
        for (const auto& c : r.runs)
          for (const auto& e : c.events) fired |= e.kind == kind;
        return fired ? std::optional(f) : std::nullopt;
      };
    });
  }
  void TearDown() override {
    gate_->open();
    EXPECT_TRUE(log->repeated().empty());
    if (!node) return;
    expect_empty(*node);
    expect_laws(node->store, types);
  }
  std::size_t fired() {
    const std::lock_guard lock(node->store->mutex);
    return node->store->failures_fired;
  }
  std::shared_ptr<call_log> log = std::make_shared<call_log>();
  std::shared_ptr<gate> gate_ = std::make_shared<gate>();
  registry types;
  std::unique_ptr<test_node> node;
};

TEST_F(failing_append, a_result_outlives_the_batch_that_was_to_record_it) {
  one_step();
  auto s = node->start("w", "x", 1);
  ASSERT_TRUE(gate_->holds(1));
  fail_at(engine::event_kind::attempt_completed, {append_status::unknown, false});
  gate_->open();
  const auto r = node->get(std::move(s.result));
  EXPECT_EQ(r.phase, phase::completed);
  EXPECT_EQ(decode<int>(r.payload), 2);
  EXPECT_EQ(log->total(), 1U) << "the function has not run again";
  EXPECT_EQ(fired(), 1U);
}

TEST_F(failing_append, an_end_recorded_without_an_answer_leaves_nothing_in_the_table) {
  one_step();
  auto s = node->start("w", "x", 1);
  ASSERT_TRUE(gate_->holds(1));
  fail_at(engine::event_kind::attempt_completed, {append_status::unknown, true});
  gate_->open();
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::completed);
  EXPECT_EQ(fired(), 1U);
}

TEST_F(failing_append, nobody_is_told_to_stop_before_the_cancel_is_on_record) {
  one_step();
  auto s = node->start("w", "x", 1);
  ASSERT_TRUE(gate_->holds(1));
  fail_at(engine::event_kind::cancel_requested, {append_status::unknown, false});
  EXPECT_EQ(node->command("x", engine::cancel_command{}, "c").state, reply_status::unknown);
  EXPECT_TRUE(eventually([&] { return node->describe("x").phase == phase::running; }));
  gate_->open();
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::completed);
  EXPECT_EQ(fired(), 1U);
}

TEST_F(failing_append, an_adopted_attempt_hears_of_a_cancel) {
  workflow<int> g{"listens", {}};
  g.step(
      "a",
      [l = log](step_context& c, const int&) {
        l->enter(c);
        while (!c.stop_token().stop_requested()) std::this_thread::sleep_for(1ms);
      },
      {.timeout = 60s}, g.input());
  types.add(g);
  one_step();
  auto s = node->start("listens", "x", 1);
  ASSERT_TRUE(log->reaches(1));
  fail_at(engine::event_kind::run_started, {append_status::unknown, false});
  EXPECT_EQ(node->start("listens", "y", 1).reply.state, reply_status::unknown);
  ASSERT_TRUE(eventually([&] { return node->describe("x").found && node->status().journal_available; }));
  ASSERT_TRUE(
      eventually([&] { return node->command("x", engine::cancel_command{}, "c").state == reply_status::recorded; }));
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::cancelled);
  EXPECT_EQ(fired(), 1U);
}

#if !defined(__GNUC__) || defined(__clang__)  // durable code: see pawl/task.hpp
task<int> renews(workflow_context& wf, int n) {
  if (n == 0) co_return 7;
  co_await wf.sleep(50ms);
  co_await wf.continue_as_new(n - 1);
  co_return -1;
}

TEST_F(failing_append, who_waits_gets_the_end_of_the_run_that_goes_on_whatever_became_of_the_record) {
  types.add("renews", {}, renews);
  one_step();
  for (const bool durable : {true, false}) {
    const auto before = fired();
    auto s = node->start("renews", durable ? "x" : "y", 2);
    fail_at(engine::event_kind::run_continued, {append_status::unknown, durable});
    const auto r = node->get(std::move(s.result));
    EXPECT_EQ(r.phase, phase::completed);
    EXPECT_EQ(r.run, 3U);
    EXPECT_EQ(decode<int>(r.payload), 7);
    EXPECT_EQ(fired(), before + 1);
  }
  gate_->open();
}

task<int> renews_aloud(workflow_context& wf, int n) {
  if (n == 0) co_return 7;
  co_await wf.sleep(50ms);
  wf.log(log_level::info, "renews");
  co_await wf.continue_as_new(n - 1);
  co_return -1;
}

// It dies when its end is on record and before it has told its partition, of the line that its code has logged.
TEST_F(failing_append, an_actor_that_dies_as_its_run_continues_is_followed_by_the_next_run) {
  types.add("renews-aloud", {}, renews_aloud);
  std::atomic<std::size_t> died{0};
  actors::node_options o;
  o.log = [&](log_level, std::string_view text) {
    if (!text.starts_with("renews workflow_id")) return;
    ++died;
    throw std::runtime_error("the log is away");
  };
  node = std::make_unique<test_node>(types, std::make_shared<memory_store>(), o);
  // With a record that succeeds, and with one of unknown outcome before, which was lost: the run goes on once more.
  for (const bool lost_first : {false, true}) {
    const auto before = died.load();
    const auto restarts = node->status().partition.restarts;
    auto s = node->start("renews-aloud", lost_first ? "y" : "x", 2);
    if (lost_first) fail_at(engine::event_kind::run_continued, {append_status::unknown, false});
    const auto r = node->get(std::move(s.result));
    EXPECT_EQ(r.phase, phase::completed);
    EXPECT_EQ(r.run, 3U);
    EXPECT_EQ(decode<int>(r.payload), 7);
    EXPECT_EQ(died - before, 2U);
    EXPECT_EQ(node->status().partition.restarts - restarts, 2U);
    EXPECT_EQ(fired(), lost_first ? 1U : 0U);
  }
  // Nobody waits: the next run goes on all the same.
  engine::start_command quiet;
  quiet.facts.type = "renews-aloud";
  quiet.facts.version = 0;
  quiet.input = encode(1);
  EXPECT_EQ(node->command("z", std::move(quiet)).state, reply_status::recorded);
  EXPECT_TRUE(eventually([&] { return node->count("z", "run_completed") == 1; }));
  EXPECT_EQ(died, 5U);
}
#endif

TEST_F(failing_append, an_adopted_attempt_leaves_after_a_kill) {
  one_step();
  auto s = node->start("w", "x", 1);
  ASSERT_TRUE(gate_->holds(1));
  fail_at(engine::event_kind::run_killed, {append_status::unknown, false});
  EXPECT_EQ(node->command("x", engine::kill_command{}, "k").state, reply_status::unknown);
  ASSERT_TRUE(
      eventually([&] { return node->command("x", engine::kill_command{}, "k").state == reply_status::recorded; }));
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::killed);
  gate_->open();
  expect_empty(*node);
}

TEST_F(failing_append, a_kill_recorded_without_an_answer_leaves_no_attempt_behind) {
  one_step();
  auto s = node->start("w", "x", 1);
  ASSERT_TRUE(gate_->holds(1));
  fail_at(engine::event_kind::run_killed, {append_status::unknown, true});
  EXPECT_EQ(node->command("x", engine::kill_command{}, "k").state, reply_status::unknown);
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::killed);
  EXPECT_EQ(node->command("x", engine::kill_command{}, "k").outcome.result, command_result::duplicate);
  gate_->open();
  expect_empty(*node);
}

// Its slot is gone with the actor that had it; the one that it gets anew counts towards the step's limit as well.
TEST_F(failing_append, an_attempt_that_begins_late_keeps_to_the_limit_of_its_step) {
  one_step({.timeout = 60s, .max_concurrent = 1});
  fail_at(engine::event_kind::attempt_started, {append_status::unknown, true});
  EXPECT_EQ(node->start("w", "x", 1).reply.state, reply_status::unknown);
  EXPECT_EQ(fired(), 1U);
  ASSERT_TRUE(gate_->holds(1));
  auto y = node->start("w", "y", 1);
  EXPECT_EQ(y.reply.state, reply_status::recorded);
  EXPECT_EQ(node->kinds("y"), (std::vector<std::string>{"run_started", "step_scheduled"}));
  EXPECT_EQ(log->total(), 1U);
  gate_->open();
  EXPECT_EQ(node->get(std::move(y.result)).phase, phase::completed);
  EXPECT_EQ(node->result("x").phase, phase::completed);
}

TEST_F(failing_append, a_function_that_was_given_up_is_waited_for_after_a_failure_too) {
  one_step({.timeout = 400ms});
  auto s = node->start("w", "x", 1);
  ASSERT_TRUE(gate_->holds(1));
  node->command("x", engine::cancel_command{}, "c");
  fail_at(engine::event_kind::compensation_started, {append_status::unknown, true});
  ASSERT_TRUE(eventually([&] { return fired() == 1; }));
  gate_->open();
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::cancelled);
  for (const auto& e : node->history("x"))
    if (e.kind == engine::event_kind::attempt_started && e.undo) EXPECT_FALSE(e.begun->may_still_run);
}

TEST_F(failing_append, without_space_it_goes_on_when_space_returns) {
  one_step();
  gate_->open();
  node->store->change([](memory_store& m) {
    for (std::size_t n = 2; n < 6; ++n) m.failures[n] = {append_status::no_space, n % 2 == 0};
    m.reopen_refusals = 3;
  });
  bool unknown = false;
  workload::insist([&] { return node->start("w", "x", 1, "s").reply; }, unknown);
  EXPECT_TRUE(eventually([&] { return node->result("x").state == result_status::closed; }));
  EXPECT_GE(fired(), 1U);
  node->store->change([](memory_store& m) { m.failures.clear(); });
  EXPECT_EQ(node->result("x").phase, phase::completed);
}

TEST_F(failing_append, a_broken_journal_ends_the_node_and_says_so_once) {
  one_step();
  std::atomic<int> told{0};
  node = std::make_unique<test_node>(types, std::make_shared<memory_store>(), actors::node_options{},
                                     [&](const std::string&) { ++told; });
  auto s = node->start("w", "x", 1);
  ASSERT_TRUE(gate_->holds(1));
  node->store->change([](memory_store& m) { m.failures[m.appends + 1] = {append_status::broken, false}; });
  EXPECT_EQ(node->start("w", "y", 1).reply.state, reply_status::unknown);
  EXPECT_EQ(node->get(std::move(s.result)).state, result_status::unavailable);
  EXPECT_TRUE(eventually([&] { return told == 1; }));
  EXPECT_EQ(node->start("w", "z", 1).reply.state, reply_status::unavailable);
  EXPECT_EQ(node->result("x").state, result_status::unavailable);
  gate_->open();
  const auto store = node->store;
  node->system.reset();
  EXPECT_EQ(told, 1);
  expect_laws(store, types);
  node.reset();
}

TEST_F(failing_append, a_node_that_stops_without_space_is_not_called_broken) {
  one_step();
  std::atomic<int> told{0};
  node = std::make_unique<test_node>(types, std::make_shared<memory_store>(), actors::node_options{},
                                     [&](const std::string&) { ++told; });
  node->store->change([](memory_store& m) {
    m.failures[1] = {append_status::no_space, false};
    m.reopen_refusals = 1'000'000;
  });
  EXPECT_EQ(node->start("w", "x", 1).reply.state, reply_status::unknown);
  const auto begun = std::chrono::steady_clock::now();
  node->system->drain(5s);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 5s);
  node.reset();
  EXPECT_EQ(told, 0);
}

}  // namespace
}  // namespace pawl::test
