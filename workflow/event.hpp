// The facts of a run's history. docs/history.md describes them for readers, with the bytes; keep both in step.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "workflow/boxed.hpp"
#include "workflow/ids.hpp"
#include "workflow/policy.hpp"

namespace pawl::engine {

/// The numbers are stored: never reuse or change one.
enum class event_kind : std::uint8_t {
  run_started = 1,
  step_scheduled = 2,
  attempt_started = 3,
  attempt_completed = 4,
  attempt_failed = 5,
  attempt_timed_out = 6,
  attempt_lost = 7,
  attempt_interrupted = 8,
  attempt_not_begun = 9,
  step_exhausted = 10,
  step_skipped = 11,
  cancel_requested = 12,
  deadline_passed = 13,
  compensation_started = 14,
  run_paused = 15,
  run_resumed = 16,
  waiting_for_code = 17,
  code_found = 18,
  history_warning = 19,
  run_completed = 20,
  run_failed = 21,
  run_cancelled = 22,
  run_killed = 23,
  // of durable code
  step_failed = 24,
  step_abandoned = 25,
  code_failed = 26,
  timer_started = 27,
  timer_fired = 28,
  timer_cancelled = 29,
  signal_received = 30,
  status_published = 31,
  child_asked = 32,
  child_ended = 33,
  child_dropped = 34,
  signal_sent = 35,
  signal_answered = 36,
  update_received = 37,
  update_answered = 38,
  run_continued = 39,
  change_noted = 40,
  run_reset = 41,  // of graphs too
};
inline constexpr std::uint8_t last_event_kind = 41;

std::string_view to_text(event_kind kind);
/// Whether this version has that kind.
bool is_known(event_kind kind);
/// The end of a run with which the next one of its workflow goes on, in the same record.
constexpr bool is_handed_on(event_kind k) { return k == event_kind::run_continued || k == event_kind::run_reset; }
constexpr bool is_terminal(event_kind k) {
  return (k >= event_kind::run_completed && k <= event_kind::run_killed) || is_handed_on(k);
}

/// A failure as a value: a short code for programs, a message for people.
struct failure {
  std::string code;
  std::string message;
  bool permanent = false;
  std::optional<milliseconds> retry_in{};
  bool operator==(const failure&) const = default;
};

/// Messages of failures are cut to this many bytes before they are recorded.
inline constexpr std::size_t failure_message_limit = 4096;
/// What goes on record is bounded; a delay outside of what the codec reads back would make the history unreadable.
failure cut(failure f);

/// Where the answer to something that code has asked of another workflow belongs.
struct return_address {
  std::string workflow_id;
  run_uid uid;
  std::uint32_t number = 0;  ///< of the call, within that run
  bool operator==(const return_address&) const = default;
};

/// How a run came from another one. The numbers are stored.
enum class origin_kind : std::uint8_t {
  continued = 1,
  reset = 2,   ///< its first events are those of an earlier run of the workflow
  forked = 3,  ///< ... of a run of another workflow
};
inline constexpr origin_kind last_origin_kind = origin_kind::forked;
std::string_view to_text(origin_kind k);

/// Events that a run has from another one, whose code they were.
struct kept_part {
  run_uid uid;
  std::uint64_t seq = 0;  ///< up to this one
  std::string workflow_id;
  std::uint32_t run = 0;
  bool operator==(const kept_part&) const = default;
};
/// As many runs are told apart in what a run has kept; one more reset is refused.
inline constexpr std::size_t most_kept_parts = 64;

struct run_origin {
  origin_kind kind = origin_kind::continued;
  run_uid uid;            ///< of the other run
  std::uint64_t seq = 0;  ///< its last event that counts for this one
  // Of a reset or forked run:
  std::string workflow_id{};  ///< of the other one
  std::uint32_t run = 0;
  /// By so much the deadline is longer than what was asked for, since it counts from the reset or fork.
  milliseconds longer{0};
  /// What the other one had itself from earlier ones, the lowest first.
  std::vector<kept_part> earlier{};
  bool operator==(const run_origin&) const = default;
};

/// Only in run_started.
struct start_facts {
  std::string workflow_id;
  std::string type;
  std::uint32_t version = 1;
  std::uint64_t digest = 0;
  std::uint32_t run = 1;
  run_uid uid;
  std::optional<time_point> start_at;  ///< no step before this
  milliseconds deadline{0};            ///< of the run, from its start (or start_at); 0: none
  bool code = false;                   ///< its type is code, not a graph
  std::optional<return_address> parent{};  ///< who waits for its end
  std::optional<run_origin> origin{};
  bool operator==(const start_facts&) const = default;
};

/// What becomes of a child that its parent does not wait for any more. The numbers are stored.
enum class child_policy : std::uint8_t { cancel = 0, kill = 1, abandon = 2 };
std::string_view to_text(child_policy p);

/// Only in child_asked.
struct child_facts {
  std::string workflow_id;
  std::uint32_t version = 0;   ///< 0: the type was not known, and nothing was asked
  std::uint64_t digest = 0;
  bool code = false;           ///< its type is code
  child_policy policy = child_policy::cancel;
  bool detached = false;       ///< nobody waits for its end
  milliseconds deadline{0};    ///< of the child's run; 0: its type's
  bool operator==(const child_facts&) const = default;
};

/// Only in attempt_started.
struct attempt_facts {
  engine::policy policy;
  engine::incarnation incarnation = 0;
  std::uint64_t epoch = 0;     ///< of the leader that recorded it; 0: where there is only one
  bool in_child = false;       ///< runs in a child process, because an earlier attempt was lost with its process
  bool may_still_run = false;  ///< an undo that starts although a function of its step may not have returned
  bool operator==(const attempt_facts&) const = default;
};

/// Words that stand in `cause`; stored, and shown to people.
inline constexpr std::string_view lost_with_child = "child_died";              // attempt_lost
inline constexpr std::string_view failed_too_large = "result_too_large";  // attempt_failed: its function succeeded
inline constexpr std::string_view paused_exhausted = "step_exhausted";  // run_paused
inline constexpr std::string_view paused_undo_exhausted = "undo_exhausted";
inline constexpr std::string_view paused_killer = "step_kills_process";
inline constexpr std::string_view paused_broken = "broken";
inline constexpr std::string_view paused_mismatch = "definition_changed";
inline constexpr std::string_view paused_diverged = "code_diverged";  // the code asks for something else than before
inline constexpr std::string_view paused_side_effect = "code_side_effect";  // a checked build has seen it
/// Whether a run that is paused for this cause goes on by itself once its node has code that can be given its history.
constexpr bool is_of_code(std::string_view cause) { return cause == paused_diverged || cause == paused_side_effect; }
inline constexpr std::string_view paused_slow = "code_too_slow";
inline constexpr std::string_view paused_requested = "requested";
inline constexpr std::string_view resumed_requested = "requested";  // run_resumed
inline constexpr std::string_view resumed_by_skip = "skipped";
inline constexpr std::string_view resumed_by_code = "definition_found";
inline constexpr std::string_view sent_signal = "signal";  // signal_sent
inline constexpr std::string_view sent_cancel = "cancel";

inline constexpr std::uint32_t no_step = 0xffffffffU;

/// One fact. Which members are set follows from the kind; the rest keep their defaults and are not stored.
struct event {
  event_kind kind{};
  bool undo = false;  ///< the step's undo, not the step itself
  std::uint64_t seq = 0;
  time_point at{};
  std::uint32_t step = no_step;
  std::uint32_t attempt = 0;
  std::uint32_t number = 0;  ///< of the timer, or of the call, within the run, from 1
  std::uint64_t answers = 0;  ///< update_answered: seq of the update_received
  std::string name;  ///< of the step, signal, update or change; what the timer is for; of the child's type
  std::string command_id;  ///< of the command that caused it
  std::string payload;  ///< msgpack: input, result, heartbeat details
  std::optional<failure> error{};
  std::string cause;  ///< a word: why paused, why resumed, why compensating
  std::optional<time_point> due{};  ///< when the next attempt may start; when the timer fires
  boxed<start_facts> start{};
  std::optional<attempt_facts> begun{};
  std::vector<std::uint32_t> order{};  ///< compensation_started: steps in the order of their undoing
  boxed<child_facts> child{};
  std::string target{};  ///< the other workflow's id: signal_sent, child_dropped

  bool operator==(const event&) const = default;
};

}  // namespace pawl::engine
