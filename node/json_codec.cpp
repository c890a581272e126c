#include "node/json_codec.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "config/nearest_name.hpp"

namespace pawl::node {

namespace {

std::string_view kind_text(const json& v) {
  switch (v.type()) {
    case json::value_t::null:
      return "null";
    case json::value_t::boolean:
      return "a boolean";
    case json::value_t::number_integer:
    case json::value_t::number_unsigned:
      return "an integer";
    case json::value_t::number_float:
      return "a number";
    case json::value_t::string:
      return "a string";
    case json::value_t::array:
      return "an array";
    case json::value_t::object:
      return "an object";
    case json::value_t::binary:
    case json::value_t::discarded:
      break;
  }
  return "something else";
}

std::string shown(std::string_view text) {
  constexpr std::size_t longest = 80;
  return '\'' + std::string(text.substr(0, longest)) + (text.size() > longest ? "..." : "") + '\'';
}

std::string did_you_mean(std::string_view wanted, const std::vector<std::string>& known) {
  if (const auto nearest = config::nearest_name(wanted, known)) return "did you mean '" + *nearest + "'?";
  if (known.empty()) return "it has no fields";
  constexpr std::size_t most = 20;
  std::string out = "known are: ";
  for (std::size_t i = 0; i < known.size() && i < most; ++i) out += (i > 0 ? ", " : "") + known[i];
  return out + (known.size() > most ? ", ..." : "");
}

std::optional<double> non_finite(const json& v) {
  if (!v.is_string()) return std::nullopt;
  const auto& text = v.get_ref<const std::string&>();
  if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (text == "Infinity") return std::numeric_limits<double>::infinity();
  if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
  return std::nullopt;
}

/// An object with the one member "$bin".
const std::string* dollar_bin(const json& v) {
  if (!v.is_object() || v.size() != 1 || v.begin().key() != "$bin" || !v.begin()->is_string()) return nullptr;
  return &v.begin()->get_ref<const std::string&>();
}

class json_reader {
 public:
  explicit json_reader(std::string_view root) : path_(root) {}

  void read(const json& v, const type_descriptor* type) {
    if (++depth_ > json_depth) fail("nested more than " + std::to_string(json_depth) + " levels deep");
    if (type == nullptr)
      read_any(v);
    else
      read_as(v, *type);
    --depth_;
  }
  std::string take() { return std::move(out_).take(); }

 private:
  [[noreturn]] void fail(std::string message, std::string mend = {}) const {
    throw json_error{.path = path_, .message = std::move(message), .mend = std::move(mend)};
  }
  [[noreturn]] void expected(std::string_view what, const json& got) const {
    fail("expected " + std::string(what) + ", got " + std::string(kind_text(got)));
  }

  /// Reads a part of the value; the path names it meanwhile.
  void read_part(const std::string& name, const json& v, const type_descriptor* type) {
    const auto size = path_.size();
    path_ += name;
    read(v, type);
    path_.resize(size);
  }

  void read_as(const json& v, const type_descriptor& type) {
    switch (type.kind) {
      case type_kind::nil:
        if (!v.is_null()) expected("null", v);
        return out_.nil();
      case type_kind::boolean:
        if (!v.is_boolean()) expected("true or false", v);
        return out_.boolean(v.get<bool>());
      case type_kind::integer:
        return read_integer(v, type);
      case type_kind::floating:
        return read_floating(v, type);
      case type_kind::string:
        if (!v.is_string()) expected("a string", v);
        return out_.string(v.get_ref<const std::string&>());
      case type_kind::bytes:
      case type_kind::custom:
        return read_bytes(v, type);
      case type_kind::list:
        return read_list(v, type);
      case type_kind::tuple:
        return read_tuple(v, type);
      case type_kind::map:
        return read_map(v, type);
      case type_kind::optional:
        if (v.is_null()) return out_.nil();
        return read_as(v, *type.element);
      case type_kind::object:
        return read_object(v, type);
      case type_kind::name:
        return read_name(v, type);
      case type_kind::any:
        return read_any(v);
    }
  }

