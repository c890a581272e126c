// Hand-written runs whose histories together contain every kind of event, and whose end does not depend on where they
// are cut: what functions do, and what is asked, follows from what is on record.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/sim/world.hpp"

namespace pawl::sim {

/// Something that is done once, when what is on record calls for it.
struct trigger {
  std::function<bool(const world&)> when;
  std::function<void(world&)> act;
};

struct scenario {
  std::string name;
  definition_ptr graph;
  engine::limits limits{};
  std::uint32_t slots = 4;
  milliseconds deadline{0};
  milliseconds start_after{0};
  milliseconds queued{1};
  std::function<call_plan(const world&, const call_facts&)> plan;
  std::vector<trigger> triggers{};
  engine::event_kind end = engine::event_kind::run_completed;
};

/// The one run of a scenario's world.
inline constexpr run_key the_run = 1;

std::vector<scenario> scenarios();

}  // namespace pawl::sim
