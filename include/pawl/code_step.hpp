// The compile-time half of wf.step: what its function may look like, said in errors that can be read, and the closure
// that its attempts run. Users do not include this.
#pragma once

#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <variant>

#include <pawl/codec.hpp>
#include <pawl/errors.hpp>
#include <pawl/operation.hpp>
#include <pawl/schema.hpp>
#include <pawl/wiring.hpp>

namespace pawl::detail {

// Parameters of F behind the context, as values: what arguments are converted to before the call of wf.step returns.
template <class F, class... A>
struct call_values {
  using type = types<std::decay_t<A>...>;
};
template <class... P>
struct values_of;
template <class C, class... P>
struct values_of<types<C, P...>> {
  using type = types<std::remove_cvref_t<P>...>;
};
template <>
struct values_of<types<>> {
  using type = types<>;
};
template <class F, class... A>
  requires(signature<F>::exact)
struct call_values<F, A...> {
  using type = typename values_of<typename signature<F>::parameters>::type;
};

template <class F, class... A>
using call_result = typename result_of_call<F, std::decay_t<A>...>::type;

/// The result of the step, or `unknown` where that does not compile.
template <class F, class... A>
using stored_result =
    std::conditional_t<std::is_void_v<call_result<F, A...>> || (!std::is_reference_v<call_result<F, A...>> &&
                                                                can_store<std::remove_cvref_t<call_result<F, A...>>>),
                       std::remove_cvref_t<call_result<F, A...>>, unknown>;

template <class... A>
inline constexpr bool begins_with_options = false;
template <class First, class... A>
inline constexpr bool begins_with_options<First, A...> = std::is_same_v<std::remove_cvref_t<First>, step_options>;

template <class P>
constexpr bool check_call_parameter() {
  static_assert(!borrows<std::remove_cvref_t<P>>,
                "a parameter of a step is a string_view, span or pointer: take const std::string& (or whatever owns "
                "the data); the step runs when the caller has gone on");
  static_assert(!changes_argument<P>,
                "a parameter of a step is a non-const reference: what it changes would be lost; take const T& or T");
  static_assert(!stays_in_code<std::remove_cvref_t<P>>,
                "a parameter of a step is a pawl::update or a query's guard, which stays in the code: hand over its "
                "input, and answer with what the step returns");
  return !borrows<std::remove_cvref_t<P>> && !changes_argument<P> && !stays_in_code<std::remove_cvref_t<P>>;
}
template <class C, class... P>
constexpr bool check_call_parameters(types<C, P...>*) {
  return (check_call_parameter<P>() && ...);
}

template <class... A, class... V>
constexpr bool arguments_fit(types<V...>*) {
  if constexpr (sizeof...(A) == sizeof...(V)) {
    return (std::is_convertible_v<A, V> && ...);
  } else {
    return false;
  }
}

/// True when F can be a step that is called with arguments of A...; otherwise does not compile, with one error that
/// says why.
template <class F, class... A>
constexpr bool check_call() {
  if constexpr (!check_callable<F>()) {
    return false;
  } else if constexpr (signature<F>::exact) {
    using parameters = typename signature<F>::parameters;
    if constexpr (!takes_context(static_cast<parameters*>(nullptr))) {
      static_assert(takes_context(static_cast<parameters*>(nullptr)),
                    "the first parameter of a step is pawl::step_context&");
      return false;
    } else if constexpr (parameters::size != sizeof...(A) + 1) {
      static_assert(parameters::size == sizeof...(A) + 1,
                    "wf.step is given one argument for each parameter after pawl::step_context&");
      return false;
    } else if constexpr (!check_const_call<F>() || !check_call_parameters(static_cast<parameters*>(nullptr))) {
      return false;
    } else {
      using values = typename call_values<F, A...>::type;
      static_assert(arguments_fit<A...>(static_cast<values*>(nullptr)),
                    "an argument of wf.step cannot be converted to the parameter that it is for");
      return arguments_fit<A...>(static_cast<values*>(nullptr)) && check_result<typename signature<F>::result>();
    }
  } else {
    constexpr bool callable = std::is_invocable_v<const F&, step_context&, const std::decay_t<A>&...>;
    static_assert(callable, "the function of a step cannot be called with pawl::step_context& and these arguments");
    static_assert((!stays_in_code<std::decay_t<A>> && ...),
                  "an argument of wf.step is a pawl::update or a query's guard, which stays in the code: hand over its "
                  "input, and answer with what the step returns");
    static_assert((!borrows<std::decay_t<A>> && ...),
                  "an argument of wf.step is a pointer or a view: hand over a value that owns its data");
    if constexpr (callable) {
      return check_result<std::invoke_result_t<const F&, step_context&, const std::decay_t<A>&...>>();
    } else {
      return false;
    }
  }
}

// The last parameter of an undo is the result of its step, unless that is void.
template <class T>
struct without_last;
template <class... V>
struct without_last<types<V...>> {
  template <std::size_t... I>
  static types<std::tuple_element_t<I, std::tuple<V...>>...> pick(std::index_sequence<I...>);
  using type = decltype(pick(std::make_index_sequence<sizeof...(V) - 1>()));
};
template <>
struct without_last<types<>> {
  using type = types<>;
};
template <class R, class F, class... A>
struct undo_values {
  using type = std::conditional_t<
      !signature<F>::exact || std::is_void_v<R>, typename call_values<F, A...>::type,
      typename without_last<std::conditional_t<signature<F>::exact, typename call_values<F, A...>::type,
                                               types<A..., std::optional<int>>>>::type>;
};

/// As check_call, for the undo of a step with result R.
template <class R, class F, class... A>
constexpr bool check_undo_call() {
  if constexpr (!check_callable<F>()) {
    return false;
  } else if constexpr (signature<F>::exact) {
    using parameters = typename signature<F>::parameters;
    constexpr std::size_t wanted = sizeof...(A) + 1 + (std::is_void_v<R> ? 0 : 1);
    if constexpr (!takes_context(static_cast<parameters*>(nullptr))) {
      static_assert(takes_context(static_cast<parameters*>(nullptr)),
                    "the first parameter of an undo is pawl::step_context&");
      return false;
    } else if constexpr (parameters::size != wanted) {
      static_assert(std::is_void_v<R> || parameters::size == wanted,
                    "an undo takes pawl::step_context&, one parameter for each argument and, last, "
                    "const std::optional<R>& with R the result of the step");
      static_assert(!std::is_void_v<R> || parameters::size == wanted,
                    "the undo of a void step takes pawl::step_context& and one parameter for each argument, but no "
                    "result");
      return false;
    } else if constexpr (!check_const_call<F>() || !check_call_parameters(static_cast<parameters*>(nullptr))) {
      return false;
    } else {
      static_assert(std::is_void_v<typename signature<F>::result>, "an undo returns nothing: nobody would read it");
      using values = typename undo_values<R, F, A...>::type;
      static_assert(arguments_fit<A...>(static_cast<values*>(nullptr)),
                    "an argument of .undo cannot be converted to the parameter that it is for");
      return arguments_fit<A...>(static_cast<values*>(nullptr));
    }
  } else {
    return true;  // what is wrong shows where it is called
  }
}

template <class V>
struct tuple_of;
template <class... V>
struct tuple_of<types<V...>> {
  using type = std::tuple<V...>;
};

/// Why these bytes are no result of the step; empty when they are.
template <class R>
std::string misfit_of_result(std::string_view bytes) {
  if constexpr (std::is_void_v<R>) {
    return bytes.empty() || bytes == "\xc0" ? "" : "the step returns nothing, so give no result";
  } else {
    try {
      (void)decode<R>(bytes);
    } catch (const codec_error& e) {
      return e.what();
    }
    return {};
  }
}

template <class R, class F, class... A>
invoke_function make_call(held_values& kept, F&& f, A&&... arguments) {
  using function = std::decay_t<F>;
  using values = typename tuple_of<typename call_values<function, A...>::type>::type;
  if constexpr (may_be_null<function>) {
    if (f == nullptr) return {};
  }
  auto tuple = std::make_shared<const values>(std::forward<A>(arguments)...);
  kept = {tuple, &typeid(values)};
  // Arguments are lvalues for the function: the next attempt needs them again.
  return [f = function(std::forward<F>(f)), held = std::move(tuple)](step_context& context, byte_views) -> bytes {
    auto call = [&](const auto&... a) -> R { return f(context, a...); };
    if constexpr (std::is_void_v<R>) {
      std::apply(call, *held);
      return encode(std::monostate());
    } else {
      return encode<R>(std::apply(call, *held));
    }
  };
}

template <class R, class F, class... A>
undo_function make_undo_call(held_values& kept, F&& f, A&&... arguments) {
  using function = std::decay_t<F>;
  using values = typename tuple_of<typename undo_values<R, function, A...>::type>::type;
  if constexpr (may_be_null<function>) {
    if (f == nullptr) return {};
  }
  auto tuple = std::make_shared<const values>(std::forward<A>(arguments)...);
  kept = {tuple, &typeid(values)};
  return [f = function(std::forward<F>(f)), held = std::move(tuple)](
             step_context& context, byte_views, [[maybe_unused]] std::optional<std::string_view> result) {
    if constexpr (std::is_void_v<R>) {
      std::apply([&](const auto&... a) { f(context, a...); }, *held);
    } else {
      std::optional<R> known;
      if (result) known.emplace(decode<R>(*result));
      std::apply([&](const auto&... a) { f(context, a..., std::as_const(known)); }, *held);
    }
  };
}

}  // namespace pawl::detail
