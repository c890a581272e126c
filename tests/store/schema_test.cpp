#include "store/schema.hpp"

#include <fstream>
#include <span>
#include <sstream>
#include <vector>

#include "store/sqlite_view.hpp"
#include "tests/store/all_kinds.hpp"
#include "workflow/event_codec.hpp"

namespace pawl::store {
namespace {

template <class F>
std::string error_of(F f) {
  try {
    f();
    return "";
  } catch (const std::exception& e) {
    return e.what();
  }
}

class schema_test : public store_test {
 protected:
  // Four records at a time, as a view takes them, so that rows of several times are among them.
  void append_all() {
    std::vector<std::shared_ptr<const record>> all;
    append_all_kinds([&](const record& r) { all.push_back(std::make_shared<record>(r)); });
    auto o = options();
    o.truth = false;
    open(o);
    for (std::size_t n = 0; n < all.size(); n += 4) {
      const auto some = std::span(all).subspan(n, std::min<std::size_t>(4, all.size() - n));
      const auto r = journal_->append(some, {.at = {.offset = static_cast<std::int64_t>(n), .reign = {}}, .feed = {}});
      ASSERT_EQ(r.status, append_status::committed) << r.message;
    }
    close();
    sql("DELETE FROM log_position");
  }
};

std::string hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    out.push_back("0123456789abcdef"[static_cast<unsigned char>(c) >> 4]);
    out.push_back("0123456789abcdef"[static_cast<unsigned char>(c) & 15]);
  }
  return out;
}

// All that a store says, through the view alone, as text.
std::string dump(const std::string& directory) {
  std::ostringstream out;
  auto view = open_view(directory);
  for (engine::run_key key = 1; const auto row = view->get(key); ++key) {
    const auto& h = row->header;
    out << "run " << key << ' ' << h.workflow_id << ' ' << h.run << ' ' << to_text(h.uid) << ' ' << h.type << ' '
        << h.version << ' ' << h.started_at << ' ' << h.start_command << ": " << to_text(row->summary.phase)
        << (row->summary.paused ? " paused" : "") << " wake " << row->summary.wake_at << " closed "
        << row->summary.closed_at << " last " << row->last_seq << '\n';
    EXPECT_EQ(view->find(h.workflow_id, h.run)->key, key);
    const auto history = view->history(key);
    EXPECT_EQ(history.error, "");
    for (const auto& e : history.events) {
      std::string body;
      engine::encode_body(e, body);
      out << "  " << e.seq << ' ' << engine::to_micros(e.at) << ' ' << to_text(e.kind) << ' ' << (e.undo ? "undo " : "")
          << e.name << ' ' << e.attempt << ' ' << hex(body) << '\n';
    }
    for (const auto& b : history.heartbeats)
      out << "  heartbeat " << b.step << ' ' << b.undo << ' ' << hex(b.details) << '\n';
  }
  const auto o = view->outcome("o-good", "resume-1");
  if (o)
    out << "outcome " << to_text(o->outcome.result) << ' ' << o->outcome.seq << ' ' << o->at << ' '
        << o->outcome.message << '\n';
  for (const auto& [type, m] : view->type_marks())
    out << "mark " << type << ' ' << m.version << ' ' << m.revision << ' ' << m.at << ' ' << m.by << '\n';
  const auto c = view->counts();
  out << "open " << c.open << " paused " << c.paused << " closed " << c.closed << '\n';
  return out.str();
}

std::string golden_file(const std::string& name) {
  const char* source = std::getenv("PAWL_SOURCE");
  return (source ? std::string(source) : std::string(".")) + "/tests/store/golden/" + name;
}

std::string content(const std::string& path) {
  std::ifstream f(path, std::ios::binary);
  std::ostringstream out;
  out << f.rdbuf();
  return out.str();
}

