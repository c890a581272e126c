// A run that begins with events of another one: `reset` (the next run of the same workflow) and `fork` (a run of a new
// one). What it keeps it has not to do again; from there it goes on as any history that was cut after an event does.
//
// What is changed in the events kept is the start: run, uid, origin, and the deadline, which counts from now. What was
// under way at the cut is closed, since it was another run's: attempts have not begun under the new run's keys. A
// question to another workflow that was open is a reason to refuse: its answer goes to the run that asked.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <pawl/definition.hpp>

#include "workflow/command.hpp"
#include "workflow/decide.hpp"
#include "workflow/event.hpp"
#include "workflow/limits.hpp"

namespace pawl::engine {

struct branch_request {
  origin_kind kind = origin_kind::reset;
  std::uint64_t seq = 0;  ///< the last event to keep
  std::optional<child_type> type{};  ///< that the run goes on as; none: as it was
  bool signals = true;    ///< what came later is given to the new run as well
};

struct branch {
  /// From its start on, numbered; workflow_id, run, uid and parent of the start are the caller's to set. Empty:
  /// refused.
  std::vector<event> events;
  outcome refusal{};
};

/// `history` is the whole of one run, decoded and in order. Pure; costs a fold of what is kept.
branch branch_of(const std::vector<event>& history, const branch_request& asked, const limits& l, time_point now);

/// What is wrong with the events that a start brings along; empty: nothing. With a graph, whether they can be of it
/// (code is held against what it asks for when the run goes on). Costs a fold of them.
std::string misfit_of_kept(const start_command& s, const limits& l,
                           const std::shared_ptr<const pawl::detail::workflow_definition>& definition, time_point now);
/// Kept events may be of a node whose clock is ahead of this one's by so much.
inline constexpr milliseconds most_kept_ahead{60'000};

}  // namespace pawl::engine
