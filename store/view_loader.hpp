// Fills the empty tables of a view with rows from elsewhere, in large transactions: many times faster than by records,
// whose every change has to be looked at. Used through embedded_journal::fill.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "store/recent_ids.hpp"
#include "store/snapshot_codec.hpp"
#include "store/sqlite.hpp"

namespace pawl::store {

class view_loader {
 public:
  /// `committed` is called after each transaction.
  view_loader(database& db, recent_ids& ids, std::function<void()> committed);

  /// A row of `runs`, `events` or one of the whole tables. Throws snapshot_damage where it contradicts those before,
  /// and sqlite_error.
  void add(section s, row cells);
  /// All rows are there. The transaction stays open, for the position.
  void finish();
  std::int64_t last_event_at() const { return last_event_at_; }
  std::uint64_t runs() const { return runs_; }
  std::uint64_t rows() const { return all_rows_; }

 private:
  void add_run(row cells);
  void insert(statement& s, row cells);
  void put_ids();
  void commit();
  std::int64_t type_number(std::string_view name);
  std::int64_t reign_number(std::string_view bytes);

  database& db_;
  recent_ids& ids_;
  const std::function<void()> committed_;
  statement insert_run_, insert_id_;
  std::array<statement, sections> insert_;
  std::map<std::string, std::int64_t, std::less<>> types_, reigns_;
  std::vector<known_id> waiting_ids_;
  std::uint64_t runs_ = 0, all_rows_ = 0;
  std::size_t rows_ = 0, bytes_ = 0;  // of the transaction
  std::int64_t next_key_ = 1, last_event_at_ = 0;
};

}  // namespace pawl::store
