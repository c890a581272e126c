#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/sim/rng.hpp"
#include "workflow/ids.hpp"
#include "workflow/policy.hpp"

namespace pawl::engine {
namespace {

using namespace std::chrono_literals;

TEST(ids, a_run_uid_is_its_text) {
  sim::rng r(1);
  for (int n = 0; n < 1000; ++n) {
    const run_uid uid{.reign = {.high = r.next(), .low = r.next()}, .serial = n == 0 ? 0 : r.next()};
    run_uid back;
    ASSERT_TRUE(from_text(to_text(uid), back)) << to_text(uid);
    ASSERT_EQ(back, uid);
  }
  EXPECT_EQ(to_text(run_uid{.reign = {.high = 1, .low = 0xabc}, .serial = 42}), "00000000000000010000000000000abc-42");
}

TEST(ids, other_texts_are_refused) {
  run_uid uid;
  for (const auto* text : {"", "-1", "00000000000000010000000000000abc", "00000000000000010000000000000abc-",
                           "00000000000000010000000000000abc-x", "00000000000000010000000000000abc-1 ",
                           "0000000000000001000000000000xabc-1", "00000000000000010000000000000abc+1",
                           "00000000000000010000000000000abc-99999999999999999999999"})
    EXPECT_FALSE(from_text(text, uid)) << text;
}

TEST(ids, the_hash_never_changes) {  // jitter of runs on record hangs on it
  EXPECT_NE(stable_hash("a"), stable_hash("b"));
  EXPECT_NE(stable_hash("a", 1), stable_hash("a", 2));
  EXPECT_EQ(stable_hash("pawl"), 0x469ed0db43c2fa33ULL);
}

TEST(policy, options_come_before_defaults) {
  policy_defaults defaults;
  defaults.step.timeout = 7s;
  defaults.step.max_attempts = 3;
  EXPECT_EQ(resolve({}, defaults).timeout, 7s);
  EXPECT_EQ(resolve({}, defaults).max_attempts, 3U);
  step_options o;
  o.timeout = 1s;
  o.deadline = 9s;
  o.heartbeat = 2s;
  o.retry = {.max_attempts = 5, .first_delay = 1ms, .factor = 1.5, .max_delay = 2ms};
  o.exhausted = when_exhausted::pause;
  o.undo = undo_when::completed;
  const policy expected{.timeout = 1s,
                        .heartbeat = 2s,
                        .deadline = 9s,
                        .max_attempts = 5,
                        .first_delay = 1ms,
                        .factor = 1.5,
                        .max_delay = 2ms,
                        .exhausted = when_exhausted::pause,
                        .undo = undo_when::completed};
  EXPECT_EQ(resolve(o, defaults), expected);
}

TEST(policy, stays_within_what_can_be_recorded) {
  step_options o;
  o.timeout = milliseconds::max();
  o.deadline = milliseconds::min();
  o.heartbeat = -1ms;
  o.retry = {.max_attempts = -3,
             .first_delay = milliseconds::max(),
             .factor = std::numeric_limits<double>::quiet_NaN(),
             .max_delay = -5s};
  const auto p = resolve(o, {});
  EXPECT_EQ(p.timeout, longest_duration);
  EXPECT_EQ(p.deadline, 0ms);
  EXPECT_EQ(p.heartbeat, 0ms);
  EXPECT_EQ(p.max_attempts, 1U);
  EXPECT_EQ(p.first_delay, longest_duration);
  EXPECT_EQ(p.factor, 1.0);
  EXPECT_EQ(p.max_delay, 0ms);
  o.retry.factor = std::numeric_limits<double>::infinity();
  EXPECT_EQ(resolve(o, {}).factor, largest_factor);
  o.retry.factor = -2.0;
  EXPECT_EQ(resolve(o, {}).factor, 1.0);
}

TEST(retry_delay, is_full_jitter_under_a_growing_cap) {
  const policy p{.first_delay = 100ms, .factor = 2.0, .max_delay = 1s};
  sim::rng r(3);
  for (std::uint32_t failures = 1; failures <= 200; ++failures) {
    const auto cap = failures > 4 ? 1000ms : milliseconds(100 << (failures - 1));
    milliseconds lowest = cap;
    milliseconds highest{0};
    for (int n = 0; n < 200; ++n) {
      const auto d = retry_delay(p, failures, r.next(), std::nullopt);
      ASSERT_GE(d, 0ms);
      ASSERT_LT(d, cap);
      lowest = std::min(lowest, d);
      highest = std::max(highest, d);
    }
    EXPECT_LT(lowest, cap / 10);
    EXPECT_GT(highest, cap * 9 / 10);
  }
}

TEST(retry_delay, depends_on_its_seed_alone) {
  const policy p;
  EXPECT_EQ(retry_delay(p, 3, 99, std::nullopt), retry_delay(p, 3, 99, std::nullopt));
  EXPECT_EQ(retry_delay(p, 1, 0, std::nullopt), 0ms);
}

TEST(retry_delay, an_error_may_name_its_own) {
  const policy p;
  EXPECT_EQ(retry_delay(p, 1, 5, 90s), 90s);
  EXPECT_EQ(retry_delay(p, 1, 5, 0ms), 0ms);
  EXPECT_EQ(retry_delay(p, 1, 5, -1s), 0ms);
  EXPECT_EQ(retry_delay(p, 1, 5, std::chrono::hours(1000)), longest_asked_delay);
}

TEST(retry_delay, survives_extreme_policies) {
  const policy none{.first_delay = 0ms, .factor = largest_factor, .max_delay = longest_duration};
  EXPECT_EQ(retry_delay(none, 4'000'000'000U, ~0ULL, std::nullopt), 0ms);
  const policy huge{.first_delay = longest_duration, .factor = largest_factor, .max_delay = longest_duration};
  EXPECT_LE(retry_delay(huge, 4'000'000'000U, ~0ULL, std::nullopt), longest_duration);
}

}  // namespace
}  // namespace pawl::engine
