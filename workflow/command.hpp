// What is asked of a workflow, and what came of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "workflow/event.hpp"

namespace pawl::engine {

/// What a start does when the workflow id has a closed run. (An open run is always a conflict.)
enum class closed_id_policy : std::uint8_t { reject, allow_if_failed, allow };

/// Something for the run's code; its payload is msgpack.
struct signal_command {
  std::string name;
  std::string payload{};
};
/// A request that the run's code answers; its payload is msgpack.
struct update_command {
  std::string name;
  std::string payload{};
};
struct start_command {
  start_facts facts;  ///< run, uid and digest are filled in by the partition
  std::string input;
  /// Comes with the start: delivered in the same commit, and alone when the workflow runs already.
  std::optional<signal_command> signal{};
  /// Of a run that begins with events of another one (branch.hpp): these, whose start is `facts` and `input`.
  std::vector<event> kept{};
};
/// The next run goes on behind event `seq` of this one, or of an earlier run of the workflow. What runs is ended.
struct reset_command {
  std::uint64_t seq = 0;
  std::uint32_t run = 0;      ///< 0: the newest
  std::uint32_t version = 0;  ///< of the type, for the next run; 0: as it was
  bool signals = true;        ///< what came behind `seq` is given to the next run
  std::string reason{};
};
struct cancel_command {
  std::string reason;
};
struct kill_command {
  std::string reason;
};
struct pause_command {
  std::string reason;
  std::string_view cause = paused_requested;
};
/// Goes on after a pause; an exhausted step gets its attempts anew.
struct resume_command {};
/// Closes an exhausted step as if it had completed with `result`.
struct skip_command {
  std::string step;
  std::string result{};
  bool undo = false;
};

enum class attempt_end : std::uint8_t {
  completed,
  failed,
  timed_out,
  lost,         ///< its process is gone; what it did is unknown; counts towards nothing
  child_died,   ///< lost, and the child process that ran it died by itself
  interrupted,  ///< stopped by a drain; counts towards nothing
  not_begun,    ///< its function never started; counts towards nothing
};
/// How an attempt ended. From the node itself, so it has no command_id and its repeats are refused by attempt number.
struct attempt_ended {
  std::uint32_t step = no_step;
  bool undo = false;
  std::uint32_t attempt = 0;
  attempt_end end{};
  std::string result{};
  std::optional<failure> error{};
};
/// What came of something that code has asked of another workflow.
enum class call_end : std::uint8_t {
  completed,  ///< a child: with a result
  failed,
  cancelled,
  killed,
  refused,   ///< nothing was done
  accepted,  ///< a signal is on record; a detached child has started
};
std::string_view to_text(call_end e);
/// The answer to it, from there.
struct call_ended {
  run_uid run;               ///< that asked
  std::uint32_t number = 0;  ///< of the call
  call_end end{};
  std::string payload{};     ///< msgpack, of a child that has completed
  std::optional<failure> error{};
};
/// Nothing but the passing of time, a free slot or a function that returned: go on with what is due.
struct wake {};

struct command {
  std::string id;  ///< command_id; empty for what the node says to itself
  std::variant<wake, start_command, cancel_command, kill_command, pause_command, resume_command, skip_command,
               attempt_ended, signal_command, call_ended, update_command, reset_command>
      body;
  /// Who is answered by a command when this one is decided. (The end of a child goes to who its run's facts name.)
  std::optional<return_address> back{};
  /// Only for the run that this call has started: its workflow id may be another's by now.
  std::optional<return_address> only_child_of{};
};

enum class command_result : std::uint8_t { applied, duplicate, conflict, not_found, invalid, too_large, late, ignored };
std::string_view to_text(command_result r);

/// The recorded answer to a command. `seq` is of the event that it caused, when it was applied.
struct outcome {
  command_result result = command_result::applied;
  std::uint64_t seq = 0;
  std::string message;
};

}  // namespace pawl::engine
