// Reading the JSON that the api answers: whatever is missing or of another type is empty, so that a newer node's
// answers can be shown by an older binary.
#pragma once

#include "node/json_codec.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace pawl::node {

std::string text_at(const json& object, const char* key);
std::uint64_t number_at(const json& object, const char* key);
bool flag_at(const json& object, const char* key);
/// Microseconds since the epoch.
std::optional<std::int64_t> time_at(const json& object, const char* key);
/// A null for what is not there.
const json& part_at(const json& object, const char* key);
/// "code: message" of a failure; empty without one.
std::string failure_at(const json& object, const char* key);

}  // namespace pawl::node
