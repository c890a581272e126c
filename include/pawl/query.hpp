// What people may ask of running code: `auto q = wf.on_query("balance", [&] { return balance; });`
//
// A handler looks at the local variables of the code, between two awaits, and gives what it sees. Nothing is recorded,
// so it changes nothing: it neither awaits nor logs nor asks the context for anything that does.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include <pawl/codec.hpp>
#include <pawl/operation.hpp>
#include <pawl/schema.hpp>
#include <pawl/wiring.hpp>

namespace pawl {

namespace detail {

/// The input of a query is not what its handler takes.
class query_input_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

template <class P>
constexpr bool check_query_parameter() {
  constexpr bool owned = !borrows<std::remove_cvref_t<P>> && !changes_argument<P> && storable<std::remove_cvref_t<P>>;
  static_assert(owned, "the parameter of a query handler is a storable value or a const reference to one");
  return owned;
}
template <class... P>
constexpr bool check_query_parameters(types<P...>*) {
  static_assert(sizeof...(P) <= 1, "a query handler takes one input or none: put several values into a struct");
  if constexpr (sizeof...(P) <= 1) {
    return (check_query_parameter<P>() && ...);
  } else {
    return false;
  }
}
template <class R>
constexpr bool check_query_result() {
  if constexpr (awaitable_operation<R>) {
    static_assert(!awaitable_operation<R>,
                  "a query handler does not await: it gives what is known now, and neither steps nor tasks");
    return false;
  } else {
    static_assert(!std::is_void_v<R>, "a query handler returns what was asked for; void would tell nothing");
    static_assert(std::is_void_v<R> || storable<std::remove_cvref_t<R>>,
                  "the result of a query handler must be storable: give the struct PAWL_FIELDS, or specialise "
                  "pawl::codec");
    return !std::is_void_v<R> && storable<std::remove_cvref_t<R>>;
  }
}

/// True when F can answer queries; otherwise does not compile, with one error that says why.
template <class F>
constexpr bool check_query_handler() {
  static_assert(signature<F>::exact, "a query handler is a function or lambda whose parameters are not templates");
  if constexpr (!signature<F>::exact) {
    return false;
  } else {
    static_assert(signature<F>::is_const, "a query handler changes nothing: no mutable lambda, operator() is const");
    using parameters = typename signature<F>::parameters;
    return signature<F>::is_const && check_query_parameters(static_cast<parameters*>(nullptr)) &&
           check_query_result<typename signature<F>::result>();
  }
}

template <class F, class R>
std::string call_query(const F& f, std::string_view, types<>*) {
  return encode<R>(f());
}
template <class F, class R, class P>
std::string call_query(const F& f, std::string_view input, types<P>*) {
  using value = std::remove_cvref_t<P>;
  auto read = [&]() -> value {
    try {
      return decode<value>(input);
    } catch (const codec_error& e) {
      throw query_input_error(e.what());
    }
  };
  const value asked = read();
  return encode<R>(f(asked));
}

template <class F>
std::shared_ptr<const query_handler> make_query_handler(std::string name, F&& f) {
  using function = std::decay_t<F>;
  auto handler = std::make_shared<query_handler>();
  handler->name = std::move(name);
  if constexpr (check_query_handler<function>()) {
    using parameters = typename signature<function>::parameters;
    using result = std::remove_cvref_t<typename signature<function>::result>;
    handler->call = [f = function(std::forward<F>(f))](std::string_view input) {
      return call_query<function, result>(f, input, static_cast<parameters*>(nullptr));
    };
  }
  return handler;
}

}  // namespace detail

/// As long as it lives, its handler answers. Declare it after what the handler refers to: it goes first then. Movable.
class [[nodiscard]] query_guard {
 public:
  query_guard(detail::code_port& port, std::uint64_t number) : port_(&port), number_(number) {}
  query_guard(query_guard&& other) noexcept : port_(std::exchange(other.port_, nullptr)), number_(other.number_) {}
  query_guard& operator=(query_guard&& other) noexcept {
    if (this == &other) return *this;
    leave();
    port_ = std::exchange(other.port_, nullptr);
    number_ = other.number_;
    return *this;
  }
  ~query_guard() { leave(); }

 private:
  void leave() noexcept {
    if (port_) port_->drop_query(number_);
  }
  detail::code_port* port_;  // null: moved from
  std::uint64_t number_;
};

namespace detail {
template <>
inline constexpr bool stays_in_code<query_guard> = true;
}  // namespace detail

}  // namespace pawl
