#include "store/verify.hpp"

#include <algorithm>
#include <map>
#include <optional>

#include "store/data_directory.hpp"
#include "store/event_chunk.hpp"
#include "store/sqlite_view.hpp"
#include "store/verify_ids.hpp"
#include "store/verify_run.hpp"

namespace pawl::store {

namespace {

std::map<std::int64_t, std::string> names(database& db, const char* sql) {
  std::map<std::int64_t, std::string> out;
  for (auto s = db.prepare(sql); s.step();) out.emplace(s.integer(0), s.text(1));
  return out;
}

class verifier {
 public:
  verifier(database& db, const verify_progress& progress)
      : db_(db),
        progress_(progress),
        types_(names(db, "SELECT number, name FROM types")),
        reigns_(names(db, "SELECT number, reign FROM reigns")),
        ids_(db, [this](const run_row& row, std::string what) { add(row, 0, std::move(what)); }) {}

  verify_report run() {
    step("the database", [&] { integrity(); });
    step("the runs and their events", [&] { runs(); });
    step("the ids", [&] { ids_.end(); });
    step("the run_uids", [&] { uids(); });
    step("the outcomes", [&] { outcomes(); });
    step("the heartbeats", [&] { heartbeats(); });
    step("the outbox", [&] { outbox(); });
    step("the state", [&] { state(); });
    return std::move(report_);
  }

 private:
  void add(finding f) {
    ++report_.found;
    if (report_.findings.size() < verify_report::most_findings) report_.findings.push_back(std::move(f));
  }
  void add(std::string what) { add(finding{.workflow_id = {}, .run = 0, .seq = 0, .what = std::move(what)}); }
  void add(const run_row& row, std::uint64_t seq, std::string what) {
    add(finding{.workflow_id = row.header.workflow_id, .run = row.header.run, .seq = seq, .what = std::move(what)});
  }
  // A part that cannot be read is a finding, and the rest is looked at all the same.
  template <class F>
  void step(const char* what, F f) {
    try {
      f();
    } catch (const sqlite_error& e) {
      add(std::string(what) + " cannot be read to the end: " + e.what());
    }
  }

  void integrity();
  void runs();
  run_row read_row(const statement& s);
  void events_of(const run_row& row);
  void orphans_below(std::int64_t key);
  void uids();
  void outcomes();
  void heartbeats();
  void outbox();
  void state();

