#include "examples/order/fault_plan.hpp"

#include <algorithm>
#include <cmath>

namespace payment {
namespace {

// splitmix64: every bit of the input moves every bit of the result.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// FNV-1a. Not std::hash, which may differ from one library to the next: a seed should mean the same everywhere.
std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

}  // namespace

std::optional<fault> fault_named(std::string_view name) {
  auto found = std::find(fault_names.begin(), fault_names.end(), name);
  if (found == fault_names.end()) return std::nullopt;
  return static_cast<fault>(found - fault_names.begin());
}

std::optional<std::string> fault_plan::mistake() const {
  double sum = 0;
  for (std::size_t i = 1; i < rates.size(); ++i) {
    // Written so that NaN is refused as well.
    if (!(rates[i] >= 0 && rates[i] <= 1)) return "the rate of " + std::string(fault_names[i]) + " must be from 0 to 1";
    sum += rates[i];
  }
  if (sum > 1 + 1e-9) return "the rates add up to more than 1";
  if (!(hang_seconds >= 0 && hang_seconds <= 86'400)) return "hang_seconds must be from 0 to 86400";
  if (retry_after.count() < 0 || retry_after.count() > 86'400) return "retry_after must be from 0 to 86400 seconds";
  return std::nullopt;
}

fault fault_plan::draw(std::string_view key, std::uint64_t request_number) const {
  const auto bits = mix(mix(seed) ^ mix(hash_of(key)) ^ mix(request_number * 2 + 1));
  const double drawn = std::ldexp(static_cast<double>(bits >> 11), -53);  // [0, 1)
  double below = 0;
  for (std::size_t i = 1; i < rates.size(); ++i) {
    below += rates[i];
    if (drawn < below) return static_cast<fault>(i);
  }
  return fault::none;
}

nlohmann::json fault_plan::to_json() const {
  nlohmann::json out{{"seed", seed}, {"retry_after", retry_after.count()}, {"hang_seconds", hang_seconds}};
  for (std::size_t i = 1; i < rates.size(); ++i) out[std::string(fault_names[i])] = rates[i];
  return out;
}

std::optional<std::string> fault_plan::change(const nlohmann::json& changes) {
  fault_plan next = *this;
  for (const auto& [name, value] : changes.items()) {
    if (name == "seed") {
      if (!value.is_number_unsigned()) return "seed must be an integer, 0 or more";
      next.seed = value.get<std::uint64_t>();
    } else if (name == "retry_after") {
      if (!value.is_number_unsigned() || value.get<std::uint64_t>() > 86'400)
        return "retry_after must be an integer, 0 to 86400 seconds";
      next.retry_after = std::chrono::seconds(value.get<std::int64_t>());
    } else if (!value.is_number()) {
      return name + " must be a number";
    } else if (name == "hang_seconds") {
      next.hang_seconds = value.get<double>();
    } else if (auto which = fault_named(name); which && *which != fault::none) {
      next.rates[static_cast<std::size_t>(*which)] = value.get<double>();
    } else {
      return "unknown field " + name +
             "; known: fail, hang, unavailable, throttle, drop_after, retry_after, hang_seconds, seed";
    }
  }
  if (auto wrong = next.mistake()) return wrong;
  *this = next;
  return std::nullopt;
}

}  // namespace payment
