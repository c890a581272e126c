// The environment and its scripts, as tests see them.
#include <algorithm>
#include <cstdlib>

#include "testing/world.hpp"

namespace pawl::testing {

fault_counts& fault_counts::operator+=(const fault_counts& o) {
  failures += o.failures;
  time_outs += o.time_outs;
  losses += o.losses;
  crashes += o.crashes;
  evictions += o.evictions;
  events += o.events;
  scenarios += o.scenarios;
  return *this;
}

// --- scripts ---------------------------------------------------------------------------------------------------------

template <bool Undo>
detail::script& basic_script<Undo>::script() {
  return world_->script_of(name_, Undo);
}
template <bool Undo>
basic_script<Undo>& basic_script<Undo>::fails(std::uint32_t times, std::string code, std::string message) {
  if (times > 0) script().endings.push_back({detail::ending::fails, times, std::move(code), std::move(message)});
  return *this;
}
template <bool Undo>
basic_script<Undo>& basic_script<Undo>::fails_for_good(std::string code, std::string message) {
  script().endings.push_back({detail::ending::fails_for_good, 1, std::move(code), std::move(message)});
  return *this;
}
template <bool Undo>
basic_script<Undo>& basic_script<Undo>::times_out(std::uint32_t times) {
  if (times > 0) script().endings.push_back({detail::ending::times_out, times, {}, {}});
  return *this;
}
template <bool Undo>
basic_script<Undo>& basic_script<Undo>::is_lost(std::uint32_t times) {
  if (times > 0) script().endings.push_back({detail::ending::lost, times, {}, {}});
  return *this;
}
template <bool Undo>
basic_script<Undo>& basic_script<Undo>::is_lost_when_done(std::uint32_t times) {
  if (times > 0) script().endings.push_back({detail::ending::lost_when_done, times, {}, {}});
  return *this;
}
template <bool Undo>
basic_script<Undo>& basic_script<Undo>::takes(std::chrono::milliseconds how_long) {
  script().takes = std::max(how_long, std::chrono::milliseconds{0});
  return *this;
}
template <bool Undo>
basic_script<Undo>& basic_script<Undo>::stand_in(detail::fake f) {
  script().stands_in = std::move(f);
  return *this;
}
template class basic_script<false>;
template class basic_script<true>;

// --- environment -----------------------------------------------------------------------------------------------------

environment::environment(const registry& types, options o)
    : world_(std::make_shared<detail::world>(types, std::move(o))) {}

// What is planned may hold runs, which hold the world.
environment::~environment() {
  world_->agenda.clear();
  world_->scripts.clear();
}

run environment::start_with(std::string_view type, std::string input, const type_descriptor* given,
                            const start_options& o) {
  const auto& begun = world_->begin(type, std::move(input), given, o);
  while (world_->step_until(world_->now)) {
  }
  return {world_, begun.id};
}

run environment::find(const std::string& id) const { return {world_, world_->find(id).id}; }

event_time environment::now() const { return world_->now; }

environment& environment::advance(std::chrono::milliseconds how_long) {
  const auto until = world_->now + how_long;
  while (world_->step_until(until)) {
  }
  world_->now = std::max(world_->now, until);
  return *this;
}

environment& environment::after(std::chrono::milliseconds delay, std::function<void()> f) {
  world_->after(delay, std::move(f));
  return *this;
}

const fault_counts& environment::faults() const { return world_->counts; }
std::string environment::story() const { return world_->story(); }

std::uint64_t environment::longest_history() const {
  std::uint64_t most = 0;
  for (const auto& r : world_->runs) most = std::max<std::uint64_t>(most, r.second->history.size());
  return most;
}

// --- many environments -----------------------------------------------------------------------------------------------

namespace {

std::optional<std::uint64_t> asked_for(const char* variable) {
  const auto* text = std::getenv(variable);
  if (!text || *text == '\0') return std::nullopt;
  return std::strtoull(text, nullptr, 10);
}

fault_counts play(environment& env, const scenario& what) {
  try {
    what(env);
  } catch (const std::exception& e) {
    const auto told = env.story();
    if (told.empty() || std::string_view(e.what()).find(told) != std::string_view::npos) throw;
    throw mismatch(told + ": " + e.what());
  }
  auto counts = env.faults();
  counts.scenarios = 1;
  return counts;
}

}  // namespace

fault_counts for_each_crash(const registry& types, const scenario& what, options o) {
  fault_counts all;
  o.crash_after = o.crash_before = 0;
  const auto after = asked_for("PAWL_TEST_CRASH_AFTER");
  const auto before = asked_for("PAWL_TEST_CRASH_BEFORE");
  const auto with = [&](std::uint64_t crash_after, std::uint64_t crash_before) {
    auto disturbed = o;
    disturbed.crash_after = crash_after;
    disturbed.crash_before = crash_before;
    environment env(types, disturbed);
    const auto counts = play(env, what);
    if (counts.crashes == 0 && crash_after + crash_before > 0)
      throw mismatch(env.story() +
                     ": there was no such event, and without the crash there was, or you asked for one "
                     "that there is not: the scenario is to be the same each time");
    all += counts;
    return env.longest_history();
  };
  if (after || before) {
    with(after.value_or(0), before.value_or(0));
    return all;
  }
  const auto events = with(0, 0);
  for (std::uint64_t n = 1; n < events; ++n) {
    with(n, 0);
    with(0, n + 1);
  }
  return all;
}

fault_counts for_each_seed(const registry& types, std::uint64_t seeds, const scenario& what, options o) {
  fault_counts all;
  if (!o.faults) o.faults.emplace();
  const auto only = asked_for("PAWL_TEST_SEED");
  const auto first = only.value_or(o.seed);
  for (std::uint64_t n = 0; n < (only ? 1 : seeds); ++n) {
    o.seed = first + n;
    environment env(types, o);
    all += play(env, what);
  }
  return all;
}

}  // namespace pawl::testing