  database& db_;
  const verify_progress& progress_;
  std::map<std::int64_t, std::string> types_, reigns_;
  id_check ids_;
  verify_report report_;
  statement events_;
  bool event_is_there_ = false;
  std::int64_t last_event_at_ = 0;
  engine::run_key last_key_ = 0;
};

void verifier::integrity() {
  auto s = db_.prepare("PRAGMA integrity_check(100)");
  while (s.step())
    if (s.bytes(0) != "ok") add("the database: " + s.text(0));
}

run_row verifier::read_row(const statement& s) {
  run_row out;
  out.key = s.integer(0);
  out.header.workflow_id = s.text(1);
  out.header.run = static_cast<std::uint32_t>(s.integer(2));
  const auto reign = reigns_.find(s.integer(3));
  if (reign == reigns_.end())
    add(out, 0, "the row's reign is not in the table of reigns");
  else if (!from_text(reign->second + "-" + std::to_string(static_cast<std::uint64_t>(s.integer(4))), out.header.uid))
    add(out, 0, "the row's reign is not one");
  const auto type = types_.find(s.integer(5));
  if (type == types_.end())
    add(out, 0, "the row's type is not in the table of types");
  else
    out.header.type = type->second;
  out.header.version = static_cast<std::uint32_t>(s.integer(6));
  out.summary.phase = static_cast<engine::phase>(s.integer(7));
  out.summary.paused = s.integer(8) != 0;
  out.summary.wake_at = s.integer(9);
  out.header.started_at = s.integer(10);
  out.summary.closed_at = s.integer(11);
  out.header.start_command = s.text(12);
  return out;
}

// Two cursors side by side, both in the order of run keys.
void verifier::runs() {
  const auto total = static_cast<std::uint64_t>(db_.integer("SELECT runs FROM state"));
  auto rows = db_.prepare("SELECT * FROM runs ORDER BY key");
  events_ = db_.prepare("SELECT key, at, heads, bodies FROM events ORDER BY key");
  event_is_there_ = events_.step();
  while (rows.step()) {
    const auto row = read_row(rows);
    orphans_below(event_key(row.key, 0));
    events_of(row);
    ids_.run(row);
    last_key_ = row.key;
    ++report_.runs;
    if (row.summary.closed_at == 0) ++report_.open_runs;
    if (progress_ && report_.runs % 1024 == 0) progress_(report_.runs, std::max(total, report_.runs));
  }
  orphans_below(INT64_MAX);
  if (progress_) progress_(report_.runs, report_.runs);
}

void verifier::orphans_below(std::int64_t key) {
  std::optional<engine::run_key> told;
  while (event_is_there_ && events_.integer(0) < key) {
    const auto run = run_of(events_.integer(0));
    if (told != run)
      add(finding{.workflow_id = {},
                  .run = 0,
                  .seq = seq_of(events_.integer(0)),
                  .what = "events of a run that does not exist, run key " + std::to_string(run)});
    told = run;
    event_is_there_ = events_.step();
  }
}

void verifier::events_of(const run_row& row) {
  run_check check(row, [&](std::uint64_t seq, std::string what) { add(row, seq, std::move(what)); });
  while (event_is_there_ && run_of(events_.integer(0)) == row.key) {
    check.chunk(seq_of(events_.integer(0)), events_.integer(1), events_.bytes(2), events_.bytes(3));
    event_is_there_ = events_.step();
  }
  check.end();
  report_.events += check.events();
  last_event_at_ = std::max(last_event_at_, check.last_at());
}

void verifier::uids() {
  auto s = db_.prepare(
      "SELECT r.id, r.run FROM runs r JOIN (SELECT reign, serial FROM runs GROUP BY reign, serial HAVING count(*) > 1) "
      "d "
      "ON r.reign = d.reign AND r.serial = d.serial");
  while (s.step())
    add(finding{.workflow_id = s.text(0),
                .run = static_cast<std::uint32_t>(s.integer(1)),
                .seq = 0,
                .what = "another run has the same run_uid"});
}

void verifier::outcomes() {
  report_.outcomes = static_cast<std::uint64_t>(db_.integer("SELECT count(*) FROM outcomes"));
  auto s = db_.prepare(
      "SELECT workflow_id, command_id, count(*) FROM outcomes NOT INDEXED GROUP BY workflow_id, command_id HAVING "
      "count(*) > 1");
  while (s.step())
    add(finding{.workflow_id = s.text(0),
                .run = 0,
                .seq = 0,
                .what = "command '" + s.text(1) + "' has " + s.text(2) + " outcomes"});
}

void verifier::heartbeats() {
  report_.heartbeats = static_cast<std::uint64_t>(db_.integer("SELECT count(*) FROM heartbeats"));
  auto s = db_.prepare(
      "SELECT h.run_key, r.id, r.run FROM heartbeats h LEFT JOIN runs r ON r.key = h.run_key WHERE r.key IS NULL OR "
      "r.closed_at <> 0");
  while (s.step())
    add(finding{.workflow_id = s.text(1),
                .run = static_cast<std::uint32_t>(s.integer(2)),
                .seq = 0,
                .what = s.null(1) ? "heartbeats of a run that does not exist, run key " + s.text(0)
                                  : "heartbeats of a run that is closed"});
}

// Every message from the first that is not acknowledged to the last that was given a number; stretches that follow each
// other.
void verifier::outbox() {
  auto s = db_.prepare(
      "SELECT coalesce(p.peer, o.peer), p.given_below - p.acknowledged_below, count(o.number), min(o.number), "
      "max(o.number), p.acknowledged_below, p.given_below FROM outbox o FULL JOIN peers p ON p.peer = o.peer GROUP BY "
      "1");
  while (s.step()) {
    const bool empty = s.integer(2) == 0;
    const bool whole =
        empty ? s.integer(1) == 0
              : s.integer(1) == s.integer(2) && s.integer(3) == s.integer(5) && s.integer(4) + 1 == s.integer(6);
    if (!whole) add("messages to partition " + s.text(0) + " are missing in the table `outbox`, or too many");
  }
  auto r = db_.prepare(
      "SELECT peer, first FROM (SELECT peer, first, last, lag(last) OVER (PARTITION BY peer ORDER BY first) AS before "
      "FROM "
      "received) WHERE last < first OR (before IS NOT NULL AND first <> before + 1)");
  while (r.step())
    add("what was received of partition " + r.text(0) + " does not follow what was before it, at message " + r.text(1));
}

void verifier::state() {
  auto s = db_.prepare("SELECT last_event_at, runs, ids_below FROM state");
  if (!s.step()) return add("the table `state` is empty");
  if (s.integer(0) != last_event_at_)
    add("the newest event is of " + std::to_string(last_event_at_) + ", the table `state` says " + s.text(0));
  if (static_cast<std::uint64_t>(s.integer(1)) != report_.runs)
    add("there are " + std::to_string(report_.runs) + " runs, the table `state` says " + s.text(1));
  if (s.integer(2) > last_key_ + 1)
    add("the table `state` says that ids below key " + s.text(2) + " are in the table `ids`, there are fewer runs");
}

}  // namespace

std::string finding::text() const {
  std::string out;
  if (!workflow_id.empty()) out = "workflow '" + workflow_id + "'";
  if (run != 0) out += " run " + std::to_string(run);
  if (seq != 0) out += std::string(out.empty() ? "" : " ") + "event " + std::to_string(seq);
  return out.empty() ? what : out + ": " + what;
}

verify_report verify(const std::string& directory, const verify_progress& progress) {
  auto db = open_for_reading(directory);
  try {
    const snapshot same(db);
    return verifier(db, progress).run();
  } catch (const sqlite_error& e) {
    throw view_error(database_file(directory) + " cannot be read: " + e.what() +
                     "; restore the data directory from a backup");
  }
}

}  // namespace pawl::store
