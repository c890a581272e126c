// What workflow code (pawl/task.hpp) asks of the engine.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <pawl/call.hpp>
#include <pawl/code_errors.hpp>
#include <pawl/code_step.hpp>
#include <pawl/codec.hpp>
#include <pawl/operation.hpp>
#include <pawl/options.hpp>
#include <pawl/query.hpp>
#include <pawl/schema.hpp>
#include <pawl/timed.hpp>
#include <pawl/update.hpp>

namespace pawl {

class workflow_context;

/// A step that code is about to await: `co_await wf.step("charge", charge, o)`. Gives what the function returned;
/// throws step_failed when no attempt is left, codec_error when a person skipped it with a result of another type.
template <class R>
class [[nodiscard]] step_operation final : public detail::leaf {
 public:
  step_operation(detail::code_port& port, std::shared_ptr<detail::code_step> call)
      : leaf(kind::step, port),
        call_(std::move(call)) {}
  step_operation(step_operation&&) = default;

  /// How to take the step back should the run fail or be cancelled later:
  /// `void f(step_context&, A..., const std::optional<R>& result)`, with R the result of the step (left out where that
  /// is void). No result: the step may have taken effect, but nobody knows. Arguments are copied now. Once a step.
  template <class F, class... A>
    requires(!std::same_as<std::remove_cvref_t<F>, step_options>)
  step_operation undo(F&& f, const step_options& options, A&&... arguments) && {
    if (call_->undo_options)
      throw std::logic_error("step '" + call_->name + "' is given a second undo: a step has one");
    if constexpr (detail::check_undo_call<R, std::decay_t<F>, A...>()) {
      call_->undo = detail::make_undo_call<R>(call_->undo_arguments, std::forward<F>(f), std::forward<A>(arguments)...);
      if (!call_->undo) throw std::logic_error("the undo of step '" + call_->name + "' is a null function");
      call_->undo_options = std::make_unique<step_options>(options);
    }
    return std::move(*this);
  }
  template <class F, class... A>
    requires(!detail::begins_with_options<A...>)
  step_operation undo(F&& f, A&&... arguments) && {
    return std::move(*this).undo(std::forward<F>(f), step_options{}, std::forward<A>(arguments)...);
  }

  /// Gives timed<R>; when it is over, the step is told to stop and the code goes on. (It may have taken effect: its
  /// undo runs for it as for any step whose outcome is unknown.)
  detail::within_operation<step_operation> within(std::chrono::milliseconds limit) && {
    auto& port = this->port();
    return {std::move(*this), port, limit};
  }

  R take() {
    const auto bytes = outcome();
    if constexpr (!std::is_void_v<R>) return decode<R>(bytes);
  }

 private:
  void on_begin() override { begins(port().begin_step(*this, std::move(call_))); }
  std::shared_ptr<detail::code_step> call_;
};

/// The next signal of that name, in the order of their coming; those that came before the await included.
template <class T>
class [[nodiscard]] signal_operation final : public detail::leaf {
 public:
  signal_operation(detail::code_port& port, std::string name) : leaf(kind::signal, port), name_(std::move(name)) {}
  signal_operation(signal_operation&&) = default;

  /// Gives timed<T>. A signal that comes later stays for the next who awaits one.
  detail::within_operation<signal_operation> within(std::chrono::milliseconds limit) && {
    auto& port = this->port();
    return {std::move(*this), port, limit};
  }

  T take() {
    const auto bytes = outcome();
    if constexpr (!std::is_void_v<T>) return decode<T>(bytes);
  }

 private:
  static std::string check(std::string_view bytes) {
    if constexpr (!std::is_void_v<T>) {
      try {
        (void)decode<T>(bytes);
      } catch (const codec_error& e) {
        return e.what();
      }
    }
    return {};
  }
  void on_begin() override { begins(port().begin_signal(*this, name_, &check)); }
  std::string name_;
};

/// Whether the run takes the new way at a place where its code has been changed.
class [[nodiscard]] change_operation final : public detail::leaf {
 public:
  change_operation(detail::code_port& port, std::string id) : leaf(kind::change, port), id_(std::move(id)) {}
  change_operation(change_operation&&) = default;
  bool take() { return decode<bool>(outcome()); }

