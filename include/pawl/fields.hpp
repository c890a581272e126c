// PAWL_FIELDS and PAWL_ENUM: what a struct or an enum is made of, said once. The encoder, the decoder and the JSON
// Schema are made from it.
//
//   struct order { std::string id; double total = 0; std::string currency = "EUR";
//                  PAWL_FIELDS(id, total, (currency, "EUR")) };
//
// inside the struct, which stays an aggregate; or, for a struct that must not be touched, in the struct's namespace
//
//   PAWL_FIELDS_OF(order, id, total, (currency, "EUR"))
//
// `(name, value)` declares a default: what a value that lacks the field is read as. Without one a missing field is an
// error, unless it is a std::optional; the struct's own initialisers (`= 0`) play no part. Every member is named; one
// that was forgotten is a compile error where the struct is first encoded, decoded or described. Members can be made
// from {}. The struct is not local to a function (C++ allows no templates there). At most 250 fields.
//
//   enum class colour { red, green };    PAWL_ENUM(colour, red, green)    // in the enum's namespace
//
// makes an enum travel by name. Without it an enum travels as its number.
//
// The name of a type is what the compiler calls it, namespaces included; it is part of a graph's digest. A struct that
// must be renamed keeps its old name with `static constexpr std::string_view pawl_name = "shop::order";`.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace pawl {
namespace detail {

template <class T>
struct fields_tag {};

struct no_default {};

/// One field: `make_default()` is what stands in for a missing one.
template <class C, class M, class D = no_default>
struct field {
  using owner = C;
  using type = M;
  static constexpr bool has_default = !std::is_same_v<D, no_default>;
  std::string_view name;
  M C::* at;
  D make_default{};
};

template <class C, class M, class D = no_default>
constexpr field<C, M, D> make_field(std::string_view name, M C::* at, D make_default = {}) {
  return {name, at, make_default};
}

/// `Enough`: the struct has at least as many members as there are fields. `More`: it has one more than that.
template <bool Enough, bool More, class... F>
struct field_list {
  static constexpr std::size_t size = sizeof...(F);
  static constexpr bool enough_members = Enough;
  static constexpr bool more_members = More;
  std::tuple<F...> fields;
  std::array<std::string_view, sizeof...(F)> names;
};

template <bool Enough, bool More, class... F>
constexpr auto make_fields(std::bool_constant<Enough>, std::bool_constant<More>, F... f) {
  return field_list<Enough, More, F...>{{f...}, {f.name...}};
}

template <class E>
struct enumerator {
  std::string_view name;
  E value;
};

template <class T>
concept described_inside = std::is_class_v<T> && requires { T::pawl_fields(fields_tag<T>{}); };
template <class T>
concept described_outside = std::is_class_v<T> && requires { pawl_fields(fields_tag<T>{}); };
template <class T>
concept named_enum = std::is_enum_v<T> && requires { pawl_enum(fields_tag<T>{}); };

}  // namespace detail

/// A struct with PAWL_FIELDS or PAWL_FIELDS_OF.
template <class T>
concept described = detail::described_inside<T> || detail::described_outside<T>;

namespace detail {

template <described T>
constexpr auto find_fields() {
  if constexpr (described_inside<T>) {
    return T::pawl_fields(fields_tag<T>{});
  } else {
    return pawl_fields(fields_tag<T>{});
  }
}

template <described T>
inline constexpr auto fields_of = find_fields<T>();

template <named_enum E>
inline constexpr auto enumerators_of = pawl_enum(fields_tag<E>{});

template <class T>
inline constexpr bool forgets_a_member = decltype(find_fields<T>())::more_members;
template <class T>
inline constexpr bool has_that_many_members = decltype(find_fields<T>())::enough_members;

/// Compiles only when PAWL_FIELDS of T is whole.
template <class T>
constexpr bool check_fields() {
  static_assert(std::is_aggregate_v<T>,
                "a struct with PAWL_FIELDS is an aggregate: no constructor, no private member, no virtual function");
  static_assert(
      !std::is_aggregate_v<T> || !forgets_a_member<T>,
      "PAWL_FIELDS does not name every member of the struct: name the forgotten one (a base class counts as a "
      "member; make it one)");
  static_assert(!std::is_aggregate_v<T> || has_that_many_members<T>,
                "PAWL_FIELDS names more than the members of the struct: one is named twice, or cannot be made from {}");
  return true;
}

/// What the compiler calls T. Differs between compilers for templates and for what is in no named namespace; see
/// `type_name` in pawl/schema.hpp.
template <class T>
constexpr std::string_view compiler_name() {
  std::string_view text = __PRETTY_FUNCTION__;  // "... [T = shop::order]" or "... [with T = shop::order; ...]"
  text.remove_prefix(text.find("T = ") + 4);
  return text.substr(0, text.find_first_of(";]"));
}

/// The name of a struct or enum in digests, schemas and the paths of errors.
template <class T>
constexpr std::string_view declared_name() {
  if constexpr (requires { std::string_view{T::pawl_name}; }) {
    return T::pawl_name;
  } else {
    return compiler_name<T>();
  }
}

}  // namespace detail

