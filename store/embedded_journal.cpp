#include "store/embedded_journal.hpp"

#include <sys/random.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <thread>

#include "store/append_failure.hpp"
#include "store/checkpointer.hpp"
#include "store/data_directory.hpp"
#include "store/record_writer.hpp"
#include "store/schema.hpp"
#include "store/sqlite.hpp"
#include "store/sqlite_view.hpp"
#include "store/view_loader.hpp"

namespace pawl::store {

namespace {

engine::reign draw_reign() {
  engine::reign r;
  if (::getrandom(&r, sizeof r, 0) != sizeof r) throw store_error("cannot draw random numbers for a new reign");
  return r;
}

}  // namespace

struct embedded_journal::state {
  explicit state(embedded_options o)
      : options(std::move(o)),
        file(database_file(options.directory)),
        ids(std::make_shared<recent_ids>()) {}
  ~state() {
    stop_reading_ids();
    close();
  }

  void open();
  void close();
  void refuse_the_other_kind();
  append_result try_open() noexcept;
  append_result write(const record& r, const outbox_changes& outbox);
  append_result write(const std::function<void()>& rows, std::size_t count = 1);
  append_result clear();
  void empty_tables();
  append_result fill(const std::function<log_position(view_loader&)>& rows);
  append_result refuse(std::string why);
  append_result fail(const sqlite_error& e);
  void checkpoint_if_due();
  void checkpoint();
  void trouble_of_checkpoint(const sqlite_error& e);
  void begin_wal_anew();
  void check_integrity();
  std::int64_t checkpoint_step() const {
    return std::max<std::int64_t>(1, static_cast<std::int64_t>(options.wal_limit / 4 / page_size));
  }
  /// A long reading is waited for only when the WAL has become very large behind it.
  std::uint64_t most_wal() const { return options.wal_limit * (long_readings.load() > 0 ? 16 : 1); }
  void on_commit(std::int64_t frames);
  void publish();
  void read_ids_in_background();
  void stop_reading_ids();

  const embedded_options options;
  const std::string file;
  const std::shared_ptr<recent_ids> ids;

  database db;
  std::optional<record_writer> writer;
  statement begin, commit;
  // What the interface tells, to any thread.
  mutable std::mutex mutex;
  engine::reign present{};
  std::atomic<engine::run_key> next_key{1};
  std::atomic<std::int64_t> last_event_at{0};

  /// Set by an error after a commit, which does not make the record doubtful: the next append reports it.
  std::optional<append_result> doomed;

  std::uint32_t page_size = 0;
  std::int64_t wal_frames = 0;          // as of the newest commit
  std::int64_t checkpoint_at = 0;       // frames
  std::atomic<std::uint64_t> emptied{0};
  std::atomic<int> long_readings{0};
  std::atomic<std::uint64_t> records{0}, wal_bytes{0}, checkpoints{0}, checkpoint_us{0}, blocked{0};

  std::optional<checkpointer> aside;  // of a view: nobody waits for what it copies

