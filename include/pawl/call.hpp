// What code asks of other workflows: children, detached starts, signals. Behind it the run itself: continue as new.
#pragma once

#include <chrono>
#include <concepts>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include <pawl/child_options.hpp>
#include <pawl/codec.hpp>
#include <pawl/operation.hpp>
#include <pawl/timed.hpp>

namespace pawl {

class workflow_context;
template <class T>
class task;

/// A child that code is about to start and wait for. Gives what it returned; throws child_failed.
template <class R>
class [[nodiscard]] child_operation final : public detail::leaf {
 public:
  child_operation(detail::code_port& port, detail::code_call call) : leaf(kind::call, port), call_(std::move(call)) {}
  child_operation(child_operation&&) = default;

  /// Gives timed<R>; when it is over, the child is dropped: child_options::when_dropped says what becomes of it.
  detail::within_operation<child_operation> within(std::chrono::milliseconds limit) && {
    auto& port = this->port();
    return {std::move(*this), port, limit};
  }

  R take() {
    const auto bytes = outcome();
    if constexpr (!std::is_void_v<R>) return decode<R>(bytes);
  }

 private:
  void on_begin() override { begins(port().begin_call(*this, std::move(call_))); }
  detail::code_call call_;
};

/// A workflow that code starts and does not wait for. Gives its workflow id once it has started; throws child_failed.
class [[nodiscard]] start_operation final : public detail::leaf {
 public:
  start_operation(detail::code_port& port, detail::code_call call) : leaf(kind::call, port), call_(std::move(call)) {}
  start_operation(start_operation&&) = default;
  std::string take() { return decode<std::string>(outcome()); }

 private:
  void on_begin() override { begins(port().begin_call(*this, std::move(call_))); }
  detail::code_call call_;
};

/// Something that is told to another workflow. Done once that has it on record; throws signal_failed.
class [[nodiscard]] send_operation final : public detail::leaf {
 public:
  send_operation(detail::code_port& port, detail::code_call call) : leaf(kind::call, port), call_(std::move(call)) {}
  send_operation(send_operation&&) = default;
  void take() { (void)outcome(); }

 private:
  void on_begin() override { begins(port().begin_call(*this, std::move(call_))); }
  detail::code_call call_;
};

/// The end of this run and the beginning of the next. Awaiting it does not return.
class [[nodiscard]] renewal_operation final : public detail::leaf {
 public:
  renewal_operation(detail::code_port& port, std::string input) : leaf(kind::renewal, port), input_(std::move(input)) {}
  renewal_operation(renewal_operation&&) = default;
  void take() { (void)outcome(); }

 private:
  void on_begin() override { begins(port().begin_renewal(*this, std::move(input_))); }
  std::string input_;
};

namespace detail {

template <class... A>
inline constexpr bool begins_with_child_options = false;
template <class First, class... A>
inline constexpr bool begins_with_child_options<First, A...> =
    std::is_same_v<std::remove_cvref_t<First>, child_options>;

/// What the code of a type takes and gives.
template <class F>
struct code_signature {
  static constexpr bool exact = false;
};
template <class R, class... P>
struct code_signature<task<R> (*)(workflow_context&, P...)> {
  static constexpr bool exact = true;
  using result = R;

  /// msgpack of what it gets.
  template <class... A>
  static std::string input(A&&... arguments) {
    constexpr bool fits = sizeof...(P) == sizeof...(A);
    static_assert(fits, "the workflow is given one argument for the input that its code takes");
    if constexpr (fits && sizeof...(P) == 0) {
      return encode(std::monostate());
    } else if constexpr (fits) {
      static_assert((std::is_convertible_v<A, P> && ...),
                    "the input is not of the type that the workflow's code takes");
      return (encode<P>(std::forward<A>(arguments)), ...);
    }
  }
};
template <class F>
concept code_function = code_signature<F>::exact;

}  // namespace detail
}  // namespace pawl
