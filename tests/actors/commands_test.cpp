// Commands: repeats, refusals, and who may be started when.
#include "tests/actors/node_laws.hpp"

namespace pawl::test {
namespace {

using namespace std::chrono_literals;
using engine::closed_id_policy;

class commands : public ::testing::Test {
 protected:
  commands() {
    workflow<int> g{"w", {}};
    auto in = g.input();
    g.returns(g.step(
        "only",
        [l = log, gt = gate_](step_context& c, const int& n) {
          l->enter(c);
          if (n < 0) throw permanent_error("negative");
          if (n == 0) gt->pass();
          return n;
        },
        {.timeout = 60s}, in));
    types.add(g);
  }
  test_node& up(actors::node_options o = {}) {
    node = std::make_unique<test_node>(types, std::make_shared<memory_store>(), std::move(o));
    return *node;
  }
  void TearDown() override {
    gate_->open();
    expect_empty(*node);
    expect_laws(node->store, types);
    EXPECT_TRUE(log->repeated().empty());
  }
  std::size_t outcomes() {
    const std::lock_guard lock(node->store->mutex);
    return node->store->outcomes.size();
  }
  std::shared_ptr<call_log> log = std::make_shared<call_log>();
  std::shared_ptr<gate> gate_ = std::make_shared<gate>();
  registry types;
  std::unique_ptr<test_node> node;
};

TEST_F(commands, a_repeated_start_is_a_duplicate_and_gets_the_result_too) {
  up();
  auto first = node->start("w", "a", 0, "cmd");
  ASSERT_TRUE(gate_->holds(1));
  auto again = node->start("w", "a", 0, "cmd");
  EXPECT_EQ(again.reply.outcome.result, command_result::duplicate);
  EXPECT_EQ(again.reply.outcome.seq, 1U);
  EXPECT_EQ(again.reply.run_uid, first.reply.run_uid);
  gate_->open();
  EXPECT_EQ(node->get(std::move(first.result)).phase, phase::completed);
  EXPECT_EQ(node->get(std::move(again.result)).phase, phase::completed);
  auto late = node->start("w", "a", 0, "cmd");
  EXPECT_EQ(late.reply.outcome.result, command_result::duplicate);
  EXPECT_EQ(node->get(std::move(late.result)).phase, phase::completed);
  EXPECT_EQ(outcomes(), 0U);
}

TEST_F(commands, the_same_start_many_times_at_once_is_one_run) {
  up();
  std::vector<test_node::started> s;
  for (int i = 0; i < 200; ++i) s.push_back(node->begin("w", "a", 1, "cmd"));
  int applied = 0;
  for (auto& x : s) {
    const auto r = node->get(std::move(x.replied));
    EXPECT_EQ(r.state, reply_status::recorded);
    applied += r.outcome.result == command_result::applied ? 1 : 0;
    EXPECT_EQ(node->get(std::move(x.result)).phase, phase::completed);
  }
  EXPECT_EQ(applied, 1);
  EXPECT_EQ(log->total(), 1U);
}

TEST_F(commands, another_start_of_an_open_run_is_a_conflict_and_stays_one) {
  up();
  auto first = node->start("w", "a", 0, "one");
  for (const auto policy : {closed_id_policy::reject, closed_id_policy::allow_if_failed, closed_id_policy::allow})
    EXPECT_EQ(node->start("w", "a", 0, "two", policy).reply.outcome.result, command_result::conflict);
  EXPECT_EQ(outcomes(), 1U);
  gate_->open();
  EXPECT_EQ(node->get(std::move(first.result)).phase, phase::completed);
  EXPECT_EQ(node->start("w", "a", 0, "two", closed_id_policy::allow).reply.outcome.result, command_result::conflict)
      << "a repeat gets the outcome that it had";
  EXPECT_EQ(node->start("w", "a", 1, "three", closed_id_policy::allow).reply.outcome.result, command_result::applied);
  EXPECT_EQ(node->result("a").run, 2U);
}

TEST_F(commands, a_closed_id_is_started_again_as_the_policy_says) {
  up();
  struct {
    int input;
    phase end;
    bool reject, if_failed, allow;
  } cases[] = {
      {1, phase::completed, false, false, true},
      {-1, phase::failed, false, true, true},
  };
  for (const auto& c : cases) {
    const auto id = "id" + std::to_string(c.input);
    auto s = node->start("w", id, c.input);
    EXPECT_EQ(node->get(std::move(s.result)).phase, c.end);
    std::uint32_t run = 1;
    const auto expect = [&](closed_id_policy policy, bool starts) {
      auto x = node->start("w", id, c.input, {}, policy);
      EXPECT_EQ(x.reply.outcome.result, starts ? command_result::applied : command_result::conflict)
          << id << " " << static_cast<int>(policy);
      EXPECT_EQ(x.reply.run, starts ? ++run : run);
      if (starts) EXPECT_EQ(node->get(std::move(x.result)).run, run);
    };
    expect(closed_id_policy::reject, c.reject);
    expect(closed_id_policy::allow_if_failed, c.if_failed);
    expect(closed_id_policy::allow, c.allow);
  }
}

TEST_F(commands, a_start_repeated_when_later_runs_came_and_went_starts_nothing) {
  up();
  std::string uid;
  for (int i = 1; i <= 4; ++i) {
    auto s = node->start("w", "a", i, "cmd" + std::to_string(i), closed_id_policy::allow);
    if (i == 1) uid = s.reply.run_uid;
    EXPECT_EQ(decode<int>(node->get(std::move(s.result)).payload), i);
  }
  auto repeat = node->start("w", "a", 1, "cmd1", closed_id_policy::allow);
  EXPECT_EQ(repeat.reply.outcome.result, command_result::duplicate);
  EXPECT_EQ(repeat.reply.run, 1U);
  EXPECT_EQ(repeat.reply.run_uid, uid);
  EXPECT_EQ(decode<int>(node->get(std::move(repeat.result)).payload), 1);
  auto open = node->start("w", "a", 0, "cmd5", closed_id_policy::allow);
  ASSERT_TRUE(gate_->holds(1));
  EXPECT_EQ(node->start("w", "a", 2, "cmd2", closed_id_policy::allow).reply.outcome.result, command_result::duplicate);
  gate_->open();
  EXPECT_EQ(node->get(std::move(open.result)).run, 5U);
  EXPECT_EQ(log->total(), 5U);
}

TEST_F(commands, a_repeated_command_is_applied_once) {
  up();
  auto s = node->start("w", "a", 0);
  const auto first = node->command("a", engine::pause_command{"x"}, "p");
  EXPECT_EQ(first.outcome.result, command_result::applied);
  EXPECT_EQ(node->command("a", engine::resume_command{}, "r").outcome.result, command_result::applied);
  const auto again = node->command("a", engine::pause_command{"x"}, "p");
  EXPECT_EQ(again.outcome.result, command_result::duplicate);
  EXPECT_EQ(again.outcome.seq, first.outcome.seq);
  gate_->open();
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::completed);
  const auto late = node->command("a", engine::pause_command{"x"}, "p");
  EXPECT_EQ(late.outcome.result, command_result::duplicate);
  EXPECT_EQ(late.outcome.seq, first.outcome.seq);
}

TEST_F(commands, what_was_applied_to_an_earlier_run_is_not_applied_to_the_next) {
  up();
  auto first = node->start("w", "a", 0);
  const auto cancel = node->command("a", engine::kill_command{}, "k");
  EXPECT_EQ(cancel.outcome.result, command_result::applied);
  EXPECT_EQ(node->get(std::move(first.result)).phase, phase::killed);
  EXPECT_EQ(node->command("a", engine::kill_command{}, "k").outcome.result, command_result::duplicate);
  auto second = node->start("w", "a", 0, {}, closed_id_policy::allow);
  const auto again = node->command("a", engine::kill_command{}, "k");
  EXPECT_EQ(again.outcome.result, command_result::duplicate);
  EXPECT_EQ(again.outcome.seq, cancel.outcome.seq);
  gate_->open();
  EXPECT_EQ(node->get(std::move(second.result)).phase, phase::completed);
  EXPECT_EQ(node->command("a", engine::kill_command{}, "k").outcome.seq, cancel.outcome.seq);
}

TEST_F(commands, a_refusal_is_recorded_once_and_not_decided_anew) {
  up();
  auto s = node->start("w", "a", 0);
  EXPECT_EQ(node->command("a", engine::resume_command{}, "r").outcome.result, command_result::conflict);
  node->command("a", engine::pause_command{"x"}, "p");
  EXPECT_EQ(node->command("a", engine::resume_command{}, "r").outcome.result, command_result::conflict)
      << "a repeat gets the outcome that it had";
  EXPECT_EQ(outcomes(), 2U);
  EXPECT_EQ(node->command("a", engine::kill_command{}, "k").outcome.result, command_result::applied);
  EXPECT_EQ(node->command("a", engine::kill_command{}, "k2").outcome.result, command_result::conflict);
  EXPECT_EQ(node->command("a", engine::kill_command{}, "k2").outcome.result, command_result::conflict);
  EXPECT_EQ(outcomes(), 4U);
}

TEST_F(commands, not_found_is_recorded_once) {
  up();
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(node->command("nobody", engine::kill_command{}, "k").outcome.result, command_result::not_found);
  EXPECT_EQ(outcomes(), 1U);
  std::vector<std::future<actors::command_reply>> at_once;
  for (int i = 0; i < 100; ++i) at_once.push_back(node->send("nobody", engine::kill_command{}, "k2"));
  for (auto& r : at_once) EXPECT_EQ(node->get(std::move(r)).outcome.result, command_result::not_found);
  EXPECT_EQ(outcomes(), 2U);
}

TEST_F(commands, waiters_hear_of_the_end) {
  up();
  auto s = node->start("w", "a", 0);
  std::vector<std::future<actors::run_result>> waiters;
  for (int i = 0; i < 500; ++i) waiters.push_back(node->await("a", i % 2 == 0 ? 0 : 1));
  EXPECT_EQ(node->get(node->await("a", 2)).state, result_status::not_found);
  EXPECT_EQ(node->get(node->await("b")).state, result_status::not_found);
  EXPECT_TRUE(eventually([&] { return node->status().partition.waiters == 501; }));
  gate_->open();
  for (auto& w : waiters) EXPECT_EQ(node->get(std::move(w)).phase, phase::completed);
  EXPECT_EQ(node->result("a").phase, phase::completed);
}

TEST_F(commands, waiters_are_limited) {
  actors::node_options o;
  o.partition.waiters = 2;
  up(std::move(o));
  auto a = node->start("w", "a", 0);
  auto w = node->await("a");
  EXPECT_EQ(node->get(node->await("a")).state, result_status::busy);
  EXPECT_EQ(node->start("w", "b", 1).reply.state, reply_status::busy) << "it would wait for its result";
  gate_->open();
  EXPECT_EQ(node->get(std::move(w)).phase, phase::completed);
}

TEST_F(commands, nonsense_is_refused_at_the_door_and_not_recorded) {
  actors::node_options o;
  o.limits.payload = 100;
  up(std::move(o));
  const auto appends = node->store->appends;
  EXPECT_EQ(node->start("w", "", 1).reply.state, reply_status::invalid);
  EXPECT_EQ(node->start("w", std::string(600, 'x'), 1).reply.state, reply_status::invalid);
  EXPECT_EQ(node->start("w", "a", 1, std::string(600, 'x')).reply.state, reply_status::invalid);
  EXPECT_EQ(node->start("nope", "a", 1).reply.state, reply_status::invalid);
  EXPECT_EQ(node->start("w", "a", std::string(200, 'x')).reply.state, reply_status::invalid);
  EXPECT_EQ(node->start("w", "a", 1, {}, closed_id_policy::reject, {}, -5ms).reply.state, reply_status::invalid);
  EXPECT_EQ(node->start("w", "a", 1, {}, closed_id_policy::reject, engine::from_micros(-5)).reply.state,
            reply_status::invalid);
  EXPECT_EQ(node->store->appends, appends);
  auto s = node->start("w", "a", 1);
  EXPECT_EQ(s.reply.outcome.result, command_result::applied)
      << "nothing is left of what was refused: " << s.reply.message;
  EXPECT_EQ(node->get(std::move(s.result)).phase, phase::completed);
}

TEST_F(commands, a_full_node_is_busy_and_goes_on_when_there_is_room) {
  actors::node_options o;
  o.partition.live = 5;
  up(std::move(o));
  std::vector<test_node::started> s;
  for (int i = 0; i < 5; ++i) s.push_back(node->start("w", "a" + std::to_string(i), 0));
  const auto refused = node->start("w", "b", 1, "cmd").reply;
  EXPECT_EQ(refused.state, reply_status::busy);
  EXPECT_GT(refused.retry_after, 0ms);
  EXPECT_EQ(node->status().partition.refused_busy, 1U);
  EXPECT_EQ(node->command("a0", engine::pause_command{}).outcome.result, command_result::applied)
      << "what is here already is served";
  EXPECT_EQ(node->command("a0", engine::resume_command{}).outcome.result, command_result::applied);
  gate_->open();
  for (auto& x : s) EXPECT_EQ(node->get(std::move(x.result)).phase, phase::completed);
  EXPECT_TRUE(eventually([&] { return node->start("w", "b", 1, "cmd").reply.state == reply_status::recorded; }));
  EXPECT_EQ(node->result("b").phase, phase::completed);
}

TEST_F(commands, too_many_unanswered_are_busy) {
  actors::node_options o;
  o.open_starts = 1;
  up(std::move(o));
  int busy = 0;
  std::vector<std::future<actors::command_reply>> s;
  for (int i = 0; i < 200; ++i) s.push_back(node->send("nobody" + std::to_string(i), engine::kill_command{}));
  for (auto& x : s) busy += node->get(std::move(x)).state == reply_status::busy ? 1 : 0;
  EXPECT_GT(busy, 0);
  EXPECT_EQ(node->command("nobody", engine::kill_command{}).state, reply_status::recorded);
}

TEST_F(commands, without_its_journal_the_node_is_unavailable) {
  up();
  auto open = node->start("w", "a", 0);
  ASSERT_TRUE(gate_->holds(1));
  node->store->change([](memory_store& m) {
    m.failures[m.appends + 1] = {.status = store::append_status::no_space, .written = false};
    m.reopen_refusals = 6;
  });
  EXPECT_EQ(node->start("w", "b", 1, "cmd").reply.state, reply_status::unknown);
  EXPECT_EQ(node->start("w", "c", 1).reply.state, reply_status::unavailable);
  const auto s = node->status();
  EXPECT_FALSE(s.journal_available);
  EXPECT_FALSE(s.partition.trouble.empty());
  auto waiter = node->await("a");
  gate_->open();
  EXPECT_TRUE(eventually([&] { return node->status().journal_available; }));
  EXPECT_EQ(node->get(std::move(open.result)).phase, phase::completed);
  EXPECT_EQ(node->get(std::move(waiter)).phase, phase::completed);
  EXPECT_TRUE(eventually([&] { return node->start("w", "b", 1, "cmd").reply.state == reply_status::recorded; }));
  EXPECT_EQ(node->result("b").phase, phase::completed);
  EXPECT_EQ(node->store->failures_fired, 1U);
  EXPECT_EQ(node->store->reopen_refused, 6U);
}

}  // namespace
}  // namespace pawl::test
