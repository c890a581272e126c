// reset on a node: the next run begins with events of an earlier one, whether that is open or closed.
#include "tests/actors/node_laws.hpp"

namespace pawl::test {
namespace {

using namespace std::chrono_literals;
using engine::event_kind;
using engine::reset_command;

class resetting : public ::testing::Test {
 protected:
  // a -> b -> c; `b` does what the test says.
  void chain(std::uint32_t version = 1) {
    workflow<int> g{"chain", {.version = version}};
    auto step = [l = log, b = at_b](step_context& c, const int& n) {
      l->enter(c);
      if (c.step() == "b") (*b)(c);
      return n + 1;
    };
    auto a = g.step("a", step, {}, g.input());
    auto b = g.step("b", step, {.timeout = 60s, .retry = {.max_attempts = 1}}, a);
    auto c = g.step("c", step, {}, b);
    g.returns(c);
    types.add(g);
  }
  test_node& up(std::shared_ptr<memory_store> s = std::make_shared<memory_store>()) {
    node.reset();
    node = std::make_unique<test_node>(types, std::move(s));
    return *node;
  }
  void TearDown() override {
    if (!node) return;
    gate_->open();
    expect_idle(*node);
    expect_laws(node->store, types);
    EXPECT_TRUE(log->repeated().empty()) << "an attempt's key is used once";
  }
  std::vector<engine::event> run(const std::string& id, std::uint32_t n) const {
    memory_view v(node->store);
    const auto row = v.find(id, n);
    return row ? v.history(row->key).events : std::vector<engine::event>{};
  }
  std::uint64_t seq_of(const std::string& id, event_kind kind) const {
    for (const auto& e : node->history(id))
      if (e.kind == kind) return e.seq;
    return 0;
  }