 private:
  void on_begin() override { begins(port().begin_change(*this, id_)); }
  std::string id_;
};

/// Handed to workflow code, and to every task that it calls. Lives as long as the code. Nothing here blocks.
///
/// Code runs in the actor of its run, and again in whatever process takes the run over. So it does the same every time:
/// it reads no clock, draws no random numbers, asks no service and changes nothing outside, except through this context
/// and in steps. It must not take longer than a second between two awaits.
class workflow_context {
 public:
  explicit workflow_context(detail::code_port& port) : port_(port) {}
  workflow_context(const workflow_context&) = delete;
  workflow_context& operator=(const workflow_context&) = delete;

  // In what a run that was reset or forked has kept, these three are those of the run in which it happened.
  const std::string& workflow_id() const { return port_.workflow_id(); }
  /// 1, 2, ...: how often this workflow id has been started.
  std::uint32_t run() const { return port_.run(); }
  /// Unique for ever, over copies of the data directory too.
  const std::string& run_uid() const { return port_.run_uid(); }

  /// A step: `R f(step_context&, A...)`, at least once, with all that steps of a graph have (attempts, time-outs,
  /// retries, compensation). `name`: 1 to 128 characters, for history and metrics; the same name may be used again.
  /// The arguments are converted to the parameters' types and copied before this returns; they need not be storable.
  template <class F, class... A>
  auto step(std::string_view name, F&& f, const step_options& options, A&&... arguments)
      -> step_operation<detail::stored_result<std::decay_t<F>, A...>> {
    using result = detail::stored_result<std::decay_t<F>, A...>;
    auto call = std::make_shared<detail::code_step>();
    call->name = name;
    call->options = options;
    if constexpr (detail::check_call<std::decay_t<F>, A...>()) {
      call->invoke = detail::make_call<result>(call->arguments, std::forward<F>(f), std::forward<A>(arguments)...);
      call->check_result = &detail::misfit_of_result<result>;
      if constexpr (!std::is_void_v<result>) call->result = &descriptor_of<result>();
    }
    check(*call);
    return {port_, std::move(call)};
  }
  template <class F, class... A>
    requires(!detail::begins_with_options<A...>)
  auto step(std::string_view name, F&& f, A&&... arguments) {
    return step(name, std::forward<F>(f), step_options{}, std::forward<A>(arguments)...);
  }

  /// Sleeps, on disk when it is long. Months are fine.
  detail::timer_leaf sleep(std::chrono::milliseconds how_long) {
    return {port_, detail::after(port_.now(), how_long), "sleep"};
  }
  /// A time that is over by then is over at once: `wf.sleep_until(wf.now() + 24h)`.
  detail::timer_leaf sleep_until(std::chrono::sys_time<std::chrono::microseconds> when) {
    return {port_, when, "sleep"};
  }

  /// The next signal of that name. `T` is void, or what the sender gives. While code awaits one, a signal of another
  /// type is refused at the door; one that came before and is of another type throws codec_error here, and is gone.
  template <class T>
  signal_operation<T> signal(std::string_view name) {
    static_assert(std::is_void_v<T> || storable<T>, "a signal must be storable: give the struct PAWL_FIELDS");
    return {port_, std::string(name)};
  }

  /// A child: another workflow, which is started and waited for. `type` is the name that `code` is registered under.
  /// Exactly one is started for each call, whatever crashes, on whichever partition its id belongs to. Throws
  /// child_failed. One that is given up (it lost a race, ran out of its .within, its parent is cancelled or ends) is
  /// cancelled, killed or left alone, as options.when_dropped says.
  template <detail::code_function F, class... A>
  auto child(std::string_view type, F, const child_options& options, A&&... input)
      -> child_operation<typename detail::code_signature<F>::result> {
    return {port_, call_of(detail::code_call::kind::child, type, options,
                           detail::code_signature<F>::input(std::forward<A>(input)...))};
  }
  template <detail::code_function F, class... A>
    requires(!detail::begins_with_child_options<A...>)
  auto child(std::string_view type, F code, A&&... input) {
    return child(type, code, child_options{}, std::forward<A>(input)...);
  }
  /// One whose definition is not at hand, or is a graph. A result or an input of another type shows when it runs.
  template <class R, storable In>
  child_operation<R> child(std::string_view type, const child_options& options, const In& input) {
    return {port_, call_of(detail::code_call::kind::child, type, options, encode(input))};
  }

