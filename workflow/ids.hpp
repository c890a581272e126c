// Names of things that outlive processes.
#pragma once

#include <array>
#include <chrono>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace pawl::engine {

/// Event time: microseconds since the Unix epoch, UTC. Never runs backwards within a partition.
using time_point = std::chrono::sys_time<std::chrono::microseconds>;
using std::chrono::milliseconds;

inline std::int64_t to_micros(time_point t) { return t.time_since_epoch().count(); }
inline time_point from_micros(std::int64_t us) { return time_point{std::chrono::microseconds{us}}; }

/// Bounds of what is recorded, so that no sum of a time and two durations overflows: about 36,000 and 2,200 years.
inline constexpr time_point latest_time{std::chrono::microseconds{std::int64_t{1} << 60}};
inline constexpr milliseconds longest_duration{std::int64_t{1} << 46};

/// 128 random bits, drawn by every opening of a journal, so that nothing named under a lost tail or in a copied
/// directory is ever named again.
struct reign {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  auto operator<=>(const reign&) const = default;
};

/// Names one run for ever: the reign that it started under, and the how manyeth start of that reign it was.
struct run_uid {
  engine::reign reign;
  std::uint64_t serial = 0;
  auto operator<=>(const run_uid&) const = default;
};

/// 32 hex digits.
std::string to_text(const reign& r);
/// `<32 hex digits>-<serial>`.
std::string to_text(const run_uid& uid);
/// False when the text is not of that form.
bool from_text(std::string_view text, run_uid& uid);

/// Says which life of which process holds an attempt; random, never 0.
using incarnation = std::uint64_t;

/// A run within one store: given out in order, never reused; the tables are keyed by it.
using run_key = std::int64_t;

/// FNV-1a over 64 bits (http://www.isthe.com/chongo/tech/comp/fnv/), finished with splitmix64's mixer: spreads ids and
/// draws jitter. Not for adversaries.
std::uint64_t stable_hash(std::string_view text, std::uint64_t seed = 0);

}  // namespace pawl::engine
