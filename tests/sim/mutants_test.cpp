// The simulation can fail: each of these wrong ways to build a node breaks a law within a bounded number of seeds. If
// one is no longer caught, the simulation has gone blind, whatever else it says.
#include <gtest/gtest.h>

#include <iostream>

#include "tests/sim/random_world.hpp"

namespace pawl::sim {
namespace {

struct case_of_mutant {
  mutant wrong;
  const char* name;
  const char* law;  ///< a part of what the law says that breaks first; empty: it depends on the moment
};

void PrintTo(const case_of_mutant& c, std::ostream* out) { *out << c.name; }

constexpr std::uint64_t most_seeds = 400;

class mutants : public testing::TestWithParam<case_of_mutant> {};

TEST_P(mutants, is_caught) {
  for (std::uint64_t seed = 1; seed <= most_seeds; ++seed) {
    const auto s = simulate(seed, GetParam().wrong);
    if (s.broken.empty()) continue;
    std::cout << "caught by seed " << seed << ": " << s.broken.substr(0, 160) << "\n";
    EXPECT_NE(s.broken.find(GetParam().law), std::string::npos) << s.broken;
    return;
  }
  FAIL() << "survived " << most_seeds << " seeds";
}

INSTANTIATE_TEST_SUITE_P(
    sim, mutants,
    testing::Values(case_of_mutant{mutant::lost_is_ignored, "lost_is_ignored", "everything that can finish does"},
                    case_of_mutant{mutant::lost_is_restarted, "lost_is_restarted", "recorded for"},
                    case_of_mutant{mutant::effects_before_commit, "effects_before_commit", "recorded before it runs"},
                    case_of_mutant{mutant::answers_before_commit, "answers_before_commit", ""},
                    case_of_mutant{mutant::replay_skips_an_event, "replay_skips_an_event", ""},
                    case_of_mutant{mutant::undo_in_closing_order, "undo_in_closing_order", "exact reverse"},
                    case_of_mutant{mutant::speculation_survives, "speculation_survives", ""},
                    case_of_mutant{mutant::table_dies_with_batch, "table_dies_with_batch", "never started again"},
                    case_of_mutant{mutant::result_leaves_early, "result_leaves_early", "never started again"},
                    case_of_mutant{mutant::still_running_is_ignored, "still_running_is_ignored", "no undo beside"},
                    case_of_mutant{mutant::late_results_count, "late_results_count", "what its function returned"},
                    case_of_mutant{mutant::command_ids_are_lost, "command_ids_are_lost", ""},
                    case_of_mutant{mutant::suspects_run_in_process, "suspects_run_in_process", "in a child"},
                    case_of_mutant{mutant::retries_are_early, "retries_are_early", "own delay"}),
    [](const auto& c) { return std::string(c.param.name); });

}  // namespace
}  // namespace pawl::sim
