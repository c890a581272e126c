#include "node/answer.hpp"

#include "node/present.hpp"

namespace pawl::node {

const json& part_at(const json& object, const char* key) {
  static const json nothing = nullptr;
  if (!object.is_object()) return nothing;
  const auto found = object.find(key);
  return found == object.end() ? nothing : *found;
}

std::string text_at(const json& object, const char* key) {
  const auto& part = part_at(object, key);
  return part.is_string() ? part.get<std::string>() : std::string();
}

std::uint64_t number_at(const json& object, const char* key) {
  const auto& part = part_at(object, key);
  if (part.is_number_unsigned()) return part.get<std::uint64_t>();
  return part.is_number_integer() && part.get<std::int64_t>() > 0 ? static_cast<std::uint64_t>(part.get<std::int64_t>())
                                                                  : 0;
}

bool flag_at(const json& object, const char* key) {
  const auto& part = part_at(object, key);
  return part.is_boolean() && part.get<bool>();
}

std::optional<std::int64_t> time_at(const json& object, const char* key) {
  const auto text = text_at(object, key);
  if (text.empty()) return std::nullopt;
  const auto at = time_from_text(text);
  if (!at) return std::nullopt;
  return engine::to_micros(*at);
}

std::string failure_at(const json& object, const char* key) {
  const auto& part = part_at(object, key);
  if (part.is_string()) return part.get<std::string>();
  auto code = text_at(part, "code");
  const auto message = text_at(part, "message");
  if (code.empty() || message.empty()) return code + message;
  return code + ": " + message;
}

}  // namespace pawl::node
