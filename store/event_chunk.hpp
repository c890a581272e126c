// The events that one batch adds to one run are one row: a `heads` text that a person (and SQL's json_each) can read,
// and the events' bodies one after the other. docs/store.md describes it.
//
//     [[1,120],[3,45,"reserve",1]]     kind, bytes of the body, and for events of a step: its name, the attempt,
//                                      and a 1 when it is of the step's undo
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/journal.hpp"

namespace pawl::store {

/// A row's key is run key and seq of its first event in one integer, so that a run's rows lie together.
inline constexpr int seq_bits = 20;
inline constexpr std::uint64_t last_possible_seq = (std::uint64_t{1} << seq_bits) - 1;
inline constexpr engine::run_key last_possible_run = (engine::run_key{1} << (63 - seq_bits)) - 1;

constexpr std::int64_t event_key(engine::run_key run, std::uint64_t seq) {
  return static_cast<std::int64_t>((static_cast<std::uint64_t>(run) << seq_bits) | seq);
}
constexpr engine::run_key run_of(std::int64_t key) { return key >> seq_bits; }
constexpr std::uint64_t seq_of(std::int64_t key) { return static_cast<std::uint64_t>(key) & last_possible_seq; }

/// Appends the row of `events` (of one time) to `heads` and `bodies`.
void write_chunk(std::span<const event_row> events, std::string& heads, std::string& bodies);

/// An event's line in `heads`, with its body.
struct chunk_entry {
  std::uint32_t kind = 0;
  std::uint32_t attempt = 0;
  bool undo = false;
  std::string step;
  std::string_view body;  ///< points into `bodies`
};
/// Replaces `out` by what a row holds. Returns an empty string, or what is wrong with it. Safe on hostile input.
std::string read_chunk(std::string_view heads, std::string_view bodies, std::vector<chunk_entry>& out);
/// How many events a row holds, without decoding them; at least 1.
std::uint64_t chunk_size(std::string_view heads);

}  // namespace pawl::store
