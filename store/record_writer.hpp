// Turns a record into rows, inside of a transaction that the journal opens and commits. Everything that it keeps in
// memory about what is on disk changes in settle() only, once the record is durable.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "store/event_chunk.hpp"
#include "store/journal.hpp"
#include "store/outbox_tables.hpp"
#include "store/recent_ids.hpp"
#include "store/sqlite.hpp"

namespace pawl::store {

/// Thrown by write(): the record contradicts what is on disk or what can be stored. Nothing is wrong with the disk.
struct refusal {
  std::string why;
};

/// Where a view stands; none: nothing was applied. One that is being filled has the offset `being_filled`.
std::optional<log_position> read_position(database& db);
inline constexpr std::int64_t being_filled = -2;

class record_writer {
 public:
  struct options {
    std::int64_t outcome_age_us = 0;
    std::uint64_t outcome_count = 0;
    std::size_t waiting_ids = 0;
  };

  /// Reads what it has to know; the ids that the table lacks are put into `ids`. Throws sqlite_error.
  record_writer(database& db, recent_ids& ids, options o);

  /// Inside of a transaction. Throws refusal and sqlite_error; the caller then rolls back and calls forget().
  /// `outbox`: in place of what the record says about that.
  void write(const record& r, const outbox_changes& outbox);
  /// Many at once: what the tables say afterwards is as if each had been written by itself. A run's line is written as
  /// it is after the last of them, when it is made and when it is changed last, and not at each change in between; its
  /// events are written with the first of them, in as few rows as they fit into.
  void write(std::span<const std::shared_ptr<const record>> records);
  /// Inside of the same transaction: what was written brings the view to there.
  void put_position(const log_position& p);
  std::optional<log_position> position() { return read_position(db_); }
  /// Inside of a transaction: whatever is in the tables is a part only, until put_position().
  void mark_being_filled();
  bool is_being_filled();
  /// The transaction is committed.
  void settle();
  /// The transaction is rolled back.
  void forget();
  /// Moves all waiting ids to the table, in transactions of its own.
  void move_all_ids();

  /// The number of a reign; inserts it when it is new.
  std::int64_t number_of(const engine::reign& r);

  engine::run_key next_run_key() const { return next_key_; }
  std::int64_t last_event_at() const { return last_event_at_; }
  outbox_state outbox() { return outbox_.read(); }

 private:
  class gathering;
  struct gathered {
    const run_change* change;
    std::size_t number = 0;  // in the order of the records
  };
  void read_state();
  void read_waiting_ids();
  void put_rows(const record& r, const outbox_changes& outbox);
  void finish();
  std::span<const gathered> all_of(const gathered& c) const;
  void change(const run_change& c);
  void create(const run_change& c, const run_summary& s);
  void refuse_known(const run_change& c, std::uint64_t hash);
  bool is_run_of(engine::run_key key, const run_header& h);
  void update(const run_change& c, const run_summary& s);
  void put_events(std::span<const gathered> all);
  void put_row(engine::run_key key);
  void put_heartbeat(const heartbeat_row& h);
  void put_outcome(const outcome_row& o);
  void put_mark(const engine::type_mark& m);
  void drop_old_outcomes(std::size_t added, std::int64_t now);
  std::int64_t type_number(const std::string& name);
  void move_ids();
  void move_bucket(std::size_t n);
  engine::run_key lowest_waiting(std::size_t skip_first, std::size_t skip_count) const;

  database& db_;
  recent_ids& ids_;
  const options options_;

  statement insert_run_, update_run_, insert_chunk_, update_state_, insert_id_;
  statement run_of_key_, runs_of_hash_;
  statement put_position_;
  statement insert_heartbeat_, delete_heartbeats_;
  statement insert_outcome_, oldest_outcome_, delete_outcome_;
  statement put_mark_;
  outbox_tables outbox_;

  // As on disk.
  engine::run_key next_key_ = 1;
  std::int64_t last_event_at_ = 0;
  std::int64_t runs_ = 0;
  engine::run_key ids_below_ = 1;
  std::uint64_t outcomes_ = 0;
  std::map<std::string, std::int64_t, std::less<>> types_;
  std::map<engine::reign, std::int64_t> reigns_;
  std::unordered_set<engine::run_key> with_heartbeats_;
  std::size_t sweep_ = 0;  // the bucket that is moved next

  // Of the record under way.
  struct staged {
    engine::run_key next_key = 1;
    std::int64_t last_event_at = 0;
    std::int64_t runs = 0;
    engine::run_key ids_below = 1;
    std::uint64_t outcomes = 0;
    std::vector<known_id> added;
    std::size_t moved_buckets = 0;
    bool changed = false;
  } staged_;
  std::vector<gathered> gathered_;  // of the records that are written together, by run and in order
  std::vector<known_id> sorted_;  // a bucket's ids, sorted
  chunk_writer row_;
  std::string reign_text_;
  log_point feed_;  // as last written
};

}  // namespace pawl::store
