// What must hold of a world at rest, told from its journal, its calls and its clients' answers alone: nothing here
// looks into an instance, so an error of the engine does not excuse itself.
#pragma once

#include "tests/sim/world.hpp"

namespace pawl::sim {

/// The laws of design §3 over every run of the world. Throws law_broken.
void check_laws(const world& w);

/// Laws of one run, by what they read.
void check_order(const std::vector<engine::event>& history);
void check_attempts(const std::vector<engine::event>& history);
void check_graph(const pawl::detail::graph_definition& g, const std::vector<engine::event>& history);
void check_compensation(const pawl::detail::graph_definition& g, const std::vector<engine::event>& history);
void check_calls(const world& w, run_key key, const std::vector<engine::event>& history);
void check_answers(const world& w);

}  // namespace pawl::sim
