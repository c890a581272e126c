// The compile-time half of wiring: what a step's function may look like, said in errors that can be read, and the
// adapters that decode its arguments and encode its result. Users do not include this.
#pragma once

#include <concepts>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <pawl/codec.hpp>
#include <pawl/definition.hpp>
#include <pawl/step_context.hpp>

namespace pawl {

template <class T>
class value;

namespace detail {

/// The result type of a step that does not compile, so that its mistake is reported once.
struct unknown {};

// --- the signature of a callable ------------------------------------------------------------------------------------

template <class... T>
struct types {
  static constexpr std::size_t size = sizeof...(T);
};

/// `exact`: one signature, whose parameters are known. Generic and overloaded callables have none.
template <class F>
struct signature {
  static constexpr bool exact = false;
};
template <class R, bool Const, class... P>
struct exact_signature {
  static constexpr bool exact = true;
  static constexpr bool is_const = Const;
  using result = R;
  using parameters = types<P...>;
};
template <class R, class... P>
struct signature<R (*)(P...)> : exact_signature<R, true, P...> {};
template <class R, class... P>
struct signature<R (*)(P...) noexcept> : exact_signature<R, true, P...> {};
template <class R, class C, class... P>
struct signature<R (C::*)(P...) const> : exact_signature<R, true, P...> {};
template <class R, class C, class... P>
struct signature<R (C::*)(P...) const noexcept> : exact_signature<R, true, P...> {};
template <class R, class C, class... P>
struct signature<R (C::*)(P...)> : exact_signature<R, false, P...> {};
template <class R, class C, class... P>
struct signature<R (C::*)(P...) noexcept> : exact_signature<R, false, P...> {};
template <class F>
  requires requires { &F::operator(); }
struct signature<F> : signature<decltype(&F::operator())> {};

// --- what parameters and results may be -----------------------------------------------------------------------------

template <class T>
inline constexpr bool borrows = std::is_pointer_v<T>;
template <class C, class T>
inline constexpr bool borrows<std::basic_string_view<C, T>> = true;
template <class T, std::size_t N>
inline constexpr bool borrows<std::span<T, N>> = true;
template <class T>
inline constexpr bool borrows<std::initializer_list<T>> = true;
template <class T>
inline constexpr bool borrows<std::reference_wrapper<T>> = true;

template <class P>
inline constexpr bool changes_argument = std::is_lvalue_reference_v<P> && !std::is_const_v<std::remove_reference_t<P>>;

/// The first rule that parameter P breaks for an argument of type A is reported; false then.
template <class P, class A>
constexpr bool check_parameter() {
  using plain = std::remove_cvref_t<P>;
  if constexpr (borrows<plain>) {
    static_assert(
        !borrows<plain>,
        "a parameter of a step is a string_view, span or pointer: take const std::string& (or whatever owns the "
        "data); a view dangles as soon as it is kept");
    return false;
  } else if constexpr (changes_argument<P>) {
    static_assert(!changes_argument<P>,
                  "a parameter of a step is a non-const reference: what it changes would be lost; take const T& or T");
    return false;
  } else {
    static_assert(std::is_same_v<plain, A>,
                  "a parameter of a step has another type than the handle wired to it (no conversions)");
    return std::is_same_v<plain, A>;
  }
}

template <class Args, class... P>
struct check_parameters;
template <class... A, class... P>
struct check_parameters<types<A...>, P...> {
  static constexpr bool ok = (check_parameter<P, A>() && ...);
};

template <class... P>
constexpr bool takes_context(types<step_context&, P...>*) {
  return true;
}
template <class... P>
constexpr bool takes_context(types<const step_context&, P...>*) {
  return true;
}
constexpr bool takes_context(void*) { return false; }

template <class Args, class C, class... P>
constexpr bool check_rest(types<C, P...>*) {
  return check_parameters<Args, P...>::ok;
}

template <class R>
constexpr bool check_result() {
  using plain = std::remove_cvref_t<R>;
  if constexpr (std::is_same_v<plain, unknown>) {
    return false;
  } else if constexpr (std::is_reference_v<R> || borrows<plain>) {
    static_assert(!std::is_reference_v<R> && !borrows<plain>,
                  "a step returns a reference, view or pointer: return the value itself");
    return false;
  } else {
    static_assert(std::is_void_v<R> || can_store<plain>,
                  "the result of a step must be storable: give the struct PAWL_FIELDS, or specialise pawl::codec");
    return std::is_void_v<R> || can_store<plain>;
  }
}

template <class T>
inline constexpr bool is_handle = false;
template <class T>
inline constexpr bool is_handle<value<T>> = true;

// --- steps ----------------------------------------------------------------------------------------------------------

template <class F, class... A>
struct result_of_call {
  using type = unknown;
};
template <class F, class... A>
  requires(signature<F>::exact)
struct result_of_call<F, A...> {
  using type = typename signature<F>::result;
};
template <class F, class... A>
  requires(!signature<F>::exact && std::is_invocable_v<const F&, step_context&, A...>)
struct result_of_call<F, A...> {
  using type = std::invoke_result_t<const F&, step_context&, A...>;
};

template <class F, class... A>
constexpr bool is_known() {
  return !(std::is_same_v<A, unknown> || ...);
}

template <class F, class... A>
using raw_result = typename result_of_call<F, A...>::type;

/// The type of the handle that a step gives.
template <class F, class... A>
using step_result = std::conditional_t<is_known<F, A...>() && (std::is_void_v<raw_result<F, A...>> ||
                                                               (!std::is_reference_v<raw_result<F, A...>> &&
                                                                can_store<std::remove_cvref_t<raw_result<F, A...>>>)),
                                       std::remove_cvref_t<raw_result<F, A...>>, unknown>;

template <class F>
constexpr bool check_callable() {
  static_assert(!std::is_member_pointer_v<F>, "a member function is no step: wrap it in a lambda that has the object");
  static_assert(std::is_copy_constructible_v<F>,
                "the function of a step is copied: capture what cannot be copied in a std::shared_ptr");
  return !std::is_member_pointer_v<F> && std::is_copy_constructible_v<F>;
}

template <class F>
constexpr bool check_const_call() {
  static_assert(signature<F>::is_const,
                "the function of a step is called by several threads at once: no mutable lambda, operator() is const");
  return signature<F>::is_const;
}

/// True when F can be a step with handles of A...; otherwise does not compile, with one error that says why.
template <class F, class... A>
constexpr bool check_step() {
  if constexpr (!is_known<F, A...>() || !check_callable<F>()) {
    return false;
  } else if constexpr ((std::is_void_v<A> || ...)) {
    static_assert(!(std::is_void_v<A> || ...), "a void step has no value to hand over: put its handle into .after");
    return false;
  } else if constexpr (signature<F>::exact) {
    using parameters = typename signature<F>::parameters;
    if constexpr (!takes_context(static_cast<parameters*>(nullptr))) {
      static_assert(takes_context(static_cast<parameters*>(nullptr)),
                    "the first parameter of a step is pawl::step_context&");
      return false;
    } else if constexpr (parameters::size != sizeof...(A) + 1) {
      static_assert(parameters::size == sizeof...(A) + 1,
                    "a step is given one handle for each parameter after pawl::step_context&");
      return false;
    } else {
      return check_const_call<F>() && check_rest<types<A...>>(static_cast<parameters*>(nullptr)) &&
             check_result<typename signature<F>::result>();
    }
  } else {
    constexpr bool callable = std::is_invocable_v<const F&, step_context&, A...>;
    static_assert(callable,
                  "the function of a step cannot be called with pawl::step_context& and the values of these handles");
    if constexpr (callable) {
      return check_result<raw_result<F, A...>>();
    } else {
      return false;
    }
  }
}

// --- undo -----------------------------------------------------------------------------------------------------------

template <class R, class... A>
struct undo_types {
  using type = types<A..., std::optional<R>>;
};
template <class... A>
struct undo_types<void, A...> {
  using type = types<A...>;
};

template <class F, class... A>
constexpr bool can_undo(types<A...>*) {
  return std::is_invocable_v<const F&, step_context&, A...>;
}
template <class F, class... A>
constexpr bool undo_is_void(types<A...>*) {
  return std::is_void_v<std::invoke_result_t<const F&, step_context&, A...>>;
}

template <class R, class F, class... A>
constexpr bool check_undo_signature() {
  using given = typename undo_types<R, A...>::type;
  using parameters = typename signature<F>::parameters;
  if constexpr (!takes_context(static_cast<parameters*>(nullptr))) {
    static_assert(takes_context(static_cast<parameters*>(nullptr)),
                  "the first parameter of an undo is pawl::step_context&");
    return false;
  } else if constexpr (parameters::size != given::size + 1) {
    static_assert(std::is_void_v<R> || parameters::size == given::size + 1,
                  "an undo takes pawl::step_context&, one parameter for each handle and, last, const std::optional<R>& "
                  "with R the result of the step");
    static_assert(!std::is_void_v<R> || parameters::size == given::size + 1,
                  "the undo of a void step takes pawl::step_context& and one parameter for each handle, but no result");
    return false;
  } else {
    static_assert(std::is_void_v<typename signature<F>::result>, "an undo returns nothing: nobody would read it");
    return check_const_call<F>() && check_rest<given>(static_cast<parameters*>(nullptr));
  }
}

/// As check_step, for the undo of a step with result R.
template <class R, class F, class... A>
constexpr bool check_undo() {
  using given = typename undo_types<R, A...>::type;
  if constexpr (!is_known<F, R, A...>() || !check_callable<F>()) {
    return false;
  } else if constexpr ((std::is_void_v<A> || ...)) {
    static_assert(!(std::is_void_v<A> || ...), "a void step has no value to hand over to an undo");
    return false;
  } else if constexpr (signature<F>::exact) {
    return check_undo_signature<R, F, A...>();
  } else {
    constexpr bool callable = can_undo<F>(static_cast<given*>(nullptr));
    static_assert(callable,
                  "the undo cannot be called with pawl::step_context&, the values of these handles and, last, "
                  "std::optional<R> with the result of the step");
    if constexpr (callable) {
      static_assert(undo_is_void<F>(static_cast<given*>(nullptr)), "an undo returns nothing: nobody would read it");
    }
    return callable;
  }
}

// --- adapters -------------------------------------------------------------------------------------------------------

template <class F>
inline constexpr bool may_be_null = std::is_pointer_v<F>;
template <class F>
inline constexpr bool may_be_null<std::function<F>> = true;

[[noreturn]] void wrong_argument_count(std::size_t expected, std::size_t given);

template <class... A, std::size_t... I>
std::tuple<A...> decode_arguments(byte_views arguments, std::index_sequence<I...>) {
  if (arguments.size() != sizeof...(A)) wrong_argument_count(sizeof...(A), arguments.size());
  return std::tuple<A...>{decode<A>(arguments[I])...};
}

// Arguments are handed over as rvalues: `const T&` binds to them, `T` is moved into. Empty when F is null, which the
// registry refuses.
template <class R, class F, class... A>
invoke_function make_invoke(F f) {
  if constexpr (may_be_null<F>) {
    if (f == nullptr) return {};
  }
  return [f = std::move(f)](step_context& context, byte_views arguments) -> bytes {
    auto values = decode_arguments<A...>(arguments, std::index_sequence_for<A...>());
    auto call = [&](A&... a) -> R { return f(context, std::move(a)...); };
    if constexpr (std::is_void_v<R>) {
      std::apply(call, values);
      return encode(std::monostate());
    } else {
      return encode<R>(std::apply(call, values));
    }
  };
}

template <class R, class F, class... A>
undo_function make_undo(F f) {
  if constexpr (may_be_null<F>) {
    if (f == nullptr) return {};
  }
  return [f = std::move(f)](step_context& context, byte_views arguments,
                            [[maybe_unused]] std::optional<std::string_view> result) {
    auto values = decode_arguments<A...>(arguments, std::index_sequence_for<A...>());
    if constexpr (std::is_void_v<R>) {
      std::apply([&](A&... a) { f(context, std::move(a)...); }, values);
    } else {
      std::optional<R> known;
      if (result) known.emplace(decode<R>(*result));
      std::apply([&](A&... a) { f(context, std::move(a)..., std::move(known)); }, values);
    }
  };
}

}  // namespace detail
}  // namespace pawl
