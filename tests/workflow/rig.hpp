// One run by hand: the engine with a clock, slots and lingering functions that the test sets. After every step the rig
// encodes, decodes and folds the whole history again: whatever a test does, replay(history) == live state.
#pragma once

#include <gtest/gtest.h>

#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/dump.hpp"
#include "tests/sim/hand_built_graph.hpp"
#include "workflow/decide.hpp"
#include "workflow/event_codec.hpp"

namespace pawl::engine {

using namespace std::chrono_literals;
using sim::definition_ptr;
using sim::hand_built_graph;
using any_definition = std::shared_ptr<const pawl::detail::workflow_definition>;

inline event recoded(const event& e) {
  std::string body;
  encode_body(e, body);
  event back;
  back.kind = e.kind;
  back.seq = e.seq;
  back.at = e.at;
  back.attempt = e.attempt;
  back.name = e.name;
  EXPECT_EQ(decode_body(body, back), "") << sim::dump(e);
  EXPECT_EQ(back, e) << sim::dump(e);
  return back;
}

inline std::unique_ptr<instance> fold(const any_definition& d, const std::vector<event>& history) {
  auto i = make_instance(d);
  for (const auto& e : history) evolve(*i, e);
  return i;
}

class rig : public allowance {
 public:
  explicit rig(any_definition d) : definition(std::move(d)), state(make_instance(definition)) { incarnation = 9; }

  bool take_slot(const slot_request& r) override {
    requests.push_back(r);
    if (slots == 0) return false;
    --slots;
    return true;
  }
  bool still_running(const instance&, std::uint32_t step) const override { return lingering.contains(step); }

  // --- what happens ---
  outcome say(const command& c) {
    auto out = carry_out(*state, c, *this, now);
    more = out.more;
    EXPECT_EQ(state->broken, "");
    for (auto& e : out.events) history.push_back(recoded(e));
    if (out.outcome.result == command_result::applied && out.outcome.seq > 0) {
      EXPECT_EQ(history[out.outcome.seq - 1].command_id, c.id);
    }
    EXPECT_EQ(sim::dump(*state), sim::dump(*fold(definition, history)));
    return out.outcome;
  }
  template <class Body>
  outcome ask(Body body, std::string id = {}) {
    if (id.empty()) id = "c" + std::to_string(++commands);
    return say({.id = id, .body = std::move(body)});
  }
  start_command start_of(std::string input = "in") const {
    start_command s;
    s.facts = facts;
    s.facts.workflow_id = "w";
    s.facts.type = definition ? definition->type : "graph";
    if (s.facts.digest == 0 && definition) s.facts.digest = definition->digest;
    s.facts.code = definition && definition->as_code();
    s.facts.uid = {.reign = {1, 2}, .serial = 3};
    s.input = std::move(input);
    return s;
  }
  outcome start(std::string input = "in") { return say({.id = "start", .body = start_of(std::move(input))}); }
  void wake() { say({}); }
  void pass(milliseconds time) {
    now += time;
    wake();
  }
  /// The newest attempt of a step ends.
  outcome ends(attempt_end how, std::uint32_t step, bool undo = false, std::optional<failure> error = std::nullopt) {
    const auto* s = state->find(step, undo);
    return say(
        {.id = {},
         .body = attempt_ended{.step = step,
                               .undo = undo,
                               .attempt = s ? s->attempt : 1,
                               .end = how,
                               .result = how == attempt_end::completed && !undo ? "r" + std::to_string(step) : "",
                               .error = std::move(error)}});
  }
  outcome completes(std::uint32_t step, bool undo = false) { return ends(attempt_end::completed, step, undo); }
  outcome fails(std::uint32_t step, bool undo = false) {
    return ends(attempt_end::failed, step, undo, failure{"error", "no", false});
  }
  outcome fails_for_good(std::uint32_t step, bool undo = false) {
    return ends(attempt_end::failed, step, undo, failure{"bad", "never", true});
  }
  outcome times_out(std::uint32_t step, bool undo = false) {
    return ends(attempt_end::timed_out, step, undo, failure{"timed_out", "slow", false});
  }
  outcome is_lost(std::uint32_t step, bool undo = false) { return ends(attempt_end::lost, step, undo); }
  /// The process is replaced by one with this definition.
  void reload(any_definition d) {
    definition = std::move(d);
    state = fold(definition, history);
    EXPECT_EQ(state->broken, "");
  }

  // --- what is seen ---
  /// The events since the last look, as "kind name(cause)", an undo with a ~.
  std::string news() {
    std::string out;
    for (; seen < history.size(); ++seen) {
      const auto& e = history[seen];
      out += (out.empty() ? "" : ", ") + std::string(to_text(e.kind));
      if (!e.name.empty()) out += " " + std::string(e.undo ? "~" : "") + e.name;
      if (!e.cause.empty()) out += "(" + e.cause + ")";
    }
    return out;
  }
  const event& last() const { return history.back(); }
  const event& newest(event_kind kind) const {
    for (auto n = history.size(); n > 0; --n)
      if (history[n - 1].kind == kind) return history[n - 1];
    throw std::logic_error("no such event yet");
  }
  const step_state& step(std::uint32_t k, bool undo = false) const { return *state->find(k, undo); }
  outstanding_work work() const { return outstanding(*state, *this, now); }

  any_definition definition;
  std::unique_ptr<instance> state;
  std::vector<event> history;
  std::vector<slot_request> requests;
  std::set<std::uint32_t> lingering;
  start_facts facts;
  int slots = 1'000'000;
  time_point now = from_micros(1'700'000'000'000'000);
  std::size_t seen = 0;
  int commands = 0;
  bool more = false;
};

/// `names` one after the other, each with these options, each with an undo.
inline definition_ptr chain(const std::vector<std::string>& names, const step_options& o = {},
                            const step_options& undo = {}) {
  hand_built_graph g;
  for (std::uint32_t k = 0; k < names.size(); ++k) {
    g.step(names[k], o, k > 0 ? hand_built_graph::indices{k - 1} : hand_built_graph::indices{});
    g.undo(k, undo);
  }
  g.returns(static_cast<std::uint32_t>(names.size() - 1));
  return g.build();
}

/// `names` side by side, each with an undo.
inline definition_ptr side_by_side(const std::vector<std::string>& names, const step_options& o = {}) {
  hand_built_graph g;
  for (const auto& n : names) g.undo(g.step(n, o));
  return g.build();
}

inline step_options attempts(int most, when_exhausted e = when_exhausted::compensate) {
  step_options o;
  o.retry.max_attempts = most;
  o.retry.first_delay = 1s;
  o.exhausted = e;
  return o;
}

}  // namespace pawl::engine
