// One run for people: what it is, what it waits for, and its attempts as bars in time.
#pragma once

#include "node/json_codec.hpp"
#include "node/render_bars.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace pawl::node {

/// `run` is the api's answer about one workflow. `wide` leaves nothing out.
std::string draw_run(const canvas& c, const json& run, std::int64_t now_micros, bool wide);

struct run_bars {
  std::vector<bar> rows;
  std::chrono::microseconds total{};
};
/// The attempts of that answer on the run's own scale: from its start (its first attempt, where the start was delayed)
/// to its end, or to now as long as something is under way.
run_bars bars_of(const json& run, std::int64_t now_micros);

/// "completed" in the colour that says how well that is.
paint color_of_state(const std::string& state, bool paused);
/// "running, paused"
std::string state_text(const json& row);

}  // namespace pawl::node
