#include "tests/code/random_program.hpp"

#include <utility>

#include "workflow/ids.hpp"

namespace pawl::sim {

namespace {

using kind = part::kind;

class generator {
 public:
  generator(std::uint64_t seed, bool races) : random_(seed), races_(races) {}

  part make(int depth, bool in_loop) {
    part p;
    p.id = tree.parts++;
    p.time = std::chrono::milliseconds(random_.between(1, 2'000));
    p.n = static_cast<int>(random_.below(4));
    p.what = pick(depth, in_loop);
    const bool loops = p.what == kind::loop || p.what == kind::each;
    if (p.what == kind::signal && p.id % 2 == 1) p.what = kind::update;
    if (p.what == kind::signal) tree.signals.push_back(p.id);
    if (p.what == kind::update) tree.updates.push_back(p.id);
    for (auto left = size_of(p.what); left > 0; --left) p.parts.push_back(make(depth + 1, in_loop || loops));
    return p;
  }
  program_tree tree;

 private:
  // What is awaited twice under one name would need two signals.
  kind pick(int depth, bool in_loop) {
    if (depth >= 4 || tree.parts > 40 || random_.chance(35)) {
      const auto n = random_.below(in_loop ? 8 : 10);
      return n < 4 ? kind::step : n == 4 ? kind::sleep : n < 7 ? kind::child : n == 7 ? kind::tell : kind::signal;
    }
    const auto n = random_.below(races_ ? 12 : 10);
    if (n < 3) return kind::sequence;
    return static_cast<kind>(static_cast<int>(kind::loop) + static_cast<int>(n) - 3);
  }
  std::uint64_t size_of(kind k) {
    switch (k) {
      case kind::step:
      case kind::sleep:
      case kind::signal:
      case kind::child:
      case kind::tell:
      case kind::update:
        return 0;
      case kind::sequence:
        return random_.below(4);
      case kind::all:
      case kind::choice:
      case kind::any:
        return 2;
      default:
        return 1;
    }
  }

  rng random_;
  const bool races_;
};

std::int64_t perform(step_context&, const std::int64_t&) { return 0; }  // the driver says what it gives
void take_back(step_context&, const std::int64_t&, const std::optional<std::int64_t>&) {}

task<std::int64_t> run(workflow_context& wf, part p);

step_operation<std::int64_t> step_of(workflow_context& wf, const std::string& name, const part& p) {
  auto s = wf.step(name, perform, {.retry = {.max_attempts = 3, .first_delay = std::chrono::milliseconds(100)}}, p.n);
  return p.n % 2 == 0 ? std::move(s) : std::move(s).undo(take_back, p.id);
}

task<std::int64_t> run_attempt(workflow_context& wf, part p) {
  std::int64_t out = -1;
  try {
    out = co_await run(wf, p.parts[0]);
  } catch (const failure& e) {
    wf.status("failed: " + e.code());
  }
  co_return out;
}

task<std::int64_t> run_cleanup(workflow_context& wf, part p) {
  std::optional<cancelled> stopped;
  std::int64_t out = 0;
  try {
    out = co_await run(wf, p.parts[0]);
  } catch (const cancelled& c) {
    stopped = c;
  }
  if (!stopped) co_return out;
  co_await pawl::shield(wf.step("tidy" + std::to_string(p.id), perform, p.n));
  throw cancelled(*stopped);
}

task<std::int64_t> run(workflow_context& wf, part p) {
  std::int64_t out = p.id;
  const auto add = [&](std::int64_t more) { out = out * 31 + more; };
  switch (p.what) {
    case kind::step:
      add(co_await step_of(wf, "s" + std::to_string(p.id), p));
      break;
    case kind::sleep:
      co_await wf.sleep(p.time);
      break;
    case kind::signal:
      add(co_await wf.signal<std::int64_t>("g" + std::to_string(p.id)));
      break;
    case kind::child:
      add(co_await wf.child<std::int64_t>("c" + std::to_string(p.id),
                                          {.when_dropped = static_cast<parent_close>(p.n % 3)}, p.n));
      break;
    case kind::tell:
      co_await wf.signal_to("another", "t" + std::to_string(p.id), p.n);
      break;
    case kind::update: {
      auto u = co_await wf.update<std::int64_t, std::int64_t>("u" + std::to_string(p.id));
      add(u.input());
      if (p.n % 2 == 1) add(co_await step_of(wf, "s" + std::to_string(p.id), p));
      if (p.n == 3) break;
      p.n == 2 ? u.refuse("two are too many") : u.answer(out);
      break;
    }
    case kind::sequence:
      for (const auto& next : p.parts) add(co_await run(wf, next));
      break;
    case kind::loop:
      for (int n = 0; n < p.n; ++n) add(co_await run(wf, p.parts[0]));
      break;
    case kind::all: {
      auto [a, b] = co_await pawl::all(run(wf, p.parts[0]), run(wf, p.parts[1]));
      add(a);
      add(b);
      break;
    }
    case kind::each: {
      const std::vector<int> ns(static_cast<std::size_t>(p.n));
      for (const auto v : co_await pawl::each(ns, 2, [&](int) { return run(wf, p.parts[0]); })) add(v);
      break;
    }
    case kind::task:
      add(co_await run(wf, p.parts[0]));
      break;
    case kind::attempt:
      add(co_await run_attempt(wf, std::move(p)));
      break;
    case kind::choice:
      add(co_await run(wf, p.parts[wf.random(2)]));
      break;
    case kind::cleanup:
      add(co_await run_cleanup(wf, std::move(p)));
      break;
    case kind::any: {
      auto first = co_await pawl::any(run(wf, p.parts[0]), run(wf, p.parts[1]), wf.sleep(p.time));
      add(static_cast<std::int64_t>(first.index()));
      break;
    }
    case kind::within:
      add((co_await pawl::within(wf, p.time, run(wf, p.parts[0]))).value_or(-7));
      break;
  }
  co_return out % 1'000'000'007;
}

std::uint64_t hash_of(std::uint64_t seed, const std::string& step) { return engine::stable_hash(step, seed) % 100; }

}  // namespace

program_tree random_program(std::uint64_t seed, bool races) {
  generator g(seed, races);
  part root;
  root.what = kind::sequence;
  root.id = g.tree.parts++;
  for (int n = 0; n < 3; ++n) root.parts.push_back(g.make(0, false));
  g.tree.root = std::move(root);
  return std::move(g.tree);
}

task<std::int64_t> interpret(workflow_context& wf, std::vector<std::uint64_t> input) {
  co_return co_await run(wf, random_program(input.at(0), input.at(1) != 0).root);
}

bool is_hopeless(std::uint64_t seed, const std::string& step) { return hash_of(seed, step) < 8; }
bool is_flaky(std::uint64_t seed, const std::string& step) { return hash_of(seed, step) > 70; }
std::int64_t value_of_step(std::uint64_t seed, const std::string& step) {
  return static_cast<std::int64_t>(hash_of(seed + 1, step));
}

}  // namespace pawl::sim
