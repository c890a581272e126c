// Where a reset or forked run takes its first events from: the history of a run that is in the view.
#pragma once

#include <cstdint>
#include <string>

#include <pawl/registry.hpp>

#include "store/view.hpp"
#include "workflow/branch.hpp"

namespace pawl::actors {

struct branch_ask {
  std::string workflow_id;
  std::uint32_t run = 0;      ///< 0: the newest
  std::uint32_t version = 0;  ///< that the new run goes on as; 0: as it was
  engine::branch_request cut{};
};

struct sourced_branch {
  engine::branch branch{};
  std::uint32_t run = 0;  ///< that it comes from, where it was found
};

/// Reads and cuts the history; its refusal names workflow and run. Thread-safe as far as `view` is used by one thread.
/// Throws store::view_error. Costs the reading of the whole history.
sourced_branch source_branch(store::view& view, const registry& types, const branch_ask& asked,
                             const engine::limits& limits, engine::time_point now);

/// The start of a run that begins with these; workflow id, run and uid are still to be set, and it has no parent.
engine::start_command start_of(engine::branch b);

}  // namespace pawl::actors
