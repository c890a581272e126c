#include "node/stuck_step.hpp"

#include "store/oldest_open.hpp"
#include "tests/node/api_fixture.hpp"
#include "tests/store/fixture.hpp"

namespace pawl::node {
namespace {

stuck_look look(const api_node& node, const registry& types) {
  const auto view = node.journal->open_view();
  return find_oldest_step(*view, store::oldest_open(node.directory.path(), most_runs_looked_at + 1), types);
}

TEST(stuck_step, of_a_partition_without_open_steps_there_is_none) {
  api_node node;
  EXPECT_FALSE(look(node, node.types).oldest);
  ASSERT_EQ(
      node.ask("POST /v1/workflows?wait_ms=30000", R"({"type":"order","id":"o","input":{"id":"x","total":1}})").status,
      201);
  const auto found = look(node, node.types);
  EXPECT_FALSE(found.oldest);
  EXPECT_TRUE(found.complete);
}

TEST(stuck_step, is_the_one_that_has_been_open_the_longest) {
  api_node node;
  ASSERT_EQ(node.ask("POST /v1/workflows", R"({"type":"stuck","id":"s"})").status, 201);
  ASSERT_TRUE(eventually([&] { return node.ask("GET /v1/workflows/s").body["paused"] == true; }));
  ASSERT_EQ(node.ask("POST /v1/workflows", R"({"type":"gated","id":"g","input":1})").status, 201);
  ASSERT_TRUE(eventually([&] { return node.ask("GET /v1/workflows/g").body["pending"].size() == 1; }));
  auto found = look(node, node.types);
  ASSERT_TRUE(found.oldest);
  EXPECT_EQ(found.oldest->workflow_id, "s");
  EXPECT_EQ(found.oldest->step, "bad");
  EXPECT_EQ(found.oldest->status, "spent");
  EXPECT_EQ(found.oldest->attempt, 1U);
  ASSERT_TRUE(found.oldest->last_error);
  EXPECT_EQ(found.oldest->last_error->code, "broken_thing");

  ASSERT_EQ(node.ask("POST /v1/workflows/s/kill").status, 200);
  found = look(node, node.types);
  ASSERT_TRUE(found.oldest);
  EXPECT_EQ(found.oldest->workflow_id, "g");
  EXPECT_EQ(found.oldest->step, "wait");
  EXPECT_EQ(found.oldest->status, "running");
  EXPECT_LE(found.oldest->since, engine::time_point::clock::now());

  // Of a binary that lacks the type the steps are known all the same, by what is on record.
  const registry nothing;
  found = look(node, nothing);
  ASSERT_TRUE(found.oldest);
  EXPECT_EQ(found.oldest->step, "wait");
}

// Code goes on after a step that has failed, or that it does not wait for any more.
TEST(stuck_step, what_code_has_done_with_is_not_open) {
  using engine::event_kind;
  using store::scripted_run;
  const temporary_directory directory;
  store::embedded_options o;
  o.directory = directory.path();
  const auto journal = store::open_embedded(o);
  scripted_run run(journal->next_run_key(), "c", {journal->reign(), 1});
  auto started = run.started();
  started.start->code = true;
  store::record r;
  r.runs.push_back(run.add(
      1'700'000'000'000'000,
      {started, scripted_run::of_step(event_kind::attempt_started, 0, 1), scripted_run::failed(0, 1, {}),
       scripted_run::of_step(event_kind::step_failed, 0, 1), scripted_run::of_step(event_kind::step_scheduled, 1),
       scripted_run::of_step(event_kind::step_abandoned, 1)}));
  ASSERT_EQ(journal->append(r).status, store::append_status::committed);
  const auto oldest = [&] {
    return find_oldest_step(*journal->open_view(), store::oldest_open(directory.path(), 10), registry()).oldest;
  };
  EXPECT_FALSE(oldest()) << oldest()->step;
  store::record more;
  more.runs.push_back(run.add(1'700'000'000'500'000, {scripted_run::of_step(event_kind::step_scheduled, 2)}));
  ASSERT_EQ(journal->append(more).status, store::append_status::committed);
  ASSERT_TRUE(oldest());
  EXPECT_EQ(oldest()->step, "step2");
}

}  // namespace
}  // namespace pawl::node
