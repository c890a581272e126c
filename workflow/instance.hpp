// A run in memory: nothing but the fold of its history.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <pawl/definition.hpp>

#include "workflow/event.hpp"
#include "workflow/program.hpp"

namespace pawl::engine {

enum class phase : std::uint8_t {
  none,          ///< no event yet
  running,
  stopping,      ///< failed or cancelled: no step starts, attempts under way are awaited
  compensating,  ///< undoing, newest first
  completed,
  failed,
  cancelled,
  killed,
  continued,     ///< as new: the next run goes on with it
};
std::string_view to_text(phase p);
constexpr bool is_closed(phase p) { return p >= phase::completed; }

enum class step_status : std::uint8_t {
  scheduled,  ///< wanted and recorded, waiting for a slot
  running,    ///< an attempt is on record that has not ended
  waiting,    ///< until `due`, for the next attempt
  spent,      ///< no attempt left; what follows is not recorded yet
  exhausted,  ///< no attempt left, and that is recorded
  completed,
  skipped,
  abandoned,  ///< its code did not wait for it any more, and no attempt is under way
};
constexpr bool is_closed(step_status s) { return s >= step_status::exhausted; }

std::string_view to_text(step_status s);

/// A step of the run, or its undo, from the first event that names it.
struct step_state {
  std::uint32_t step = no_step;
  bool undo = false;
  step_status status = step_status::scheduled;
  bool outcome_unknown = false;      ///< an attempt ended without anybody knowing what it did
  bool suspect = false;              ///< an attempt was lost: the next ones run in a child process
  bool in_child = false;             ///< the attempt under way does
  bool abandoned = false;            ///< its code does not wait for it any more: no other attempt follows
  std::uint8_t child_deaths = 0;     ///< in a row, by themselves
  std::uint32_t attempt = 0;         ///< number of the newest attempt
  std::uint32_t counted = 0;         ///< failures and time-outs since the attempts were last given anew
  std::uint64_t token = 0;           ///< seq of the newest attempt_started
  std::uint64_t closed_seq = 0;      ///< of the event that ended the step; 0 while open
  std::uint64_t ended_seq = 0;       ///< of the event that ended the newest attempt
  engine::incarnation incarnation = 0;
  std::uint64_t epoch = 0;           ///< of the leader that recorded the newest attempt
  time_point first_scheduled{};
  time_point began{};                ///< when the newest attempt was recorded
  time_point ended{};                ///< when the newest attempt ended
  time_point due{};
  engine::policy policy;
  std::string details;               ///< of the newest heartbeat on record
  std::optional<failure> last_error{};
};

/// A timer of the run that has not fired.
struct timer_state {
  std::uint32_t number = 0;
  time_point due{};
};

/// Something asked of another workflow that has not been answered.
struct call_state {
  std::uint32_t number = 0;
  std::string workflow_id;
  bool is_child = false;    ///< whose end is waited for
  bool is_message = false;  ///< a signal, or a request to stop
  child_policy policy = child_policy::cancel;
};

/// An update that the run's code has not answered.
struct update_state {
  std::uint64_t seq = 0;  ///< of its update_received
  std::string name;
};

/// Why a run is on its way to an end that is not `completed`.
struct stop_reason {
  bool cancelled = false;
  failure error;
};

/// Copying is not possible, as the program cannot be copied: whatever undoes speculation folds the history anew.
struct instance {
  /// `p` is null when this binary does not have the run's type and version: then only commands that need no code work.
  instance(std::shared_ptr<const pawl::detail::workflow_definition> definition, std::unique_ptr<program> p);

  std::shared_ptr<const pawl::detail::workflow_definition> definition;
  std::unique_ptr<engine::program> program;

  start_facts facts;
  std::string input;
  std::string start_command;
  engine::phase phase = engine::phase::none;
  std::uint64_t last_seq = 0;
  std::size_t history_bytes = 0;
  time_point last_time{};
  time_point started{};
  std::vector<step_state> steps;
  std::vector<std::int32_t> step_index;  ///< 2 * step + undo -> position in `steps`, -1: none
  std::size_t first_open = 0;  ///< all of `steps` before it are closed
  std::uint32_t running_attempts = 0;
  std::vector<timer_state> timers;  ///< that are running, by number
  std::uint32_t last_timer = 0;  ///< highest number so far
  std::vector<call_state> calls;  ///< that are open, by number
  std::uint32_t last_call = 0;
  std::vector<update_state> updates;  ///< that are not answered, by seq
  bool paused = false;
  std::string pause_cause;
  std::uint32_t pause_step = no_step;
  bool pause_undo = false;
  bool lacks_code = false;  ///< waiting_for_code is on record
  bool warned = false;  ///< history_warning is on record
  std::unique_ptr<stop_reason> stop;  ///< null: nothing stops it. Rare, so not kept in place
  std::vector<std::uint32_t> undo_order;
  /// Applied commands and the events that they caused, the start not among them.
  std::unique_ptr<std::unordered_map<std::string, std::uint64_t>> command_ids;
  std::string continues_with;  ///< of a run that has continued as new: the next one's input
  std::string status;  ///< newest status_published, msgpack
  std::string broken;  ///< what made the history impossible to follow; empty: nothing

  step_state* find(std::uint32_t step, bool undo);
  const step_state* find(std::uint32_t step, bool undo) const;
  /// Seq of the event that this command caused; 0: it has not been applied to this run.
  std::uint64_t applied_at(std::string_view command_id) const;
  const timer_state* find_timer(std::uint32_t number) const;
  const call_state* find_call(std::uint32_t number) const;
  const update_state* find_update(std::uint64_t seq) const;
};

/// An instance for a run of `definition`; null for a run whose code this binary does not have.
std::unique_ptr<instance> make_instance(std::shared_ptr<const pawl::detail::workflow_definition> definition);
/// One that follows a history without running code: for who only looks. A graph's program costs nothing and is there.
std::unique_ptr<instance> make_onlooker(std::shared_ptr<const pawl::detail::workflow_definition> definition);

/// Where steps, timers, signals and calls go on: in a running run, and while code that is cancelled cleans up.
bool is_code_phase(const instance& i);

/// Whether this binary has the definition that the run was started with. Without it nothing may be read from
/// `definition`.
bool same_definition(const instance& i);

/// Whether nothing more is to be told of a step. (Of a graph, the one that is exhausted is what stops the run.)
bool is_over(const instance& i, const step_state& s);

/// Whether another attempt of this step may follow, as far as the state of the run goes.
bool is_wanted(const instance& i, const step_state& s);

/// What attempts of a step, or of its undo, send along with their effects: the same for all of them.
std::string idempotency_key(const instance& i, std::uint32_t step, bool undo);
/// For who has the text of the run's uid already.
std::string idempotency_key(const instance& i, std::string_view uid, std::uint32_t step, bool undo);

/// The only code that changes state. A gap in seq, or an event that cannot follow, sets `broken` and changes nothing
/// else; it never aborts.
void evolve(instance& i, const event& e);

/// Bytes that an event costs in the history, for the limit on it.
std::size_t size_of(const event& e);

}  // namespace pawl::engine
