#include "store/sqlite_view.hpp"

#include <algorithm>

#include "store/data_directory.hpp"
#include "store/errors.hpp"
#include "store/event_chunk.hpp"
#include "store/schema.hpp"
#include "workflow/event_codec.hpp"

namespace pawl::store {

namespace {

constexpr std::chrono::milliseconds longest_wait{5'000};

// The columns of a run_row, in the order that read_run takes them.
const std::string run_columns =
    "SELECT r.key, r.id, r.run, g.reign, r.serial, t.name, r.version, r.phase, r.paused, r.wake_at, r.started_at, "
    "r.closed_at, "
    "r.start_command, e.key, e.heads ";
const std::string joined =
    " JOIN reigns g ON g.number = r.reign JOIN types t ON t.number = r.type "
    "LEFT JOIN events e ON e.key = (SELECT max(key) FROM events WHERE key BETWEEN r.key << 20 AND (r.key << 20) + "
    "1048575) ";

run_row read_run(const statement& s) {
  run_row out;
  out.key = s.integer(0);
  out.header.workflow_id = s.text(1);
  out.header.run = static_cast<std::uint32_t>(s.integer(2));
  engine::run_uid uid;
  if (from_text(s.text(3) + "-" + std::to_string(static_cast<std::uint64_t>(s.integer(4))), uid)) out.header.uid = uid;
  out.header.type = s.text(5);
  out.header.version = static_cast<std::uint32_t>(s.integer(6));
  out.summary.phase = static_cast<engine::phase>(s.integer(7));
  out.summary.paused = s.integer(8) != 0;
  out.summary.wake_at = s.integer(9);
  out.header.started_at = s.integer(10);
  out.summary.closed_at = s.integer(11);
  out.header.start_command = s.text(12);
  if (!s.null(13)) out.last_seq = seq_of(s.integer(13)) + chunk_size(s.bytes(14)) - 1;
  return out;
}

engine::command_result result_of(std::string_view word) {
  using enum engine::command_result;
  for (const auto r : {applied, duplicate, conflict, not_found, invalid, too_large, late, ignored})
    if (to_text(r) == word) return r;
  return invalid;
}

class sqlite_view final : public view {
 public:
  sqlite_view(const std::string& directory, std::shared_ptr<const recent_ids> ids);

  std::optional<run_row> find(std::string_view workflow_id) override { return find_run(workflow_id, 0); }
  std::optional<run_row> find(std::string_view workflow_id, std::uint32_t run) override {
    return find_run(workflow_id, run);
  }
  std::optional<run_row> get(engine::run_key key) override;
  std::vector<event_row> stored(engine::run_key key, std::uint64_t from_seq, std::size_t limit) override;
  stored_history history(engine::run_key key, std::uint64_t from_seq, std::size_t limit) override;
  std::vector<opened_run> opened(std::span<const engine::run_key> keys, const together& limits) override;
  std::vector<due_cursor> due(std::int64_t until, due_cursor after, std::size_t limit) override;
  std::vector<run_row> list(const list_filter& filter) override;
  std::optional<outcome_row> outcome(std::string_view workflow_id, std::string_view command_id) override;
  view_counts counts() override;
  engine::type_marks type_marks() override;

 private:
  template <class F>
  auto guarded(F f) {
    try {
      return f();
    } catch (const sqlite_error& e) {
      throw view_error(file_ + " cannot be read: " + e.what() + "; see what `pawl verify` finds");
    }
  }
  std::optional<run_row> find_run(std::string_view workflow_id, std::uint32_t run);
  void consider(statement& s, std::uint32_t run, std::optional<run_row>& best);
  std::size_t read_events(engine::run_key key, std::uint64_t from_seq, std::size_t limit, stored_history& out,
                          std::size_t most_bytes = SIZE_MAX);
  void read_heartbeats(engine::run_key key, stored_history& out);

  const std::string file_;
  const std::shared_ptr<const recent_ids> ids_;
  database db_;
  statement by_key_, open_, by_hash_, by_tail_, events_, heartbeats_, due_at_, due_later_, outcome_, counts_, marks_;
};

sqlite_view::sqlite_view(const std::string& directory, std::shared_ptr<const recent_ids> ids)
    : file_(database_file(directory)),
      ids_(std::move(ids)),
      db_(open_for_reading(directory)) {
  guarded([&] {
    by_key_ = db_.prepare(run_columns + "FROM runs r" + joined + "WHERE r.key = ?1");
    open_ = db_.prepare("SELECT id FROM runs WHERE key = ?1 AND closed_at = 0");
    by_hash_ = db_.prepare(run_columns + "FROM ids i CROSS JOIN runs r ON r.key = i.key" + joined +
                           "WHERE i.hash = ?1 AND r.id = ?2");
    by_tail_ = db_.prepare(run_columns + "FROM runs r" + joined +
                           "WHERE r.key >= (SELECT ids_below FROM state) AND r.id = ?1");
    events_ = db_.prepare(
        "SELECT key, at, heads, bodies FROM events WHERE key BETWEEN "
        "coalesce((SELECT max(key) FROM events WHERE key BETWEEN ?1 AND ?2), ?2) AND ?3 ORDER BY key");
    heartbeats_ = db_.prepare("SELECT step, undo, details FROM heartbeats WHERE run_key = ?1 ORDER BY step, undo");
    due_at_ = db_.prepare(
        "SELECT wake_at, key FROM runs INDEXED BY runs_open WHERE closed_at = 0 AND wake_at = ?1 AND key > ?2 "
        "ORDER BY key LIMIT ?3");
    due_later_ = db_.prepare(
        "SELECT wake_at, key FROM runs INDEXED BY runs_open WHERE closed_at = 0 AND wake_at > ?1 AND wake_at < ?2 "
        "ORDER BY wake_at, key LIMIT ?3");
    outcome_ = db_.prepare("SELECT result, seq, message, at FROM outcomes WHERE workflow_id = ?1 AND command_id = ?2");
    marks_ = db_.prepare("SELECT type, version, revision, at, command FROM type_marks");
    counts_ = db_.prepare(
        "SELECT (SELECT runs FROM state), (SELECT count(*) FROM runs INDEXED BY runs_open WHERE closed_at = 0), "
        "(SELECT count(*) FROM runs INDEXED BY runs_paused WHERE closed_at = 0 AND paused = 1)");
  });
}

// Ids move from memory to the table only; so memory is looked at first and the table after it, in a newer snapshot.
std::optional<run_row> sqlite_view::find_run(std::string_view workflow_id, std::uint32_t run) {
  std::optional<run_row> best;
  const auto hash = hash_of(workflow_id);
  if (ids_ && !ids_->may_exist(workflow_id)) return best;
  guarded([&] {
    if (ids_) {
      for (const auto key : ids_->waiting(hash)) {
        reading s(by_key_.bind(1, key));
        if (s.next() && by_key_.bytes(1) == workflow_id) consider(by_key_, run, best);
      }
      for (reading s(by_hash_.bind(1, static_cast<std::int64_t>(hash)).bind(2, workflow_id)); s.next();)
        consider(by_hash_, run, best);
      return;
    }
    const snapshot same(db_);
    for (reading s(by_hash_.bind(1, static_cast<std::int64_t>(hash)).bind(2, workflow_id)); s.next();)
      consider(by_hash_, run, best);
    for (reading s(by_tail_.bind(1, workflow_id)); s.next();) consider(by_tail_, run, best);
  });
  return best;
}

// `run` 0: the newest.
void sqlite_view::consider(statement& s, std::uint32_t run, std::optional<run_row>& best) {
  const auto n = static_cast<std::uint32_t>(s.integer(2));
  if (run != 0 ? n == run : (!best || best->header.run < n)) best = read_run(s);
}

std::optional<run_row> sqlite_view::get(engine::run_key key) {
  return guarded([&]() -> std::optional<run_row> {
    reading s(by_key_.bind(1, key));
    if (!s.next()) return std::nullopt;
    return read_run(by_key_);
  });
}

// Returns how many bytes were read, which is above `most_bytes` where it stopped for that.
std::size_t sqlite_view::read_events(engine::run_key key, std::uint64_t from_seq, std::size_t limit,
                                     stored_history& out, std::size_t most_bytes) {
  std::size_t bytes = 0;
  std::vector<chunk_entry> entries;
  const auto from = std::min(std::max<std::uint64_t>(from_seq, 1), last_possible_seq);
  reading s(
      events_.bind(1, event_key(key, 1)).bind(2, event_key(key, from)).bind(3, event_key(key, last_possible_seq)));
  while (out.events.size() < limit && s.next()) {
    auto seq = seq_of(events_.integer(0));
    bytes += events_.bytes(2).size() + events_.bytes(3).size();
    if (bytes > most_bytes) return bytes;
    if (auto wrong = read_chunk(events_.bytes(2), events_.bytes(3), entries); !wrong.empty()) {
      out.error = "the row of event " + std::to_string(seq) + ": " + wrong;
      return bytes;
    }
    for (auto& entry : entries) {
      const auto n = seq++;
      if (n < from || out.events.size() >= limit) continue;
      auto& e = out.events.emplace_back();
      e.kind = static_cast<engine::event_kind>(entry.kind);
      e.seq = n;
      e.at = engine::from_micros(events_.integer(1) + entry.later);
      e.attempt = entry.attempt;
      e.name = std::move(entry.step);
      std::string wrong =
          !is_known(e.kind) ? "its kind " + std::to_string(entry.kind) + " is not known" : decode_body(entry.body, e);
      if (wrong.empty()) continue;
      out.events.pop_back();
      out.error = "event " + std::to_string(n) + ": " + wrong;
      return bytes;
    }
  }
  return bytes;
}

void sqlite_view::read_heartbeats(engine::run_key key, stored_history& out) {
  for (reading s(heartbeats_.bind(1, key)); s.next();)
    out.heartbeats.push_back({.key = key,
                              .step = static_cast<std::uint32_t>(heartbeats_.integer(0)),
                              .undo = heartbeats_.integer(1) != 0,
                              .details = heartbeats_.text(2)});
}

std::vector<event_row> sqlite_view::stored(engine::run_key key, std::uint64_t from_seq, std::size_t limit) {
  return guarded([&] {
    std::vector<event_row> out;
    std::vector<chunk_entry> entries;
    const auto from = std::min(std::max<std::uint64_t>(from_seq, 1), last_possible_seq);
    reading s(
        events_.bind(1, event_key(key, 1)).bind(2, event_key(key, from)).bind(3, event_key(key, last_possible_seq)));
    while (out.size() < limit && s.next()) {
      auto seq = seq_of(events_.integer(0));
      if (auto wrong = read_chunk(events_.bytes(2), events_.bytes(3), entries); !wrong.empty())
        throw view_error("the row of event " + std::to_string(seq) + ": " + wrong);
      for (auto& entry : entries) {
        const auto n = seq++;
        if (n < from || out.size() >= limit) continue;
        out.push_back({.seq = n,
                       .at = events_.integer(1) + entry.later,
                       .kind = static_cast<engine::event_kind>(entry.kind),
                       .attempt = entry.attempt,
                       .step = std::move(entry.step),
                       .body = std::string(entry.body),
                       .undo = entry.undo});
      }
    }
    return out;
  });
}

stored_history sqlite_view::history(engine::run_key key, std::uint64_t from_seq, std::size_t limit) {
  return guarded([&] {
    stored_history out;
    const snapshot same(db_);
    read_events(key, from_seq, limit, out);
    read_heartbeats(key, out);
    return out;
  });
}

// A snapshot costs more than a short history: it is parsed, locked, and finds the pages that it had kept to be stale.
std::vector<opened_run> sqlite_view::opened(std::span<const engine::run_key> keys, const together& limits) {
  return guarded([&] {
    std::vector<opened_run> out;
    out.reserve(keys.size());
    const snapshot same(db_);
    auto left = limits.all_bytes;
    for (const auto key : keys) {
      reading s(open_.bind(1, key));
      if (!s.next()) continue;
      auto& run = out.emplace_back();
      run.key = key;
      run.workflow_id = open_.text(0);
      if (left == 0) continue;
      try {
        stored_history history;
        const auto most = std::min(limits.bytes, left);
        const auto bytes = read_events(key, 1, limits.events + 1, history, most);
        left -= std::min(bytes, left);
        if (bytes > most || history.events.size() > limits.events) continue;
        read_heartbeats(key, history);
        run.history = std::move(history);
      } catch (const sqlite_error&) {
        // Of this run alone: the others do not wait for it.
      }
    }
    return out;
  });
}

std::vector<view::due_cursor> sqlite_view::due(std::int64_t until, due_cursor after, std::size_t limit) {
  return guarded([&] {
    std::vector<due_cursor> out;
    const snapshot same(db_);
    const auto most = static_cast<std::int64_t>(std::min<std::size_t>(limit, INT64_MAX));
    if (after.wake_at < until)
      for (reading s(due_at_.bind(1, after.wake_at).bind(2, after.key).bind(3, most)); s.next();)
        out.push_back({due_at_.integer(0), due_at_.integer(1)});
    const auto left = most - static_cast<std::int64_t>(out.size());
    if (left > 0)
      for (reading s(due_later_.bind(1, after.wake_at).bind(2, until).bind(3, left)); s.next();)
        out.push_back({due_later_.integer(0), due_later_.integer(1)});
    return out;
  });
}

std::vector<run_row> sqlite_view::list(const list_filter& f) {
  return guarded([&] {
    // The literal conditions are those of the partial indexes, without which SQLite would not use them.
    std::string from = "FROM runs r";
    std::string where = "WHERE r.key < ?1";
    const bool closed_phase = f.phase && is_closed(*f.phase);
    if (f.paused.value_or(false)) {
      from += " INDEXED BY runs_paused";
      where += " AND r.closed_at = 0 AND r.paused = 1";
    } else if (f.open.value_or(false) || (f.phase && !closed_phase)) {
      from += " INDEXED BY runs_open";
      where += " AND r.closed_at = 0";
    } else if (closed_phase && *f.phase > engine::phase::completed) {
      from += " INDEXED BY runs_unsuccessful";
      where += " AND r.phase > 4";
    }
    if (f.open == false) where += " AND r.closed_at <> 0";
    if (f.open == true) where += " AND r.closed_at = 0";
    if (f.paused == false) where += " AND r.paused = 0";
    if (f.phase) where += " AND r.phase = ?2";
    if (!f.type.empty()) where += " AND r.type = (SELECT number FROM types WHERE name = ?3)";
    if (!f.id_prefix.empty()) where += " AND substr(CAST(r.id AS BLOB), 1, ?5) = CAST(?4 AS BLOB)";
    // First the keys alone: what is joined to them is read for the rows that are shown only.
    auto s =
        db_.prepare(run_columns + "FROM (SELECT r.key AS k " + from + " " + where +
                    " ORDER BY r.key DESC LIMIT ?6) CROSS JOIN runs r ON r.key = k" + joined + "ORDER BY r.key DESC");
    s.bind(1, f.below);
    if (f.phase) s.bind(2, static_cast<std::int64_t>(*f.phase));
    if (!f.type.empty()) s.bind(3, f.type);
    if (!f.id_prefix.empty()) s.bind(4, f.id_prefix).bind(5, static_cast<std::int64_t>(f.id_prefix.size()));
    s.bind(6, static_cast<std::int64_t>(std::min<std::size_t>(f.limit, INT64_MAX)));
    std::vector<run_row> out;
    while (s.step()) out.push_back(read_run(s));
    return out;
  });
}

std::optional<outcome_row> sqlite_view::outcome(std::string_view workflow_id, std::string_view command_id) {
  return guarded([&]() -> std::optional<outcome_row> {
    reading s(outcome_.bind(1, workflow_id).bind(2, command_id));
    if (!s.next()) return std::nullopt;
    outcome_row out;
    out.workflow_id = workflow_id;
    out.command_id = command_id;
    out.outcome = {.result = result_of(outcome_.bytes(0)),
                   .seq = static_cast<std::uint64_t>(outcome_.integer(1)),
                   .message = outcome_.text(2)};
    out.at = outcome_.integer(3);
    return out;
  });
}

view_counts sqlite_view::counts() {
  return guarded([&] {
    view_counts out;
    reading s(counts_);
    if (!s.next()) return out;
    out.open = static_cast<std::uint64_t>(counts_.integer(1));
    out.paused = static_cast<std::uint64_t>(counts_.integer(2));
    out.closed = static_cast<std::uint64_t>(counts_.integer(0)) - out.open;
    return out;
  });
}

engine::type_marks sqlite_view::type_marks() {
  return guarded([&] {
    engine::type_marks out;
    for (reading s(marks_); s.next();)
      engine::fold(out, {.type = marks_.text(0),
                         .version = static_cast<std::uint32_t>(marks_.integer(1)),
                         .revision = static_cast<std::uint64_t>(marks_.integer(2)),
                         .at = marks_.integer(3),
                         .by = marks_.text(4)});
    return out;
  });
}

// A store that is not writable for us is read without its shared memory; SQLite says so if a WAL stands in the way.
database open_file(const std::string& file) {
  try {
    return database(file, database::mode::read_write, longest_wait);
  } catch (const sqlite_error& e) {
    if (e.primary() != SQLITE_READONLY && e.primary() != SQLITE_PERM && e.primary() != SQLITE_CANTOPEN) throw;
    return database(file, database::mode::read_only, longest_wait);
  }
}

}  // namespace

database open_for_reading(const std::string& directory) {
  const auto file = database_file(directory);
  try {
    auto db = open_file(file);
    db.execute("PRAGMA query_only=1");
    const int found = schema_of(db, file);
    if (found == 0) throw view_error(file + " is empty; start a node, or name another directory with data.dir");
    refuse_newer(found, newest_schema(), file);
    if (found < newest_schema())
      throw view_error(file + " has the older schema version " + std::to_string(found) +
                       "; start a node, which brings it to version " + std::to_string(newest_schema()));
    return db;
  } catch (const sqlite_error& e) {
    if (e.primary() == SQLITE_CANTOPEN)
      throw view_error("there is no store in " + directory + " (" + file + " cannot be opened: " + e.what() +
                       "); name another directory with data.dir");
    throw view_error(file + " cannot be read: " + e.what());
  } catch (const store_error& e) {
    throw view_error(e.what());
  }
}

std::unique_ptr<view> open_view_with(const std::string& directory, std::shared_ptr<const recent_ids> ids) {
  return std::make_unique<sqlite_view>(directory, std::move(ids));
}

std::unique_ptr<view> open_view(const std::string& directory) { return open_view_with(directory, nullptr); }

}  // namespace pawl::store
