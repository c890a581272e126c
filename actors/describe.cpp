// What a run is waiting for, for people.
#include "actors/partition_api.hpp"

namespace pawl::actors {

run_description describe(const engine::instance& i, engine::run_key key, const engine::allowance& a,
                         engine::time_point now) {
  run_description d;
  d.found = true;
  d.key = key;
  d.phase = i.phase;
  d.paused = i.paused;
  d.pause_cause = i.pause_cause;
  d.wake_at = engine::outstanding(i, a, now).wake_at;
  for (const auto& s : i.steps) {
    if (is_over(i, s)) continue;
    pending_step p;
    p.step = i.program && same_definition(i) ? std::string(i.program->step(s.step).name) : std::string{};
    if (p.step.empty()) p.step = "#" + std::to_string(s.step);
    p.undo = s.undo;
    p.status = std::string(to_text(s.status));
    p.attempt = s.attempt;
    p.counted = s.counted;
    p.max_attempts = s.policy.max_attempts;
    if (s.status == engine::step_status::waiting) p.next_retry = s.due;
    p.last_error = s.last_error;
    p.suspect = s.suspect;
    d.steps.push_back(std::move(p));
  }
  return d;
}

}  // namespace pawl::actors
