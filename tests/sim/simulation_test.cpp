// The engine in thousands of random worlds. One seed is one world; a failure prints the line that replays it.
//   PAWL_SIM_SEEDS   how many worlds (default 2000)
//   PAWL_SIM_FIRST   the first seed (default 1)
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "tests/sim/random_world.hpp"

namespace pawl::sim {
namespace {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

constexpr std::uint64_t default_seeds = 2'000;
constexpr const char* longest = "longest world";  // in steps of its clock: a maximum among sums

TEST(simulation, every_law_holds_in_every_world) {
  const auto first = from_environment("PAWL_SIM_FIRST", 1);
  const auto seeds = from_environment("PAWL_SIM_SEEDS", default_seeds);
  std::map<std::string, std::uint64_t> counts;
  std::map<engine::event_kind, std::uint64_t> kinds;
  std::uint64_t executed = 0;
  for (auto seed = first; seed < first + seeds; ++seed) {
    const auto s = simulate(seed);
    ASSERT_EQ(s.broken, "") << "seed " << seed << "\nreplay: PAWL_SIM_FIRST=" << seed
                            << " PAWL_SIM_SEEDS=1 bin/test_sim --gtest_filter='simulation.every*'\n"
                            << s.trace;
    for (const auto& [what, n] : s.counts)
      counts[what] = what == longest ? std::max(counts[what], n) : counts[what] + n;
    for (const auto& [kind, n] : s.kinds) kinds[kind] += n;
    ++executed;
  }
  std::cout << "seeds " << first << " to " << first + seeds - 1 << "\n";
  for (const auto& [what, n] : counts) std::cout << "  " << what << ": " << n << "\n";
  for (const auto& [kind, n] : kinds) std::cout << "  " << to_text(kind) << ": " << n << "\n";
  EXPECT_EQ(executed, seeds);
  if (seeds < default_seeds) return;  // a replay has no floor

  // Every fault fired, often, and every kind of event was seen.
  const std::map<std::string, std::uint64_t> floors = {{"appends refused", 300},
                                                       {"appends unknown and lost", 300},
                                                       {"appends unknown but written", 300},
                                                       {"crashes before the append", 300},
                                                       {"crashes after the append", 300},
                                                       {"crashes", 2'000},
                                                       {"drains", 200},
                                                       {"slots refused", 1'000},
                                                       {"slots that ran out", 5'000},
                                                       {"evictions", 1'000},
                                                       {"late results refused", 300},
                                                       {"code missing", 50},
                                                       {"code changed", 50},
                                                       {"time-outs", 1'000},
                                                       {"steps that kill their process", 300},
                                                       {"heartbeats", 500},
                                                       {"repeated commands", 300},
                                                       {"attempts adopted", 300},
                                                       {"results handed in again", 300},
                                                       {"attempts on record that never began", 100},
                                                       {"recoveries", 5'000}};
  for (const auto& [what, floor] : floors) EXPECT_GE(counts[what], floor) << what;
  // Behind these are the kinds of code, which tests/code simulates.
  for (std::uint8_t k = 1; k <= static_cast<std::uint8_t>(engine::event_kind::run_killed); ++k) {
    const auto kind = static_cast<engine::event_kind>(k);
    EXPECT_GE(kinds[kind], 20U) << to_text(kind);
  }
}

}  // namespace
}  // namespace pawl::sim
