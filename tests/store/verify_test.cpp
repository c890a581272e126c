// Each law that can be seen at rest is broken once, by hand, and found.
#include "store/verify.hpp"

#include <gmock/gmock.h>

#include "tests/store/all_kinds.hpp"
#include "workflow/event_codec.hpp"

namespace pawl::store {
namespace {

using r = scripted_run;

class verify_test : public store_test {
 protected:
  // The first finding about this; all of them when it is not there.
  void expect_finding(const std::string& text) {
    const auto all = findings();
    for (const auto& f : all)
      if (f == text) return;
    std::string list;
    for (const auto& f : all) list += "\n  " + f;
    ADD_FAILURE() << "not found: " << text << "\nfound:" << list;
  }
  void only_finding(const std::string& text) {
    const auto all = findings();
    EXPECT_EQ(all.size(), 1U);
    expect_finding(text);
  }
  // A store of whole runs and an open one, closed and ready to be damaged. Run keys: o-1 is 1, o-2 is 2, live is 3.
  void make() {
    open();
    whole_run("o-1");
    whole_run("o-2");
    auto live = make_run("live");
    commit(live.start(tick()));
    close();
    ASSERT_TRUE(findings().empty());
  }
  // Adds events to a run as they are, whatever the laws say.
  void append_raw(engine::run_key key, std::vector<event> events, std::uint64_t seq,
                  std::optional<run_summary> s = {}) {
    open();
    run_change c;
    c.key = key;
    for (auto& e : events) {
      e.seq = seq++;
      e.at = engine::from_micros(tick());
      c.events.push_back(to_row(e));
    }
    c.summary = s;
    c.last_seq = seq - 1;
    commit(c);
    close();
  }
  static constexpr std::int64_t key(engine::run_key run, int seq) { return (run << 20) + seq; }
  static std::string row(engine::run_key run, int seq) { return "key = " + std::to_string(key(run, seq)); }
};

TEST_F(verify_test, a_store_of_every_kind_is_clean_and_counted) {
  open();
  append_all_kinds([&](const record& rec) { commit(rec); });
  std::uint64_t told = 0;
  const auto report = verify(directory(), [&](std::uint64_t done, std::uint64_t of) {
    EXPECT_LE(done, of);
    told = done;
  });
  for (const auto& f : report.findings) ADD_FAILURE() << f.text();
  EXPECT_TRUE(report.clean());
  EXPECT_EQ(told, 11U);
  EXPECT_EQ(report.runs, 11U);
  EXPECT_EQ(report.open_runs, 3U);
  EXPECT_EQ(report.events, 79U);
  EXPECT_EQ(report.heartbeats, 1U);
  EXPECT_EQ(report.outcomes, 1U);
}

TEST_F(verify_test, events_that_are_missing) {
  make();
  sql("DELETE FROM events WHERE " + row(1, 3));
  expect_finding("workflow 'o-1' run 1 event 3: the events up to 4 are missing");
  sql("DELETE FROM events WHERE " + row(2, 7));
  expect_finding("workflow 'o-2' run 1: the row says that the run is closed, and there is no terminal event");
  sql("DELETE FROM events WHERE key BETWEEN " + std::to_string(key(3, 0)) + " AND " + std::to_string(key(3, 99)));
  expect_finding("workflow 'live' run 1: the run has no events");
}

TEST_F(verify_test, events_that_are_there_twice) {
  make();
  sql("INSERT INTO events(key, at, heads, bodies) SELECT key + 1, at, '[[15,0]]', x'' FROM events WHERE " + row(1, 3));
  expect_finding("workflow 'o-1' run 1 event 4: the event is there twice");
}

TEST_F(verify_test, events_that_run_backwards_in_time) {
  make();
  sql("UPDATE events SET at = at - 5000 WHERE " + row(1, 5));
  expect_finding("workflow 'o-1' run 1 event 5: the event is earlier than the one before it");
}

TEST_F(verify_test, rows_that_do_not_decode) {
  make();
  sql("UPDATE events SET heads = '[[1,1' WHERE " + row(1, 1));
  expect_finding("workflow 'o-1' run 1 event 1: the row cannot be decoded: entry 1 of the heads cannot be read");
  sql("UPDATE events SET heads = replace(heads, '[4,', '[99,') WHERE " + row(2, 3));
  expect_finding("workflow 'o-2' run 1 event 3: the event cannot be decoded: its kind 99 is not known");
  sql("UPDATE events SET bodies = zeroblob(length(bodies)) WHERE " + row(3, 1));
  expect_finding("workflow 'live' run 1 event 1: the event cannot be decoded: bytes follow the event's body");
}

TEST_F(verify_test, heads_and_bodies_that_disagree) {
  make();
  sql("UPDATE events SET heads = replace(heads, '\"step0\",1]', '\"step0\",1,1]') WHERE " + row(3, 1));
  expect_finding(
      "workflow 'live' run 1 event 2: the event cannot be decoded: its head and its body disagree on whether it is of "
      "an undo");
}

TEST_F(verify_test, a_second_terminal_event) {
  make();
  append_raw(1, {r::of(event_kind::run_failed)}, 9);
  expect_finding("workflow 'o-1' run 1 event 9: a second terminal event, run_failed (the first is event 8)");
}

TEST_F(verify_test, an_event_after_the_end) {
  make();
  append_raw(1, {r::of(event_kind::history_warning)}, 9);
  expect_finding("workflow 'o-1' run 1 event 9: history_warning follows the terminal event 8");
}

TEST_F(verify_test, a_second_completion) {
  make();
  append_raw(3,
             {r::of_step(event_kind::attempt_completed, 0, 1), r::of_step(event_kind::attempt_started, 0, 2),
              r::of_step(event_kind::attempt_completed, 0, 2)},
             3);
  expect_finding("workflow 'live' run 1 event 5: step 'step0' is completed a second time");
}

TEST_F(verify_test, an_end_of_an_attempt_that_is_not_under_way) {
  make();
  append_raw(3, {r::of_step(event_kind::attempt_completed, 1, 1)}, 3);
  expect_finding(
      "workflow 'live' run 1 event 3: the history cannot be replayed: event 3 (attempt_completed) ends attempt 1 of "
      "step 'step1', which is not running");
}

TEST_F(verify_test, an_end_with_an_attempt_under_way) {
  make();
  append_raw(3, {r::of(event_kind::run_completed)}, 3);
  expect_finding("workflow 'live' run 1 event 3: the run completes although an attempt is under way");
}

TEST_F(verify_test, a_command_that_is_applied_twice) {
  make();
  auto pause = r::of(event_kind::run_paused);
  pause.command_id = "p-1";
  auto resume = r::of(event_kind::run_resumed);
  resume.command_id = "p-1";
  append_raw(3, {pause, resume}, 3);
  expect_finding("workflow 'live' run 1 event 4: command 'p-1' is applied a second time");
}

// Steps 0 and 1 completed in this order, then the run fails; `order` is how it says that they are undone.
class compensation_test : public verify_test {
 protected:
  void make_failing(std::vector<std::uint32_t> order, std::vector<event> rest) {
    open();
    auto run = make_run("o-1");
    commit(run.start(tick()));
    commit(run.next(tick(), 1));
    commit(run.next(tick(), 2));
    commit(run.add(tick(), {r::failed(2, 1, {}), r::of_step(event_kind::step_exhausted, 2)}));
    auto back = r::of(event_kind::compensation_started);
    back.order = std::move(order);
    rest.insert(rest.begin(), back);
    commit(run.add(tick(), rest));
    close();
  }
  static event undo(std::uint32_t step) { return r::of_step(event_kind::attempt_started, step, 1, true); }
  static event undone(std::uint32_t step) { return r::of_step(event_kind::attempt_completed, step, 1, true); }
  static event end() { return r::of(event_kind::run_failed); }
};

TEST_F(compensation_test, in_order) {
  make_failing({1, 0}, {undo(1), undone(1), undo(0), undone(0), end()});
  EXPECT_TRUE(findings().empty());
}
TEST_F(compensation_test, not_in_reverse) {
  make_failing({0, 1}, {undo(0), undone(0), undo(1), undone(1), end()});
  only_finding(
      "workflow 'o-1' run 1 event 9: compensation is not the reverse of the order in which the steps were closed");
}
TEST_F(compensation_test, of_a_step_that_has_not_run) {
  make_failing({1, 0}, {});
  auto back = r::of(event_kind::compensation_started);
  back.order = {7};
  append_raw(1, {back}, 10);
  expect_finding("workflow 'o-1' run 1 event 10: compensation undoes step number 7, which has not run");
}
TEST_F(compensation_test, of_a_step_out_of_turn) {
  make_failing({1, 0}, {undo(0), undone(0), undo(1), undone(1), end()});
  only_finding("workflow 'o-1' run 1 event 10: the undo of step 'step0' starts before that of step number 1 is done");
}
TEST_F(compensation_test, of_a_step_that_is_not_part_of_it) {
  make_failing({1}, {undo(1), undone(1), undo(0), undone(0), end()});
  only_finding("workflow 'o-1' run 1 event 12: the undo of step 'step0' starts without being part of a compensation");
}
TEST_F(compensation_test, that_is_not_finished) {
  make_failing({1, 0}, {undo(1), undone(1), end()});
  only_finding("workflow 'o-1' run 1 event 12: run_failed although step number 0 has not been undone");
}

TEST_F(verify_test, rows_that_differ_from_their_history) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"phase = 5 WHERE key = 1",
       "workflow 'o-1' run 1 event 8: the row's phase is failed, the history's is completed"},
      {"paused = 1 WHERE key = 3", "workflow 'live' run 1 event 2: the row's paused is yes, the history's is no"},
      {"closed_at = closed_at + 1 WHERE key = 1",
       "workflow 'o-1' run 1 event 8: the row's closing time is 1700000000004001, the history's is 1700000000004000"},
      {"closed_at = 0 WHERE key = 1",
       "workflow 'o-1' run 1 event 8: the row says that the run is open, and there is a terminal event"},
      {"closed_at = 5 WHERE key = 3",
       "workflow 'live' run 1: the row says that the run is closed, and there is no terminal event"},
      {"id = 'other' WHERE key = 1",
       "workflow 'other' run 1 event 1: the row's workflow id is 'other', its first event's is 'o-1'"},
      {"run = 2 WHERE key = 1", "workflow 'o-1' run 2 event 1: the row's run number is 2, its first event's is 1"},
      {"version = 9 WHERE key = 1", "workflow 'o-1' run 1 event 1: the row's version is 9, its first event's is 1"},
      {"started_at = 3 WHERE key = 1",
       "workflow 'o-1' run 1 event 1: the row's start time is 3, its first event's is 1700000000001000"},
      {"start_command = 'x' WHERE key = 1",
       "workflow 'o-1' run 1 event 1: the row's start command is 'x', its first event's is 'start-1'"},
      {"reign = 99 WHERE key = 1", "workflow 'o-1' run 1: the row's reign is not in the table of reigns"},
      {"type = 99 WHERE key = 1", "workflow 'o-1' run 1: the row's type is not in the table of types"},
      {"wake_at = 77 WHERE key = 3",
       "workflow 'live' run 1 event 2: the row's wake_at is 77, but an attempt is under way, which a restart has to "
       "deal with at once"},
  };
  make();
  for (const auto& [change, text] : cases) {
    SCOPED_TRACE(change);
    sql("CREATE TABLE kept AS SELECT * FROM runs; UPDATE runs SET " + change);
    expect_finding(text);
    sql("DELETE FROM runs; INSERT INTO runs SELECT * FROM kept; DROP TABLE kept");
  }
  EXPECT_TRUE(findings().empty());
}

