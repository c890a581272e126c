// Which requests the payment service spoils, and how.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace payment {

enum class fault {
  none,
  fail,         ///< answers 500, nothing done
  hang,         ///< holds the request for hang_seconds, then closes the connection; nothing done
  unavailable,  ///< answers 503 with Retry-After, nothing done
  throttle,     ///< answers 429 with Retry-After, nothing done
  drop_after,   ///< does what was asked, then closes the connection without an answer
};

inline constexpr std::array<std::string_view, 6> fault_names = {"none",        "fail",     "hang",
                                                                "unavailable", "throttle", "drop_after"};

inline std::string_view name_of(fault f) { return fault_names[static_cast<std::size_t>(f)]; }
std::optional<fault> fault_named(std::string_view name);

/// Rates from 0 to 1 whose sum is at most 1. Whether a request is spoiled depends on (seed, key, number of the request
/// under this key) and on nothing else: the order in which concurrent requests arrive does not change it.
class fault_plan {
 public:
  std::uint64_t seed = 1;
  std::array<double, 6> rates{};  ///< by fault; the entry of fault::none is not used
  std::chrono::seconds retry_after{1};
  double hang_seconds = 3600;

  /// What is wrong with these values, or nothing.
  std::optional<std::string> mistake() const;

  fault draw(std::string_view key, std::uint64_t request_number) const;

  nlohmann::json to_json() const;

  /// Takes the fields that `changes` has; on a mistake, which it returns, nothing is changed.
  std::optional<std::string> change(const nlohmann::json& changes);
};

}  // namespace payment
