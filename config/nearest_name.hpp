#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace pawl::config {

// Damerau-Levenshtein distance (restricted: no substring is edited twice), ASCII letters compared without case. Costs
// |a| x |b| steps.
std::size_t edit_distance(std::string_view a, std::string_view b);

// The candidate that `wanted` was probably meant to be: the nearest one, the first of equals, if its distance is at
// most a third of the length of `wanted`, but never under 2. None when nothing is that near or `wanted` is over 128
// bytes.
std::optional<std::string> nearest_name(std::string_view wanted, std::span<const std::string> candidates);

}  // namespace pawl::config
