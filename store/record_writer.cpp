#include "store/record_writer.hpp"

#include <algorithm>

namespace pawl::store {

namespace {

std::int64_t as_signed(std::uint64_t v) { return static_cast<std::int64_t>(v); }

std::string name_of(const run_change& c) {
  return c.created ? "run " + std::to_string(c.created->run) + " of workflow '" + c.created->workflow_id + "'"
                   : "the run with key " + std::to_string(c.key);
}

}  // namespace

record_writer::record_writer(database& db, recent_ids& ids, options o)
    : db_(db),
      ids_(ids),
      options_(o),
      insert_run_(db.prepare("INSERT INTO runs VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)")),
      update_run_(db.prepare("UPDATE runs SET phase=?2, paused=?3, wake_at=?4, closed_at=?5 WHERE key=?1")),
      insert_chunk_(db.prepare("INSERT INTO events(key, at, heads, bodies) VALUES(?1,?2,?3,?4)")),
      update_state_(db.prepare("UPDATE state SET last_event_at=?1, runs=?2, ids_below=?3 WHERE one=1")),
      insert_id_(db.prepare("INSERT OR IGNORE INTO ids VALUES(?1,?2)")),
      run_of_key_(db.prepare("SELECT id, run FROM runs WHERE key=?1")),
      runs_of_hash_(db.prepare("SELECT key FROM ids WHERE hash=?1")),
      put_position_(db.prepare("INSERT OR REPLACE INTO log_position VALUES(?1,?2,?3,?4,?5,?6,?7,?8)")),
      insert_heartbeat_(db.prepare("INSERT OR REPLACE INTO heartbeats SELECT ?1,?2,?3,?4 WHERE EXISTS (SELECT 1 FROM "
                                   "runs WHERE key=?1 AND closed_at=0)")),
      delete_heartbeats_(db.prepare("DELETE FROM heartbeats WHERE run_key=?1")),
      insert_outcome_(db.prepare("INSERT OR IGNORE INTO outcomes(workflow_id, command_id, result, seq, message, at) "
                                 "VALUES(?1,?2,?3,?4,?5,?6)")),
      oldest_outcome_(db.prepare("SELECT number, at FROM outcomes ORDER BY number LIMIT 1")),
      delete_outcome_(db.prepare("DELETE FROM outcomes WHERE number=?1")),
      // As engine::is_newer() has it.
      put_mark_(db.prepare("INSERT INTO type_marks VALUES(?1,?2,?3,?4,?5) ON CONFLICT(type) DO UPDATE SET "
                           "version=excluded.version, revision=excluded.revision, at=excluded.at, "
                           "command=excluded.command WHERE (excluded.revision, excluded.at, excluded.command) > "
                           "(revision, at, command)")),
      outbox_(db) {
  read_state();
  ids_.expect(static_cast<std::size_t>(runs_));
  read_waiting_ids();
}

void record_writer::read_state() {
  next_key_ = db_.integer("SELECT max(key) FROM runs") + 1;
  auto s = db_.prepare("SELECT last_event_at, runs, ids_below FROM state");
  if (!s.step()) throw sqlite_error("the table `state` is empty", SQLITE_CORRUPT, 0);
  last_event_at_ = s.integer(0);
  runs_ = s.integer(1);
  ids_below_ = s.integer(2);
  outcomes_ = static_cast<std::uint64_t>(db_.integer("SELECT count(*) FROM outcomes"));
  types_.clear();
  for (auto t = db_.prepare("SELECT name, number FROM types"); t.step();) types_.emplace(t.text(0), t.integer(1));
  reigns_.clear();
  with_heartbeats_.clear();
  for (auto h = db_.prepare("SELECT DISTINCT run_key FROM heartbeats"); h.step();)
    with_heartbeats_.insert(h.integer(0));
  staged_ = {};
  staged_.next_key = next_key_;
  staged_.last_event_at = last_event_at_;
  staged_.runs = runs_;
  staged_.ids_below = ids_below_;
  staged_.outcomes = outcomes_;
}

void record_writer::read_waiting_ids() {
  ids_.clear();
  std::vector<known_id> page;
  std::vector<std::uint64_t> hashes;
  const auto hand_over = [&] {
    ids_.settle(page, 0, 0);
    ids_.announce(hashes);
    page.clear();
    hashes.clear();
  };
  auto s = db_.prepare("SELECT key, id FROM runs WHERE key >= ?1");
  s.bind(1, ids_below_);
  while (s.step()) {
    page.push_back({hash_of(s.bytes(1)), s.integer(0)});
    hashes.push_back(page.back().hash);
    if (page.size() == 4096) hand_over();
  }
  hand_over();
}

void record_writer::write(const record& r, const outbox_changes& outbox) {
  put_rows(r, outbox);
  finish();
}

// Points into the records: gone with the writing of them, however that ends.
class record_writer::gathering {
 public:
  gathering(record_writer& w, std::span<const std::shared_ptr<const record>> records) : all_(w.gathered_) {
    if (records.size() < 2) return;
    for (const auto& r : records)
      for (const auto& c : r->runs) all_.push_back({&c, all_.size()});
    std::sort(all_.begin(), all_.end(), [](const gathered& a, const gathered& b) {
      return std::pair(a.change->key, a.number) < std::pair(b.change->key, b.number);
    });
  }
  gathering(const gathering&) = delete;
  gathering& operator=(const gathering&) = delete;
  ~gathering() { all_.clear(); }

