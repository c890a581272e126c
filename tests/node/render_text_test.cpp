#include "node/render_text.hpp"

#include <gtest/gtest.h>

namespace pawl::node {
namespace {

using namespace std::chrono_literals;

TEST(render_text, width_counts_columns) {
  EXPECT_EQ(display_width("abc"), 3U);
  EXPECT_EQ(display_width("äöü"), 3U);
  EXPECT_EQ(display_width("日本"), 4U);
  EXPECT_EQ(display_width("e\u0301"), 1U);
  EXPECT_EQ(display_width("█▏…"), 3U);
  EXPECT_EQ(display_width("\xff\xfe"), 2U);
  EXPECT_EQ(display_width("\xe6\x97"), 2U);  // cut in the middle of a character
}

TEST(render_text, shortened_never_exceeds_its_columns) {
  EXPECT_EQ(shortened("abcdef", 6), "abcdef");
  EXPECT_EQ(shortened("abcdef", 4), "abc…");
  EXPECT_EQ(shortened("日本語", 4), "日…");
  EXPECT_EQ(shortened("abc", 1), "…");
  EXPECT_EQ(shortened("abc", 0), "");
  for (std::size_t n = 0; n < 12; ++n) EXPECT_LE(display_width(shortened("a日b本c語\xff", n)), n);
}

TEST(render_text, padded) {
  EXPECT_EQ(padded("ab", 4), "ab  ");
  EXPECT_EQ(padded("ab", 4, true), "  ab");
  EXPECT_EQ(padded("日", 4), "日  ");
  EXPECT_EQ(padded("abcde", 4), "abcde");
}

TEST(render_text, elapsed) {
  EXPECT_EQ(elapsed_text(0us), "0.0ms");
  EXPECT_EQ(elapsed_text(-5us), "0.0ms");
  EXPECT_EQ(elapsed_text(400us), "0.4ms");
  EXPECT_EQ(elapsed_text(9'960us), "10ms");
  EXPECT_EQ(elapsed_text(212ms), "212ms");
  EXPECT_EQ(elapsed_text(999'600us), "1.00s");
  EXPECT_EQ(elapsed_text(3'214ms), "3.21s");
  EXPECT_EQ(elapsed_text(9'996ms), "10.0s");
  EXPECT_EQ(elapsed_text(59'960ms), "1m00s");
  EXPECT_EQ(elapsed_text(252s), "4m12s");
  EXPECT_EQ(elapsed_text(3h + 5min), "3h05m");
  EXPECT_EQ(elapsed_text(52h), "2d04h");
  EXPECT_LE(elapsed_text(std::chrono::hours(24 * 365 * 100)).size(), 9U);
}

TEST(render_text, times) {
  EXPECT_EQ(time_text(0), "1970-01-01 00:00:00Z");
  EXPECT_EQ(time_text(1'778'311'773'123'456), "2026-05-09 07:29:33Z");
  EXPECT_EQ(time_text(-1), "1969-12-31 23:59:59Z");
}

TEST(render_text, relative) {
  EXPECT_EQ(relative_text(1'000'000, 4'000'000), "3.00s ago");
  EXPECT_EQ(relative_text(64'000'000, 4'000'000), "in 1m00s");
}

TEST(render_text, colours_only_where_there_are_any) {
  canvas c;
  EXPECT_EQ(painted(c, paint::good, "x"), "x");
  c.colors = true;
  EXPECT_EQ(painted(c, paint::good, "x"), "\x1b[32mx\x1b[0m");
  EXPECT_EQ(painted(c, paint::good, ""), "");
}

}  // namespace
}  // namespace pawl::node
