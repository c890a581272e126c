#include "workflow/graph_program.hpp"

#include <gtest/gtest.h>

#include "tests/sim/hand_built_graph.hpp"

namespace pawl::engine {
namespace {

using sim::hand_built_graph;

event ended(std::uint32_t step, std::string result, event_kind kind = event_kind::attempt_completed) {
  event e;
  e.kind = kind;
  e.step = step;
  e.payload = std::move(result);
  return e;
}

event started() {
  event e;
  e.kind = event_kind::run_started;
  return e;
}

std::string wanted(const graph_program& p) {
  std::string out;
  for (const auto& w : p.wants())
    out += w.kind == want_kind::step     ? std::to_string(w.step) + " "
           : w.kind == want_kind::finish ? "finish:" + std::string(w.text)
                                         : "broken";
  return out;
}

TEST(graph_program, wants_what_has_all_that_it_takes) {
  hand_built_graph g;
  const auto a = g.step("a");
  const auto b = g.step("b");
  const auto c = g.step("c", {}, {a, a, b});
  g.step("d", {}, {c}, {a});
  g.returns(c);
  graph_program p(g.build());
  EXPECT_EQ(wanted(p), "");
  p.on(started());
  EXPECT_EQ(wanted(p), "0 1 ");
  p.on(ended(a, "ra"));
  EXPECT_EQ(wanted(p), "1 ");
  p.on(ended(b, "rb", event_kind::step_skipped));
  EXPECT_EQ(wanted(p), "2 ");
  EXPECT_EQ(p.value_of(a), "ra");
  EXPECT_EQ(p.value_of(b), "rb");
  p.on(ended(c, "rc"));
  p.on(ended(3, "rd"));
  EXPECT_EQ(wanted(p), "finish:rc");
}

TEST(graph_program, only_ends_of_steps_matter) {
  hand_built_graph g;
  g.step("a");
  graph_program p(g.build());
  p.on(started());
  for (std::uint8_t k = 2; k <= last_event_kind; ++k) {
    const auto kind = static_cast<event_kind>(k);
    auto e = ended(0, "r", kind);
    e.undo = kind == event_kind::attempt_completed || kind == event_kind::step_skipped;
    p.on(e);
    EXPECT_EQ(wanted(p), "0 ") << to_text(kind);
  }
}

TEST(graph_program, says_that_it_cannot_follow) {
  hand_built_graph g;
  g.step("a");
  for (const auto step : {1U, no_step}) {
    graph_program p(g.build());
    p.on(started());
    p.on(ended(step, ""));
    EXPECT_EQ(wanted(p), "broken");
  }
  graph_program twice(g.build());
  twice.on(started());
  twice.on(ended(0, ""));
  twice.on(ended(0, ""));
  EXPECT_EQ(wanted(twice), "broken");
}

TEST(plan_graph, counts_distinct_edges) {
  hand_built_graph g;
  const auto a = g.step("a");
  const auto b = g.step("b", {}, {a, a}, {a});
  g.step("c", {}, {a, b});
  const auto d = g.build();
  EXPECT_EQ(d->waits, (std::vector<std::uint32_t>{0, 1, 2}));
  EXPECT_EQ(d->successors, (std::vector<std::vector<std::uint32_t>>{{1, 2}, {2}, {}}));
}

}  // namespace
}  // namespace pawl::engine
