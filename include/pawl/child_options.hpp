// How code starts another workflow.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace pawl {

/// What becomes of a child whose parent does not wait for it any more: the parent has ended, was cancelled or killed,
/// or the child has lost a race.
enum class parent_close : std::uint8_t {
  cancel,   ///< it is cancelled: its code cleans up, what it did is undone
  kill,     ///< it ends at once; nothing is undone
  abandon,  ///< it goes on
};

struct child_options {
  /// Its workflow id; empty: `<run uid of the parent>/<number of the call>`. With an id of your own a workflow that
  /// has it already makes the call fail.
  std::string id{};
  /// Of its type; 0: the one for new runs.
  std::uint32_t version = 0;
  parent_close when_dropped = parent_close::cancel;
  /// Of its run, from its start; 0: that of its type.
  std::chrono::milliseconds deadline{0};
};

}  // namespace pawl