 private:
  std::vector<gathered>& all_;
};

void record_writer::write(std::span<const std::shared_ptr<const record>> records) {
  const gathering only_here(*this, records);
  for (const auto& r : records) put_rows(*r, r->outbox);
  finish();
}

void record_writer::put_rows(const record& r, const outbox_changes& outbox) {
  for (const auto& h : r.heartbeats) put_heartbeat(h);  // before the changes: a run that closes takes them along
  for (const auto& c : r.runs) change(c);
  for (const auto& o : r.outcomes) put_outcome(o);
  if (!r.outcomes.empty()) drop_old_outcomes(r.outcomes.size(), r.outcomes.back().at);
  if (!outbox.empty()) outbox_.write(outbox);
  for (const auto& m : r.marks) put_mark(m);
}

void record_writer::finish() {
  move_ids();
  if (staged_.changed)
    update_state_.bind(1, staged_.last_event_at).bind(2, staged_.runs).bind(3, staged_.ids_below).run();
}

void record_writer::put_position(const log_position& p) {
  const auto put = [&](std::string_view what, const log_point& at) -> statement& {
    reign_text_ = to_text(at.reign);
    return put_position_.bind(1, what)
        .bind(2, at.offset)
        .bind(3, as_signed(at.epoch))
        .bind(4, reign_text_)
        .bind(5, as_signed(at.seq))
        .bind(6, at.released ? 1 : 0);
  };
  put("view", p.at).bind(7, p.crc).bind(8, p.commands).run();
  if (p.feed == feed_) return;
  put("feed", p.feed).bind_null(7).bind_null(8).run();
  feed_ = p.feed;
}

void record_writer::mark_being_filled() { put_position({.at = {.offset = being_filled, .reign = {}}, .feed = {}}); }

bool record_writer::is_being_filled() {
  const auto p = position();
  return p && p->at.offset == being_filled;
}

std::optional<log_position> read_position(database& db) {
  log_position p;
  bool found = false;
  auto s = db.prepare("SELECT what, offset, epoch, reign, seq, released, crc, commands FROM log_position");
  while (s.step()) {
    const bool view = s.bytes(0) == "view";
    auto& at = view ? p.at : p.feed;
    at = {.offset = s.integer(1),
          .epoch = static_cast<std::uint64_t>(s.integer(2)),
          .reign = {},
          .seq = static_cast<std::uint64_t>(s.integer(4)),
          .released = s.integer(5) != 0};
    if (engine::run_uid uid; from_text(s.text(3) + "-0", uid)) at.reign = uid.reign;
    if (!view) continue;
    found = true;
    p.crc = static_cast<std::uint32_t>(s.integer(6));
    p.commands = s.integer(7);
  }
  return found ? std::optional(p) : std::nullopt;
}

void record_writer::settle() {
  ids_.settle(staged_.added, sweep_, staged_.moved_buckets);
  sweep_ = (sweep_ + staged_.moved_buckets) % recent_ids::buckets;
  next_key_ = staged_.next_key;
  last_event_at_ = staged_.last_event_at;
  runs_ = staged_.runs;
  ids_below_ = staged_.ids_below;
  outcomes_ = staged_.outcomes;
  staged_.added.clear();
  staged_.moved_buckets = 0;
  staged_.changed = false;
}

void record_writer::forget() {
  feed_ = {};
  outbox_.forget();
  read_state();
}

// All that is being written about its run, in order; `c` itself where nothing is gathered.
std::span<const record_writer::gathered> record_writer::all_of(const gathered& c) const {
  if (gathered_.empty()) return {&c, 1};
  const auto found = std::equal_range(gathered_.begin(), gathered_.end(), c, [](const gathered& a, const gathered& b) {
    return a.change->key < b.change->key;
  });
  return {found.first, found.second};
}

// What the run's line says after all that is being written is written at once. That it closes is so a few rows early: a
// detail of a heartbeat in between is not stored, and would be deleted again.
void record_writer::change(const run_change& c) {
  static const run_summary at_first;
  if (c.key < 1 || c.key > last_possible_run) throw refusal{"run key " + std::to_string(c.key) + " is out of range"};
  const gathered one{&c};
  const auto all = all_of(one);
  const auto last = std::find_if(all.rbegin(), all.rend(), [](const auto& x) { return x.change->summary.has_value(); });
  if (c.created)
    create(c, last != all.rend() ? *last->change->summary : at_first);
  else if (c.summary && last->change == &c)
    update(c, *c.summary);
  if (all.front().change == &c) put_events(all);
  if (c.summary && c.summary->closed_at != 0 && with_heartbeats_.contains(c.key)) {
    delete_heartbeats_.bind(1, c.key).run();
    with_heartbeats_.erase(c.key);
  }
}

void record_writer::create(const run_change& c, const run_summary& s) {
  const auto& h = *c.created;
  const auto hash = hash_of(h.workflow_id);
  if (ids_.may_exist(h.workflow_id)) refuse_known(c, hash);
  ids_.announce(hash);
  insert_run_.bind(1, c.key)
      .bind(2, h.workflow_id)
      .bind(3, h.run)
      .bind(4, number_of(h.uid.reign))
      .bind(5, as_signed(h.uid.serial))
      .bind(6, type_number(h.type))
      .bind(7, h.version)
      .bind(8, static_cast<std::int64_t>(s.phase))
      .bind(9, s.paused ? 1 : 0)
      .bind(10, s.wake_at)
      .bind(11, h.started_at)
      .bind(12, s.closed_at)
      .bind(13, h.start_command)
      .run();
  // A key below the mark would not be found again among the waiting ones: it goes to the table at once.
  if (c.key < staged_.ids_below)
    insert_id_.bind(1, as_signed(hash)).bind(2, c.key).run();
  else
    staged_.added.push_back({hash, c.key});
  staged_.next_key = std::max(staged_.next_key, c.key + 1);
  ++staged_.runs;
  staged_.changed = true;
}

// The partition has looked before it decided; this holds even if it is wrong.
void record_writer::refuse_known(const run_change& c, std::uint64_t hash) {
  const auto check = [&](engine::run_key key) {
    if (is_run_of(key, *c.created)) throw refusal{name_of(c) + " exists already"};
  };
  for (const auto& k : staged_.added)
    if (k.hash == hash) check(k.key);
  for (const auto key : ids_.waiting(hash)) check(key);
  std::vector<engine::run_key> keys;
  {
    reading s(runs_of_hash_.bind(1, as_signed(hash)));
    while (s.next()) keys.push_back(runs_of_hash_.integer(0));
  }
  for (const auto key : keys) check(key);
}

bool record_writer::is_run_of(engine::run_key key, const run_header& h) {
  reading s(run_of_key_.bind(1, key));
  return s.next() && run_of_key_.bytes(0) == h.workflow_id && run_of_key_.integer(1) == h.run;
}

void record_writer::update(const run_change& c, const run_summary& s) {
  update_run_.bind(1, c.key)
      .bind(2, static_cast<std::int64_t>(s.phase))
      .bind(3, s.paused ? 1 : 0)
      .bind(4, s.wake_at)
      .bind(5, s.closed_at)
      .run();
  if (sqlite3_changes(db_.handle()) != 1) throw refusal{name_of(c) + " does not exist"};
}

void record_writer::put_events(std::span<const gathered> all) {
  const auto key = all.front().change->key;
  std::uint64_t before = 0;
  row_.clear();
  for (const auto& [c, number] : all)
    for (const auto& e : c->events) {
      if (e.seq < 1 || e.seq > last_possible_seq)
        throw refusal{name_of(*c) + ": seq " + std::to_string(e.seq) + " is above " +
                      std::to_string(last_possible_seq)};
      if (before != 0 && e.seq != before + 1)
        throw refusal{name_of(*c) + ": event " + std::to_string(e.seq) + " follows event " + std::to_string(before)};
      before = e.seq;
      if (!row_.empty() && !row_.takes(e)) put_row(key);
      row_.add(e);
      staged_.last_event_at = std::max(staged_.last_event_at, e.at);
    }
  if (row_.empty()) return;
  put_row(key);
  staged_.changed = true;
}

void record_writer::put_row(engine::run_key key) {
  const auto& heads = row_.finish();
  insert_chunk_.bind(1, event_key(key, row_.first_seq())).bind(2, row_.at()).bind(3, heads).bind_blob(4, row_.bodies());
  insert_chunk_.run();
  row_.clear();
}

void record_writer::put_heartbeat(const heartbeat_row& h) {
  insert_heartbeat_.bind(1, h.key).bind(2, h.step).bind(3, h.undo ? 1 : 0).bind_blob(4, h.details).run();
  if (sqlite3_changes(db_.handle()) > 0) with_heartbeats_.insert(h.key);
}

void record_writer::put_outcome(const outcome_row& o) {
  insert_outcome_.bind(1, o.workflow_id)
      .bind(2, o.command_id)
      .bind(3, to_text(o.outcome.result))
      .bind(4, as_signed(o.outcome.seq))
      .bind(5, o.outcome.message)
      .bind(6, o.at)
      .run();
  staged_.outcomes += static_cast<std::uint64_t>(sqlite3_changes(db_.handle()));
}

// Bounded: as many as came and a few more, so that a shortened retention is reached in time and no record pays for it.
void record_writer::drop_old_outcomes(std::size_t added, std::int64_t now) {
  for (std::size_t n = 0; n < 2 * added + 16; ++n) {
    std::int64_t number = 0;
    {
      reading s(oldest_outcome_);
      if (!s.next()) return;
      const bool old = oldest_outcome_.integer(1) < now - options_.outcome_age_us;
      if (!old && staged_.outcomes <= options_.outcome_count) return;
      number = oldest_outcome_.integer(0);
    }
    delete_outcome_.bind(1, number).run();
    --staged_.outcomes;
  }
}

void record_writer::put_mark(const engine::type_mark& m) {
  put_mark_.bind(1, m.type).bind(2, m.version).bind(3, as_signed(m.revision)).bind(4, m.at).bind(5, m.by).run();
}

std::int64_t record_writer::type_number(const std::string& name) {
  if (const auto it = types_.find(name); it != types_.end()) return it->second;
  db_.prepare("INSERT INTO types(name) VALUES(?1)").bind(1, name).run();
  return types_[name] = sqlite3_last_insert_rowid(db_.handle());
}

std::int64_t record_writer::number_of(const engine::reign& r) {
  if (const auto it = reigns_.find(r); it != reigns_.end()) return it->second;
  const auto text = to_text(r);
  db_.prepare("INSERT OR IGNORE INTO reigns(reign, opened_at) VALUES(?1, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))")
      .bind(1, text)
      .run();
  auto s = db_.prepare("SELECT number FROM reigns WHERE reign=?1");
  s.bind(1, text);
  if (!s.step()) throw sqlite_error("a reign was not stored", SQLITE_CORRUPT, 0);
  return reigns_[r] = s.integer(0);
}

// ---- ids

void record_writer::move_bucket(std::size_t n) {
  sorted_ = ids_.bucket(n);
  // In the order of the table, whose hashes are signed; within a bucket that is the same order.
  std::sort(sorted_.begin(), sorted_.end(), [](const known_id& a, const known_id& b) { return a.hash < b.hash; });
  for (const auto& k : sorted_) insert_id_.bind(1, as_signed(k.hash)).bind(2, k.key).run();
}

void record_writer::move_ids() {
  auto waiting = ids_.waiting_count() + staged_.added.size();
  // After a start there may be far more than the limit: a record moves at most about twice as many as it brings.
  std::size_t quota = 2 * staged_.added.size() + 64;
  auto& moved = staged_.moved_buckets;
  while (waiting > options_.waiting_ids && quota > 0 && moved < recent_ids::buckets) {
    const auto n = (sweep_ + moved) % recent_ids::buckets;
    move_bucket(n);
    ++moved;
    waiting -= sorted_.size();
    quota -= std::min(quota, sorted_.size());
    if (n + 1 == recent_ids::buckets) {
      staged_.ids_below = lowest_waiting(sweep_, moved);
      staged_.changed = true;
    }
  }
}

// Every key below it is in the table, when the buckets [first, first + count) are.
engine::run_key record_writer::lowest_waiting(std::size_t skip_first, std::size_t skip_count) const {
  auto lowest = staged_.next_key;
  for (const auto& k : staged_.added) lowest = std::min(lowest, k.key);
  for (std::size_t n = skip_count; n < recent_ids::buckets; ++n)
    for (const auto& k : ids_.bucket((skip_first + n) % recent_ids::buckets)) lowest = std::min(lowest, k.key);
  return lowest;
}

void record_writer::move_all_ids() {
  constexpr std::size_t at_once = 256;  // buckets a transaction
  for (std::size_t first = 0; first < recent_ids::buckets; first += at_once) {
    db_.execute("BEGIN IMMEDIATE");
    for (std::size_t n = first; n < first + at_once; ++n) move_bucket(n);
    staged_.moved_buckets = at_once;
    if (first + at_once == recent_ids::buckets) {
      staged_.ids_below = next_key_;
      update_state_.bind(1, last_event_at_).bind(2, runs_).bind(3, staged_.ids_below).run();
    }
    sweep_ = first;
    db_.execute("COMMIT");
    settle();
  }
}

}  // namespace pawl::store
