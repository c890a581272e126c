#include "tests/sim/laws.hpp"

#include <algorithm>

#include "tests/sim/dump.hpp"

namespace pawl::sim {

using engine::event;
using engine::event_kind;

namespace {

using step_key = std::pair<std::uint32_t, bool>;

bool closes(const event& e) { return e.kind == event_kind::attempt_completed || e.kind == event_kind::step_skipped; }

bool ends_attempt(event_kind k) { return k >= event_kind::attempt_completed && k <= event_kind::attempt_not_begun; }

bool leaves_unknown(const event& e) {
  return e.kind == event_kind::attempt_timed_out || e.kind == event_kind::attempt_lost ||
         e.kind == event_kind::attempt_interrupted || e.cause == engine::failed_too_large;
}

bool is_counted(event_kind k) { return k == event_kind::attempt_failed || k == event_kind::attempt_timed_out; }

bool stops(event_kind k) {
  return k == event_kind::step_exhausted || k == event_kind::cancel_requested || k == event_kind::deadline_passed;
}

}  // namespace

void check_order(const std::vector<event>& history) {
  require(!history.empty() && history.front().kind == event_kind::run_started, "a history begins with run_started");
  std::size_t ends = 0;
  std::set<std::string> commands;
  bool paused = false;
  for (std::size_t n = 0; n < history.size(); ++n) {
    const auto& e = history[n];
    require(e.seq == n + 1, "events in order, without a gap: " + dump(e));
    require(n == 0 || e.at >= history[n - 1].at, "event time never runs backwards: " + dump(e));
    require(ends == 0, "nothing follows the terminal event: " + dump(e));
    if (is_terminal(e.kind)) ++ends;
    if (!e.command_id.empty()) require(commands.insert(e.command_id).second, "a command is applied once: " + dump(e));
    require(!(paused && e.kind == event_kind::attempt_started), "nothing starts while the run is paused: " + dump(e));
    if (e.kind == event_kind::run_paused) {
      require(!paused, "a run is paused once: " + dump(e));
      paused = true;
    }
    if (e.kind == event_kind::run_resumed || stops(e.kind)) paused = false;
  }
  require(ends == 1, "exactly one terminal event; the last is " + dump(history.back()));
}

void check_attempts(const std::vector<event>& history) {
  struct state {
    std::uint32_t attempt = 0;
    bool running = false;
    bool closed = false;
    bool lost = false;
    std::uint32_t counted = 0;
    std::uint32_t deaths = 0;
    engine::policy policy;
    std::optional<engine::time_point> due{};
  };
  std::map<step_key, state> steps;
  for (const auto& e : history) {
    if (e.kind == event_kind::run_resumed && e.cause == engine::resumed_requested)
      for (auto& [key, s] : steps) s.counted = s.deaths = 0, s.due.reset();
    if (e.step == engine::no_step) continue;
    auto& s = steps[{e.step, e.undo}];
    if (e.kind == event_kind::attempt_started) {
      require(!s.running && !s.closed && e.attempt == s.attempt + 1, "attempts follow each other: " + dump(e));
      require(e.begun->in_child == s.lost, "a lost attempt, and no other, is repeated in a child: " + dump(e));
      require(!s.due || e.at >= *s.due, "a retry waits for its time: " + dump(e));
      require(s.deaths < engine::convicting_child_deaths, "a step that kills its process is not started: " + dump(e));
      require(s.attempt == 0 || s.counted < s.policy.max_attempts, "no attempt above max_attempts: " + dump(e));
      s.attempt = e.attempt;
      s.running = true;
      s.policy = e.begun->policy;
      s.due.reset();
    }
    if (ends_attempt(e.kind)) {
      require(s.running && e.attempt == s.attempt, "only an attempt under way ends: " + dump(e));
      s.running = false;
    }
    if (is_counted(e.kind)) {
      ++s.counted;
      s.deaths = 0;
      s.due = e.due;
      if (e.due && e.error && e.error->retry_in)
        require(*e.due == e.at + *e.error->retry_in, "an error's own delay is kept: " + dump(e));
    }
    if (e.kind == event_kind::attempt_lost) s.lost = true;
    if (e.cause == engine::lost_with_child) ++s.deaths;
    if (closes(e)) {
      require(!s.closed, "at most one completion a step: " + dump(e));
      s.closed = true;
    }
  }
}

void check_graph(const pawl::detail::graph_definition& g, const std::vector<event>& history) {
  std::set<std::uint32_t> done;
  std::map<std::uint32_t, std::string> results;
  bool stopped = false;
  for (const auto& e : history) {
    const bool started = e.kind == event_kind::attempt_started || e.kind == event_kind::step_scheduled;
    if (started && !e.undo) {
      require(!stopped, "no new step starts after the run has failed or was cancelled: " + dump(e));
      const auto& s = g.steps.at(e.step);
      for (const auto& a : s.arguments)
        require(a.is_input() || done.contains(a.step), "a step waits for its arguments: " + dump(e));
      for (const auto b : s.after) require(done.contains(b), "a step waits for what it follows: " + dump(e));
      require(e.name == s.name, "an event names its step: " + dump(e));
    }
    if (closes(e) && !e.undo) {
      done.insert(e.step);
      results[e.step] = e.payload;
    }
    if (stops(e.kind)) stopped = true;
  }
  const auto& last = history.back();
  if (last.kind != event_kind::run_completed) return;
  require(done.size() == g.steps.size(), "a run completes when all of its steps have: " + dump(last));
  if (!g.returns) return;
  const auto& result = g.returns->is_input() ? history.front().payload : results[g.returns->step];
  require(last.payload == (result.empty() ? "\xc0" : result), "a run returns what its step returned: " + dump(last));
}

void check_compensation(const pawl::detail::graph_definition& g, const std::vector<event>& history) {
  struct step {
    std::uint64_t closed = 0;  // by the event that ended it for good, else by the newest end of an attempt
    bool completed = false;
    bool unknown = false;
    undo_when when = undo_when::may_have_run;
    engine::time_point ended{};
    milliseconds timeout{0};
  };
  std::map<std::uint32_t, step> steps;
  std::vector<std::uint32_t> order;
  std::vector<std::uint32_t> undone;
  bool compensating = false;
  for (const auto& e : history) {
    if (e.kind == event_kind::compensation_started) {
      compensating = true;
      order = e.order;
    }
    if (e.step == engine::no_step) continue;
    if (e.undo) {
      require(compensating, "an undo belongs to a compensation: " + dump(e));
      if (e.begun && e.begun->may_still_run)
        require(e.at >= steps[e.step].ended + steps[e.step].timeout,
                "an undo waits once more the timeout for a function that still runs: " + dump(e));
      if (e.kind == event_kind::attempt_started)
        require(undone.size() < order.size() && order[undone.size()] == e.step,
                "undos run one by one, in their order: " + dump(e));
      if (closes(e)) undone.push_back(e.step);
      continue;
    }
    auto& s = steps[e.step];
    if (e.kind == event_kind::attempt_started) {
      s.when = e.begun->policy.undo;
      s.timeout = e.begun->policy.timeout;
    }
    if (ends_attempt(e.kind)) s.ended = e.at;
    if (leaves_unknown(e)) s.unknown = true;
    if (closes(e)) s.completed = true;
    if (ends_attempt(e.kind) || e.kind == event_kind::step_skipped) s.closed = e.seq;
    // A deadline closes a step that is between attempts; one that is spent was closed by its last attempt.
    if (e.kind == event_kind::step_exhausted && e.error &&
        (e.error->code == "deadline_exceeded" || e.error->code == "too_large"))
      s.closed = std::max(s.closed, e.seq);
  }
  std::vector<std::pair<std::uint64_t, std::uint32_t>> expected;
  for (const auto& [k, s] : steps) {
    const bool may_have_run = s.unknown && s.when == undo_when::may_have_run;
    if (g.steps.at(k).undo && (s.completed || may_have_run)) expected.emplace_back(s.closed, k);
  }
  std::sort(expected.rbegin(), expected.rend());
  const auto end = history.back().kind;
  if (end == event_kind::run_killed && !compensating) return;
  if (end == event_kind::run_completed) return require(!compensating, "a run that completes undoes nothing");
  require(compensating == !expected.empty(), "what was done is undone, at " + dump(history.back()));
  require(std::equal(order.begin(), order.end(), expected.begin(), expected.end(),
                     [](auto k, const auto& x) { return k == x.second; }),
          "compensation is the exact reverse of the order of closing, at " + dump(history.back()));
  if (end != event_kind::run_killed)
    require(undone == order, "all that is to be undone is, before " + dump(history.back()));
}

void check_calls(const world& w, run_key key, const std::vector<event>& history) {
  std::map<attempt_id, const call*> by_id;
  for (const auto& c : w.calls()) {
    if (c.id.key != key) continue;
    require(by_id.emplace(c.id, &c).second, "an attempt begins once: " + to_text(c.id));
    require(w.journal().start_of(key, c.id.step, c.id.undo, c.id.attempt), "an attempt is on record: " + to_text(c.id));
  }
  for (const auto& e : history) {
    if (!ends_attempt(e.kind)) continue;
    const auto it = by_id.find({key, e.step, e.undo, e.attempt});
    const auto* c = it == by_id.end() ? nullptr : it->second;
    switch (e.kind) {
      case event_kind::attempt_completed:
        require(c && c->succeeded && (e.undo || c->plan.result == e.payload),
                "a completion is what its function returned: " + dump(e));
        break;
      case event_kind::attempt_failed:
        require(c && c->succeeded == (e.cause == engine::failed_too_large),
                "a failure is what its function threw: " + dump(e));
        break;
      case event_kind::attempt_timed_out:
        require(c, "only what has begun times out: " + dump(e));
        break;
      case event_kind::attempt_not_begun:
        require(!c, "not begun is not begun: " + dump(e));
        break;
      default:
        break;
    }
  }
}

// An answer is what is on record, and every answer to one command is the same.
void check_answers(const world& w) {
  for (const auto& r : w.requests()) {
    const auto& id = r.command.id;
    std::uint64_t applied_at = 0;
    for (const auto& e : w.journal().history(r.key))
      if (e.command_id == id) applied_at = e.seq;
    const auto* refusal = w.journal().outcome_of(r.key, id);
    require((applied_at > 0) != (refusal != nullptr),
            "an acknowledged command has exactly one recorded outcome: " + id);
    require(!r.answers.empty(), "every command is answered: " + id);
    for (const auto& o : r.answers) {
      const bool applied = o.result == engine::command_result::applied || o.result == engine::command_result::duplicate;
      const auto text = id + " was told " + std::string(to_text(o.result)) + " at " + std::to_string(o.seq);
      require(applied ? o.seq == applied_at : refusal && refusal->result == o.result,
              "an answer is what is on record: " + text);
    }
  }
}

void check_laws(const world& w) {
  for (run_key key = 1; key <= static_cast<run_key>(w.runs()); ++key) {
    const auto history = w.journal().history(key);
    check_order(history);
    check_attempts(history);
    if (const auto& g = w.spec(key).definition) {
      check_graph(*g, history);
      check_compensation(*g, history);
    }
    check_calls(w, key, history);
    const auto folded = w.fold(key);
    require(folded->broken.empty(), "a history can be followed: " + folded->broken);
    if (const auto* live = w.committed_state(key))
      require(dump(*live) == dump(*folded), "replay(history) == live state of run " + std::to_string(key));
  }
  check_answers(w);
}

}  // namespace pawl::sim
