// Text for terminals: how wide it is, how to cut it, how durations and times are written.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace pawl::node {

/// What is drawn on.
struct canvas {
  std::size_t width = 80;  ///< columns
  bool colors = false;
  bool cut = false;  ///< lines are cut at the width; false where a program may read them
};

enum class paint : std::uint8_t { plain, good, bad, warn, busy, faint, strong };

/// The text in its colour, or as it is where there are no colours.
std::string painted(const canvas& c, paint p, std::string_view text);

/// Columns that a terminal uses for UTF-8 text: wide characters take two, combining ones none.
std::size_t display_width(std::string_view text);
/// At most `columns` wide, the end replaced by an ellipsis where something was cut.
std::string shortened(std::string_view text, std::size_t columns);
/// Filled up with blanks to `columns`, on the right or, for numbers, on the left.
std::string padded(std::string text, std::size_t columns, bool right = false);

/// Short and of three digits or so: "0.4ms", "212ms", "3.21s", "4m12s", "3h05m", "2d04h".
std::string elapsed_text(std::chrono::microseconds d);
/// UTC, to the second: "2026-05-09 07:29:33Z".
std::string time_text(std::int64_t micros);
/// ... to the millisecond: "2026-05-09 07:29:33.123Z".
std::string precise_time_text(std::int64_t micros);
/// "3m12s ago", "in 4.00s".
std::string relative_text(std::int64_t micros, std::int64_t now_micros);
std::int64_t now_micros();

}  // namespace pawl::node