TEST_F(schema_test, a_new_store_has_the_newest_version) {
  open();
  close();
  EXPECT_EQ(ask("SELECT max(version) FROM schema_version"), std::to_string(newest_schema()));
  EXPECT_EQ(ask("PRAGMA application_id"), "1885435756");
}

// Every kind occurs, so that the golden files below say something about each.
TEST_F(schema_test, the_golden_workload_has_every_kind_of_event_and_is_clean) {
  append_all();
  int kinds = 0;
  for (int k = 1; k <= engine::last_event_kind; ++k) kinds += is_known(static_cast<engine::event_kind>(k)) ? 1 : 0;
  EXPECT_EQ(ask("SELECT count(DISTINCT event) FROM history"), std::to_string(kinds));
  EXPECT_GT(std::stoi(ask("SELECT count(*) FROM events e, json_each(e.heads) h WHERE h.value ->> 5 > 0")), 10);
  expect_clean();
}

// What version 1 means today: the same text that its golden file gave when it was written. With PAWL_WRITE_GOLDEN set
// to a folder the files of this version are written there, once, when a version is released (golden/README.md).
TEST_F(schema_test, what_is_written_today_reads_as_the_golden_text) {
  append_all();
  const auto version = "v" + std::to_string(newest_schema());
  const auto text = dump(directory());
  if (const char* folder = std::getenv("PAWL_WRITE_GOLDEN")) {
    sql("PRAGMA page_size=1024; VACUUM INTO '" + std::string(folder) + "/" + version + ".db'");
    std::ofstream(std::string(folder) + "/" + version + ".txt", std::ios::binary) << text;
  }
  EXPECT_EQ(text, content(golden_file(version + ".txt")));
}

TEST_F(schema_test, every_released_version_stays_readable) {
  for (int version = 1; version <= newest_schema(); ++version) {
    SCOPED_TRACE(version);
    const auto name = golden_file("v" + std::to_string(version));
    ASSERT_TRUE(std::filesystem::exists(name + ".db")) << name << ".db is missing";
    std::filesystem::copy_file(name + ".db", file(), std::filesystem::copy_options::overwrite_existing);
    open();
    EXPECT_EQ(dump(directory()), content(name + ".txt"));
    EXPECT_EQ(journal_->next_run_key(), version == 1 ? 8 : 12);
    EXPECT_FALSE(journal_->open_view()->find("o-new"));
    whole_run("o-new");
    EXPECT_TRUE(journal_->open_view()->find("o-new"));
    expect_clean();
    close();
    std::filesystem::remove(file() + "-wal");
    std::filesystem::remove(file() + "-shm");
  }
}

TEST_F(schema_test, a_newer_store_is_refused_and_left_alone) {
  open();
  whole_run("o-1");
  close();
  sql("INSERT INTO schema_version VALUES(99, 'tomorrow'); PRAGMA wal_checkpoint(TRUNCATE)");
  const auto before = content(file());
  const auto expected =
      file() + " has schema version 99, this binary knows versions up to " + std::to_string(newest_schema()) +
      "; use a binary that knows version 99 (going back to an older one needs the copy of the directory from before)";
  EXPECT_EQ(error_of([&] { open(); }), expected);
  EXPECT_EQ(error_of([&] { open_view(directory()); }), expected);
  EXPECT_EQ(error_of([&] { verify(directory()); }), expected);
  EXPECT_EQ(content(file()), before);
}

TEST_F(schema_test, a_database_of_something_else_is_refused_and_left_alone) {
  {
    database other(file(), database::mode::create, std::chrono::seconds(1));
    other.execute("CREATE TABLE recipes(name TEXT)");
  }
  const auto before = content(file());
  const auto expected = file() + " is a database of something else than pawl; choose another data directory";
  EXPECT_EQ(error_of([&] { open(); }), expected);
  EXPECT_EQ(error_of([&] { open_view(directory()); }), expected);
  EXPECT_EQ(content(file()), before);
}

