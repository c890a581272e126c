#include "config/quantity.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <random>
#include <string_view>

namespace pawl::config {
namespace {

using namespace std::chrono_literals;

TEST(quantity, reads_durations) {
  EXPECT_EQ(parse_duration("500ms").value(), 500ms);
  EXPECT_EQ(parse_duration("30s").value(), 30s);
  EXPECT_EQ(parse_duration("5m").value(), 5min);
  EXPECT_EQ(parse_duration("48h").value(), 48h);
  EXPECT_EQ(parse_duration("7d").value(), 168h);
  EXPECT_EQ(parse_duration("0s").value(), 0ms);
}

TEST(quantity, reads_sizes) {
  EXPECT_EQ(parse_size("512B").value().count, 512U);
  EXPECT_EQ(parse_size("3KiB").value(), kibibytes(3));
  EXPECT_EQ(parse_size("64MiB").value(), mebibytes(64));
  EXPECT_EQ(parse_size("2GiB").value(), gibibytes(2));
}

TEST(quantity, refuses_what_is_not_a_number_and_a_unit) {
  for (const std::string_view text :
       {"", "5", "s", "-5s", "+5s", " 5s", "5 s", "5s ", "5S", "1.5h", "1h30m", "0x5s", "5sec"})
    EXPECT_EQ(parse_duration(text).error(), quantity_error::malformed) << text;
  for (const std::string_view text : {"", "64", "64MB", "64mib", "MiB", "1.5MiB", "-1B"})
    EXPECT_EQ(parse_size(text).error(), quantity_error::malformed) << text;
}

TEST(quantity, tells_overflow_from_nonsense) {
  EXPECT_EQ(parse_duration("9223372036854775807ms").value().count(), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(parse_duration("9223372036854775808ms").error(), quantity_error::too_large);
  EXPECT_EQ(parse_duration("99999999999999999999999d").error(), quantity_error::too_large);
  EXPECT_EQ(parse_size("8589934592GiB").error(), quantity_error::too_large);
  EXPECT_EQ(parse_size("99999999999999999999999").error(), quantity_error::malformed);
}

TEST(quantity, writes_the_largest_exact_unit) {
  EXPECT_EQ(format_duration(90s), "90s");
  EXPECT_EQ(format_duration(60s), "1m");
  EXPECT_EQ(format_duration(48h), "2d");
  EXPECT_EQ(format_duration(1500ms), "1500ms");
  EXPECT_EQ(format_duration(0ms), "0ms");
  EXPECT_EQ(format_duration(-5ms), "0ms");
  EXPECT_EQ(format_size(mebibytes(1024)), "1GiB");
  EXPECT_EQ(format_size({1025}), "1025B");
  EXPECT_EQ(format_size({0}), "0B");
}

TEST(quantity, reads_back_what_it_writes) {
  constexpr std::uint64_t seed = 20'240'901;
  RecordProperty("seed", std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int i = 0; i < 10'000; ++i) {
    const auto count = random() >> (1 + random() % 63);
    EXPECT_EQ(parse_size(format_size({count})).value().count, count);
    const std::chrono::milliseconds duration(static_cast<std::int64_t>(count));
    EXPECT_EQ(parse_duration(format_duration(duration)).value(), duration);
  }
}

}  // namespace
}  // namespace pawl::config
