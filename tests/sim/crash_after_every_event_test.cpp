// Each scenario runs once without a fault. Then its history is cut after every event, as if the node had stopped there,
// and a new world folds what is left and goes on: it must come to the same end.
#include <gtest/gtest.h>

#include <iostream>

#include "tests/sim/dump.hpp"
#include "tests/sim/laws.hpp"
#include "tests/sim/scenarios.hpp"

namespace pawl::sim {
namespace {

using engine::event;

// What was going on when the history was cut.
enum class cut : std::uint8_t {
  never,  ///< nothing is on record; it runs from its start
  process_died,  ///< what was under way is lost
  effects_lost,  ///< the process lives, but no effect of the last batch was released
};

class scripted final : public script {
 public:
  explicit scripted(const scenario& s) : scenario_(s) {}
  call_plan plan(const call_facts& f) override { return scenario_.plan(*world_, f); }
  milliseconds queued(const attempt_id&) override { return scenario_.queued; }
  void play_in(const world& w) { world_ = &w; }

 private:
  const scenario& scenario_;
  const world* world_ = nullptr;
};

engine::incarnation newest_incarnation(const std::vector<event>& history) {
  engine::incarnation newest = 1;
  for (const auto& e : history)
    if (e.begun) newest = std::max(newest, e.begun->incarnation);
  return newest;
}

std::vector<event> play(const scenario& s, const std::vector<event>& on_record, cut how) {
  scripted functions(s);
  world_options o{.seed = 42, .limits = s.limits, .slots = s.slots};
  const auto newest = newest_incarnation(on_record);
  o.incarnation = how == cut::process_died ? newest + 100 : newest;
  world w(o, functions);
  functions.play_in(w);
  engine::start_facts facts;
  facts.workflow_id = "w";
  facts.type = s.graph->type;
  facts.digest = s.graph->digest;
  facts.uid = {.reign = {1, 2}, .serial = 3};
  facts.deadline = s.deadline;
  if (s.start_after > milliseconds(0)) facts.start_at = w.now() + s.start_after;
  w.add(graph_run(s.graph, facts));

  std::vector<bool> fired(s.triggers.size());
  w.on_progress([&] {
    for (std::size_t n = 0; n < s.triggers.size(); ++n) {
      if (fired[n] || !s.triggers[n].when(w)) continue;
      fired[n] = true;
      s.triggers[n].act(w);
    }
  });
  if (on_record.empty())
    w.send(the_run, w.start_of(the_run));
  else
    w.put_on_record(the_run, on_record);
  w.at(w.now(), [&] { w.recover_all(); });
  w.run_until([&] { return w.all_closed() && w.all_answered(); });

  const auto history = w.journal().history(the_run);
  if (on_record.empty()) {
    check_laws(w);
  } else {  // the calls before the cut are not known here
    check_order(history);
    check_attempts(history);
    check_graph(*s.graph, history);
    check_compensation(*s.graph, history);
    check_answers(w);
  }
  return history;
}

std::string end_of(const std::vector<event>& history) {
  const auto& e = history.back();
  return std::string(to_text(e.kind)) + " " + e.payload + (e.error ? e.error->code : "");
}

TEST(crash_after_every_event, comes_to_the_same_end) {
  std::set<engine::event_kind> kinds;
  std::size_t cuts = 0;
  for (const auto& s : scenarios()) {
    SCOPED_TRACE(s.name);
    const auto whole = play(s, {}, cut::never);
    std::string text;
    for (const auto& e : whole) text += dump(e) + "\n";
    ASSERT_EQ(whole.back().kind, s.end) << text;
    for (const auto& e : whole) kinds.insert(e.kind);
    for (std::size_t n = 1; n < whole.size(); ++n) {
      for (const auto how : {cut::process_died, cut::effects_lost}) {
        const std::vector<event> prefix(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n));
        try {
          const auto again = play(s, prefix, how);
          EXPECT_EQ(end_of(again), end_of(whole)) << "cut after event " << n << "\n" << text;
        } catch (const law_broken& law) {
          FAIL() << law.what() << "\ncut after event " << n
                 << (how == cut::process_died ? ", process died" : ", effects lost") << "\n"
                 << text;
        }
        ++cuts;
      }
    }
  }
  std::cout << cuts << " cuts\n";
  EXPECT_GE(cuts, 300U);
  // The rest is written by code only (tests/code).
  for (auto k = std::uint8_t{1}; k <= static_cast<std::uint8_t>(engine::event_kind::run_killed); ++k)
    EXPECT_TRUE(kinds.contains(static_cast<engine::event_kind>(k))) << to_text(static_cast<engine::event_kind>(k));
}

}  // namespace
}  // namespace pawl::sim
