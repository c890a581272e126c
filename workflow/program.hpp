// What a workflow definition is to the engine: something that folds events and says what it wants next. Attempts,
// retries, time-outs, compensation and limits are the engine's; a program only sees steps end, timers fire and signals
// come. A graph is one kind (graph_program.hpp), code another (code_program.hpp).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <pawl/definition.hpp>

#include "workflow/event.hpp"

namespace pawl::detail {
struct held_values;
}

namespace pawl::engine {

enum class want_kind : std::uint8_t {
  step,
  finish,        ///< the run completes with `text`
  fail,          ///< the code has thrown `error`
  broken,        ///< the history cannot be followed: `error` says at which event, and what the code asks for instead
  timer,         ///< `number` fires at `due`
  signal,        ///< one of name `text` is awaited; nothing to do about it
  drop_step,     ///< nobody waits for `step` any more
  drop_timer,    ///< nobody waits for `number` any more
  publish,       ///< `text` is the status that people see, in msgpack
  child,         ///< call `number`: a workflow of type `text` is to be started
  drop_child,    ///< nobody waits for the end of call `number` any more
  message,       ///< call `number`: another workflow is told something; `text` is the signal's name
  answer,        ///< the update of event `seq` is answered with `text`, in msgpack, or refused with `error`
  renew,         ///< the run ends, and the next one begins with the input `text`
  update,        ///< one of name `text` is awaited; nothing to do about it
  note_change,   ///< code has come to a changed place, named `text`, with nothing on record behind it
};

/// What code asks of another workflow.
struct call_request {
  std::string workflow_id;
  std::string payload;      ///< msgpack
  std::uint32_t version = 0;  ///< of a child; 0: the one for new runs
  child_policy policy = child_policy::cancel;
  bool detached = false;
  milliseconds deadline{0};
  bool cancels = false;     ///< a message that is no signal but asks it to stop
};

/// What a program needs next. Order matters: earlier wants are served first. Views are owned by the program.
struct want {
  want_kind kind = want_kind::step;
  std::uint32_t step = no_step;
  std::uint32_t number = 0;
  time_point due{};
  std::string_view text{};  ///< finish: msgpack, empty is nil; signal, update, timer: the name; publish: msgpack
  const failure* error = nullptr;
  const call_request* call = nullptr;
  std::uint64_t seq = 0;
};

/// What the engine reads of a step. Views are valid until the next on().
struct step_info {
  std::string_view name;
  const step_options* options = nullptr;
  const step_options* undo_options = nullptr;  ///< null: nothing to undo
};

/// What an attempt runs. It may outlive the program.
struct step_call {
  std::vector<std::string> arguments;  ///< msgpack
  std::shared_ptr<const pawl::detail::invoke_function> invoke;
  std::shared_ptr<const pawl::detail::undo_function> undo;
  std::optional<std::string> result;  ///< of the step, for its undo
  /// Of code: the arguments as values, for what stands in for the function (pawl/testing.hpp).
  const pawl::detail::held_values* held = nullptr;
  const pawl::type_descriptor* returns = nullptr;  ///< of the step; nullptr: void
};

/// What a look at a program's state came to.
struct query_answer {
  enum class status : std::uint8_t {
    answered,
    unknown,  ///< it has no handler of that name; `message` lists those that there are
    invalid,  ///< the input is not what the handler takes
    failed,   ///< the handler threw, or did what a handler may not
    conflict,   ///< the code cannot be asked: it has ended, or does not fit its history, or is not here
    too_large,  ///< the answer is over limits.payload
  };
  status state = status::unknown;
  std::string value{};  ///< msgpack
  std::string code{};  ///< of what it threw
  std::string message{};
};

/// A line that code has logged.
struct log_line {
  std::uint8_t level = 0;  ///< pawl::log_level
  std::string text;
};

class program {
 public:
  virtual ~program() = default;
  /// Called by evolve alone, once per event, in order.
  virtual void on(const event& e) noexcept = 0;
  /// Valid until the next on(). A program that cannot follow its history returns the single want `broken`.
  virtual std::span<const want> wants() const = 0;

  /// Of a step that the program has wanted; without a name when it never did.
  virtual step_info step(std::uint32_t step) const = 0;
  /// The step that people mean by this name; nothing when there is none.
  virtual std::optional<std::uint32_t> step_named(std::string_view name) const = 0;
  /// The function of a step or its undo. `input` is the run's.
  virtual step_call call(std::uint32_t step, bool undo, const std::string& input) const = 0;
  /// msgpack of what the step returned, as far as the program keeps it.
  virtual std::string_view value_of(std::uint32_t step) const = 0;

  /// Whether it is told of failed steps and of cancelling, and decides itself what follows. Until it has ended, a run
  /// that stops goes on doing what it wants.
  virtual bool catches() const { return false; }
  /// It wants nothing any more but finish or fail.
  virtual bool has_ended() const { return false; }
  /// Why a signal cannot be taken now; empty when it can.
  virtual std::string refusal_of_signal(std::string_view, std::string_view) const { return {}; }
  /// Signals that nobody has read, as they came: the next run gets them when this one continues as new.
  virtual std::vector<event> unread() const { return {}; }
  /// Why these bytes are no result of that step; empty when they are, or nobody knows.
  virtual std::string refusal_of_result(std::uint32_t, std::string_view) const { return {}; }
  /// The same of an update.
  virtual std::string refusal_of_update(std::string_view, std::string_view) const { return {}; }
  /// Looks at the state of the code; changes nothing. `input` is msgpack.
  virtual query_answer query(std::string_view, std::string_view) { return {}; }
  /// From now on what it logs is kept for take_log(); in a replay it is silent.
  virtual void go_live() {}
  virtual std::vector<log_line> take_log() { return {}; }
};

}  // namespace pawl::engine
