// What workflow code can await, below its types: operations begin, settle once, and can be cancelled. Users do not
// include this; pawl/workflow_context.hpp and pawl/combinators.hpp are made of it.
//
//   made --begin()--> under way --settle()--> done --take()--> its value, or its error is thrown
//                        |--cancel()--> settles soon: a leaf at once, a task when its code has ended
//
// Everything here runs on one thread at a time, in the run's actor. Settling resumes nobody: whoever waits is put on
// the ready queue of the runtime, whose trampoline resumes one coroutine after the other, so the depth of the stack
// depends neither on the number of awaits nor on the nesting of tasks. Whoever hears of an end may destroy the
// operation, so settle() is the last thing that is done with it.
#pragma once

#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <typeinfo>
#include <utility>

#include <pawl/child_options.hpp>
#include <pawl/code_errors.hpp>
#include <pawl/definition.hpp>
#include <pawl/options.hpp>
#include <pawl/step_context.hpp>

namespace pawl::detail {

class operation;

/// Whoever waits for an operation. Told once, possibly inside of begin().
class observer {
 public:
  virtual void on_done(operation& what) noexcept = 0;

 protected:
  ~observer() = default;
};

/// Movable until it begins; then it stays where it is until it is done.
class operation {
 public:
  operation() = default;
  operation(operation&&) noexcept {}
  operation(const operation&) = delete;
  operation& operator=(const operation&) = delete;
  operation& operator=(operation&&) = delete;
  virtual ~operation() = default;

  void begin(observer& who) {
    observer_ = &who;
    on_begin();
  }
  /// Makes it settle soon, with pawl::cancelled where nothing else comes of it. Nothing when it is done. It has begun.
  virtual void cancel(const cancelled& why) noexcept = 0;
  /// Cancelling the task that awaits it passes by it.
  virtual bool is_shielded() const { return false; }
  bool begun() const { return observer_ != nullptr; }
  bool done() const { return done_; }

 protected:
  virtual void on_begin() = 0;
  void settle() noexcept {
    done_ = true;
    observer_->on_done(*this);
  }

 private:
  observer* observer_ = nullptr;
  bool done_ = false;
};

template <class T>
concept awaitable_operation = std::derived_from<std::remove_cvref_t<T>, operation>;

/// What lives and dies in the code: no step gets it, since a step may outlive the code.
template <class T>
inline constexpr bool stays_in_code = false;

/// What take() of an operation gives.
template <class Op>
using result_of = decltype(std::declval<Op&>().take());

/// What a function is called with: a std::tuple of values, of this type.
struct held_values {
  std::shared_ptr<const void> tuple{};
  const std::type_info* type = nullptr;
};

/// One call of wf.step: what its attempts run. Shared with attempts under way, which may outlive the coroutine.
struct code_step {
  std::string name;
  step_options options;
  invoke_function invoke;  ///< its arguments are in it; it takes none
  undo_function undo;  ///< empty: nothing to undo
  std::unique_ptr<step_options> undo_options;  ///< null without undo
  const type_descriptor* result = nullptr;  ///< nullptr: void
  std::string (*check_result)(std::string_view) = nullptr;  ///< empty: it is one of what the step returns
  held_values arguments{};  ///< for what stands in for the function (pawl/testing.hpp)
  held_values undo_arguments{};
};

/// Something that code asks of another workflow: to start as its child, to take a signal, to stop.
struct code_call {
  enum class kind : std::uint8_t { child, detached, signal, cancel };
  kind what = kind::child;
  std::string workflow_id;  ///< of a child empty: one that is made of this run and the number of the call
  std::string name;  ///< the child's type; the signal's name
  std::string payload;  ///< msgpack
  child_options options{};
};

/// What answers a query. `call` takes msgpack and gives it; the input is decoded before anything of the user's runs.
struct query_handler {
  std::string name;
  std::function<std::string(std::string_view input)> call;
};

class code_port;

/// An operation that the engine answers: a step, a timer, a signal, a call of another workflow.
class leaf : public operation {
 public:
  enum class kind : std::uint8_t { step, timer, signal, call, renewal, change, update };

  leaf(kind k, code_port& port) : port_(&port), kind_(k) {}
  leaf(leaf&& other) noexcept : operation(std::move(other)), port_(other.port_), kind_(other.kind_) {}
  ~leaf() override;
  void cancel(const cancelled& why) noexcept final;