/// Calls `visit(name, member)` for each field in the order of PAWL_FIELDS.
template <class T, class V>
  requires described<std::remove_const_t<T>>
constexpr void visit_fields(T& value, V&& visit) {
  static_assert(detail::check_fields<std::remove_const_t<T>>());
  std::apply([&](const auto&... f) { (visit(f.name, value.*(f.at)), ...); },
             detail::fields_of<std::remove_const_t<T>>.fields);
}

}  // namespace pawl

// --- the macros -----------------------------------------------------------------------------------------------------
// PAWL_EACH(m, a, b, ...) is m(a), m(b), ... : each PAWL_EXPAND level scans four times as often as the one below.

// clang-format off
#define PAWL_PARENS ()
#define PAWL_EXPAND(...) PAWL_EXPAND4(PAWL_EXPAND4(PAWL_EXPAND4(PAWL_EXPAND4(__VA_ARGS__))))
#define PAWL_EXPAND4(...) PAWL_EXPAND3(PAWL_EXPAND3(PAWL_EXPAND3(PAWL_EXPAND3(__VA_ARGS__))))
#define PAWL_EXPAND3(...) PAWL_EXPAND2(PAWL_EXPAND2(PAWL_EXPAND2(PAWL_EXPAND2(__VA_ARGS__))))
#define PAWL_EXPAND2(...) PAWL_EXPAND1(PAWL_EXPAND1(PAWL_EXPAND1(PAWL_EXPAND1(__VA_ARGS__))))
#define PAWL_EXPAND1(...) __VA_ARGS__
#define PAWL_EACH(macro, ...) __VA_OPT__(PAWL_EXPAND(PAWL_EACH_STEP(macro, __VA_ARGS__)))
#define PAWL_EACH_STEP(macro, first, ...) macro(first) __VA_OPT__(, PAWL_EACH_AGAIN PAWL_PARENS(macro, __VA_ARGS__))
#define PAWL_EACH_AGAIN() PAWL_EACH_STEP

// 1 when x is in parentheses, else 0.
#define PAWL_IS_PAREN(x) PAWL_SECOND_OF(PAWL_PAREN_PROBE x, 0, ~)
#define PAWL_PAREN_PROBE(...) ~, 1
#define PAWL_SECOND_OF(...) PAWL_SECOND(__VA_ARGS__)
#define PAWL_SECOND(first, second, ...) second
#define PAWL_JOIN(a, b) PAWL_JOIN_NOW(a, b)
#define PAWL_JOIN_NOW(a, b) a##b

#define PAWL_FIELD(x) PAWL_JOIN(PAWL_FIELD_, PAWL_IS_PAREN(x))(x)
#define PAWL_FIELD_0(member) ::pawl::detail::make_field(#member, &pawl_self::member)
#define PAWL_FIELD_1(x) PAWL_FIELD_WITH_DEFAULT x
#define PAWL_FIELD_WITH_DEFAULT(member, ...)                                       \
  ::pawl::detail::make_field(#member, &pawl_self::member, [] {                     \
    ::std::remove_cvref_t<decltype(pawl_self::member)> pawl_default = __VA_ARGS__; \
    return pawl_default;                                                           \
  })
#define PAWL_BRACES(x) {}

// A forgotten member shows because a list of one {} more than there are fields still initialises the struct.
#define PAWL_FIELD_LIST(...)                                                                                           \
  ::pawl::detail::make_fields(                                                                                         \
      ::std::bool_constant<requires { pawl_self{PAWL_EACH(PAWL_BRACES, __VA_ARGS__)}; }>{},                            \
      ::std::bool_constant<requires { pawl_self{PAWL_EACH(PAWL_BRACES, __VA_ARGS__) __VA_OPT__(,) {}}; }>{} __VA_OPT__(,) \
      PAWL_EACH(PAWL_FIELD, __VA_ARGS__))

#define PAWL_FIELDS(...)                                                     \
  template <class pawl_self>                                                 \
  static constexpr auto pawl_fields(::pawl::detail::fields_tag<pawl_self>) { \
    return PAWL_FIELD_LIST(__VA_ARGS__);                                     \
  }

#define PAWL_FIELDS_OF(type, ...)                                     \
  template <::std::same_as<type> pawl_self>                           \
  constexpr auto pawl_fields(::pawl::detail::fields_tag<pawl_self>) { \
    return PAWL_FIELD_LIST(__VA_ARGS__);                              \
  }

#define PAWL_ENUMERATOR(e) ::pawl::detail::enumerator<pawl_self>{#e, pawl_self::e}
#define PAWL_ENUM(type, ...)                                        \
  template <::std::same_as<type> pawl_self>                         \
  constexpr auto pawl_enum(::pawl::detail::fields_tag<pawl_self>) { \
    return ::std::array{PAWL_EACH(PAWL_ENUMERATOR, __VA_ARGS__)};   \
  }
// clang-format on
