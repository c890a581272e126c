// JSON at the human edges, msgpack inside. Reading is strict and driven by the type's descriptor: what a person
// misspelt is an error that names the place and the nearest known name. Showing is generic and safe on hostile bytes.
//
// What JSON has no word for: bytes are {"$bin": base64}, numbers that are not finite the strings "NaN", "Infinity" and
// "-Infinity"; both are read back.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include <pawl/schema.hpp>

#include "config/result.hpp"

namespace pawl::node {

using json = nlohmann::ordered_json;

struct json_error {
  std::string path;     ///< "input.items[3].total"; for text that is not JSON "line 2, column 7"
  std::string message;  ///< "no such field", "expected an integer, got a string"
  std::string mend{};   ///< "did you mean 'total'?", or empty

  /// One line for people.
  std::string text() const;
};

/// Deepest nesting that is read and shown.
inline constexpr std::size_t json_depth = 64;

/// Strict: no comments, nothing behind the value, no name twice in an object, valid UTF-8, json_depth. `root` is what
/// paths begin with.
config::outcome<json, json_error> parse_json(std::string_view text, std::string_view root = "body");

/// The msgpack of `value` as that type. A null `type` takes anything.
config::outcome<std::string, json_error> encode_json(const json& value, const type_descriptor* type,
                                                     std::string_view root = "input");

/// Shows any msgpack; bytes that are no msgpack become {"$undecodable": base64, "why": ...}. No bytes at all: null.
/// Linear in the size of the bytes.
json to_json(std::string_view msgpack);

/// One line of JSON; invalid UTF-8 is replaced.
std::string to_text(const json& value);

std::string to_base64(std::string_view bytes);
/// False: not base64 (RFC 4648, padded).
bool from_base64(std::string_view text, std::string& bytes);

}  // namespace pawl::node