  kind what() const { return kind_; }
  /// Given by the runtime when it begins; of its kind.
  std::uint32_t number() const { return number_; }

  // From the runtime, at most one of these, once.
  void complete(std::string_view payload);
  /// ... of the event `seq`.
  void complete(std::string_view payload, std::uint64_t seq) {
    seq_ = seq;
    complete(payload);
  }
  void fail(std::exception_ptr error);

 protected:
  code_port& port() const { return *port_; }
  /// What it completed with; throws what it failed with.
  std::string_view outcome() const;
  /// The event that it completed with, if the runtime said so; else 0.
  std::uint64_t seq() const { return seq_; }
  void begins(std::uint32_t number) {
    number_ = number;
    registered_ = !done();
  }

 private:
  friend class code_port;
  code_port* port_;
  std::uint32_t number_ = 0;
  std::uint64_t seq_ = 0;
  kind kind_;
  bool registered_ = false;
  std::string payload_;
  std::exception_ptr error_;
};

/// The head of a coroutine's promise, as the runtime knows it.
struct frame {
  std::coroutine_handle<> handle;
  operation* awaiting = nullptr;
  frame* older = nullptr;
  frame* newer = nullptr;
};

/// A point in time of the run, in the unit of event times.
using code_time = std::chrono::sys_time<std::chrono::microseconds>;

/// The engine's side of running code. Not thread-safe: the run's actor alone uses it.
class code_port {
 public:
  virtual ~code_port() = default;

  // leaves; each may settle the leaf before it returns. The number is unique within the kind.
  virtual std::uint32_t begin_step(leaf& who, std::shared_ptr<const code_step> call) = 0;
  virtual std::uint32_t begin_timer(leaf& who, code_time due, std::string_view name) = 0;
  virtual std::uint32_t begin_signal(leaf& who, std::string_view name, std::string (*check)(std::string_view)) = 0;
  virtual std::uint32_t begin_call(leaf& who, code_call call) = 0;
  /// Never settles it: the code ends here.
  virtual std::uint32_t begin_renewal(leaf& who, std::string input_msgpack) = 0;
  virtual std::uint32_t begin_change(leaf& who, std::string_view id) = 0;
  virtual std::uint32_t begin_update(leaf& who, std::string_view name, std::string (*check)(std::string_view)) = 0;
  /// Nobody waits for it any more.
  virtual void let_go(leaf& who) noexcept = 0;

  // updates, by the seq of the event
  virtual void answer_update(std::uint64_t seq, std::string value_msgpack) = 0;
  virtual void refuse_update(std::uint64_t seq, std::string code, std::string message) = 0;
  /// Nobody will answer it.
  virtual void drop_update(std::uint64_t seq) noexcept = 0;

  // queries
  virtual std::uint64_t add_query(std::shared_ptr<const query_handler> handler) = 0;
  virtual void drop_query(std::uint64_t number) noexcept = 0;

  // coroutines
  virtual void resume_soon(std::coroutine_handle<> who) noexcept = 0;
  void enter(frame& f) noexcept;
  void leave(frame& f) noexcept;
  frame* newest() const { return newest_; }

  // what code may ask
  virtual code_time now() const = 0;
  virtual std::uint64_t draw() = 0;  ///< 64 random bits that replay repeats
  virtual const std::string& workflow_id() const = 0;
  virtual std::uint32_t run() const = 0;
  virtual const std::string& run_uid() const = 0;
  virtual std::uint64_t history_length() const = 0;
  virtual void log(log_level level, std::string_view text) = 0;
  virtual void publish_status(std::string_view text) = 0;
  virtual void publish_attribute(std::string_view name, std::string value_msgpack) = 0;

 private:
  frame* newest_ = nullptr;
};

/// A workflow's own coroutine.
class root_task {
 public:
  virtual ~root_task() = default;
  virtual operation& whole() = 0;
  /// msgpack of what it returned; throws what it threw. Once, when it is done.
  virtual std::string take() = 0;
};

/// The error that left code, as the history keeps it.
struct code_failure {
  std::string code;
  std::string message;
};
code_failure describe_exception(const std::exception_ptr& error) noexcept;

}  // namespace pawl::detail
