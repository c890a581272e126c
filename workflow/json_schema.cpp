// JSON Schema of a type_descriptor, written out by hand: the room has no JSON library, and needs no parser.
#include <pawl/schema.hpp>

#include <array>
#include <charconv>
#include <cmath>
#include <map>

namespace pawl {
namespace {

std::string json_string(std::string_view text) {
  static constexpr char hex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      out += "\\u00";
      out += hex[byte >> 4];
      out += hex[byte & 0x0f];
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string json_double(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  return {text, static_cast<std::size_t>(end - text)};
}

/// The JSON of a declared default; nothing where JSON has no word for it (bytes, NaN).
class default_writer {
 public:
  explicit default_writer(std::string_view msgpack) : decoder_(msgpack, "default") {}
  std::optional<std::string> write(const type_descriptor& type);

 private:
  std::optional<std::string> write_list(const type_descriptor& type);
  std::optional<std::string> write_map(const type_descriptor& type);
  detail::decoder decoder_;
};

std::optional<std::string> default_writer::write(const type_descriptor& type) {
  switch (type.kind) {
    case type_kind::nil:
      decoder_.nil();
      return "null";
    case type_kind::boolean:
      return decoder_.boolean() ? "true" : "false";
    case type_kind::integer:
      return type.is_signed ? std::to_string(decoder_.signed_integer()) : std::to_string(decoder_.unsigned_integer());
    case type_kind::floating: {
      const auto value = decoder_.floating64();
      if (!std::isfinite(value)) return std::nullopt;
      return json_double(value);
    }
    case type_kind::string:
    case type_kind::name:
      return json_string(decoder_.string());
    case type_kind::optional:
      if (decoder_.try_nil()) return "null";
      return write(*type.element);
    case type_kind::list:
    case type_kind::tuple:
      return write_list(type);
    case type_kind::map:
    case type_kind::object:
      return write_map(type);
    case type_kind::bytes:
    case type_kind::any:
    case type_kind::custom:
      break;
  }
  return std::nullopt;
}

std::optional<std::string> default_writer::write_list(const type_descriptor& type) {
  std::string out = "[";
  const auto size = decoder_.list();
  for (std::size_t i = 0; i < size; ++i) {
    auto element = write(type.kind == type_kind::tuple ? *type.elements[i] : *type.element);
    if (!element) return std::nullopt;
    out += (i ? "," : "") + *element;
  }
  return out + "]";
}

std::optional<std::string> default_writer::write_map(const type_descriptor& type) {
  std::string out = "{";
  const auto size = decoder_.map();
  for (std::size_t i = 0; i < size; ++i) {
    const auto key = decoder_.string();
    auto value = write(type.kind == type_kind::object ? *type.find(key)->type : *type.element);
    if (!value) return std::nullopt;
    out += (i ? "," : "") + json_string(key) + ":" + *value;
  }
  return out + "}";
}

class schema_writer {
 public:
  std::string write(const type_descriptor& type);

 private:
  std::string of(const type_descriptor& type);
  std::string of_object(const type_descriptor& type);
  std::string of_field(const field_descriptor& field);
  std::string of_integer(const type_descriptor& type);
  std::string of_list(const type_descriptor& type);
  std::string of_tuple(const type_descriptor& type);
  std::string of_names(const type_descriptor& type);
  std::string reference(const type_descriptor& type);

  std::map<const type_descriptor*, std::string> keys_;  // objects met so far, and what they are called in $defs
  std::map<std::string, std::string> definitions_;      // by that name
};

std::string schema_writer::write(const type_descriptor& type) {
  const auto root = of(type);
  std::string out = "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\"";
  if (root.size() > 2) out += "," + root.substr(1, root.size() - 2);
  if (!definitions_.empty()) {
    out += ",\"$defs\":{";
    bool first = true;
    for (const auto& [key, definition] : definitions_) {
      if (!first) out += ",";
      first = false;
      out += json_string(key) + ":" + definition;
    }
    out += "}";
  }
  return out + "}";
}

std::string schema_writer::of(const type_descriptor& type) {
  switch (type.kind) {
    case type_kind::nil:
      return R"({"type":"null"})";
    case type_kind::boolean:
      return R"({"type":"boolean"})";
    case type_kind::integer:
      return of_integer(type);
    case type_kind::floating:
      return R"({"type":"number"})";
    case type_kind::string:
      return R"({"type":"string"})";
    case type_kind::bytes:
      return R"({"type":"string","contentEncoding":"base64"})";
    case type_kind::list:
      return of_list(type);
    case type_kind::tuple:
      return of_tuple(type);
    case type_kind::map:
      return R"({"type":"object","additionalProperties":)" + of(*type.element) + "}";
    case type_kind::optional:
      return R"({"anyOf":[)" + of(*type.element) + R"(,{"type":"null"}]})";
    case type_kind::object:
      return R"({"$ref":"#/$defs/)" + reference(type) + "\"}";
    case type_kind::name:
      return of_names(type);
    case type_kind::any:
      return "{}";
    case type_kind::custom:
      return R"({"type":"string","contentEncoding":"base64","title":)" + json_string(type.name) + "}";
  }
  return "{}";
}

std::string schema_writer::of_integer(const type_descriptor& type) {
  const auto all = ~std::uint64_t{0} >> (64 - type.bits);
  const auto highest = type.is_signed ? all >> 1 : all;
  const auto lowest = type.is_signed ? "-" + std::to_string(highest + 1) : std::string("0");
  return R"({"type":"integer","minimum":)" + lowest + R"(,"maximum":)" + std::to_string(highest) +
         (type.is_milliseconds ? R"(,"description":"milliseconds"})" : "}");
}

std::string schema_writer::of_list(const type_descriptor& type) {
  std::string out = R"({"type":"array","items":)" + of(*type.element);
  if (type.size) {
    out += ",\"minItems\":" + std::to_string(*type.size) + ",\"maxItems\":" + std::to_string(*type.size);
  }
  return out + "}";
}

std::string schema_writer::of_tuple(const type_descriptor& type) {
  std::string out = R"({"type":"array")";
  for (std::size_t i = 0; i < type.elements.size(); ++i) {
    out += (i ? "," : ",\"prefixItems\":[") + of(*type.elements[i]);
  }
  if (!type.elements.empty()) out += "]";
  return out + ",\"items\":false,\"minItems\":" + std::to_string(type.elements.size()) + "}";
}

std::string schema_writer::of_names(const type_descriptor& type) {
  std::string out = R"({"type":"string","enum":[)";
  for (std::size_t i = 0; i < type.names.size(); ++i) out += (i ? "," : "") + json_string(type.names[i]);
  return out + "]}";
}

/// The key of an object in $defs. It is entered before its fields are looked at: they may hold the object itself.
std::string schema_writer::reference(const type_descriptor& type) {
  if (const auto known = keys_.find(&type); known != keys_.end()) return known->second;
  std::string key;
  for (const char c : type.name) {
    const bool plain =
        (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || c == '-';
    if (plain) {
      key += c;
    } else if (!key.empty() && key.back() != '.') {
      key += '.';
    }
  }
  const auto base = key;
  for (int n = 2; definitions_.contains(key); ++n) key = base + "." + std::to_string(n);
  keys_.emplace(&type, key);
  definitions_.emplace(key, "");
  auto text = of_object(type);
  definitions_[key] = std::move(text);
  return key;
}

std::string schema_writer::of_object(const type_descriptor& type) {
  std::string out = R"({"type":"object","title":)" + json_string(type.name) + ",\"properties\":{";
  std::string required;
  for (std::size_t i = 0; i < type.fields.size(); ++i) {
    const auto& field = type.fields[i];
    out += (i ? "," : "") + json_string(field.name) + ":" + of_field(field);
    if (!field.may_be_missing()) required += (required.empty() ? "" : ",") + json_string(field.name);
  }
  return out + "},\"required\":[" + required + "],\"additionalProperties\":false}";
}

std::string schema_writer::of_field(const field_descriptor& field) {
  auto out = of(*field.type);
  if (!field.fallback) return out;
  const auto fallback = default_writer(*field.fallback).write(*field.type);
  if (!fallback) return out;
  out.pop_back();
  return out + (out.size() > 1 ? "," : "") + "\"default\":" + *fallback + "}";
}

}  // namespace

const field_descriptor* type_descriptor::find(std::string_view field) const {
  for (const auto& f : fields) {
    if (f.name == field) return &f;
  }
  return nullptr;
}

std::string json_schema(const type_descriptor& type) { return schema_writer().write(type); }

std::string detail::stable_name(std::string_view compiler_name) {
  std::string out(compiler_name);
  for (const std::string_view unnamed : {"(anonymous namespace)::", "{anonymous}::", "<unnamed>::"}) {
    for (auto at = out.find(unnamed); at != std::string::npos; at = out.find(unnamed)) out.erase(at, unnamed.size());
  }
  std::string tight;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const bool beside_punctuation = out[i] == ' ' && i > 0 && i + 1 < out.size() &&
                                    (out[i - 1] == ',' || out[i + 1] == '>' || out[i + 1] == '*' || out[i + 1] == '&');
    if (!beside_punctuation) tight += out[i];
  }
  return tight;
}

}  // namespace pawl
