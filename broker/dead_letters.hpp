// `<namespace>.dlq`: messages that can be no commands, and what people did about them. docs/commands.md is the promise.
//
// Kafka deletes only from the front of a partition. So what somebody did about a letter in the middle is a message of
// its own behind it, a mark, and what is marked up to the first letter that is not is deleted for good:
//
//     letter 4, letter 5, letter 6, mark of 5, letter 8      5 is hidden, and is there until 4 is done with
//     letter 6, mark of 5, letter 8                          4 was dropped: now 4 and 5 are gone
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/kafka_client.hpp"

namespace pawl::broker {

/// Bytes of key and value of a dead letter; what is larger is cut, since the topic takes messages of 8 MiB.
inline constexpr std::size_t largest_dead_letter = (std::size_t{8} << 20) - (std::size_t{64} << 10);
inline constexpr std::size_t largest_dead_detail = 1'000;
/// Names and values of the headers that the message had.
inline constexpr std::size_t largest_dead_headers = std::size_t{16} << 10;

/// Of a message that was a dead letter and is tried again: where it was first, "shop.commands/0/17".
inline constexpr std::string_view origin_header = "pawl-origin";

using message_headers = std::vector<std::pair<std::string, std::string>>;

/// Lower case, as header names are compared.
std::string lower_case(std::string_view text);
/// The first of that name; null: there is none.
const std::string* find_header(const message_headers& headers, std::string_view name);

/// Why a message is none, and where it was.
struct dead_cause {
  std::string from;  ///< "shop.commands/0/17"
  std::string cause;  ///< for programs
  std::string detail;  ///< for people; cut at `largest_dead_detail`
};
struct dead_letter_parts {
  std::optional<std::string_view> key;
  std::string_view value;
  message_headers headers;
};
/// What is written of a message: its own headers, and ours. Key and value together have at most `cut_at` bytes. The
/// views are of what is given.
dead_letter_parts make_dead_letter(const std::optional<std::string>& key, const std::string& value,
                                   const message_headers& headers, const dead_cause& why,
                                   std::size_t cut_at = largest_dead_letter);

struct dead_letter {
  enum class state : std::uint8_t { open, replayed, dropped };
  std::int64_t offset = 0;
  std::int64_t timestamp_ms = -1;
  state what = state::open;
  std::optional<std::string> key;
  std::string value;
  message_headers headers;

  std::string header(std::string_view name) const;
};
std::string_view text(dead_letter::state s);

/// Not thread-safe. Every call may throw kafka_error, and blocks for as long as the brokers take.
class dead_letter_box {
 public:
  dead_letter_box(const kafka_options& client, std::string name_space);

  /// The newest first, without their values; those that are not open only if asked for.
  std::vector<dead_letter> newest(std::size_t limit, bool closed_too);
  /// Whether it is open is said by what is behind it, to the end of the topic; without it, it is found faster.
  std::optional<dead_letter> find(std::int64_t offset, bool with_state = true);
  /// Offsets of all that are open, the oldest first.
  std::vector<std::int64_t> open();

  /// Why it cannot be tried again; empty: it can.
  std::string refuses_replay(const dead_letter& letter) const;
  /// Its key, value and headers as a new message, under the id that it had; then it is marked. Returns where it is now,
  /// "shop.commands/3/99". What is done twice is one command.
  std::string replay(const dead_letter& letter);

  struct dropped {
    std::vector<std::int64_t> deleted;
    std::vector<std::int64_t> hidden;  ///< they are there until those before them are done with
    std::int64_t first_open = -1;  ///< the oldest that is still open; -1: none is
  };
  /// Each has to be there.
  dropped drop(const std::set<std::int64_t>& offsets);
  /// Everything up to and including `offset`, open or not; how many letters that were.
  std::size_t drop_up_to(std::int64_t offset);

  const std::string& name() const { return topic_; }

 private:
  template <class F>
  void read(std::int64_t from, F f);
  void mark(std::int64_t offset, dead_letter::state what);
  void delete_below(std::int64_t offset);
  std::string produce(const std::string& topic, std::int32_t partition, std::optional<std::string_view> key,
                      std::string_view value, const message_headers& headers);

  kafka_options client_;
  std::string name_space_;
  std::string topic_;
  kafka_reader reader_;
  kafka_producer producer_;
};

}  // namespace pawl::broker