  /// Starts a workflow that goes on by itself, whatever becomes of this one. Gives its workflow id.
  template <detail::code_function F, class... A>
  start_operation start(std::string_view type, F, const child_options& options, A&&... input) {
    return {port_, call_of(detail::code_call::kind::detached, type, options,
                           detail::code_signature<F>::input(std::forward<A>(input)...))};
  }
  template <detail::code_function F, class... A>
    requires(!detail::begins_with_child_options<A...>)
  start_operation start(std::string_view type, F code, A&&... input) {
    return start(type, code, child_options{}, std::forward<A>(input)...);
  }
  template <storable In>
  start_operation start(std::string_view type, const child_options& options, const In& input) {
    return {port_, call_of(detail::code_call::kind::detached, type, options, encode(input))};
  }

  /// A signal to another workflow's present run. Throws signal_failed.
  template <storable T>
  send_operation signal_to(std::string_view workflow_id, std::string_view name, const T& value) {
    return {port_, call_to(detail::code_call::kind::signal, workflow_id, name, encode(value))};
  }
  send_operation signal_to(std::string_view workflow_id, std::string_view name) {
    return {port_, call_to(detail::code_call::kind::signal, workflow_id, name, encode(std::monostate()))};
  }
  /// Asks another workflow to stop, as `pawl cancel` does; waits until that is on record, not until it has ended.
  /// Throws signal_failed.
  send_operation cancel(std::string_view workflow_id, std::string_view reason) {
    return {port_, call_to(detail::code_call::kind::cancel, workflow_id, "cancel", encode(std::string(reason)))};
  }

  /// Ends this run and begins the next one of this workflow id, with that input and an empty history, in one commit:
  /// for code that would go on for years. Signals that nobody has read move along; so does whoever waits for the end.
  /// Awaiting it does not return. Await what is to be done first: steps, timers and children that are still under way
  /// are given up like those of code that ends.
  template <storable In>
  renewal_operation continue_as_new(const In& input) {
    return {port_, encode(input)};
  }
  renewal_operation continue_as_new() { return {port_, encode(std::monostate())}; }
  /// Events of this run so far: for deciding when to continue as new.
  std::uint64_t history_length() const { return port_.history_length(); }

  /// For code that is changed while runs of it are open: false in a run that had gone on from here already when the
  /// code was changed, true in every other, and the same for ever. Give each change an id of its own, 1 to 128 bytes.
  ///
  ///   if (co_await wf.changed("mail-twice")) { new way } else { what the code did before }
  change_operation changed(std::string_view id);

  /// The next request of that name, which the code answers: gives pawl::update<Request, Answer>. `Request` and `Answer`
  /// are void or storable. While code awaits one, an input of another type is refused at the door; one that came before
  /// and is of another type is refused here, and the next is taken.
  template <class Request, class Answer>
  update_operation<Request, Answer> update(std::string_view name) {
    static_assert(std::is_void_v<Request> || storable<Request>,
                  "the input of an update must be storable: give the struct PAWL_FIELDS");
    static_assert(std::is_void_v<Answer> || storable<Answer>,
                  "the answer of an update must be storable: give the struct PAWL_FIELDS");
    return {port_, std::string(name)};
  }

  /// As long as the guard lives, queries of that name are answered by `R f()` or `R f(input)`, from the state that the
  /// code has at its awaits. The newest handler of a name counts. It refers to what it likes, and changes nothing.
  template <class F>
  query_guard on_query(std::string_view name, F&& f) {
    return {port_, port_.add_query(detail::make_query_handler(std::string(name), std::forward<F>(f)))};
  }

  /// The time of the event that the code goes on with: the same in every replay, and standing still between two awaits.
  std::chrono::sys_time<std::chrono::microseconds> now() const { return port_.now(); }
  /// Random, and the same in every replay. Not for secrets.
  std::uint64_t random() { return port_.draw(); }
  /// Evenly in [0, below).
  std::uint64_t random(std::uint64_t below);
  /// A UUID (version 4), the same in every replay.
  std::string new_id();

  /// A line in the node's log, with workflow id and run. Silent in replay.
  void log(log_level level, std::string_view text) { port_.log(level, text); }

  /// What people see of the run in `show`: a line of text, and named values. Recorded with what the code does next.
  void status(std::string_view text) { port_.publish_status(text); }
  template <class T>
  void attribute(std::string_view name, const T& value) {
    port_.publish_attribute(name, encode(value));
  }

  /// For the rest of pawl.
  detail::code_port& port() { return port_; }

 private:
  static void check(const detail::code_step& call);
  static detail::code_call call_of(detail::code_call::kind what, std::string_view type, const child_options& options,
                                   std::string input);
  static detail::code_call call_to(detail::code_call::kind what, std::string_view workflow_id, std::string_view name,
                                   std::string payload);
  detail::code_port& port_;
};

}  // namespace pawl
