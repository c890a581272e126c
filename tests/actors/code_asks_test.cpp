// What is asked of durable code on a node: updates, whose answers are awaited, and queries.
#if !defined(__GNUC__) || defined(__clang__)  // durable code: see pawl/task.hpp
#include "tests/actors/node_laws.hpp"

namespace pawl::test {
namespace {

using namespace std::chrono_literals;
using actors::query_reply;
using actors::update_answer;
using engine::update_command;

task<int> counter(workflow_context& wf, int limit) {
  int sum = 0;
  const auto q = wf.on_query("sum", [&] { return sum; });
  const auto bad = wf.on_query("bad", [&]() -> int { throw pawl::failure("no sum", "no_sum"); });
  while (sum < limit) {
    auto next = co_await pawl::any(wf.update<int, int>("add"), wf.signal<int>("silent"));
    if (auto* u = std::get_if<0>(&next)) {
      if (u->input() < 0) {
        u->refuse("it only grows", "negative");
        continue;
      }
      sum += u->input();
      u->answer(sum);
    } else {
      sum += std::get<1>(next);
    }
  }
  co_return sum;
}

task<void> never_answers(workflow_context& wf) { co_await wf.sleep(24h); }

class code_asks : public ::testing::Test {
 protected:
  code_asks() {
    types.add("counter", {}, counter).add("silent", {}, never_answers);
    workflow<int> g{"graph", {}};
    g.returns(g.step("only", [](step_context&, const int& n) { return n; }, {}, g.input()));
    types.add(g);
  }
  test_node& up(std::shared_ptr<memory_store> s = std::make_shared<memory_store>()) {
    node.reset();
    node = std::make_unique<test_node>(types, std::move(s), options);
    return *node;
  }
  /// The answer to an update that is on record.
  std::future<update_answer> await(const std::string& id, const actors::command_reply& r, const std::string& command) {
    auto p = std::make_shared<std::promise<update_answer>>();
    node->system->await_answer({.workflow_id = id,
                                .run = r.run,
                                .seq = r.outcome.seq,
                                .command_id = command,
                                .on_answer = [p](const update_answer& a) { p->set_value(a); }});
    return p->get_future();
  }
  update_answer update(const std::string& id, int n, const std::string& command) {
    const auto r = node->command(id, update_command{.name = "add", .payload = encode(n)}, command);
    EXPECT_EQ(r.state, reply_status::recorded) << r.message;
    return node->get(await(id, r, command));
  }
  query_reply query(const std::string& id, const std::string& name, std::string input = "\xc0") {
    auto p = std::make_shared<std::promise<query_reply>>();
    node->system->query(
        {.workflow_id = id, .name = name, .input = std::move(input), .on_reply = [p](const query_reply& r) {
           p->set_value(r);
         }});
    return node->get(p->get_future());
  }
  int sum(const std::string& id) {
    const auto r = query(id, "sum");
    EXPECT_EQ(r.state, query_reply::status::answered) << r.message;
    return r.state == query_reply::status::answered ? decode<int>(r.value) : -1;
  }

