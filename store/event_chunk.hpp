// The events that are added to one run in one transaction are one row: a `heads` text that a person (and SQL's
// json_each) can read, and the events' bodies one after the other. docs/store.md describes it.
//
//     [[1,120],[3,45,"reserve",1]]     kind, bytes of the body, and for events of a step: its name, the attempt,
//                                      and a 1 when it is of the step's undo
//     [[4,11,"reserve",1],[20,9,"",0,0,150]]     a sixth element: by so many microseconds later than the row's time
#pragma once

#include <cstdint>
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

/// Events of later decisions join a row until it has so many, or bodies of so many bytes: whoever reads one event reads
/// its row.
inline constexpr std::size_t most_joined_events = 64;
inline constexpr std::size_t most_joined_bytes = std::size_t{16} * 1024;

/// Makes one row after the other.
class chunk_writer {
 public:
  /// The next row begins with the next event.
  void clear() {
    heads_.clear();
    bodies_.clear();
    count_ = 0;
  }
  /// Whether the event can go into this row: it follows, and belongs to the same decision, or there is room for more.
  bool takes(const event_row& e) const;
  /// In the order of seq.
  void add(const event_row& e);
  bool empty() const { return count_ == 0; }
  std::uint64_t first_seq() const { return first_seq_; }
  std::int64_t at() const { return at_; }
  const std::string& bodies() const { return bodies_; }
  /// Nothing can be added any more.
  const std::string& finish() {
    heads_.push_back(']');
    return heads_;
  }

 private:
  std::string heads_;
  std::string bodies_;
  std::size_t count_ = 0;
  std::uint64_t first_seq_ = 0;
  std::int64_t at_ = 0;  // of the row
  std::int64_t last_at_ = 0;  // of its newest event
};

/// Whether a row written by chunk_writer has events of several times.
bool is_joined(std::string_view heads);

/// An event's line in `heads`, with its body.
struct chunk_entry {
  std::uint32_t kind = 0;
  std::uint32_t attempt = 0;
  bool undo = false;
  std::string step;
  std::int64_t later = 0;  ///< than the row's time, in microseconds
  std::string_view body;  ///< points into `bodies`
};
/// Replaces `out` by what a row holds. Returns an empty string, or what is wrong with it. Safe on hostile input.
std::string read_chunk(std::string_view heads, std::string_view bodies, std::vector<chunk_entry>& out);
/// How many events a row holds, without decoding them; at least 1.
std::uint64_t chunk_size(std::string_view heads);

}  // namespace pawl::store
