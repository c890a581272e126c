// What a partition has to do with the others, in its view: messages that are not acknowledged, and what was applied of
// theirs. docs/store.md describes the tables.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "store/journal.hpp"
#include "store/sqlite.hpp"

namespace pawl::store {

struct outbox_lane_row {
  std::int32_t to = 0;
  std::uint64_t given_below = 1;         ///< the next number
  std::uint64_t acknowledged_below = 1;  ///< messages from there on are kept
  bool operator==(const outbox_lane_row&) const = default;
};
struct outbox_state {
  std::vector<outbox_lane_row> lanes{};
  std::vector<receive_state> received{};
};

/// The writing half, of the record's transaction.
class outbox_tables {
 public:
  explicit outbox_tables(database& db);

  void write(const outbox_changes& c);
  /// The transaction is rolled back, or the tables were filled by somebody else.
  void forget();
  /// As written so far.
  outbox_state read();

 private:
  void put(const outbox_row& m);
  void put(const receive_mark& m);

  database& db_;
  statement insert_message_, given_, delete_messages_, acknowledged_;
  statement insert_stretch_, grow_stretch_, drop_stretches_, receives_;
  std::map<std::int32_t, receive_state> received_;
  std::string text_;
};

/// Reads the messages of a view while it is written to, on a connection of its own. One thread at a time. Throws
/// view_error.
class outbox_reader {
 public:
  explicit outbox_reader(const std::string& directory);
  /// In the order of their numbers, from `first` on: as many as fit into `most_bytes`, one at least if there is one.
  std::vector<outbox_row> messages(std::int32_t to, std::uint64_t first, std::size_t most_bytes);

 private:
  std::string file_;
  database db_;
  statement messages_;
};

}  // namespace pawl::store
