// What a C++ type is at run time: how JSON at the human edges is read into it and how it is shown. Made from the same
// PAWL_FIELDS as the codec, so the two cannot disagree.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <pawl/codec.hpp>

namespace pawl {

enum class type_kind : std::uint8_t {
  nil,       ///< void, std::monostate
  boolean,
  integer,   ///< bits, is_signed
  floating,  ///< bits
  string,
  bytes,
  list,      ///< element; size when it is fixed
  tuple,     ///< elements
  map,       ///< element: of the values; keys are strings
  optional,  ///< element, or nil
  object,    ///< fields
  name,      ///< names: one of these strings
  any,       ///< anything at all
  custom,    ///< bytes in another format (pawl::codec); the name tells which
};

struct type_descriptor;

/// A descriptor that is looked up when it is asked for, so that a type may hold itself.
class type_ref {
 public:
  constexpr type_ref() = default;
  constexpr explicit type_ref(const type_descriptor& (*find)()) : find_(find) {}
  explicit operator bool() const { return find_ != nullptr; }
  const type_descriptor& operator*() const { return find_(); }
  const type_descriptor* operator->() const { return &find_(); }

 private:
  const type_descriptor& (*find_)() = nullptr;
};

struct field_descriptor {
  std::string name;
  type_ref type;
  bool optional = false;                 ///< its type is: it may be left out, and is nil then
  std::optional<std::string> fallback;   ///< the declared default in msgpack: it may be left out
  bool may_be_missing() const { return optional || fallback.has_value(); }
};

struct type_descriptor {
  type_kind kind = type_kind::nil;
  std::string name;  ///< stable: part of a graph's digest. `int32`, `list<shop::order>`, `shop::order`
  int bits = 0;
  bool is_signed = false;
  bool is_milliseconds = false;     ///< an integer that is a duration, or a time since 1970-01-01 UTC
  type_ref element{};
  std::optional<std::size_t> size;  ///< of a list
  std::vector<type_ref> elements{};
  std::vector<field_descriptor> fields{};
  std::vector<std::string> names{};

