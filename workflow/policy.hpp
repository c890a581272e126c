// The rules that one attempt runs under, resolved from the step's options and the node's defaults when it is scheduled,
// and recorded with it: later decisions about the attempt follow the record, not the binary of the day.
#pragma once

#include <cstdint>
#include <optional>

#include <pawl/options.hpp>

#include "workflow/ids.hpp"

namespace pawl::engine {

struct policy {
  milliseconds timeout{30'000};
  milliseconds heartbeat{0};  ///< 0: none
  milliseconds deadline{0};  ///< 0: none
  std::uint32_t max_attempts = 10;
  milliseconds first_delay{500};
  double factor = 2.0;
  milliseconds max_delay{60'000};
  when_exhausted exhausted = when_exhausted::compensate;
  undo_when undo = undo_when::may_have_run;
  bool operator==(const policy&) const = default;
};

/// What options that are left unset mean on this node.
struct policy_defaults {
  policy step;
};

inline constexpr double largest_factor = 1e6;

/// Whatever the options and defaults say, the policy is within the bounds of what can be recorded.
policy resolve(const step_options& options, const policy_defaults& defaults);

/// The wait before the next attempt after `failures` failures (>= 1): full jitter, drawn from `seed`, so that the same
/// history gives the same wait. `asked` (Retry-After) replaces it, at most 24 hours.
milliseconds retry_delay(const policy& p, std::uint32_t failures, std::uint64_t seed,
                         std::optional<milliseconds> asked);

/// An error's own delay above this is cut down to it.
inline constexpr milliseconds longest_asked_delay = std::chrono::hours(24);

}  // namespace pawl::engine
