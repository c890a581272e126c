// The bytes of the journal's records; docs/journal.md describes them for every reader, keep both in step.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "broker/fence.hpp"
#include "store/journal.hpp"

namespace pawl::broker {

inline constexpr std::uint32_t journal_format = 1;

/// What an announcement says about who announces.
struct announcer {
  std::string node_id;
  engine::incarnation incarnation = 0;
  std::uint32_t reads_format = journal_format;
  bool operator==(const announcer&) const = default;
};

/// A batch: what the store folds, and how far the commands are dealt with.
struct batch {
  store::record changes;
  std::int64_t position = -1;  ///< offset of `commands` below which all are dealt with; -1: none
  store::log_point feed{};     ///< the events of the records up to there are published
};

/// What to write, of a binary that knows formats up to `newest`, where every living node reads `all_read`.
constexpr std::uint32_t format_to_write(std::uint32_t newest, std::uint32_t all_read) {
  return std::clamp<std::uint32_t>(all_read, 1, newest);
}

/// `format` is one of this binary's. (So far there is one, and it changes nothing else.)
std::string encode(const stamp& s, const announcer& who, std::uint32_t format = journal_format);
/// `crc`, where it is asked for, is set to the record's.
std::string encode(const stamp& s, const batch& what, std::uint32_t* crc = nullptr,
                   std::uint32_t format = journal_format);
/// A release or a barrier.
std::string encode(const stamp& s, std::uint32_t* crc = nullptr, std::uint32_t format = journal_format);

struct journal_record {
  broker::stamp stamp;
  std::uint32_t crc = 0;
  announcer announced{};  ///< of an announcement
  broker::batch batch{};  ///< of a batch
};

enum class readable : std::uint8_t {
  yes,
  garbage,  ///< not a record of ours, or damaged: every reader skips it
  newer,    ///< a format or a kind that this version does not know: the reader must stop
};

/// Never throws; whatever the bytes are. `wrong` says what is the matter with them. Cost: linear.
readable decode(std::string_view bytes, journal_record& out, std::string& wrong);
/// The stamp and the crc alone, without looking at what they stand for.
readable decode_stamp(std::string_view bytes, journal_record& out, std::string& wrong);

}  // namespace pawl::broker
