// The step of a partition that has been open the longest: its lag as a person feels it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <pawl/registry.hpp>

#include "store/view.hpp"
#include "workflow/event.hpp"

namespace pawl::node {

/// A step that was begun or is due and has not ended, or a run that waits for its code.
struct stuck_step {
  std::string workflow_id{};
  std::uint32_t run = 0;
  std::string step{};  ///< empty: the run waits for its code
  bool undo = false;
  std::string status{};  ///< scheduled, running, waiting, spent, exhausted, waiting_for_code
  std::uint32_t attempt = 0;
  engine::time_point since{};
  std::optional<engine::failure> last_error{};
};

/// Histories that one look reads at most, and their events together.
inline constexpr std::size_t most_runs_looked_at = 256;
inline constexpr std::uint64_t most_events_looked_at = 20'000;

struct stuck_look {
  std::optional<stuck_step> oldest{};
  bool complete = true;  ///< false: there are more open runs than one look reads; `oldest` is of the oldest of them
};

/// Folds open runs, the oldest first, until none that follows can have an older step. `open`: their keys, at least one
/// more than are looked at where there are more. May throw view_error.
stuck_look find_oldest_step(store::view& view, const std::vector<engine::run_key>& open, const registry& types);

}  // namespace pawl::node
