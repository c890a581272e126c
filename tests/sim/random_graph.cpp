#include "tests/sim/random_graph.hpp"

#include <algorithm>

namespace pawl::sim {

namespace {

using std::chrono::milliseconds;

step_options random_options(rng& r) {
  step_options o;
  o.timeout = milliseconds(r.between(200, 8'000));
  if (r.chance(15)) o.deadline = milliseconds(r.between(500, 90'000));
  if (r.chance(80)) o.retry.max_attempts = static_cast<int>(r.between(1, 5));
  o.retry.first_delay = milliseconds(r.between(0, 2'000));
  if (r.chance(30)) o.retry.factor = r.chance(50) ? 1.0 : 3.5;
  o.retry.max_delay = milliseconds(r.between(100, 20'000));
  if (r.chance(20)) o.max_concurrent = 1;
  if (r.chance(25)) o.exhausted = when_exhausted::pause;
  if (r.chance(25)) o.undo = undo_when::completed;
  return o;
}

}  // namespace

definition_ptr random_graph(rng& r, const std::string& type) {
  hand_built_graph g(type);
  const auto steps = static_cast<std::uint32_t>(r.between(1, 12));
  for (std::uint32_t k = 0; k < steps; ++k) {
    hand_built_graph::indices arguments;
    hand_built_graph::indices after;
    for (std::uint32_t before = 0; before < k; ++before) {
      if (r.chance(15 + 30 / (k - before))) (r.chance(70) ? arguments : after).push_back(before);
      if (r.chance(3)) arguments.push_back(before);  // the same edge twice
    }
    g.step("s" + std::to_string(k), random_options(r), arguments, after);
    if (r.chance(60)) g.undo(k, random_options(r));
  }
  if (r.chance(80))
    g.returns(static_cast<std::uint32_t>(r.below(steps)));
  else if (r.chance(30))
    g.returns_input();
  return g.build();
}

engine::start_facts random_facts(rng& r, const pawl::detail::graph_definition& definition, std::uint64_t serial,
                                 engine::time_point now) {
  engine::start_facts f;
  f.workflow_id = "w-" + std::to_string(serial);
  f.type = definition.type;
  f.version = definition.options.version;
  f.digest = definition.digest;
  f.uid = {.reign = {.high = 7, .low = r.next()}, .serial = serial};
  if (r.chance(10)) f.start_at = now + milliseconds(r.between(0, 60'000));
  if (r.chance(10)) f.deadline = milliseconds(r.between(2'000, 200'000));
  return f;
}

}  // namespace pawl::sim