  const field_descriptor* find(std::string_view field) const;
};

/// The one descriptor of T; lives for ever, two types never share one. Thread-safe.
template <class T>
const type_descriptor& descriptor_of();

/// JSON Schema, draft 2020-12, of the JSON form of a type, on one line. Structs are under `$defs`. An unknown field is
/// refused (`additionalProperties: false`); bytes and other formats are base64 strings.
std::string json_schema(const type_descriptor& type);

namespace detail {

/// Takes out what differs between compilers, or says nothing: unnamed namespaces and stray blanks.
std::string stable_name(std::string_view compiler_name);

template <class T>
std::string type_name() {
  constexpr auto s = shape_of<T>;
  if constexpr (!check_storable<T>()) {
    return {};
  } else if constexpr (s == shape::custom) {
    return std::string(codec<T>::name);
  } else if constexpr (s == shape::nil) {
    return "nil";
  } else if constexpr (s == shape::boolean) {
    return "bool";
  } else if constexpr (s == shape::integer) {
    return (std::is_signed_v<T> ? "int" : "uint") + std::to_string(sizeof(T) * 8);
  } else if constexpr (s == shape::floating) {
    return "float" + std::to_string(sizeof(T) * 8);
  } else if constexpr (s == shape::string) {
    return "string";
  } else if constexpr (s == shape::binary) {
    return "bytes";
  } else if constexpr (s == shape::any) {
    return "any";
  } else if constexpr (s == shape::duration) {
    return "milliseconds";
  } else if constexpr (s == shape::time_point) {
    return "time";
  } else if constexpr (s == shape::optional) {
    return "optional<" + type_name<typename T::value_type>() + ">";
  } else if constexpr (s == shape::list) {
    return "list<" + type_name<typename T::value_type>() + ">";
  } else if constexpr (s == shape::array) {
    return "list<" + type_name<typename T::value_type>() + "," + std::to_string(std::tuple_size_v<T>) + ">";
  } else if constexpr (s == shape::map) {
    return "map<string," + type_name<typename T::mapped_type>() + ">";
  } else if constexpr (s == shape::tuple) {
    return []<std::size_t... I>(std::index_sequence<I...>) {
      std::string text = "tuple<";
      ((text += (I ? "," : "") + type_name<std::tuple_element_t<I, T>>()), ...);
      return text + ">";
    }(std::make_index_sequence<std::tuple_size_v<T>>());
  } else {
    return stable_name(declared_name<T>());
  }
}

template <class T>
constexpr type_ref ref_to() {
  return type_ref(&descriptor_of<T>);
}

template <class F>
field_descriptor describe_field(const F& f) {
  field_descriptor out{std::string(f.name), ref_to<typename F::type>(), shape_of<typename F::type> == shape::optional,
                       std::nullopt};
  if constexpr (F::has_default) out.fallback = encode(f.make_default());
  return out;
}

template <class T>
void describe_parts(type_descriptor& d) {
  constexpr auto s = shape_of<T>;
  if constexpr (s == shape::integer || s == shape::floating) {
    d.bits = sizeof(T) * 8;
    d.is_signed = std::is_signed_v<T>;
  } else if constexpr (s == shape::number_enum) {
    describe_parts<std::underlying_type_t<T>>(d);
  } else if constexpr (s == shape::duration || s == shape::time_point) {
    d.bits = 64;
    d.is_signed = d.is_milliseconds = true;
  } else if constexpr (s == shape::optional || s == shape::list || s == shape::array) {
    d.element = ref_to<typename T::value_type>();
    if constexpr (s == shape::array) d.size = std::tuple_size_v<T>;
  } else if constexpr (s == shape::map) {
    d.element = ref_to<typename T::mapped_type>();
  } else if constexpr (s == shape::tuple) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      d.elements = {ref_to<std::tuple_element_t<I, T>>()...};
    }(std::make_index_sequence<std::tuple_size_v<T>>());
  } else if constexpr (s == shape::name_enum) {
    for (const auto& e : enumerators_of<T>) d.names.emplace_back(e.name);
  } else if constexpr (s == shape::object) {
    static_assert(check_fields<T>());
    d.fields.reserve(fields_of<T>.size);
    std::apply([&](const auto&... f) { (d.fields.push_back(describe_field(f)), ...); }, fields_of<T>.fields);
  }
}

constexpr type_kind kind_of(shape s) {
  switch (s) {
    case shape::boolean:
      return type_kind::boolean;
    case shape::integer:
    case shape::number_enum:
    case shape::duration:
    case shape::time_point:
      return type_kind::integer;
    case shape::floating:
      return type_kind::floating;
    case shape::string:
      return type_kind::string;
    case shape::binary:
      return type_kind::bytes;
    case shape::list:
    case shape::array:
      return type_kind::list;
    case shape::tuple:
      return type_kind::tuple;
    case shape::map:
      return type_kind::map;
    case shape::optional:
      return type_kind::optional;
    case shape::name_enum:
      return type_kind::name;
    case shape::object:
      return type_kind::object;
    case shape::any:
      return type_kind::any;
    case shape::custom:
      return type_kind::custom;
    case shape::none:
    case shape::nil:
      break;
  }
  return type_kind::nil;
}

}  // namespace detail

template <class T>
const type_descriptor& descriptor_of() {
  if constexpr (std::is_void_v<T>) {
    return descriptor_of<std::monostate>();
  } else {
    static const type_descriptor made = [] {
      type_descriptor d;
      d.kind = detail::kind_of(detail::shape_of<T>);
      d.name = detail::type_name<T>();
      detail::describe_parts<T>(d);
      return d;
    }();
    return made;
  }
}

}  // namespace pawl