TEST_F(schema_test, a_file_that_is_no_database_is_refused) {
  std::ofstream(file()) << std::string(5000, 'x');
  EXPECT_NE(error_of([&] { open(); }).find("the file is damaged: file is not a database"), std::string::npos);
  EXPECT_NE(error_of([&] { open_view(directory()); }).find("cannot be read"), std::string::npos);
}

void second_version(database& db) { db.execute("ALTER TABLE runs ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'"); }
void failing_version(database& db) {
  db.execute("CREATE TABLE half_way(n)");
  db.execute("INSERT INTO nowhere VALUES(1)");
}

TEST_F(schema_test, migrations_run_in_order_each_whole_or_not_at_all) {
  open();
  whole_run("o-1");
  close();
  const auto known = migrations();
  const int newest = newest_schema();
  std::vector<migration> broken(known.begin(), known.end());
  broken.push_back({newest + 1, second_version});
  const auto good = broken;
  broken.push_back({newest + 2, failing_version});
  database db(file(), database::mode::read_write, std::chrono::seconds(1));
  EXPECT_NE(error_of([&] { migrate(db, file(), broken); }), "");
  EXPECT_FALSE(db.in_transaction());
  EXPECT_EQ(schema_of(db, file()), newest + 1);
  EXPECT_EQ(db.text("SELECT colour FROM runs"), "red");
  EXPECT_EQ(db.integer("SELECT count(*) FROM sqlite_master WHERE name = 'half_way'"), 0);
  migrate(db, file(), good);  // nothing left to do
  EXPECT_EQ(schema_of(db, file()), newest + 1);
  EXPECT_NE(error_of([&] { migrate(db, file()); })
                .find("has schema version " + std::to_string(newest + 1) + ", this binary knows versions up to " +
                      std::to_string(newest)),
            std::string::npos);
}

TEST_F(schema_test, people_read_histories_in_sql) {
  append_all();
  EXPECT_EQ(ask("SELECT group_concat(seq || ' ' || event || ' ' || step || ' ' || coalesce(attempt, '-'), '; ') FROM "
                "history WHERE workflow_id = 'o-bad'"),
            "1 run_started  -; 2 attempt_started step0 1; 3 attempt_completed step0 1; 4 attempt_started step1 1; 5 "
            "attempt_failed step1 1; "
            "6 attempt_started step1 2; 7 attempt_timed_out step1 2; 8 step_exhausted step1 2; 9 compensation_started  "
            "-; 10 attempt_started undo step1 1; "
            "11 attempt_completed undo step1 1; 12 attempt_started undo step0 1; 13 attempt_failed undo step0 1; 14 "
            "run_paused  -; "
            "15 step_skipped undo step0 0; 16 run_resumed  -; 17 run_failed  -");
  EXPECT_EQ(ask("SELECT at FROM history WHERE workflow_id = 'o-good' AND seq = 4"), "2023-11-14T22:13:23.000000Z");
  EXPECT_EQ(
      ask("SELECT body FROM history WHERE workflow_id = 'o-good' AND event = 'attempt_completed' AND step = 'step1'"),
      "82000103C405A4646F6E65");
  EXPECT_EQ(ask("SELECT group_concat(workflow_id || '/' || run || ' ' || type || ' ' || phase || ' ' || paused, '; ') "
                "FROM workflows WHERE run_key > 2 AND run_key < 7"),
            "o-cancelled/1 refund cancelled no; o-killed/1 order killed no; o-killed/2 order failed no; o-paused/1 "
            "order running yes");
  EXPECT_EQ(ask("SELECT wake_at || ' ' || run_uid FROM workflows WHERE run_key = 7"),
            "2023-11-14T23:13:56.000000Z 0123456789abcdeffedcba9876543210-7");
  EXPECT_EQ(ask("SELECT wake_at FROM workflows WHERE workflow_id = 'o-paused'"), "never");
}

}  // namespace
}  // namespace pawl::store
