// A run as bars in time: one row an attempt, all on one scale.
//
//     reserve       ███▌                                    212ms
//     charge             ▐██···                             140ms  failed: 503
//     charge #2                ▐█████▎                      310ms
//     email                           ▐█▌                   101ms
#pragma once

#include "node/render_text.hpp"

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace pawl::node {

enum class bar_end : std::uint8_t { completed, failed, timed_out, lost, interrupted, running, waiting };

/// One row. Times count from the beginning of the scale.
struct bar {
  std::string label;
  std::chrono::microseconds from{};
  std::chrono::microseconds to{};  ///< not before `from`
  bar_end end = bar_end::completed;
  std::chrono::microseconds
      waits_until{};  ///< dots up to here, for the time until the next attempt; not after `to`: none
  std::string note;                         ///< behind the duration: why it failed
};

/// Draws `bars` on a scale from 0 to `total`. Each bar is drawn to an eighth of a column at its end and to half a
/// column at its beginning, and never vanishes. Labels give way first where it is narrow, then the notes, then the
/// durations. Lines are never wider than the canvas.
std::string draw_bars(const canvas& c, std::span<const bar> bars, std::chrono::microseconds total);

/// The bar alone, `columns` wide, without colours.
std::string draw_bar(const bar& b, std::chrono::microseconds total, std::size_t columns);

}  // namespace pawl::node
