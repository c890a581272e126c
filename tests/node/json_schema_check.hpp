// As much of JSON Schema as docs/openapi.json uses. A keyword that it does not know fails, so that nothing is passed
// over.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "node/json_codec.hpp"

namespace pawl::node {

class schema_check {
 public:
  explicit schema_check(const json& document) : document_(document) {}

  /// What is wrong with `value`; nothing when it is as the schema says.
  std::vector<std::string> check(const json& value, const json& schema) {
    wrong_.clear();
    look(value, schema, "$");
    return wrong_;
  }

 private:
  void look(const json& v, const json& schema, const std::string& at) {
    for (const auto& [word, rule] : schema.items()) {
      if (word == "$ref")
        look(v, document_.at(json::json_pointer(rule.get<std::string>().substr(1))), at);
      else if (word == "type")
        look_type(v, rule, at);
      else if (word == "enum")
        fail_unless(std::find(rule.begin(), rule.end(), v) != rule.end(), at,
                    to_text(v) + " is none of " + to_text(rule));
      else if (word == "anyOf")
        fail_unless(any_of(v, rule, at), at, to_text(v) + " fits none of " + to_text(rule));
      else if (word == "properties")
        look_properties(v, rule, at);
      else if (word == "required")
        look_required(v, rule, at);
      else if (word == "additionalProperties")
        look_additional(v, schema, at);
      else if (word == "items")
        for (std::size_t i = 0; v.is_array() && i < v.size(); ++i) look(v[i], rule, at + '[' + std::to_string(i) + ']');
      else
        fail_unless(word == "description" || word == "format", at, "the checker does not know '" + word + "'");
    }
  }
  void look_type(const json& v, const json& type, const std::string& at) {
    if (!type.is_array())
      return fail_unless(is_of(v, type), at, to_text(v).substr(0, 80) + " is no " + type.get<std::string>());
    const bool any = std::any_of(type.begin(), type.end(), [&](const json& t) { return is_of(v, t); });
    fail_unless(any, at, to_text(v).substr(0, 80) + " is none of " + to_text(type));
  }
  static bool is_of(const json& v, const json& type) {
    return type == "object"    ? v.is_object()
           : type == "array"   ? v.is_array()
           : type == "string"  ? v.is_string()
           : type == "integer" ? v.is_number_integer()
           : type == "number"  ? v.is_number()
           : type == "boolean" ? v.is_boolean()
                               : type == "null" && v.is_null();
  }
  bool any_of(const json& v, const json& schemas, const std::string& at) const {
    return std::any_of(schemas.begin(), schemas.end(), [&](const json& s) {
      schema_check one(document_);
      one.look(v, s, at);
      return one.wrong_.empty();
    });
  }
  void look_properties(const json& v, const json& properties, const std::string& at) {
    if (!v.is_object()) return;
    for (const auto& [name, schema] : properties.items())
      if (v.contains(name)) look(v[name], schema, at + '.' + name);
  }
  void look_required(const json& v, const json& names, const std::string& at) {
    for (const auto& name : names)
      fail_unless(v.is_object() && v.contains(name.get<std::string>()), at,
                  "'" + name.get<std::string>() + "' is missing");
  }
  void look_additional(const json& v, const json& schema, const std::string& at) {
    if (!v.is_object() || schema["additionalProperties"] != false) return;
    for (const auto& [name, value] : v.items())
      fail_unless(schema["properties"].contains(name), at, "'" + name + "' is not documented");
  }
  void fail_unless(bool good, const std::string& at, const std::string& what) {
    if (!good) wrong_.push_back(at + ": " + what);
  }

  const json& document_;
  std::vector<std::string> wrong_;
};

}  // namespace pawl::node
