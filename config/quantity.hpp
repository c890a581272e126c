#pragma once

#include "config/result.hpp"

#include <chrono>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace pawl::config {

// A size in bytes; a type of its own, so that it is never taken for a count.
struct byte_size {
  std::uint64_t count = 0;

  friend constexpr auto operator<=>(byte_size, byte_size) = default;
};

constexpr byte_size kibibytes(std::uint64_t n) { return {n << 10}; }
constexpr byte_size mebibytes(std::uint64_t n) { return {n << 20}; }
constexpr byte_size gibibytes(std::uint64_t n) { return {n << 30}; }

enum class quantity_error { malformed, too_large };

// A whole number with one unit, without a space: ms, s, m, h, d ("500ms", "48h") and B, KiB, MiB, GiB ("64MiB"). The
// unit is never left out. What does not fit a signed 64-bit count of milliseconds or bytes is too_large.
outcome<std::chrono::milliseconds, quantity_error> parse_duration(std::string_view text);
outcome<byte_size, quantity_error> parse_size(std::string_view text);

// The shortest exact spelling, in the largest unit that divides the value: 48h is "2d". Parses back to the same value.
// A negative duration, which no setting can have, is written as "0ms".
std::string format_duration(std::chrono::milliseconds value);
std::string format_size(byte_size value);

}  // namespace pawl::config