TEST_F(verify_test, runs_that_nothing_will_wake) {
  open();
  auto waiting = make_run("waiting");
  commit(waiting.start(tick()));
  commit(waiting.add(tick(), {r::failed(0, 1, now_ + 5'000'000)}, now_ + 5'000'000));
  auto later = make_run("later");
  auto start = later.started();
  start.start->start_at = engine::from_micros(now_ + 9'000'000);
  commit(later.add(tick(), {start}, now_ + 8'000'000));
  auto no_code = make_run("no-code");
  commit(no_code.add(tick(), {no_code.started(), r::of(event_kind::waiting_for_code)}));
  close();
  expect_clean();
  sql("UPDATE runs SET wake_at = 9223372036854775807");
  expect_finding(
      "workflow 'waiting' run 1 event 3: the row's wake_at is 9223372036854775807, but the run is not paused, so that "
      "nothing will ever wake it");
  expect_finding(
      "workflow 'no-code' run 1 event 2: the row's wake_at is 9223372036854775807, but the run waits for its code, "
      "which any start may bring");
  sql("UPDATE runs SET wake_at = 1700000099000000");
  expect_finding(
      "workflow 'waiting' run 1 event 3: the row's wake_at is 1700000099000000, but an attempt of step number 0 is due "
      "before that");
  expect_finding(
      "workflow 'later' run 1 event 1: the row's wake_at is 1700000099000000, but the run is to begin before that");
}

