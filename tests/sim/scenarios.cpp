#include "tests/sim/scenarios.hpp"

namespace pawl::sim {

namespace {

using engine::event_kind;
using namespace std::chrono_literals;

call_plan succeeds(const call_facts& f, milliseconds takes = 5ms) {
  return {.takes = takes, .result = "r" + std::to_string(f.id.step)};
}
call_plan fails(bool permanent) {
  return {
      .ends = call_plan::ending::fails, .takes = 5ms, .error = {.code = "no", .message = "no", .permanent = permanent}};
}
call_plan hangs() { return {.ends = call_plan::ending::never_returns}; }

std::function<bool(const world&)> on_record(event_kind kind, std::uint32_t step = engine::no_step) {
  return [=](const world& w) { return w.journal().has_event(the_run, kind, step); };
}
std::function<bool(const world&)> paused_by(std::string_view cause) {
  return [=](const world& w) {
    const auto i = w.fold(the_run);
    return i->paused && i->pause_cause == cause;
  };
}
template <class A, class B>
std::function<bool(const world&)> first_but_not(A a, B b) {
  return [=](const world& w) { return a(w) && !b(w); };
}

// Asks once, whatever happens to the node.
trigger asks(std::function<bool(const world&)> when, const std::string& id, decltype(engine::command::body) body) {
  return {[=](const world& w) { return when(w) && !w.journal().has_command(the_run, id); },
          [=](world& w) { w.send(the_run, {.id = id, .body = body}); }};
}
// The process ends, and the next one has this of the code.
trigger redeploys(std::function<bool(const world&)> when, code c) {
  return {std::move(when), [c](world& w) {
            w.set_code(the_run, c);
            w.crash(true);
          }};
}

step_options options(int attempts, milliseconds timeout = 300ms, when_exhausted e = when_exhausted::compensate) {
  step_options o;
  o.timeout = timeout;
  o.retry.max_attempts = attempts;
  o.retry.first_delay = 20ms;
  o.exhausted = e;
  return o;
}

// a -> b, c -> d; a, b and c can be undone; d is returned.
definition_ptr diamond(const step_options& o) {
  hand_built_graph g("diamond");
  const auto a = g.step("a", o);
  const auto b = g.step("b", o, {a});
  const auto c = g.step("c", o, {a});
  const auto d = g.step("d", o, {b, c});
  for (const auto k : {a, b, c}) g.undo(k, options(2));
  g.returns(d);
  return g.build();
}

scenario flaky() {
  return {.name = "flaky",
          .graph = diamond(options(5)),
          .slots = 1,
          .start_after = 50ms,
          .plan = [](const world&, const call_facts& f) {
            if (f.id.step == 1 && f.counted < 2) return fails(false);
            if (f.id.step == 2 && f.counted < 1) return hangs();
            return succeeds(f);
          }};
}

scenario compensates() {
  return {.name = "compensates",
          .graph = diamond(options(2)),
          .plan =
              [](const world&, const call_facts& f) {
                if (f.id.undo && f.counted < 1) return fails(false);
                if (!f.id.undo && f.id.step == 2) return hangs();
                return !f.id.undo && f.id.step == 3 ? fails(true) : succeeds(f);
              },
          .end = event_kind::run_failed};
}

scenario cancelled() {
  return {.name = "cancelled",
          .graph = diamond(options(3)),
          .plan = [](const world&, const call_facts& f) { return f.id.undo ? succeeds(f) : succeeds(f, 50ms); },
          .triggers = {asks(on_record(event_kind::attempt_started, 2), "cancel", engine::cancel_command{"enough"})},
          .end = event_kind::run_cancelled};
}

scenario killed() {
  return {.name = "killed",
          .graph = diamond(options(3)),
          .plan = [](const world&, const call_facts& f) { return succeeds(f, 50ms); },
          .triggers = {asks(on_record(event_kind::attempt_completed, 1), "kill", engine::kill_command{"now"})},
          .end = event_kind::run_killed};
}

scenario out_of_time() {
  return {
      .name = "out_of_time",
      .graph = diamond(options(1'000, 40ms)),
      .deadline = 2'000ms,
      .plan = [](const world&, const call_facts& f) { return !f.id.undo && f.id.step == 2 ? hangs() : succeeds(f); },
      .end = event_kind::run_failed};
}

scenario paused_and_resumed() {
  return {.name = "paused_and_resumed",
          .graph = diamond(options(3)),
          .plan = [](const world&, const call_facts& f) { return succeeds(f, 30ms); },
          .triggers = {asks(on_record(event_kind::attempt_completed, 0), "pause", engine::pause_command{"wait"}),
                       asks(paused_by(engine::paused_requested), "resume", engine::resume_command{})}};
}

scenario exhausted_then_resumed() {
  return {.name = "exhausted_then_resumed",
          .graph = diamond(options(2, 300ms, when_exhausted::pause)),
          .plan =
              [](const world& w, const call_facts& f) {
                const bool mended = w.journal().has_event(the_run, event_kind::run_resumed);
                return f.id.step == 2 && !mended ? fails(false) : succeeds(f);
              },
          .triggers = {asks(paused_by(engine::paused_exhausted), "resume", engine::resume_command{})}};
}

scenario exhausted_then_skipped() {
  return {.name = "exhausted_then_skipped",
          .graph = diamond(options(1, 300ms, when_exhausted::pause)),
          .plan = [](const world&, const call_facts& f) { return f.id.step == 3 ? fails(true) : succeeds(f); },
          .triggers = {
              asks(paused_by(engine::paused_exhausted), "skip", engine::skip_command{.step = "d", .result = "given"})}};
}

scenario undo_skipped() {
  return {.name = "undo_skipped",
          .graph = diamond(options(2)),
          .plan =
              [](const world&, const call_facts& f) {
                if (f.id.undo) return f.id.step == 1 ? fails(false) : succeeds(f);
                return f.id.step == 3 ? fails(true) : succeeds(f);
              },
          .triggers = {asks(paused_by(engine::paused_undo_exhausted), "skip",
                            engine::skip_command{.step = "b", .undo = true})},
          .end = event_kind::run_failed};
}

scenario killer() {
  return {.name = "killer",
          .graph = diamond(options(3)),
          .plan =
              [](const world&, const call_facts& f) {
                auto p = succeeds(f);
                if (f.id.step == 2) p.ends = call_plan::ending::kills_process;
                return p;
              },
          .triggers = {
              asks(paused_by(engine::paused_killer), "skip", engine::skip_command{.step = "c", .result = "given"})}};
}

scenario drained() {
  const auto drain_when = [](event_kind kind, std::uint32_t step, milliseconds wait) {
    return trigger{first_but_not(on_record(event_kind::attempt_started, step), on_record(kind)),
                   [wait](world& w) { wait == 0ms ? w.drain() : w.after(wait, [&w] { w.drain(); }); }};
  };
  return {.name = "drained",
          .graph = diamond(options(3)),
          .queued = 5ms,
          .plan = [](const world&, const call_facts& f) { return succeeds(f, f.id.step == 0 ? 100ms : 20ms); },
          .triggers = {drain_when(event_kind::attempt_interrupted, 0, 20ms),
                       drain_when(event_kind::attempt_not_begun, 3, 0ms)}};
}

scenario without_code() {
  return {
      .name = "without_code",
      .graph = diamond(options(3)),
      .plan = [](const world&, const call_facts& f) { return succeeds(f, 10ms); },
      .triggers = {
          redeploys(first_but_not(on_record(event_kind::attempt_completed, 0), on_record(event_kind::waiting_for_code)),
                    code::missing),
          redeploys(first_but_not(on_record(event_kind::waiting_for_code), on_record(event_kind::code_found)),
                    code::right),
          redeploys(first_but_not(on_record(event_kind::attempt_completed, 2), on_record(event_kind::run_paused)),
                    code::changed),
          redeploys(paused_by(engine::paused_mismatch), code::right)}};
}

scenario long_history() {
  auto s = flaky();
  s.name = "long_history";
  s.limits.history_events = 30;
  s.limits.wants = 2;
  return s;
}

}  // namespace

std::vector<scenario> scenarios() {
  return {flaky(),
          compensates(),
          cancelled(),
          killed(),
          killer(),
          out_of_time(),
          paused_and_resumed(),
          exhausted_then_resumed(),
          drained(),
          undo_skipped(),
          exhausted_then_skipped(),
          without_code(),
          long_history()};
}

}  // namespace pawl::sim
