#include "tests/sim/random_world.hpp"

#include "tests/sim/dump.hpp"
#include "tests/sim/laws.hpp"
#include "tests/sim/random_graph.hpp"

namespace pawl::sim {

namespace {

constexpr int most_rounds = 300;  // of 2 s; the longest wait that a world contains is 100 s

// How a world's functions behave until the faults stop, in percent.
class random_script final : public script {
 public:
  explicit random_script(std::uint64_t seed) : random_(seed ^ 0x5c4195) {
    fails_ = static_cast<std::uint32_t>(random_.below(45));
    permanent_ = static_cast<std::uint32_t>(random_.below(8));
    hangs_ = static_cast<std::uint32_t>(random_.below(15));
    kills_ = random_.chance(15) ? 3 : 0;
    if (random_.chance(12)) killer_ = static_cast<std::uint32_t>(random_.below(6));
  }

  call_plan plan(const call_facts& f) override {
    call_plan p;
    p.takes = milliseconds(random_.between(1, f.calm ? 30 : 600));
    p.result = "result of " + to_text(f.id);
    if (f.calm) return p;
    p.heeds_stop = random_.chance(60);
    if (random_.chance(15)) p.details = "details " + std::to_string(random_.below(1000));
    if (f.id.step == killer_ || random_.chance(kills_)) {
      p.ends = call_plan::ending::kills_process;
    } else if (random_.chance(hangs_)) {
      p.ends = random_.chance(40) ? call_plan::ending::never_returns : call_plan::ending::succeeds;
      p.takes = milliseconds(random_.between(100, 30'000));
    } else if (random_.chance(permanent_)) {
      p.ends = call_plan::ending::fails;
      p.error = {.code = "permanent", .message = "no attempt will do better", .permanent = true};
    } else if (random_.chance(fails_)) {
      p.ends = call_plan::ending::fails;
      p.error = {.code = "error", .message = "try again"};
      if (random_.chance(20)) p.error.retry_in = milliseconds(random_.between(0, 100'000));
    }
    return p;
  }
  milliseconds queued(const attempt_id&) override { return milliseconds(random_.between(0, 20)); }

 private:
  rng random_;
  std::uint32_t fails_ = 0;
  std::uint32_t permanent_ = 0;
  std::uint32_t hangs_ = 0;
  std::uint32_t kills_ = 0;
  std::uint32_t killer_ = engine::no_step;
};

world_options random_options(rng& r, std::uint64_t seed, mutant wrong) {
  world_options o{.seed = seed, .wrong = wrong};
  o.slots = static_cast<std::uint32_t>(r.between(1, 6));
  o.restart = milliseconds(r.between(1, 3'000));
  const auto some = [&](std::uint64_t most) {
    return r.chance(50) ? static_cast<std::uint32_t>(r.below(most + 1)) : 0;
  };
  o.faults = {.refused = some(6),
              .lost = some(6),
              .unknown_written = some(6),
              .crash_before = some(4),
              .crash_after = some(4),
              .no_slot = some(40),
              .evicted = some(30),
              .late_result = some(80),
              .other_code = some(30)};
  if (r.chance(8)) o.limits.history_events = static_cast<std::uint64_t>(r.between(12, 60));
  if (r.chance(8)) o.limits.history_bytes = static_cast<std::size_t>(r.between(500, 4'000));
  if (r.chance(15)) o.limits.wants = static_cast<std::size_t>(r.between(1, 3));
  return o;
}

// One seed's world and what happens to it.
class random_world {
 public:
  random_world(std::uint64_t seed, mutant wrong)
      : random_(seed),
        functions_(seed),
        world_(random_options(random_, seed, wrong), functions_) {
    const auto runs = random_.between(1, 3);
    for (std::int64_t n = 0; n < runs; ++n) {
      const auto g = random_graph(random_, "type-" + std::to_string(n));
      const auto key =
          world_.add(graph_run(g, random_facts(random_, *g, static_cast<std::uint64_t>(n + 1), world_.now())));
      world_.after(milliseconds(random_.between(0, 3'000)), [this, key] { world_.send(key, world_.start_of(key)); });
      plan_commands(key, *g);
    }
    for (auto n = random_.below(3); n > 0; --n)
      world_.after(milliseconds(random_.between(1, 40'000)),
                   [this, written = random_.chance(50)] { world_.crash(written); });
    if (random_.chance(25)) world_.after(milliseconds(random_.between(1, 40'000)), [this] { world_.drain(); });
    world_.after(milliseconds(random_.between(20'000, 90'000)), [this] { heal(); });
  }

  void run() {
    world_.run_until([this] { return world_.all_closed() && world_.all_answered(); });
    check_laws(world_);
  }
  const world& get() const { return world_; }

 private:
  void plan_commands(run_key key, const pawl::detail::graph_definition& g) {
    if (random_.chance(60)) return;
    for (auto n = random_.between(1, 5); n > 0; --n) {
      const auto when = milliseconds(random_.between(0, 40'000));
      engine::command c{.id = "c-" + std::to_string(++commands_), .body = {}};
      const auto kind = random_.below(100);
      if (kind < 15)
        c.body = engine::cancel_command{"enough"};
      else if (kind < 20)
        c.body = engine::kill_command{"now"};
      else if (kind < 50)
        c.body = engine::pause_command{"wait"};
      else if (kind < 80)
        c.body = engine::resume_command{};
      else
        c.body = engine::skip_command{
            .step = g.steps[random_.below(g.steps.size())].name, .result = "skipped", .undo = random_.chance(30)};
      if (random_.chance(10)) c = world_.start_of(key);
      world_.after(when, [this, key, c] { world_.send(key, c); });
    }
  }

  void heal() {
    world_.calm_down();
    nurse(0);
  }

  // A person who resumes or skips whatever is paused for a stated reason.
  void nurse(int round) {
    if (world_.all_closed()) return;
    require(round < most_rounds, "everything that can finish does: a run is still open long after the last fault");
    for (run_key key = 1; key <= static_cast<run_key>(world_.runs()); ++key) {
      const auto i = world_.fold(key);
      if (!i->paused) continue;
      require(!i->pause_cause.empty() && i->pause_cause != engine::paused_broken, "a pause has a reason");
      engine::command c{.id = "nurse-" + std::to_string(++commands_), .body = engine::resume_command{}};
      if (i->pause_step != engine::no_step && round < 5 && random_.chance(40))
        c.body = engine::skip_command{
            .step = std::string(i->program->step(i->pause_step).name), .result = "skipped", .undo = i->pause_undo};
      world_.send(key, c);
    }
    world_.after(milliseconds(2'000), [this, round] { nurse(round + 1); });
  }

  rng random_;
  random_script functions_;
  world world_;
  std::uint64_t commands_ = 0;
};

}  // namespace

simulated simulate(std::uint64_t seed, mutant wrong) {
  simulated s;
  random_world w(seed, wrong);
  try {
    w.run();
  } catch (const law_broken& law) {
    s.broken = law.what();
    for (run_key key = 1; key <= static_cast<run_key>(w.get().runs()); ++key) {
      s.trace += "run " + std::to_string(key) + "\n";
      for (const auto& e : w.get().journal().history(key)) s.trace += "  " + dump(e) + "\n";
    }
  }
  s.counts = w.get().counts();
  s.kinds = w.get().journal().kinds_seen();
  return s;
}

}  // namespace pawl::sim