  void read_integer(const json& v, const type_descriptor& type) {
    const std::string what = type.is_milliseconds ? "an integer (milliseconds)" : "an integer";
    if (v.is_number_float()) return read_whole(v.get<double>(), type, what);
    if (!v.is_number_integer()) expected(what, v);
    const auto highest = ~std::uint64_t{0} >> (64 - type.bits + (type.is_signed ? 1 : 0));
    if (v.is_number_unsigned()) {
      const auto n = v.get<std::uint64_t>();
      if (n > highest) out_of_range(std::to_string(n), type);
      return type.is_signed ? out_.signed_integer(static_cast<std::int64_t>(n)) : out_.unsigned_integer(n);
    }
    const auto n = v.get<std::int64_t>();
    if (n < 0 && (!type.is_signed || ~static_cast<std::uint64_t>(n) > highest)) out_of_range(std::to_string(n), type);
    if (n >= 0 && static_cast<std::uint64_t>(n) > highest) out_of_range(std::to_string(n), type);
    type.is_signed ? out_.signed_integer(n) : out_.unsigned_integer(static_cast<std::uint64_t>(n));
  }

  // 1e3 and 1.0 are integers to JSON Schema.
  void read_whole(double value, const type_descriptor& type, const std::string& what) {
    constexpr double exact = 9007199254740992.0;  // 2^53
    if (std::trunc(value) != value) fail("expected " + what + ", got a number with a fraction");
    if (std::fabs(value) > exact) fail("the number does not fit " + name_of(type));
    read_integer(json(static_cast<std::int64_t>(value)), type);
  }

  [[noreturn]] void out_of_range(const std::string& number, const type_descriptor& type) const {
    fail(number + " does not fit " + name_of(type));
  }
  static std::string name_of(const type_descriptor& type) {
    return std::string(type.is_signed ? "a signed" : "an unsigned") + " integer of " + std::to_string(type.bits) +
           " bits";
  }

  void read_floating(const json& v, const type_descriptor& type) {
    const auto special = non_finite(v);
    if (!special && !v.is_number()) expected("a number", v);
    if (v.is_number_integer()) {
      const auto magnitude =
          v.is_number_unsigned() ? v.get<std::uint64_t>() : 0 - static_cast<std::uint64_t>(v.get<std::int64_t>());
      const unsigned digits = type.bits == 32 ? 24 : 53;
      if (magnitude != 0 && std::bit_width(magnitude) - static_cast<unsigned>(std::countr_zero(magnitude)) > digits)
        fail(v.dump() + " would be rounded");
    }
    const auto value = special ? *special : v.get<double>();
    if (type.bits != 32) return out_.floating(value);
    if (std::isfinite(value) && std::fabs(value) > std::numeric_limits<float>::max())
      fail("the number does not fit a floating-point number of 32 bits");
    out_.floating(static_cast<float>(value));
  }

  void read_bytes(const json& v, const type_descriptor& type) {
    const auto* text = dollar_bin(v);
    if (text == nullptr && v.is_string()) text = &v.get_ref<const std::string&>();
    if (text == nullptr)
      expected(type.kind == type_kind::custom ? type.name + " as a base64 string" : "a base64 string", v);
    std::string bytes;
    if (!from_base64(*text, bytes)) fail("not base64");
    out_.binary(bytes);
  }

  void read_list(const json& v, const type_descriptor& type) {
    if (!v.is_array()) expected("an array", v);
    check_length(v, type.size);
    out_.list(v.size());
    for (std::size_t i = 0; i < v.size(); ++i) read_part(index(i), v[i], &*type.element);
    out_.leave();
  }
  void read_tuple(const json& v, const type_descriptor& type) {
    if (!v.is_array()) expected("an array", v);
    check_length(v, type.elements.size());
    out_.list(v.size());
    for (std::size_t i = 0; i < v.size(); ++i) read_part(index(i), v[i], &*type.elements[i]);
    out_.leave();
  }
  void check_length(const json& v, std::optional<std::size_t> size) const {
    if (size && *size != v.size())
      fail("expected an array of " + std::to_string(*size) + ", got one of " + std::to_string(v.size()));
  }
  static std::string index(std::size_t i) { return '[' + std::to_string(i) + ']'; }

