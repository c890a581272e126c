#include "workflow/policy.hpp"

#include <algorithm>
#include <cmath>

namespace pawl::engine {

namespace {

milliseconds bounded(milliseconds d) { return std::clamp(d, milliseconds{0}, longest_duration); }

}  // namespace

policy resolve(const step_options& o, const policy_defaults& defaults) {
  policy p = defaults.step;
  p.timeout = o.timeout.value_or(p.timeout);
  p.heartbeat = o.heartbeat.value_or(milliseconds{0});
  p.deadline = o.deadline.value_or(milliseconds{0});
  if (o.retry.max_attempts) p.max_attempts = static_cast<std::uint32_t>(std::max(1, *o.retry.max_attempts));
  p.first_delay = o.retry.first_delay.value_or(p.first_delay);
  p.factor = o.retry.factor.value_or(p.factor);
  p.max_delay = o.retry.max_delay.value_or(p.max_delay);
  p.timeout = bounded(p.timeout);
  p.heartbeat = bounded(p.heartbeat);
  p.deadline = bounded(p.deadline);
  p.first_delay = bounded(p.first_delay);
  p.max_delay = bounded(p.max_delay);
  p.factor = p.factor >= 0.0 ? std::min(p.factor, largest_factor) : 1.0;  // NaN as well
  p.exhausted = o.exhausted;
  p.undo = o.undo;
  return p;
}

milliseconds retry_delay(const policy& p, std::uint32_t failures, std::uint64_t seed,
                         std::optional<milliseconds> asked) {
  if (asked) return std::clamp(*asked, milliseconds{0}, longest_asked_delay);
  const double exponent = std::min(64.0, static_cast<double>(failures) - 1.0);
  // The factor may have grown to infinity, and a first delay of 0 times that is no number.
  const double power = std::min(std::pow(p.factor, exponent), 1e18);
  const double cap =
      std::min(static_cast<double>(p.max_delay.count()), static_cast<double>(p.first_delay.count()) * power);
  const double unit = static_cast<double>(seed >> 11) * 0x1.0p-53;
  return milliseconds{static_cast<std::int64_t>(cap * unit)};
}

}  // namespace pawl::engine
