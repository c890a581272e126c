#include "store/schema.hpp"

#include "store/errors.hpp"
#include "store/event_chunk.hpp"
#include "store/journal.hpp"

namespace pawl::store {

namespace {

// `pawl` in the header of the file, so that file(1) and we can tell what it is.
constexpr std::int64_t application_id = 0x7061776c;

// Stored in runs.phase; the numbers may never change.
static_assert(static_cast<int>(engine::phase::running) == 1 && static_cast<int>(engine::phase::stopping) == 2 &&
              static_cast<int>(engine::phase::compensating) == 3 && static_cast<int>(engine::phase::completed) == 4 &&
              static_cast<int>(engine::phase::failed) == 5 && static_cast<int>(engine::phase::cancelled) == 6 &&
              static_cast<int>(engine::phase::killed) == 7 && static_cast<int>(engine::phase::continued) == 8);
static_assert(seq_bits == 20, "the tables and views of version 1 have it in their text");

constexpr const char* tables_1 = R"sql(
CREATE TABLE schema_version(version INTEGER PRIMARY KEY, migrated_at TEXT NOT NULL);

CREATE TABLE state(
  one           INTEGER PRIMARY KEY CHECK (one = 1),
  last_event_at INTEGER NOT NULL,
  runs          INTEGER NOT NULL,
  ids_below     INTEGER NOT NULL);
INSERT INTO state VALUES(1, 0, 0, 1);

CREATE TABLE log_position(
  what     TEXT PRIMARY KEY CHECK (what IN ('view', 'feed')),
  offset   INTEGER NOT NULL,
  epoch    INTEGER NOT NULL,
  reign    TEXT NOT NULL,
  seq      INTEGER NOT NULL,
  released INTEGER NOT NULL,
  crc      INTEGER,
  commands INTEGER) WITHOUT ROWID;

CREATE TABLE reigns(number INTEGER PRIMARY KEY, reign TEXT NOT NULL UNIQUE, opened_at TEXT NOT NULL);
CREATE TABLE types(number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE phases(number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE event_kinds(number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);

CREATE TABLE runs(
  key           INTEGER PRIMARY KEY,
  id            TEXT NOT NULL,
  run           INTEGER NOT NULL,
  reign         INTEGER NOT NULL REFERENCES reigns,
  serial        INTEGER NOT NULL,
  type          INTEGER NOT NULL REFERENCES types,
  version       INTEGER NOT NULL,
  phase         INTEGER NOT NULL REFERENCES phases,
  paused        INTEGER NOT NULL,
  wake_at       INTEGER NOT NULL,
  started_at    INTEGER NOT NULL,
  closed_at     INTEGER NOT NULL,
  start_command TEXT NOT NULL);
CREATE INDEX runs_open ON runs(wake_at) WHERE closed_at = 0;
CREATE INDEX runs_paused ON runs(paused) WHERE closed_at = 0 AND paused = 1;
CREATE INDEX runs_unsuccessful ON runs(phase) WHERE phase > 4;

CREATE TABLE ids(hash INTEGER NOT NULL, key INTEGER NOT NULL, PRIMARY KEY(hash, key)) WITHOUT ROWID;

CREATE TABLE events(
  number INTEGER PRIMARY KEY,
  key    INTEGER NOT NULL,
  at     INTEGER NOT NULL,
  heads  TEXT NOT NULL,
  bodies BLOB NOT NULL);
CREATE UNIQUE INDEX events_by_key ON events(key);

CREATE TABLE heartbeats(
  run_key INTEGER NOT NULL,
  step    INTEGER NOT NULL,
  undo    INTEGER NOT NULL,
  details BLOB NOT NULL,
  PRIMARY KEY(run_key, step, undo)) WITHOUT ROWID;

CREATE TABLE outcomes(
  number      INTEGER PRIMARY KEY,
  workflow_id TEXT NOT NULL,
  command_id  TEXT NOT NULL,
  result      TEXT NOT NULL,
  seq         INTEGER NOT NULL,
  message     TEXT NOT NULL,
  at          INTEGER NOT NULL,
  UNIQUE(workflow_id, command_id));

CREATE TABLE outbox(
  peer    INTEGER NOT NULL,
  number  INTEGER NOT NULL,
  reign   TEXT NOT NULL,
  message BLOB NOT NULL,
  PRIMARY KEY(peer, number)) WITHOUT ROWID;

CREATE TABLE peers(
  peer               INTEGER PRIMARY KEY,
  given_below        INTEGER NOT NULL,
  acknowledged_below INTEGER NOT NULL,
  receives           TEXT NOT NULL CHECK (receives IN ('in order', 'diverged', 'any')));

CREATE TABLE received(
  peer  INTEGER NOT NULL,
  first INTEGER NOT NULL,
  last  INTEGER NOT NULL,
  reign TEXT NOT NULL,
  PRIMARY KEY(peer, first)) WITHOUT ROWID;
)sql";

constexpr const char* views_1 = R"sql(
CREATE VIEW workflows AS
SELECT r.id AS workflow_id, r.run AS run, t.name AS type, r.version AS version, p.name AS phase,
       CASE r.paused WHEN 0 THEN 'no' ELSE 'yes' END AS paused,
       CASE WHEN r.closed_at <> 0 THEN '' WHEN r.wake_at = 0 THEN 'now' WHEN r.wake_at = 9223372036854775807 THEN 'never'
            ELSE strftime('%Y-%m-%dT%H:%M:%S', r.wake_at / 1000000, 'unixepoch') || printf('.%06dZ', r.wake_at % 1000000)
            END AS wake_at,
       strftime('%Y-%m-%dT%H:%M:%S', r.started_at / 1000000, 'unixepoch') || printf('.%06dZ', r.started_at % 1000000)
         AS started_at,
       CASE r.closed_at WHEN 0 THEN ''
            ELSE strftime('%Y-%m-%dT%H:%M:%S', r.closed_at / 1000000, 'unixepoch') || printf('.%06dZ', r.closed_at % 1000000)
            END AS closed_at,
       g.reign || '-' || r.serial AS run_uid, r.start_command AS start_command, r.key AS run_key
FROM runs r LEFT JOIN types t ON t.number = r.type LEFT JOIN phases p ON p.number = r.phase
     LEFT JOIN reigns g ON g.number = r.reign;

CREATE VIEW history AS
SELECT r.id AS workflow_id, r.run AS run, (e.key & 1048575) + h.key AS seq,
       strftime('%Y-%m-%dT%H:%M:%S', e.at / 1000000, 'unixepoch') || printf('.%06dZ', e.at % 1000000) AS at,
       coalesce(k.name, 'kind ' || (h.value ->> 0)) AS event,
       CASE WHEN h.value ->> 4 THEN 'undo ' ELSE '' END || coalesce(h.value ->> 2, '') AS step,
       h.value ->> 3 AS attempt,
       hex(substr(e.bodies, 1 + coalesce((SELECT sum(b.value ->> 1) FROM json_each(e.heads) b WHERE b.key < h.key), 0),
                  h.value ->> 1)) AS body,
       r.key AS run_key
FROM runs r CROSS JOIN events e ON e.key BETWEEN (r.key << 20) AND (r.key << 20) + 1048575
     CROSS JOIN json_each(e.heads) h LEFT JOIN event_kinds k ON k.number = h.value ->> 0;
)sql";

void first_version(database& db) {
  db.execute("PRAGMA application_id=" + std::to_string(application_id));
  db.execute(tables_1);
  auto kind = db.prepare("INSERT INTO event_kinds VALUES(?1, ?2)");
  for (int n = 1; n <= 23; ++n) kind.bind(1, n).bind(2, to_text(static_cast<engine::event_kind>(n))).run();
  auto phase = db.prepare("INSERT INTO phases VALUES(?1, ?2)");
  for (int n = 1; n <= 7; ++n) phase.bind(1, n).bind(2, to_text(static_cast<engine::phase>(n))).run();
  db.execute(views_1);
}

constexpr const char* tables_2 = R"sql(
CREATE TABLE type_marks(
  type     TEXT PRIMARY KEY,
  version  INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  command  TEXT NOT NULL) WITHOUT ROWID;
)sql";

// What durable code writes, and which versions new runs get.
void second_version(database& db) {
  auto kind = db.prepare("INSERT INTO event_kinds VALUES(?1, ?2)");
  for (int n = 24; n <= 41; ++n)
    if (const auto k = static_cast<engine::event_kind>(n); is_known(k)) kind.bind(1, n).bind(2, to_text(k)).run();
  db.prepare("INSERT INTO phases VALUES(?1, ?2)").bind(1, 8).bind(2, to_text(engine::phase::continued)).run();
  db.execute(tables_2);
}
// A new kind of event needs a migration, so that event_kinds (and a reader of an older version) knows of it.
static_assert(engine::last_event_kind <= 41);

constexpr const char* views_3 = R"sql(
DROP VIEW history;
CREATE VIEW history AS
SELECT r.id AS workflow_id, r.run AS run, (e.key & 1048575) + h.key AS seq,
       strftime('%Y-%m-%dT%H:%M:%S', (e.at + coalesce(h.value ->> 5, 0)) / 1000000, 'unixepoch') ||
         printf('.%06dZ', (e.at + coalesce(h.value ->> 5, 0)) % 1000000) AS at,
       coalesce(k.name, 'kind ' || (h.value ->> 0)) AS event,
       CASE WHEN h.value ->> 4 THEN 'undo ' ELSE '' END || coalesce(h.value ->> 2, '') AS step,
       CASE WHEN h.value ->> 2 <> '' THEN h.value ->> 3 ELSE nullif(h.value ->> 3, 0) END AS attempt,
       hex(substr(e.bodies, 1 + coalesce((SELECT sum(b.value ->> 1) FROM json_each(e.heads) b WHERE b.key < h.key), 0),
                  h.value ->> 1)) AS body,
       r.key AS run_key
FROM runs r CROSS JOIN events e ON e.key BETWEEN (r.key << 20) AND (r.key << 20) + 1048575
     CROSS JOIN json_each(e.heads) h LEFT JOIN event_kinds k ON k.number = h.value ->> 0;
)sql";

