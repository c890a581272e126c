// Random definitions and the facts that their runs start with.
#pragma once

#include "tests/sim/hand_built_graph.hpp"
#include "tests/sim/rng.hpp"
#include "workflow/event.hpp"

namespace pawl::sim {

/// 1 to 12 steps with random edges, undos and options.
definition_ptr random_graph(rng& r, const std::string& type);

/// For a run of `definition`: sometimes with a delay or a deadline.
engine::start_facts random_facts(rng& r, const pawl::detail::graph_definition& definition, std::uint64_t serial,
                                 engine::time_point now);

}  // namespace pawl::sim
