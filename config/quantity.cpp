#include "config/quantity.hpp"

#include <array>
#include <charconv>
#include <limits>
#include <span>

namespace pawl::config {
namespace {

struct unit {
  std::string_view suffix;
  std::uint64_t factor;
};

// Largest first: format() takes the first that divides the value.
constexpr std::array duration_units{unit{"d", 86'400'000}, unit{"h", 3'600'000}, unit{"m", 60'000}, unit{"s", 1'000},
                                    unit{"ms", 1}};
constexpr std::array size_units{unit{"GiB", 1ULL << 30}, unit{"MiB", 1ULL << 20}, unit{"KiB", 1ULL << 10},
                                unit{"B", 1}};

constexpr auto largest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

outcome<std::uint64_t, quantity_error> parse(std::string_view text, std::span<const unit> units) {
  std::uint64_t count = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (code == std::errc::invalid_argument) return quantity_error::malformed;
  const auto suffix = text.substr(static_cast<std::size_t>(end - text.data()));
  for (const auto& unit : units) {
    if (unit.suffix != suffix) continue;
    if (code == std::errc::result_out_of_range || count > largest / unit.factor) return quantity_error::too_large;
    return count * unit.factor;
  }
  return quantity_error::malformed;
}

std::string format(std::uint64_t count, std::span<const unit> units) {
  for (const auto& unit : units)
    if (count != 0 && count % unit.factor == 0) return std::to_string(count / unit.factor) + std::string(unit.suffix);
  return "0" + std::string(units.back().suffix);
}

}  // namespace

outcome<std::chrono::milliseconds, quantity_error> parse_duration(std::string_view text) {
  const auto count = parse(text, duration_units);
  if (!count) return count.error();
  return std::chrono::milliseconds(static_cast<std::int64_t>(count.value()));
}

outcome<byte_size, quantity_error> parse_size(std::string_view text) {
  const auto count = parse(text, size_units);
  if (!count) return count.error();
  return byte_size{count.value()};
}

std::string format_duration(std::chrono::milliseconds value) {
  return format(value.count() < 0 ? 0 : static_cast<std::uint64_t>(value.count()), duration_units);
}

std::string format_size(byte_size value) { return format(value.count, size_units); }

}  // namespace pawl::config