  registry types;
  actors::node_options options;
  std::unique_ptr<test_node> node;
};

TEST_F(code_asks, an_answer_comes_when_it_is_committed_and_again_for_the_same_command) {
  up();
  node->start("counter", "w", 100);
  const auto first = update("w", 5, "u-1");
  EXPECT_EQ(first.state, update_answer::status::answered);
  EXPECT_EQ(decode<int>(first.value), 5);
  EXPECT_EQ(decode<int>(update("w", 7, "u-2").value), 12);
  EXPECT_EQ(decode<int>(update("w", 5, "u-1").value), 5) << "not done twice, and the answer that it had";
  EXPECT_EQ(sum("w"), 12);
  const auto refused = update("w", -1, "u-3");
  ASSERT_TRUE(refused.error);
  EXPECT_EQ(refused.error->code, "negative");
}

TEST_F(code_asks, an_answer_is_found_after_a_restart_and_after_the_end) {
  up();
  node->start("counter", "w", 10);
  EXPECT_EQ(decode<int>(update("w", 5, "u-1").value), 5);
  const auto store = node->store;
  up(store);
  EXPECT_EQ(decode<int>(update("w", 5, "u-1").value), 5);
  EXPECT_EQ(decode<int>(update("w", 5, "u-2").value), 10);
  EXPECT_EQ(node->result("w").phase, phase::completed);
  EXPECT_EQ(decode<int>(update("w", 5, "u-1").value), 5);
  EXPECT_EQ(decode<int>(update("w", 5, "u-2").value), 10);
  EXPECT_EQ(node->command("w", update_command{.name = "add", .payload = encode(1)}).outcome.result,
            command_result::conflict);
  // A run later: the id of the command says which run it was.
  node->start("counter", "w", 10, "again", engine::closed_id_policy::allow);
  EXPECT_EQ(decode<int>(update("w", 5, "u-2").value), 10);
  EXPECT_EQ(sum("w"), 0);
}

TEST_F(code_asks, who_waits_is_told_when_the_run_ends_without_an_answer) {
  up();
  node->start("silent", "w", std::monostate());
  const auto r = node->command("w", update_command{.name = "add", .payload = encode(1)}, "u");
  auto waits = await("w", r, "u");
  node->command("w", engine::kill_command{"enough"});
  const auto a = node->get(std::move(waits));
  EXPECT_EQ(a.state, update_answer::status::ended);
  EXPECT_EQ(a.phase, phase::killed);
  EXPECT_EQ(node->get(await("w", r, "u")).state, update_answer::status::ended);
}

TEST_F(code_asks, who_waits_is_told_when_the_code_ends_without_an_answer) {
  up();
  node->start("silent", "w", std::monostate());
  const auto r = node->command("w", update_command{.name = "add", .payload = encode(1)}, "u");
  auto waits = await("w", r, "u");
  node->command("w", engine::cancel_command{"enough"});
  const auto a = node->get(std::move(waits));
  EXPECT_EQ(a.state, update_answer::status::answered);
  EXPECT_EQ(a.error.value().code, "code_ended");
}

TEST_F(code_asks, waiting_for_an_answer_keeps_nothing_in_memory) {
  options.partition.live = 20;
  options.partition.idle = 10ms;
  up();
  node->start("silent", "w", std::monostate());
  const auto r = node->command("w", update_command{.name = "add", .payload = encode(1)}, "u");
  auto waits = await("w", r, "u");
  ASSERT_TRUE(eventually([&] { return node->status().partition.live == 0; })) << "it rests, and leaves";
  node->command("w", engine::cancel_command{"enough"});
  EXPECT_EQ(node->get(std::move(waits)).error.value().code, "code_ended");
}

TEST_F(code_asks, those_who_wait_are_so_many_at_most_and_those_who_left_do_not_count) {
  options.partition.waiters = 3;  // one waits for the end of the run
  up();
  node->start("silent", "w", std::monostate());
  const auto r = node->command("w", update_command{.name = "add", .payload = encode(1)}, "u");
  auto first = await("w", r, "u");
  auto gone = std::make_shared<std::atomic<bool>>(false);
  node->system->await_answer({.workflow_id = "w",
                              .run = r.run,
                              .seq = r.outcome.seq,
                              .command_id = "u",
                              .on_answer = [](const update_answer&) {},
                              .wanted = [gone] { return !gone->load(); }});
  EXPECT_EQ(node->get(await("w", r, "u")).state, update_answer::status::busy);
  *gone = true;
  auto third = await("w", r, "u");
  EXPECT_EQ(node->get(await("w", r, "u")).state, update_answer::status::busy);
  node->command("w", engine::kill_command{"enough"});
  EXPECT_EQ(node->get(std::move(first)).state, update_answer::status::ended);
  EXPECT_EQ(node->get(std::move(third)).state, update_answer::status::ended);
}

TEST_F(code_asks, a_query_brings_a_run_back_and_lets_it_leave_again) {
  options.partition.live = 20;
  options.partition.idle = 10ms;
  up();
  node->start("counter", "w", 100);
  update("w", 5, "u-1");
  for (int n = 0; n < 3; ++n) {
    ASSERT_TRUE(eventually([&] { return node->status().partition.live == 0; }));
    EXPECT_EQ(sum("w"), 5);
  }
  EXPECT_GE(node->status().partition.loaded, 3U);
  EXPECT_EQ(node->history("w").size(), 3U) << "nothing is recorded of a query";
}

TEST_F(code_asks, a_query_that_cannot_be_answered_says_why) {
  using status = query_reply::status;
  up();
  EXPECT_EQ(query("w", "sum").state, status::not_found);
  node->start("counter", "w", 5);
  const auto unknown = query("w", "sun");
  EXPECT_EQ(unknown.state, status::invalid);
  EXPECT_EQ(unknown.message, "there is no query 'sun': the code answers the queries bad, sum");
  const auto bad = query("w", "bad");
  EXPECT_EQ(bad.state, status::failed);
  EXPECT_EQ(bad.code, "no_sum");
  node->command("w", engine::pause_command{"look"});
  const auto paused = query("w", "sum");
  EXPECT_EQ(paused.state, status::answered);
  EXPECT_EQ(paused.pause_cause, "requested");
  node->command("w", engine::resume_command{});
  update("w", 5, "u");
  EXPECT_EQ(node->result("w").phase, phase::completed);
  const auto closed = query("w", "sum");
  EXPECT_EQ(closed.state, status::conflict);
  EXPECT_NE(closed.message.find("its code has ended"), std::string::npos) << closed.message;
}

TEST_F(code_asks, a_run_whose_code_is_not_here_or_is_other_code_says_so) {
  up();
  node->start("counter", "w", 5);
  const auto store = node->store;
  node.reset();
  registry none;
  node = std::make_unique<test_node>(none, store, options);
  const auto r = query("w", "sum");
  EXPECT_EQ(r.state, query_reply::status::conflict);
  EXPECT_NE(r.message.find("waits for its code"), std::string::npos) << r.message;
  node.reset();
}

// A busy run is asked too, and what it says is on record.
TEST_F(code_asks, queries_see_committed_states_while_the_run_is_busy) {
  up();
  node->start("counter", "w", 1'000'000);
  std::atomic<bool> stop{false};
  std::atomic<int> added{0};
  std::thread busy([&] {
    std::vector<std::future<actors::command_reply>> sent;
    while (!stop) {
      for (int n = 0; n < 20; ++n)
        sent.push_back(node->send("w", engine::signal_command{.name = "silent", .payload = encode(1)}));
      for (auto& f : sent) {
        const auto r = node->get(std::move(f));
        if (r.outcome.result == command_result::applied) ++added;
      }
      sent.clear();
    }
  });
  int last = 0;
  for (int n = 0; n < 50; ++n) {
    const int at_least = added;
    const auto r = query("w", "sum");
    ASSERT_EQ(r.state, query_reply::status::answered) << r.message;
    const auto seen = decode<int>(r.value);
    EXPECT_GE(seen, at_least) << "what was acknowledged before is seen";
    EXPECT_GE(seen, last);
    // Every event that it rests on is durable.
    EXPECT_GE(node->history("w").size(), r.seq);
    EXPECT_EQ(static_cast<std::uint64_t>(seen) + 1, r.seq);
    last = seen;
  }
  stop = true;
  busy.join();
  EXPECT_EQ(sum("w"), added.load());
}

TEST_F(code_asks, a_graph_takes_neither) {
  up();
  node->start("graph", "w", 5);
  EXPECT_EQ(node->result("w").phase, phase::completed);
  EXPECT_EQ(query("w", "sum").state, query_reply::status::conflict);
}

TEST_F(code_asks, a_node_that_stops_tells_those_who_wait) {
  up();
  node->start("silent", "w", std::monostate());
  const auto r = node->command("w", update_command{.name = "add", .payload = encode(1)}, "u");
  auto waits = await("w", r, "u");
  node.reset();
  EXPECT_EQ(test_node::get(std::move(waits)).state, update_answer::status::unavailable);
}

}  // namespace
}  // namespace pawl::test
#endif