TEST_F(verify_test, two_live_runs_of_one_workflow) {
  open();
  auto a = make_run("o-1");
  commit(a.start(tick()));
  auto b = make_run("o-1", 2);
  commit(b.start(tick()));
  close();
  only_finding("workflow 'o-1' run 1: 2 runs of the workflow are live at once");
}

TEST_F(verify_test, a_live_run_that_is_not_the_newest) {
  open();
  auto a = make_run("o-1");
  commit(a.start(tick()));
  whole_run("o-1", 2);
  close();
  only_finding("workflow 'o-1' run 1: the run is live, but run 2 came after it");
}

TEST_F(verify_test, two_runs_of_one_number) {
  make();
  sql("INSERT INTO runs SELECT 4, id, run, reign, 900, type, version, phase, paused, wake_at, started_at, closed_at, "
      "start_command FROM runs WHERE key = 1");
  expect_finding("workflow 'o-1' run 1: there are 2 runs of that number");
  expect_finding("there are 4 runs, the table `state` says 3");
}

TEST_F(verify_test, two_runs_of_one_uid) {
  make();
  sql("UPDATE runs SET serial = (SELECT serial FROM runs WHERE key = 1), reign = (SELECT reign FROM runs WHERE key = "
      "1) WHERE key = 2");
  expect_finding("workflow 'o-1' run 1: another run has the same run_uid");
  expect_finding("workflow 'o-2' run 1: another run has the same run_uid");
}

