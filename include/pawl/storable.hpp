// Which types can be stored, and in which shape; pawl/codec.hpp has the table.
#pragma once

#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <ratio>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <pawl/fields.hpp>

namespace pawl {

/// Specialise it to carry a type in another format, protobuf say:
///
///   template <> struct pawl::codec<shop::invoice> {
///     static std::string encode(const shop::invoice&);
///     static shop::invoice decode(std::string_view);              // throws when the bytes are not right
///     static constexpr std::string_view name = "shop.Invoice";    // part of a graph's digest
///   };
template <class T>
struct codec;

/// One msgpack value of any type, kept as it is; nil to begin with. No bytes at all are written as nil too.
struct any_value {
  std::string msgpack = "\xc0";
  bool operator==(const any_value&) const = default;
};
namespace detail {

template <class T>
concept has_codec = requires(const T& value, std::string_view encoded) {
  { codec<T>::encode(value) } -> std::convertible_to<std::string>;
  { codec<T>::decode(encoded) } -> std::convertible_to<T>;
  { codec<T>::name } -> std::convertible_to<std::string_view>;
};

template <class T, class... Of>
concept one_of = (std::is_same_v<T, Of> || ...);

template <class T>
concept plain_integer = one_of<T, signed char, unsigned char, short, unsigned short, int, unsigned, long, unsigned long,
                               long long, unsigned long long>;

template <class T>
concept string_map = requires(T& m, std::string key) {
  typename T::mapped_type;
  requires std::is_same_v<typename T::key_type, std::string>;
  m.try_emplace(std::move(key));
};

enum class shape : std::uint8_t {
  none,
  nil,
  boolean,
  integer,
  floating,
  string,
  binary,
  list,
  array,
  tuple,
  map,
  optional,
  number_enum,
  name_enum,
  duration,
  time_point,
  object,
  any,
  custom
};

template <class T>
inline constexpr shape template_shape = shape::none;
template <class T, class A>
inline constexpr shape template_shape<std::vector<T, A>> = shape::list;
template <class A>
inline constexpr shape template_shape<std::vector<std::byte, A>> = shape::binary;
template <class T, std::size_t N>
inline constexpr shape template_shape<std::array<T, N>> = shape::array;
template <class T>
inline constexpr shape template_shape<std::optional<T>> = shape::optional;
template <class A, class B>
inline constexpr shape template_shape<std::pair<A, B>> = shape::tuple;
template <class... T>
inline constexpr shape template_shape<std::tuple<T...>> = shape::tuple;
// Only what milliseconds hold without loss.
template <plain_integer R, class P>
inline constexpr shape template_shape<std::chrono::duration<R, P>> =
    std::ratio_divide<P, std::milli>::den == 1 ? shape::duration : shape::none;
template <class D>
inline constexpr shape template_shape<std::chrono::time_point<std::chrono::system_clock, D>> =
    template_shape<D> == shape::duration ? shape::time_point : shape::none;

template <class T>
constexpr shape find_shape() {
  if constexpr (has_codec<T>) {
    return shape::custom;
  } else if constexpr (std::is_same_v<T, std::monostate>) {
    return shape::nil;
  } else if constexpr (std::is_same_v<T, bool>) {
    return shape::boolean;
  } else if constexpr (plain_integer<T>) {
    return shape::integer;
  } else if constexpr (one_of<T, float, double>) {
    return shape::floating;
  } else if constexpr (std::is_same_v<T, std::string>) {
    return shape::string;
  } else if constexpr (std::is_same_v<T, any_value>) {
    return shape::any;
  } else if constexpr (named_enum<T>) {
    return shape::name_enum;
  } else if constexpr (std::is_enum_v<T>) {
    // Only of an enum whose underlying type is fixed is every number a value (others may not even be cast to).
    return requires { T{0}; } && plain_integer<std::underlying_type_t<T>> ? shape::number_enum : shape::none;
  } else if constexpr (template_shape<T> != shape::none) {
    return template_shape<T>;
  } else if constexpr (described<T>) {
    return shape::object;
  } else if constexpr (string_map<T>) {
    return shape::map;
  } else {
    return shape::none;
  }
}
template <class T>
inline constexpr shape shape_of = find_shape<T>();

template <class T>
inline constexpr bool can_store_parts = true;
template <class T>
inline constexpr bool can_store = shape_of<T> == shape::custom || (shape_of<T> != shape::none && can_store_parts<T>);
template <class T, class A>
inline constexpr bool can_store_parts<std::vector<T, A>> = std::is_same_v<T, std::byte> || can_store<T>;
template <class T, std::size_t N>
inline constexpr bool can_store_parts<std::array<T, N>> = can_store<T>;
template <class... T>
inline constexpr bool can_store_parts<std::tuple<T...>> = std::conjunction_v<std::bool_constant<can_store<T>>...>;
template <class A, class B>
inline constexpr bool can_store_parts<std::pair<A, B>> = can_store<std::tuple<A, B>>;
/// A std::optional of what may be nil itself could not be told from it.
template <class T>
inline constexpr bool can_store_parts<std::optional<T>> =
    can_store<T> && shape_of<T> != shape::optional && shape_of<T> != shape::nil && shape_of<T> != shape::any;
template <string_map T>
  requires(shape_of<T> == shape::map)
inline constexpr bool can_store_parts<T> = can_store<typename T::mapped_type>;

}  // namespace detail

/// T can be encoded and decoded. Looks through containers, not into the fields of structs.
template <class T>
concept storable = detail::can_store<T>;

}  // namespace pawl
