// A world whose every choice comes from one seed: graphs, outcomes, commands, faults.
#pragma once

#include <map>
#include <string>

#include "tests/sim/world.hpp"

namespace pawl::sim {

struct simulated {
  std::string broken;  ///< the law that does not hold; empty: all hold
  std::map<std::string, std::uint64_t> counts;
  std::map<engine::event_kind, std::uint64_t> kinds;
  std::string trace;  ///< the histories, when a law is broken
};

simulated simulate(std::uint64_t seed, mutant wrong = mutant::none);

}  // namespace pawl::sim
