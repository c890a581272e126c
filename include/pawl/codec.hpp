// encode and decode: C++ values to msgpack and back.
//
//   in C++                                            in msgpack
//   bool; integers of 8 to 64 bits; float, double     the same; not char, char16_t, ..., long double
//   std::string                                       str
//   std::vector<std::byte>                            bin
//   std::vector<T>, std::array<T, N>, pair, tuple     array
//   std::map, std::unordered_map (std::string keys)   map, in the order of the keys
//   std::optional<T>, std::monostate                  nil or T; nil
//   an enum                                           its name with PAWL_ENUM, else its number
//   std::chrono durations, sys_time (>= 1 ms)         integer, milliseconds
//   a struct with PAWL_FIELDS                         map, keyed by the names of the fields
//   pawl::any_value                                   whatever it holds
//   a type with a pawl::codec                         bin
//
// Decoding is strict. A missing field (unless optional or with a default), a wrong type, a number that does not fit or
// would be rounded, a field or key given twice, bytes left over, more than 64 levels: codec_error, which says where
// (`order.lines[2].price: expected a number, got a string`). Fields that the struct does not have are skipped. Hostile
// bytes cost at most time and memory in proportion to their length (times the size of the element's type).
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <ratio>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <pawl/errors.hpp>
#include <pawl/fields.hpp>
#include <pawl/storable.hpp>
#include <pawl/value_stream.hpp>

