// What a partition has to do with the others, in its view: messages that are not acknowledged, and what was applied of
// theirs. docs/store.md describes the tables.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "store/journal.hpp"
#include "store/sqlite.hpp"

namespace pawl::store {

/// Of the record's transaction. outbox_reader.hpp reads beside it.
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

engine::reign reign_of_text(const std::string& text);

}  // namespace pawl::store