  std::shared_ptr<call_log> log = std::make_shared<call_log>();
  std::shared_ptr<gate> gate_ = std::make_shared<gate>();
  std::shared_ptr<std::function<void(step_context&)>> at_b =
      std::make_shared<std::function<void(step_context&)>>([](step_context&) {});
  registry types;
  std::unique_ptr<test_node> node;
};

TEST_F(resetting, a_failed_run_goes_on_behind_what_was_done) {
  auto fails = std::make_shared<std::atomic<bool>>(true);
  *at_b = [fails](step_context&) {
    if (*fails) throw permanent_error("a bug");
  };
  chain();
  up();
  EXPECT_EQ(node->get(node->start("chain", "w", 1).result).phase, phase::failed);
  const auto before = node->history("w");
  *fails = false;
  const auto r = node->command("w", reset_command{.seq = seq_of("w", event_kind::attempt_completed)}, "r");
  EXPECT_EQ(r.outcome.result, command_result::applied) << r.message;
  EXPECT_EQ(r.run, 2U);
  const auto end = node->result("w");
  EXPECT_EQ(end.phase, phase::completed);
  EXPECT_EQ(end.run, 2U);
  EXPECT_EQ(decode<int>(end.payload), 4);
  EXPECT_EQ(log->order(), (std::vector<std::string>{"a", "b", "b", "c"}));
  EXPECT_EQ(run("w", 1), before) << "what is closed stays as it is";
  // The same command again, now and after a restart.
  for (int n = 0; n < 2; ++n) {
    const auto again = node->command("w", reset_command{.seq = 3}, "r");
    EXPECT_EQ(again.outcome.result, command_result::duplicate);
    EXPECT_EQ(again.run, 2U);
    up(node->store);
  }
  EXPECT_TRUE(run("w", 3).empty());
}

TEST_F(resetting, an_open_run_is_ended_with_its_attempts_and_who_waits_waits_for_the_next) {
  auto calls = std::make_shared<std::atomic<int>>(0);
  auto stopped = std::make_shared<std::atomic<int>>(0);
  *at_b = [calls, stopped](step_context& c) {
    if (++*calls > 1) return;  // that of the next run, which may begin before this one has heard
    while (!c.stop_token().stop_requested()) std::this_thread::sleep_for(1ms);
    ++*stopped;
    throw std::runtime_error("stopped");
  };
  chain();
  auto s = up().start("chain", "w", 1);
  ASSERT_TRUE(log->reaches(2));
  auto other = node->await("w");
  const auto seq = seq_of("w", event_kind::attempt_completed);
  const auto r = node->command("w", reset_command{.seq = seq, .reason = "why not"}, "r");
  EXPECT_EQ(r.outcome.result, command_result::applied) << r.message;
  EXPECT_EQ(r.run, 2U);
  for (auto* f : {&s.result, &other}) {
    const auto end = node->get(std::move(*f));
    EXPECT_EQ(end.phase, phase::completed);
    EXPECT_EQ(end.run, 2U);
  }
  EXPECT_TRUE(eventually([&] { return *stopped == 1; }));
  EXPECT_EQ(log->count("a"), 1U);
  const auto old = run("w", 1);
  EXPECT_EQ(old.back().kind, event_kind::run_reset);
  EXPECT_EQ(old.back().answers, seq);
  EXPECT_EQ(r.outcome.seq, 1U) << "of the run that begins";
  const auto next = run("w", 2);
  EXPECT_EQ(to_text(next.front().start->uid), r.run_uid);
  EXPECT_EQ(next.front().start->origin->uid, old.front().start->uid);
  EXPECT_EQ(next.front().at, old.front().at);
  EXPECT_EQ(node->command("w", reset_command{.seq = seq}, "r").outcome.result, command_result::duplicate);
  up(node->store);
  EXPECT_EQ(node->command("w", reset_command{.seq = seq}, "r").outcome.result, command_result::duplicate);
  EXPECT_TRUE(run("w", 3).empty());
}

TEST_F(resetting, a_command_that_is_sent_again_after_many_runs_is_not_done_again) {
  chain();
  up();
  node->get(node->start("chain", "w", 1).result);
  EXPECT_EQ(node->command("w", reset_command{.seq = 1}, "r").outcome.result, command_result::applied);
  EXPECT_EQ(node->result("w").run, 2U);
  for (std::uint32_t run = 3; run < 106; ++run)
    node->get(node->start("chain", "w", 1, "s-" + std::to_string(run), engine::closed_id_policy::allow).result);
  EXPECT_EQ(node->command("w", reset_command{.seq = 1}, "r").outcome.result, command_result::duplicate);
  *at_b = [g = gate_](step_context&) { g->pass(); };
  auto open = node->start("chain", "w", 1, "last", engine::closed_id_policy::allow);
  ASSERT_TRUE(gate_->holds(1));
  EXPECT_EQ(node->command("w", reset_command{.seq = 1}, "r").outcome.result, command_result::duplicate);
  gate_->open();
  EXPECT_EQ(node->get(std::move(open.result)).run, 106U);
}

TEST_F(resetting, a_run_that_was_paused_at_the_event_is_paused_again_and_shown_so) {
  *at_b = [g = gate_](step_context&) { g->pass(); };
  chain();
  auto s = up().start("chain", "w", 1);
  ASSERT_TRUE(gate_->holds(1));
  node->command("w", engine::pause_command{"look"});
  const auto paused = seq_of("w", event_kind::run_paused);
  EXPECT_EQ(node->command("w", reset_command{.seq = paused}).run, 2U);
  ASSERT_TRUE(eventually([&] {
    memory_view v(node->store);
    const auto row = v.find("w");
    return row && row->header.run == 2 && row->summary.paused;
  }));
  gate_->open();
  EXPECT_EQ(node->command("w", engine::resume_command{}).outcome.result, command_result::applied);
  EXPECT_EQ(node->get(std::move(s.result)).run, 2U);
}

TEST_F(resetting, an_earlier_run_is_taken_up_while_a_later_one_is_open) {
  chain();
  up();
  EXPECT_EQ(node->get(node->start("chain", "w", 1).result).phase, phase::completed);
  *at_b = [g = gate_](step_context& c) {
    if (c.idempotency_key().find("/b") != std::string::npos) g->pass();
  };
  node->start("chain", "w", 100, "second", engine::closed_id_policy::allow);
  ASSERT_TRUE(gate_->holds(1));
  auto waits = node->await("w");
  const auto r = node->command("w", reset_command{.seq = 3, .run = 1});
  EXPECT_EQ(r.run, 3U);
  gate_->open();
  const auto end = node->get(std::move(waits));
  EXPECT_EQ(end.run, 3U);
  EXPECT_EQ(decode<int>(end.payload), 4) << "it has the first run's input";
  EXPECT_EQ(run("w", 3).front().start->origin->run, 1U);
}

TEST_F(resetting, a_refusal_is_on_record_and_changes_nothing) {
  *at_b = [g = gate_](step_context&) { g->pass(); };
  chain();
  auto s = up().start("chain", "w", 1);
  ASSERT_TRUE(gate_->holds(1));
  const auto before = node->history("w");
  for (int n = 0; n < 2; ++n) {
    EXPECT_EQ(node->command("w", reset_command{.seq = 77}, "far").outcome.result, command_result::invalid);
    EXPECT_EQ(node->command("w", reset_command{.seq = 1, .run = 5}, "none").outcome.result, command_result::not_found);
    EXPECT_EQ(node->command("w", reset_command{.seq = 1, .version = 5}, "v").outcome.result, command_result::invalid);
    EXPECT_EQ(node->command("x", reset_command{.seq = 1}, "x").outcome.result, command_result::not_found);
  }
  EXPECT_EQ(node->history("w"), before);
  gate_->open();
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::completed);
  const auto end = node->history("w").back().seq;
  for (int n = 0; n < 2; ++n)
    EXPECT_EQ(node->command("w", reset_command{.seq = end}, "end").outcome.result, command_result::invalid);
  EXPECT_TRUE(run("w", 2).empty());
}

TEST_F(resetting, an_append_that_fails_leaves_the_run_as_it_was_or_resets_it_once) {
  for (const bool written : {false, true}) {
    SCOPED_TRACE(written);
    const auto id = std::string("w-") + (written ? "written" : "lost");
    auto first = std::make_shared<std::atomic<bool>>(true);
    *at_b = [g = gate_, first](step_context& c) {
      while (*first && !c.stop_token().stop_requested()) std::this_thread::sleep_for(1ms);
    };
    if (!node) chain(), up();
    const auto calls = log->total();
    auto s = node->start("chain", id, 1);
    ASSERT_TRUE(log->reaches(calls + 2));
    const auto fired = node->store->failures_fired;
    {
      const std::lock_guard lock(node->store->mutex);
      node->store->fail_if = [written, left = 1](const store::record& r) mutable -> std::optional<planned_failure> {
        const bool resets = std::any_of(r.runs.begin(), r.runs.end(), [](const auto& c) {
          return std::any_of(c.events.begin(), c.events.end(),
                             [](const auto& e) { return e.kind == event_kind::run_reset; });
        });
        if (!resets || left-- <= 0) return std::nullopt;
        return planned_failure{.status = store::append_status::unknown, .written = written};
      };
    }
    const auto r = node->command(id, reset_command{.seq = 3}, "r");
    EXPECT_EQ(r.state, reply_status::unknown);
    EXPECT_EQ(node->store->failures_fired, fired + 1);
    actors::command_reply again;
    ASSERT_TRUE(eventually([&] {
      again = node->command(id, reset_command{.seq = 3}, "r");
      return again.state == reply_status::recorded;
    }));
    *first = false;  // not before: a run that has ended meanwhile is reset without an event of its own
    EXPECT_EQ(again.outcome.result, written ? command_result::duplicate : command_result::applied) << again.message;
    ASSERT_TRUE(eventually([&] { return node->result(id).phase == phase::completed; }));
    EXPECT_FALSE(run(id, 2).empty());
    EXPECT_TRUE(run(id, 3).empty());
    EXPECT_EQ(run(id, 1).back().kind, event_kind::run_reset);
  }
}

TEST_F(resetting, a_start_that_brings_events_along_begins_with_them) {
  chain();
  up();
  EXPECT_EQ(node->get(node->start("chain", "w", 1).result).phase, phase::completed);
  engine::start_command s;
  s.kept = run("w", 1);
  s.kept.resize(3);
  s.facts = *s.kept.front().start;
  s.facts.origin = engine::run_origin{
      .kind = engine::origin_kind::forked, .uid = s.facts.uid, .seq = 3, .workflow_id = "w", .run = 1};
  s.input = s.kept.front().payload;
  auto nonsense = s;
  nonsense.kept.erase(nonsense.kept.begin() + 1);
  EXPECT_EQ(node->command("fork", nonsense).state, reply_status::invalid);
  EXPECT_TRUE(node->history("fork").empty());
  const auto r = node->command("fork", s, "f");
  EXPECT_EQ(r.outcome.result, command_result::applied) << r.message;
  EXPECT_EQ(node->command("fork", s, "f").outcome.result, command_result::duplicate);
  EXPECT_EQ(node->command("fork", s, "g").outcome.result, command_result::conflict);
  EXPECT_EQ(node->result("fork").phase, phase::completed);
  EXPECT_EQ(log->count("a"), 1U);
  EXPECT_EQ(log->count("b"), 2U);
  EXPECT_NE(run("fork", 1).front().start->uid, run("w", 1).front().start->uid);
}

TEST_F(resetting, while_commands_stream_in_each_gets_one_answer) {
  chain();
  up();
  auto first = node->start("chain", "w", 1);
  node->get(std::move(first.result));
  std::vector<std::future<actors::command_reply>> replies;
  for (int n = 0; n < 40; ++n) {
    replies.push_back(node->send("w", reset_command{.seq = 1}, "r-" + std::to_string(n)));
    replies.push_back(node->send("w", engine::pause_command{"a while"}, "p-" + std::to_string(n)));
    replies.push_back(node->send("w", engine::resume_command{}, "q-" + std::to_string(n)));
  }
  std::size_t resets = 0;
  for (std::size_t n = 0; n < replies.size(); ++n) {
    const auto r = node->get(std::move(replies[n]));
    EXPECT_EQ(r.state, reply_status::recorded);
    if (n % 3 == 0) {
      EXPECT_EQ(r.outcome.result, command_result::applied) << r.message;
      ++resets;
    }
  }
  EXPECT_EQ(resets, 40U);
  ASSERT_TRUE(eventually([&] {
    const auto r = node->result("w");
    return r.state == result_status::closed && r.run == 41;
  }));
}

}  // namespace
}  // namespace pawl::test