TEST_F(verify_test, ids_that_are_not_found) {
  auto o = options();
  o.waiting_ids = 1;
  open(o);
  for (int n = 1; n <= 5'000; n += 100) {
    record rec;
    for (int k = n; k < n + 100; ++k)
      rec.runs.push_back(r(k, "o-" + std::to_string(k), {journal_->reign(), static_cast<unsigned>(k)}).start(tick()));
    commit(rec);
  }
  close();
  expect_clean();
  ASSERT_GT(std::stol(ask("SELECT ids_below FROM state")), 100);
  sql("DELETE FROM ids WHERE key = 50");
  only_finding("workflow 'o-50' run 1: the run is not in the table `ids`, so that it cannot be found by its id");
  sql("UPDATE ids SET hash = 5 WHERE key = 60");
  expect_finding("workflow 'o-60': the table `ids` has run key 60 under a wrong hash");
  sql("INSERT INTO ids VALUES(7, 70000)");
  expect_finding("the table `ids` names run key 70000, which does not exist");
}

TEST_F(verify_test, two_outcomes_of_one_command) {
  make();
  sql("CREATE TABLE o2(number INTEGER PRIMARY KEY, workflow_id TEXT, command_id TEXT, result TEXT, seq INTEGER, "
      "message TEXT, at INTEGER);"
      "INSERT INTO o2 VALUES(1, 'o-1', 'c-1', 'conflict', 0, '', 0), (2, 'o-1', 'c-1', 'invalid', 0, '', 0);"
      "DROP TABLE outcomes; ALTER TABLE o2 RENAME TO outcomes");
  only_finding("workflow 'o-1': command 'c-1' has 2 outcomes");
}