  std::thread id_reader;
  std::atomic<bool> stopping{false};
};

// ---- opening and closing

void embedded_journal::state::open() {
  close();
  db = database(file, database::mode::create, options.busy_timeout, options.vfs);
  db.execute(options.truth ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
  const int found = schema_of(db, file);
  refuse_newer(found, newest_schema(), file);
  if (found == 0) db.execute("PRAGMA page_size=" + std::to_string(options.page_size));
  if (db.text("PRAGMA journal_mode=WAL") != "wal")
    throw store_error(file +
                      " cannot be put into WAL mode; its file system has no shared memory maps: choose a local one");
  db.execute("PRAGMA secure_delete=OFF");
  db.execute("PRAGMA cache_size=-" + std::to_string(options.cache_bytes / 1024));
  db.execute("PRAGMA journal_size_limit=" + std::to_string(options.wal_limit));
  check_integrity();
  // What a failed sync may have left in the kernel's memory only is made durable before anything is appended behind it.
  begin_wal_anew();
  migrate(db, file);
  page_size = static_cast<std::uint32_t>(db.integer("PRAGMA page_size"));
  begin = db.prepare("BEGIN IMMEDIATE");
  commit = db.prepare("COMMIT");
  const auto age = std::chrono::duration_cast<std::chrono::microseconds>(options.outcome_age).count();
  writer.emplace(db, *ids, record_writer::options{age, options.outcome_count, options.waiting_ids});
  refuse_the_other_kind();
  if (!options.truth && writer->is_being_filled()) empty_tables();
  const auto drawn = draw_reign();
  begin.run();
  writer->number_of(drawn);
  commit.run();
  {
    const std::lock_guard lock(mutex);
    present = drawn;
  }
  if (ids->waiting_count() > 2 * options.waiting_ids) writer->move_all_ids();
  wal_frames = 0;
  checkpoint_at = checkpoint_step();
  sqlite3_wal_hook(
      db.handle(),
      [](void* self, sqlite3*, const char*, int frames) {
        static_cast<state*>(self)->on_commit(frames);
        return SQLITE_OK;
      },
      this);
  if (!options.truth) aside.emplace(file, options.busy_timeout, options.vfs);
  publish();
  if (!ids->complete()) read_ids_in_background();
}

// A view must not be written to as if it were the truth, nor be thrown away when it is.
void embedded_journal::state::refuse_the_other_kind() {
  const bool view = writer->position().has_value();
  if (options.truth && view)
    throw store_error(file + " is the view of a journal in Kafka: set kafka.brokers, or choose another data.dir");
  if (!options.truth && !view && writer->next_run_key() > 1)
    throw store_error(file +
                      " is a store of its own, made by a node without a broker: choose another data.dir, or take "
                      "kafka.brokers out of the configuration");
}

void embedded_journal::state::publish() {
  next_key.store(writer->next_run_key(), std::memory_order_release);
  last_event_at.store(writer->last_event_at(), std::memory_order_release);
}

void embedded_journal::state::close() {
  aside.reset();
  doomed.reset();
  writer.reset();
  begin = {};
  commit = {};
  db.close();
}

void embedded_journal::state::check_integrity() {
  if (!check_is_asked(options.directory)) return;
  const auto found = db.text("PRAGMA integrity_check(1)");
  if (found != "ok")
    throw store_error(file + " is damaged, as the check that an earlier I/O error asked for has found: " + found +
                      "; keep a copy, see what `pawl verify` finds, and restore the data directory from a backup");
  check_is_done(options.directory);
}

void embedded_journal::state::begin_wal_anew() {
  const int code = sqlite3_wal_checkpoint_v2(db.handle(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  if (code != SQLITE_OK) raise(db.handle(), code);
}

append_result embedded_journal::state::try_open() noexcept {
  try {
    open();
    return {};
  } catch (const sqlite_error& e) {
    auto r = describe_failure(file, e);
    close();
    if (r.status == append_status::broken) ask_for_check(options.directory);
    return r;
  } catch (const std::exception& e) {
    close();
    return {append_status::broken, e.what()};
  }
}

// ---- appending

append_result embedded_journal::state::write(const record& r, const outbox_changes& outbox) {
  if (!doomed && db && r.empty() && outbox.empty()) return {};
  return write([&] { writer->write(r, outbox); });
}

// `rows` puts the rows of so many records, in one transaction.
append_result embedded_journal::state::write(const std::function<void()>& rows, std::size_t count) {
  if (doomed) {
    const auto out = *doomed;
    close();
    return out;
  }
  if (!db) return {append_status::unknown, file + " is closed after a failure and has not been reopened"};
  try {
    begin.run();
  } catch (const sqlite_error& e) {
    if (e.primary() == SQLITE_BUSY)
      return {append_status::refused,
              file + ": another process has been writing to it for longer than journal.busy_timeout; end that process"};
    return fail(e);
  }
  try {
    rows();
    commit.run();
  } catch (const refusal& e) {
    return refuse(e.why);
  } catch (const sqlite_error& e) {
    return e.primary() == SQLITE_CONSTRAINT ? refuse(e.what()) : fail(e);
  }
  writer->settle();
  publish();
  records.fetch_add(count, std::memory_order_relaxed);
  wal_bytes.store(static_cast<std::uint64_t>(wal_frames) * page_size, std::memory_order_relaxed);
  checkpoint_if_due();
  return {};
}

append_result embedded_journal::state::clear() {
  if (!db) return {append_status::unknown, file + " is closed after a failure and has not been reopened"};
  try {
    empty_tables();
    return {};
  } catch (const sqlite_error& e) {
    return fail(e);
  }
}

void embedded_journal::state::empty_tables() {
  emptied.fetch_add(1);  // first: who has seen emptied tables sees it
  begin.run();
  for (const char* table :
       {"runs", "events", "ids", "heartbeats", "outcomes", "outbox", "peers", "received", "type_marks", "log_position"})
    db.execute(std::string("DELETE FROM ") + table);
  db.execute("UPDATE state SET last_event_at=0, runs=0, ids_below=1");
  commit.run();
  stop_reading_ids();
  writer->forget();
  ids->clear();
  ids->mark_complete();  // nothing is on record that it lacks
  publish();
}

append_result embedded_journal::state::fill(const std::function<log_position(view_loader&)>& rows) {
  if (auto r = clear(); r.status != append_status::committed) return r;
  try {
    begin.run();
    writer->mark_being_filled();
    commit.run();
    view_loader loader(db, *ids, [this] {
      if (wal_frames >= checkpoint_at) checkpoint();
    });
    const auto at = rows(loader);
    loader.finish();
    writer->put_position(at);
    commit.run();
    writer->forget();
    publish();
    if (wal_frames >= checkpoint_at) checkpoint();
    return {};
  } catch (const sqlite_error& e) {
    return fail(e);
  } catch (...) {
    if (db.in_transaction()) sqlite3_exec(db.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
    if (auto r = clear(); r.status != append_status::committed) return r;
    throw;
  }
}

append_result embedded_journal::state::refuse(std::string why) {
  try {
    db.execute("ROLLBACK");
    writer->forget();
    return {append_status::refused, file + ": " + std::move(why)};
  } catch (const sqlite_error& e) {
    return fail(e);
  }
}

append_result embedded_journal::state::fail(const sqlite_error& e) {
  auto r = describe_failure(file, e);
  close();
  if (r.status == append_status::broken) ask_for_check(options.directory);
  return r;
}

// Called by SQLite when a commit is in the WAL.
void embedded_journal::state::on_commit(std::int64_t frames) {
  if (frames < wal_frames) checkpoint_at = checkpoint_step();  // the WAL has begun anew
  wal_frames = frames;
}

// A view's WAL is copied aside, and then what was committed meanwhile here. Above wal_limit who commits waits for that.
void embedded_journal::state::checkpoint_if_due() {
  if (!aside) {
    if (wal_frames >= checkpoint_at) checkpoint();
    return;
  }
  if (aside->at_work()) {
    if (static_cast<std::uint64_t>(wal_frames) * page_size <= most_wal()) return;
    aside->wait();
  }
  if (const auto done = aside->take()) {
    checkpoint_us.fetch_add(static_cast<std::uint64_t>(done->took.count()), std::memory_order_relaxed);
    if (done->error) return trouble_of_checkpoint(*done->error);
    return checkpoint();
  }
  if (wal_frames >= checkpoint_at) aside->ask();
}

// PASSIVE waits for nobody. When it has copied everything and no reader is in the WAL, the next commit begins the WAL
// anew; a reader that is in it puts that off, and above wal_limit it is waited for, shortly.
void embedded_journal::state::checkpoint() {
  const auto begun = std::chrono::steady_clock::now();
  int in_wal = 0;
  int copied = 0;
  int code = sqlite3_wal_checkpoint_v2(db.handle(), nullptr, SQLITE_CHECKPOINT_PASSIVE, &in_wal, &copied);
  bool whole = code == SQLITE_OK && in_wal == copied;
  if ((code == SQLITE_OK || code == SQLITE_BUSY) && static_cast<std::uint64_t>(wal_frames) * page_size > most_wal()) {
    sqlite3_busy_timeout(db.handle(), 20);
    code = sqlite3_wal_checkpoint_v2(db.handle(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
    sqlite3_busy_timeout(db.handle(), static_cast<int>(options.busy_timeout.count()));
    whole = code == SQLITE_OK;
  }
  checkpoint_at = wal_frames + checkpoint_step();  // unless the WAL begins anew first
  if (!whole) blocked.fetch_add(1, std::memory_order_relaxed);
  if (code != SQLITE_OK && code != SQLITE_BUSY) {
    try {
      raise(db.handle(), code);
    } catch (const sqlite_error& e) {
      trouble_of_checkpoint(e);
    }
  }
  const auto spent = std::chrono::steady_clock::now() - begun;
  checkpoints.fetch_add(1, std::memory_order_relaxed);
  checkpoint_us.fetch_add(
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(spent).count()),
      std::memory_order_relaxed);
}

void embedded_journal::state::trouble_of_checkpoint(const sqlite_error& e) {
  doomed = describe_failure(file, e);
  if (doomed->status == append_status::broken) ask_for_check(options.directory);
}

// ---- ids on disk

// The table's hashes go into the filter; those of the waiting ids, and of everything that is appended meanwhile, are in
// it already. Small pages, so that no snapshot stays open. After an error the filter just never becomes complete.
void embedded_journal::state::read_ids_in_background() {
  stop_reading_ids();
  if (db.integer("SELECT count(*) FROM (SELECT 1 FROM ids LIMIT 1)") == 0) return ids->mark_complete();
  stopping = false;
  id_reader = std::thread([this] {
    try {
      database reader(file, database::mode::read_write, options.busy_timeout);
      reader.execute("PRAGMA query_only=1");
      auto page =
          reader.prepare("SELECT hash, key FROM ids WHERE (hash, key) > (?1, ?2) ORDER BY hash, key LIMIT 2048");
      std::vector<std::uint64_t> hashes;
      std::int64_t hash = INT64_MIN;
      engine::run_key key = INT64_MIN;
      do {
        if (stopping) return;
        hashes.clear();
        for (reading r(page.bind(1, hash).bind(2, key)); r.next();) {
          hash = page.integer(0);
          key = page.integer(1);
          hashes.push_back(static_cast<std::uint64_t>(hash));
        }
        ids->announce(hashes);
      } while (!hashes.empty());
      ids->mark_complete();
    } catch (const sqlite_error&) {
      // may_exist() goes on to answer true, which costs a query a start and no more; the next opening tries again.
    }
  });
}

void embedded_journal::state::stop_reading_ids() {
  stopping = true;
  if (id_reader.joinable()) id_reader.join();
}

// ---- the interface

embedded_journal::embedded_journal(std::unique_ptr<state> s) : state_(std::move(s)) {}

embedded_journal::~embedded_journal() {
  auto& s = *state_;
  s.stop_reading_ids();
  s.aside.reset();
  if (!s.db || s.doomed) return;
  sqlite3_busy_timeout(s.db.handle(), 50);
  sqlite3_wal_checkpoint_v2(s.db.handle(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
}

append_result embedded_journal::append(record r) { return state_->write(r, r.outbox); }
append_result embedded_journal::append(const record& r, const outbox_changes& outbox) {
  return state_->write(r, outbox);
}
append_result embedded_journal::append(const record& r, const log_position& position) {
  return state_->write([&] {
    state_->writer->write(r, r.outbox);
    state_->writer->put_position(position);
  });
}
append_result embedded_journal::append(std::span<const std::shared_ptr<const record>> records,
                                       const log_position& position) {
  const auto rows = [&] {
    state_->writer->write(records);
    state_->writer->put_position(position);
  };
  return state_->write(rows, records.size());
}
std::optional<log_position> embedded_journal::position() {
  auto& s = *state_;
  if (!s.writer) throw store_error(s.file + " is closed after a failure");
  try {
    return s.writer->is_being_filled() ? std::nullopt : s.writer->position();
  } catch (const sqlite_error& e) {
    throw store_error(describe_failure(s.file, e).message);
  }
}
outbox_state embedded_journal::outbox() {
  auto& s = *state_;
  if (!s.writer) throw store_error(s.file + " is closed after a failure");
  try {
    return s.writer->outbox();
  } catch (const sqlite_error& e) {
    throw store_error(describe_failure(s.file, e).message);
  }
}
append_result embedded_journal::clear() { return state_->clear(); }
append_result embedded_journal::fill(const std::function<log_position(view_loader&)>& rows) {
  return state_->fill(rows);
}
std::shared_ptr<void> embedded_journal::long_reading() const {
  auto* count = &state_->long_readings;
  count->fetch_add(1);
  return {static_cast<void*>(count), [count](void*) { count->fetch_sub(1); }};
}
std::uint64_t embedded_journal::emptied() const { return state_->emptied.load(); }
const std::string& embedded_journal::directory() const { return state_->options.directory; }
append_result embedded_journal::reopen() { return state_->try_open(); }
engine::reign embedded_journal::reign() const {
  const std::lock_guard lock(state_->mutex);
  return state_->present;
}
engine::run_key embedded_journal::next_run_key() const { return state_->next_key.load(std::memory_order_acquire); }
std::int64_t embedded_journal::last_event_time() const { return state_->last_event_at.load(std::memory_order_acquire); }
bool embedded_journal::may_exist(std::string_view workflow_id) const { return state_->ids->may_exist(workflow_id); }
std::unique_ptr<view> embedded_journal::open_view() const {
  return open_view_with(state_->options.directory, state_->ids);
}

journal_stats embedded_journal::stats() const {
  const auto& s = *state_;
  return {.records = s.records,
          .wal_bytes = s.wal_bytes,
          .checkpoints = s.checkpoints,
          .checkpoint_us = s.checkpoint_us,
          .checkpoints_blocked = s.blocked,
          .ids_waiting = s.ids->waiting_count(),
          .id_memory_bytes = s.ids->bytes(),
          .ids_known = s.ids->complete()};
}

std::unique_ptr<embedded_journal> open_embedded(const embedded_options& options) {
  auto s = std::make_unique<embedded_journal::state>(options);
  if (auto r = s->try_open(); r.status != append_status::committed) throw write_error(r);
  return std::unique_ptr<embedded_journal>(new embedded_journal(std::move(s)));
}

}  // namespace pawl::store
