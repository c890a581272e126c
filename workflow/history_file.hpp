// A history as a file, to be replayed elsewhere: what `pawl history ID --export FILE` writes and `pawl replay FILE`
// reads. docs/history-file.md has the bytes. Lossless: bodies are as they are stored.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "workflow/event.hpp"

namespace pawl::engine {

inline constexpr std::uint32_t history_file_version = 1;
/// Longest file that is read.
inline constexpr std::size_t longest_history_file = std::size_t{1} << 30;

struct history_file {
  std::string written_by;  ///< version of the binary
  std::vector<event> events;
};

/// One event as it stands in the file.
struct stored_event {
  std::uint8_t kind = 0;
  std::uint64_t seq = 0;
  std::int64_t at = 0;  ///< microseconds since 1970
  std::string name;
  std::uint32_t attempt = 0;
  std::string body;
};
/// Fills an event from that; not empty: what is wrong with it.
std::string read_stored(const stored_event& s, event& out);

/// The file, from events with their stored bodies.
std::string write_history_file(const std::vector<stored_event>& events, std::string_view written_by);
/// Not empty: why the bytes are no such file, or not a whole one. Safe on hostile bytes.
std::string read_history_file(std::string_view bytes, history_file& out);

}  // namespace pawl::engine