  // In the order of the keys, as the C++ encoder writes maps.
  void read_map(const json& v, const type_descriptor& type) {
    if (!v.is_object()) expected("an object", v);
    std::vector<const json::object_t::value_type*> sorted;
    sorted.reserve(v.size());
    for (const auto& member : v.get_ref<const json::object_t&>()) sorted.push_back(&member);
    std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return a->first < b->first; });
    out_.map(sorted.size());
    for (const auto* member : sorted) {
      out_.string(member->first);
      read_part('.' + member->first, member->second, type.kind == type_kind::map ? &*type.element : nullptr);
    }
    out_.leave();
  }

  void read_object(const json& v, const type_descriptor& type) {
    if (!v.is_object()) expected("an object", v);
    const auto& members = v.get_ref<const json::object_t&>();
    std::vector<const json*> values(type.fields.size(), nullptr);
    for (const auto& [name, value] : members) {
      const auto* field = type.find(name);
      if (field == nullptr) unknown_field(name, type);
      values[static_cast<std::size_t>(field - type.fields.data())] = &value;
    }
    // All fields are written, as the C++ encoder does: equal values are equal bytes.
    out_.map(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto& field = type.fields[i];
      if (values[i] == nullptr && !field.may_be_missing()) missing_field(field);
      out_.string(field.name);
      if (values[i] != nullptr)
        read_part('.' + field.name, *values[i], &*field.type);
      else if (field.fallback)
        out_.raw(*field.fallback);
      else
        out_.nil();
    }
    out_.leave();
  }

  [[noreturn]] void unknown_field(const std::string& name, const type_descriptor& type) const {
    std::vector<std::string> known;
    for (const auto& f : type.fields) known.push_back(f.name);
    fail(type.name + " has no field " + shown(name), did_you_mean(name, known));
  }
  [[noreturn]] void missing_field(const field_descriptor& field) const {
    fail("the field '" + field.name + "' (" + field.type->name + ") is missing");
  }

  void read_name(const json& v, const type_descriptor& type) {
    if (!v.is_string()) expected("a string", v);
    const auto& name = v.get_ref<const std::string&>();
    if (std::find(type.names.begin(), type.names.end(), name) == type.names.end())
      fail(shown(name) + " is no " + type.name, did_you_mean(name, type.names));
    out_.string(name);
  }

  void read_any(const json& v) {
    switch (v.type()) {
      case json::value_t::null:
        return out_.nil();
      case json::value_t::boolean:
        return out_.boolean(v.get<bool>());
      case json::value_t::number_integer:
        return out_.signed_integer(v.get<std::int64_t>());
      case json::value_t::number_unsigned:
        return out_.unsigned_integer(v.get<std::uint64_t>());
      case json::value_t::number_float:
        return out_.floating(v.get<double>());
      case json::value_t::string:
        return out_.string(v.get_ref<const std::string&>());
      case json::value_t::array:
        out_.list(v.size());
        for (std::size_t i = 0; i < v.size(); ++i) read_part(index(i), v[i], nullptr);
        return out_.leave();
      case json::value_t::object:
        if (dollar_bin(v) != nullptr) return read_bytes(v, descriptor_of<any_value>());
        return read_map(v, descriptor_of<any_value>());
      case json::value_t::binary:
      case json::value_t::discarded:
        break;
    }
    expected("JSON", v);
  }

  std::string path_;
  std::size_t depth_ = 0;
  pawl::detail::encoder out_;
};

}  // namespace

config::outcome<std::string, json_error> encode_json(const json& value, const type_descriptor* type,
                                                     std::string_view root) {
  try {
    json_reader reader(root);
    reader.read(value, type);
    return reader.take();
  } catch (json_error& e) {
    return std::move(e);
  } catch (const codec_error& e) {
    return json_error{.path = std::string(root), .message = e.what()};
  }
}

}  // namespace pawl::node