TEST_F(verify_test, rows_of_nobody) {
  make();
  sql("INSERT INTO heartbeats VALUES(99, 0, 0, x''), (1, 0, 0, x'')");
  expect_finding("heartbeats of a run that does not exist, run key 99");
  expect_finding("workflow 'o-1' run 1: heartbeats of a run that is closed");
  sql("INSERT INTO events(key, at, heads, bodies) VALUES(" + std::to_string(key(0, 3)) + ", 1, '[[1,0]]', x''), (" +
      std::to_string(key(99, 4)) + ", 1, '[[1,0]]', x'')");
  expect_finding("event 3: events of a run that does not exist, run key 0");
  expect_finding("event 4: events of a run that does not exist, run key 99");
}

TEST_F(verify_test, messages_between_partitions) {
  make();
  sql("INSERT INTO outbox VALUES(3, 4, 'r', x''), (3, 5, 'r', x''); INSERT INTO peers VALUES(3, 6, 4, 'in order'), (4, "
      "1, 1, "
      "'any'), (5, 9, 9, 'in order'); INSERT INTO received VALUES(3, 1, 7, 'r'), (3, 8, 8, 'q')");
  EXPECT_THAT(findings(), ::testing::IsEmpty());
  sql("DELETE FROM outbox WHERE number = 4; UPDATE peers SET given_below = 10 WHERE peer = 5; INSERT INTO outbox "
      "VALUES(6, 1, "
      "'r', x''); INSERT INTO received VALUES(3, 10, 10, 'q')");
  for (const auto* peer : {"3", "5", "6"})
    expect_finding("messages to partition " + std::string(peer) + " are missing in the table `outbox`, or too many");
  expect_finding("what was received of partition 3 does not follow what was before it, at message 10");
}

TEST_F(verify_test, a_state_that_is_not_that_of_the_tables) {
  make();
  sql("UPDATE state SET last_event_at = 5, runs = 7, ids_below = 50");
  expect_finding("the newest event is of 1700000000009000, the table `state` says 5");
  expect_finding("there are 3 runs, the table `state` says 7");
  expect_finding("the table `state` says that ids below key 50 are in the table `ids`, there are fewer runs");
  sql("DELETE FROM state");
  expect_finding("the table `state` is empty");
}

TEST_F(verify_test, a_damaged_database) {
  open();
  for (int n = 0; n < 300; ++n) whole_run("o-" + std::to_string(n));
  close();
  {
    std::FILE* f = std::fopen(file().c_str(), "r+b");
    ASSERT_NE(f, nullptr);
    std::fseek(f, 4096 * 28 + 200, SEEK_SET);
    const std::string noise(3000, 'z');
    EXPECT_EQ(std::fwrite(noise.data(), 1, noise.size(), f), noise.size());
    std::fclose(f);
  }
  const auto all = findings();
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(all.front().find("the database: "), 0U) << all.front();
}

TEST_F(verify_test, counts_what_it_does_not_list) {
  open();
  record rec;
  for (int k = 1; k <= 1500; ++k)
    rec.runs.push_back(r(k, "o-" + std::to_string(k), {journal_->reign(), static_cast<unsigned>(k)}).start(now_));
  commit(rec);
  close();
  sql("UPDATE runs SET phase = 3");
  const auto report = verify(directory());
  EXPECT_EQ(report.found, 1500U);
  EXPECT_EQ(report.findings.size(), verify_report::most_findings);
  EXPECT_FALSE(report.clean());
}

}  // namespace
}  // namespace pawl::store