// A row of events may have several times.
void third_version(database& db) { db.execute(views_3); }

constexpr migration all[] = {{1, first_version}, {2, second_version}, {3, third_version}};

}  // namespace

std::span<const migration> migrations() { return all; }
int newest_schema() { return all[std::size(all) - 1].version; }

int schema_of(database& db, const std::string& file) {
  if (db.integer("SELECT count(*) FROM sqlite_master") == 0) return 0;
  if (db.integer("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'") == 0)
    throw store_error(file + " is a database of something else than pawl; choose another data directory");
  return static_cast<int>(db.integer("SELECT max(version) FROM schema_version"));
}

void refuse_newer(int found, int known, const std::string& file) {
  if (found <= known) return;
  throw store_error(file + " has schema version " + std::to_string(found) + ", this binary knows versions up to " +
                    std::to_string(known) + "; use a binary that knows version " + std::to_string(found) +
                    " (going back to an older one needs the copy of the directory from before)");
}

void migrate(database& db, const std::string& file, std::span<const migration> steps) {
  int version = schema_of(db, file);
  refuse_newer(version, steps.back().version, file);
  for (const auto& step : steps) {
    if (step.version <= version) continue;
    db.execute("BEGIN IMMEDIATE");
    try {
      step.apply(db);
      db.execute("INSERT INTO schema_version VALUES(" + std::to_string(step.version) +
                 ", strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))");
      db.execute("COMMIT");
    } catch (...) {
      sqlite3_exec(db.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
      throw;
    }
    version = step.version;
  }
}

}  // namespace pawl::store