namespace pawl {
namespace detail {

template <class T>
constexpr bool check_storable() {
  static_assert(storable<T>,
                "values of this type cannot be stored: give the struct PAWL_FIELDS (pawl/fields.hpp), or specialise "
                "pawl::codec; pawl/codec.hpp lists what is supported");
  return storable<T>;
}

// --- writing --------------------------------------------------------------------------------------------------------

template <class T>
void write_value(encoder& e, const T& value);

template <class T>
void write_object(encoder& e, const T& value) {
  static_assert(check_fields<T>());
  e.map(fields_of<T>.size);
  std::apply([&](const auto&... f) { ((e.string(f.name), write_value(e, value.*(f.at))), ...); }, fields_of<T>.fields);
  e.leave();
}

/// In the order of the keys, so that equal maps are equal bytes.
template <class T>
void write_map(encoder& e, const T& value) {
  e.map(value.size());
  if constexpr (requires { typename T::hasher; }) {
    std::vector<map_entry> sorted;
    sorted.reserve(value.size());
    for (const auto& [key, mapped] : value) sorted.push_back({key, &mapped});
    sort_by_key(sorted);
    for (const auto& [key, mapped] : sorted) {
      e.string(key);
      write_value(e, *static_cast<const typename T::mapped_type*>(mapped));
    }
  } else {
    for (const auto& [key, mapped] : value) {
      e.string(key);
      write_value(e, mapped);
    }
  }
  e.leave();
}

template <class E>
void write_enum_name(encoder& e, E value) {
  for (const auto& known : enumerators_of<E>) {
    if (known.value == value) return e.string(known.name);
  }
  throw codec_error("an enum has the value " + std::to_string(static_cast<long long>(value)) +
                    ", which has no name in its PAWL_ENUM");
}

template <class D>
std::int64_t to_milliseconds(D duration) {
  using factor = std::ratio_divide<typename D::period, std::milli>;
  std::int64_t result = 0;
  if (__builtin_mul_overflow(duration.count(), static_cast<std::int64_t>(factor::num), &result)) {
    throw codec_error("a duration does not fit 64 bits of milliseconds");
  }
  return result;
}

template <class T>
void write_value(encoder& e, const T& value) {
  constexpr auto s = shape_of<T>;
  if constexpr (!check_storable<T>()) {
  } else if constexpr (s == shape::custom) {
    e.binary(codec<T>::encode(value));
  } else if constexpr (s == shape::nil) {
    e.nil();
  } else if constexpr (s == shape::boolean) {
    e.boolean(value);
  } else if constexpr (s == shape::integer) {
    if constexpr (std::is_signed_v<T>) {
      e.signed_integer(value);
    } else {
      e.unsigned_integer(value);
    }
  } else if constexpr (s == shape::floating) {
    e.floating(value);
  } else if constexpr (s == shape::string) {
    e.string(value);
  } else if constexpr (s == shape::binary) {
    e.binary({reinterpret_cast<const char*>(value.data()), value.size()});
  } else if constexpr (s == shape::any) {
    value.msgpack.empty() ? e.nil() : e.raw(value.msgpack);
  } else if constexpr (s == shape::name_enum) {
    write_enum_name(e, value);
  } else if constexpr (s == shape::number_enum) {
    write_value(e, static_cast<std::underlying_type_t<T>>(value));
  } else if constexpr (s == shape::duration) {
    e.signed_integer(to_milliseconds(value));
  } else if constexpr (s == shape::time_point) {
    e.signed_integer(to_milliseconds(value.time_since_epoch()));
  } else if constexpr (s == shape::optional) {
    value ? write_value(e, *value) : e.nil();
  } else if constexpr (s == shape::list || s == shape::array) {
    e.list(value.size());
    for (const auto& element : value) write_value<typename T::value_type>(e, element);
    e.leave();
  } else if constexpr (s == shape::tuple) {
    e.list(std::tuple_size_v<T>);
    std::apply([&](const auto&... element) { (write_value(e, element), ...); }, value);
    e.leave();
  } else if constexpr (s == shape::map) {
    write_map(e, value);
  } else {
    write_object(e, value);
  }
}

// --- reading --------------------------------------------------------------------------------------------------------

template <class T>
void read_value(decoder& d, T& out);

template <class T>
T read_custom(decoder& d) {
  const auto encoded = d.binary();
  try {
    return codec<T>::decode(encoded);
  } catch (const std::exception& e) {
    d.fail(std::string(codec<T>::name) + ": " + e.what());
  }
}

/// What a struct that lacks field `f` is given.
template <class T, class F>
void read_missing(const decoder& d, T& out, const F& f) {
  if constexpr (F::has_default) {
    out.*(f.at) = f.make_default();
  } else if constexpr (shape_of<typename F::type> == shape::optional) {
    out.*(f.at) = std::nullopt;
  } else {
    d.fail("missing");
  }
}

template <class T, std::size_t... I>
void read_object(decoder& d, T& out, std::index_sequence<I...>) {
  constexpr auto& fields = fields_of<T>;
  std::array<bool, sizeof...(I) + 1> seen{};
  std::size_t expected = 0;
  for (auto left = d.map(); left > 0; --left) {
    const auto key = d.string();
    const auto index = find_name(fields.names.data(), sizeof...(I), key, expected);
    decoder::place here(d, key.empty() ? std::string_view("\"\"") : key);
    if (index == sizeof...(I)) {
      d.skip();
      continue;
    }
    if (seen[index]) d.fail("given twice");
    seen[index] = true;
    expected = index + 1;
    (void)((index == I ? (read_value(d, out.*(std::get<I>(fields.fields).at)), true) : false) || ...);
  }
  [[maybe_unused]] auto complete = [&](const auto& f) {
    decoder::place here(d, f.name);
    read_missing(d, out, f);
  };
  ((seen[I] ? void() : complete(std::get<I>(fields.fields))), ...);
}

template <class T>
void read_list(decoder& d, T& out) {
  using element = typename T::value_type;
  const auto size = d.list();
  out.clear();
  // What the bytes claim is trusted only as far as the bytes left could pay for it.
  const auto affordable = d.left() / sizeof(element) + 4;
  out.reserve(size < affordable ? size : affordable);
  for (std::size_t i = 0; i < size; ++i) {
    decoder::place here(d, i);
    if constexpr (std::is_same_v<element, bool>) {
      out.push_back(d.boolean());
    } else {
      read_value(d, out.emplace_back());
    }
  }
}

template <class T>
void read_map(decoder& d, T& out) {
  out.clear();
  for (auto left = d.map(); left > 0; --left) {
    const auto key = d.string();
    decoder::place here(d, key.empty() ? std::string_view("\"\"") : key);
    auto [entry, is_new] = out.try_emplace(std::string(key));
    if (!is_new) d.fail("given twice");
    read_value(d, entry->second);
  }
}

template <class E>
E read_enum_name(decoder& d) {
  constexpr auto& known = enumerators_of<E>;
  const auto name = d.string();
  for (const auto& e : known) {
    if (e.name == name) return e.value;
  }
  std::array<std::string_view, known.size()> names{};
  for (std::size_t i = 0; i < known.size(); ++i) names[i] = known[i].name;
  fail_enum(d, name, names.data(), names.size());
}

template <class D>
D read_duration(decoder& d) {
  constexpr auto factor = static_cast<std::int64_t>(std::ratio_divide<typename D::period, std::milli>::num);
  const auto ms = d.signed_integer();
  if (ms % factor != 0) d.fail(std::to_string(ms) + " ms is no whole number of the unit it is read into");
  using rep = typename D::rep;
  const auto count = ms / factor;
  if (!std::in_range<rep>(count)) d.fail(std::to_string(ms) + " ms does not fit the duration");
  return D(static_cast<rep>(count));
}

template <class T>
void read_value(decoder& d, T& out) {
  constexpr auto s = shape_of<T>;
  if constexpr (!check_storable<T>()) {
  } else if constexpr (s == shape::custom) {
    out = read_custom<T>(d);
  } else if constexpr (s == shape::nil) {
    d.nil();
  } else if constexpr (s == shape::boolean) {
    out = d.boolean();
  } else if constexpr (s == shape::integer) {
    constexpr int bits = sizeof(T) * 8;
    if constexpr (std::is_signed_v<T>) {
      out = static_cast<T>(d.signed_integer(bits));
    } else {
      out = static_cast<T>(d.unsigned_integer(bits));
    }
  } else if constexpr (std::is_same_v<T, float>) {
    out = d.floating32();
  } else if constexpr (s == shape::floating) {
    out = d.floating64();
  } else if constexpr (s == shape::string) {
    out = d.string();
  } else if constexpr (s == shape::binary) {
    const auto content = d.binary();
    const auto* first = reinterpret_cast<const std::byte*>(content.data());
    out.assign(first, first + content.size());
  } else if constexpr (s == shape::any) {
    out.msgpack = d.skip();
  } else if constexpr (s == shape::name_enum) {
    out = read_enum_name<T>(d);
  } else if constexpr (s == shape::number_enum) {
    std::underlying_type_t<T> number{};
    read_value(d, number);
    out = static_cast<T>(number);
  } else if constexpr (s == shape::duration) {
    out = read_duration<T>(d);
  } else if constexpr (s == shape::time_point) {
    out = T(read_duration<typename T::duration>(d));
  } else if constexpr (s == shape::optional) {
    if (d.try_nil()) {
      out.reset();
    } else {
      read_value(d, out.emplace());
    }
  } else if constexpr (s == shape::list) {
    read_list(d, out);
  } else if constexpr (s == shape::map) {
    read_map(d, out);
  } else if constexpr (s == shape::array || s == shape::tuple) {
    d.list(std::tuple_size_v<T>);
    std::size_t index = 0;
    auto read_next = [&](auto& element) {
      decoder::place here(d, index++);
      read_value(d, element);
    };
    std::apply([&](auto&... element) { (read_next(element), ...); }, out);
  } else {
    static_assert(check_fields<T>());
    read_object(d, out, std::make_index_sequence<fields_of<T>.size>());
  }
}

/// What the path of an error begins with.
template <class T>
constexpr std::string_view root_name() {
  return shape_of<T> == shape::object ? declared_name<T>() : std::string_view("value");
}

}  // namespace detail

/// The msgpack of a value. Throws codec_error when the value has no encoding: nested more than 64 levels, a string over
/// 4 GiB, a number that is no enumerator, an any_value that is not one msgpack value. Thread-safe.
template <class T>
std::string encode(const T& value) {
  detail::encoder e;
  detail::write_value(e, value);
  return std::move(e).take();
}

/// The value of these bytes, which must be one whole msgpack value of that type. Throws codec_error. Thread-safe.
template <class T>
T decode(std::string_view bytes) {
  if constexpr (detail::check_storable<T>()) {
    detail::decoder d(bytes, detail::root_name<T>());
    if constexpr (detail::shape_of<T> == detail::shape::custom) {
      T out = detail::read_custom<T>(d);
      d.finish();
      return out;
    } else {
      T out{};
      detail::read_value(d, out);
      d.finish();
      return out;
    }
  }
}

}  // namespace pawl
