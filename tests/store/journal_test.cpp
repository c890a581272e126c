#include <fstream>

#include "store/schema.hpp"
#include "tests/store/fixture.hpp"

namespace pawl::store {
namespace {

using journal_test = store_test;

TEST_F(journal_test, keeps_a_run_as_it_was_given) {
  open();
  auto r = make_run("o-1");
  commit(r.start(tick()));
  commit(r.next(tick(), 1));
  commit(r.complete(tick(), 1));
  auto view = journal_->open_view();
  const auto row = view->find("o-1");
  ASSERT_TRUE(row);
  EXPECT_EQ(row->key, r.key());
  EXPECT_EQ(row->header.workflow_id, "o-1");
  EXPECT_EQ(row->header.run, 1U);
  EXPECT_EQ(row->header.uid, r.header().uid);
  EXPECT_EQ(row->header.type, "order");
  EXPECT_EQ(row->header.start_command, r.header().start_command);
  EXPECT_EQ(row->header.started_at, first_time + 1000);
  EXPECT_EQ(
      row->summary,
      (run_summary{
          .phase = engine::phase::completed, .paused = false, .wake_at = wake_never, .closed_at = first_time + 3000}));
  EXPECT_EQ(row->last_seq, 6U);
  const auto h = view->history(row->key);
  EXPECT_EQ(h.error, "");
  EXPECT_EQ(h.events, r.events());
  expect_clean();
}

TEST_F(journal_test, goes_on_after_it_was_closed) {
  open();
  const auto first_reign = journal_->reign();
  whole_run("o-1");
  auto r = make_run("o-2");
  commit(r.start(tick()));
  close();
  open();
  EXPECT_NE(journal_->reign(), first_reign);
  EXPECT_EQ(journal_->next_run_key(), 3);
  EXPECT_EQ(journal_->last_event_time(), now_);
  commit(r.complete(tick(), 0));
  EXPECT_EQ(journal_->reopen().status, append_status::committed);
  EXPECT_EQ(journal_->last_event_time(), now_);
  EXPECT_EQ(journal_->open_view()->history(r.key()).events, r.events());
  EXPECT_EQ(ask("SELECT count(DISTINCT reign) FROM reigns"), "3");
  expect_clean();
}

TEST_F(journal_test, a_record_holds_many_runs_and_a_batch_of_several_times) {
  open();
  record r;
  std::vector<scripted_run> runs;
  for (int n = 0; n < 300; ++n) {
    runs.emplace_back(n + 1, "o-" + std::to_string(n),
                      engine::run_uid{journal_->reign(), static_cast<std::uint64_t>(n)});
    r.runs.push_back(runs.back().start(tick()));
    auto more = runs.back().next(tick(), 1);
    std::move(more.events.begin(), more.events.end(), std::back_inserter(r.runs.back().events));
    r.runs.back().last_seq = more.last_seq;
  }
  commit(r);
  EXPECT_EQ(ask("SELECT count(*) FROM events"), "300");
  auto view = journal_->open_view();
  for (const auto& run : runs) EXPECT_EQ(view->history(run.key()).events, run.events());
  expect_clean();
}

TEST_F(journal_test, refuses_a_run_that_exists_and_writes_nothing_of_the_record) {
  open();
  whole_run("o-1");
  const auto before = ask("SELECT group_concat(key || heads) FROM events");
  auto fresh = make_run("o-2");
  scripted_run again(fresh.key() + 1, "o-1", {journal_->reign(), 99});
  record r;
  r.runs.push_back(fresh.start(tick()));
  r.runs.push_back(again.start(now_));
  const auto result = journal_->append(r);
  EXPECT_EQ(result.status, append_status::refused);
  EXPECT_EQ(result.message, file() + ": run 1 of workflow 'o-1' exists already");
  EXPECT_EQ(ask("SELECT group_concat(key || heads) FROM events"), before);
  EXPECT_EQ(journal_->next_run_key(), fresh.key());
  EXPECT_FALSE(journal_->open_view()->find("o-2"));
  // The journal is as it was: the next run of the id is welcome.
  whole_run("o-1", 2);
  expect_clean();
}

TEST_F(journal_test, refuses_two_runs_of_one_number_in_one_record) {
  open();
  auto a = make_run("o-1");
  scripted_run b(a.key() + 1, "o-1", {journal_->reign(), 99});
  record r;
  r.runs.push_back(a.start(tick()));
  r.runs.push_back(b.start(now_));
  EXPECT_EQ(journal_->append(r).status, append_status::refused);
  EXPECT_EQ(ask("SELECT count(*) FROM runs"), "0");
}

TEST_F(journal_test, refuses_what_contradicts_the_tables) {
  open();
  auto r = whole_run("o-1");
  auto taken = scripted_run(r.key(), "o-other", {journal_->reign(), 98});
  EXPECT_EQ(try_append(taken.start(tick())).status, append_status::refused);  // the key

  run_change unknown;
  unknown.key = 4711;
  unknown.summary = run_summary{};
  EXPECT_EQ(try_append(unknown).message, file() + ": the run with key 4711 does not exist");

  run_change event_again;
  event_again.key = r.key();
  event_again.events.push_back(to_row(r.events().front()));
  EXPECT_EQ(try_append(event_again).status, append_status::refused);

  run_change too_high = event_again;
  too_high.events.front().seq = 1U << 20;
  EXPECT_NE(try_append(too_high).message.find("seq 1048576 is above 1048575"), std::string::npos);

  run_change bad_key = event_again;
  bad_key.key = 0;
  EXPECT_EQ(try_append(bad_key).status, append_status::refused);

  run_change gap = event_again;
  gap.events.front().seq = 7;
  gap.events.push_back(gap.events.front());
  EXPECT_EQ(try_append(gap).status, append_status::refused);
  whole_run("o-3");
  expect_clean();
}

TEST_F(journal_test, a_type_named_by_a_refused_record_is_stored_by_the_next) {
  open();
  whole_run("o-1", 1, "known");
  auto bad = scripted_run(1, "o-2", {journal_->reign(), 50}, 1, "new-type");
  EXPECT_EQ(try_append(bad.start(tick())).status, append_status::refused);
  whole_run("o-3", 1, "new-type");
  EXPECT_EQ(journal_->open_view()->find("o-3")->header.type, "new-type");
  expect_clean();
}

TEST_F(journal_test, keeps_the_newest_heartbeat_until_the_run_closes) {
  open();
  auto r = make_run("o-1");
  commit(r.start(tick()));
  record beats;
  beats.heartbeats.push_back({.key = r.key(), .step = 0, .undo = false, .details = "one"});
  beats.heartbeats.push_back({.key = r.key(), .step = 0, .undo = true, .details = "undo"});
  commit(beats);
  beats.heartbeats = {{.key = r.key(), .step = 0, .undo = false, .details = std::string("t\0o", 3)}};
  commit(beats);
  const auto kept = journal_->open_view()->history(r.key()).heartbeats;
  ASSERT_EQ(kept.size(), 2U);
  EXPECT_EQ(kept[0].details, std::string("t\0o", 3));
  EXPECT_TRUE(kept[1].undo);
  close();
  open();  // what it knows of heartbeats comes from the table
  record last;
  last.heartbeats = {{.key = r.key(), .step = 0, .undo = false, .details = "late"}};
  last.runs.push_back(r.complete(tick(), 0));
  commit(last);
  EXPECT_TRUE(journal_->open_view()->history(r.key()).heartbeats.empty());
  last.runs.clear();
  commit(last);  // later still: the run is closed, they are not kept
  EXPECT_EQ(ask("SELECT count(*) FROM heartbeats"), "0");
  expect_clean();
}

outcome_row refused_command(int n, std::int64_t at) {
  return {.command_id = "c-" + std::to_string(n),
          .workflow_id = "o-1",
          .outcome = {.result = engine::command_result::conflict, .seq = 3, .message = "running already"},
          .at = at};
}

TEST_F(journal_test, the_first_outcome_of_a_command_stays) {
  open();
  record r;
  r.outcomes.push_back(refused_command(1, 10));
  commit(r);
  r.outcomes.front().outcome.result = engine::command_result::invalid;
  commit(r);
  const auto kept = journal_->open_view()->outcome("o-1", "c-1");
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->outcome.result, engine::command_result::conflict);
  EXPECT_EQ(kept->outcome.seq, 3U);
  EXPECT_EQ(kept->outcome.message, "running already");
  EXPECT_EQ(kept->at, 10);
  EXPECT_FALSE(journal_->open_view()->outcome("o-1", "c-2"));
  EXPECT_FALSE(journal_->open_view()->outcome("o-2", "c-1"));
}

TEST_F(journal_test, drops_outcomes_by_age_and_by_number) {
  auto o = options();
  o.outcome_age = std::chrono::seconds(1);
  o.outcome_count = 10;
  open(o);
  for (int n = 0; n < 30; ++n) {
    record r;
    r.outcomes.push_back(refused_command(n, first_time + n));
    commit(r);
  }
  EXPECT_EQ(ask("SELECT count(*) || ' from ' || min(command_id) FROM outcomes"), "10 from c-20");
  close();
  open(o);
  record r;
  r.outcomes.push_back(refused_command(77, first_time + 2'000'000));
  commit(r);
  EXPECT_EQ(ask("SELECT group_concat(command_id) FROM outcomes"), "c-77");
  expect_clean();
}

TEST_F(journal_test, knows_which_ids_are_new) {
  auto o = options();
  o.waiting_ids = 64;
  open(o);
  EXPECT_FALSE(journal_->may_exist("o-1"));
  for (int n = 0; n < 500; ++n) commit(make_run("o-" + std::to_string(n)).start(tick()));
  const auto check = [&] {
    for (int n = 0; n < 500; ++n) ASSERT_TRUE(journal_->may_exist("o-" + std::to_string(n)));
    int needless = 0;
    for (int n = 0; n < 1000; ++n) needless += journal_->may_exist("x-" + std::to_string(n)) ? 1 : 0;
    EXPECT_LT(needless, 60);
  };
  check();
  close();
  open(o);
  wait_for_ids();
  check();
}

// Ids move to the table bucket by bucket; wherever the process dies, each is found, by the journal's views and by
// others.
TEST_F(journal_test, finds_every_id_while_ids_move_and_after_every_death) {
  auto o = options();
  o.waiting_ids = 32;
  int n = 0;
  for (int life = 0; life < 12; ++life) {
    open(o);
    auto view = journal_->open_view();
    auto other = open_view(directory());
    for (int k = 0; k < 40; ++k, ++n) {
      commit(make_run("o-" + std::to_string(n)).start(tick()));
      for (int earlier : {n, n / 2, 0}) {
        const auto id = "o-" + std::to_string(earlier);
        ASSERT_TRUE(view->find(id)) << id;
        ASSERT_TRUE(other->find(id)) << id;
      }
      ASSERT_FALSE(view->find("x-" + std::to_string(n)));
      ASSERT_FALSE(other->find("x-" + std::to_string(n)));
    }
    ASSERT_LT(journal_->stats().ids_waiting, 200U);
    close();
  }
  expect_clean();
  EXPECT_NE(ask("SELECT count(*) FROM ids"), "0");
  open(o);
  for (int k = 0; k < n; ++k) {
    scripted_run again(journal_->next_run_key(), "o-" + std::to_string(k),
                       {journal_->reign(), 1'000'000U + static_cast<unsigned>(k)});
    ASSERT_EQ(try_append(again.start(tick())).status, append_status::refused) << k;
  }
}

// Keys are given out in order, and may become durable in another one.
TEST_F(journal_test, finds_a_run_whose_key_is_below_the_mark) {
  auto o = options();
  o.waiting_ids = 16;
  open(o);
  auto late = make_run("late");
  for (int n = 0; n < 3'000; n += 100) {
    record r;
    for (int k = n; k < n + 100; ++k)
      r.runs.push_back(scripted_run(late.key() + 1 + k, "o-" + std::to_string(k),
                                    {journal_->reign(), 1000U + static_cast<unsigned>(k)})
                           .start(tick()));
    commit(r);
  }
  ASSERT_GT(std::stol(ask("SELECT ids_below FROM state")), late.key()) << "the sweep has not come round";
  commit(late.start(tick()));
  close();
  expect_clean();
  EXPECT_TRUE(open_view(directory())->find("late"));
  open(o);
  EXPECT_TRUE(journal_->open_view()->find("late"));
}

TEST_F(journal_test, cuts_its_wal) {
  auto o = options();
  o.wal_limit = 1 << 20;
  open(o);
  std::uintmax_t largest = 0;
  for (int n = 0; n < 1500; ++n) {
    auto r = make_run("o-" + std::to_string(n));
    commit(r.add(tick(), {r.started(std::string(2000, 'x'))}));
    largest = std::max(largest, std::filesystem::file_size(file() + "-wal"));
  }
  EXPECT_GT(journal_->stats().checkpoints, 10U);
  EXPECT_LT(largest, 1U << 20);
  EXPECT_GT(std::filesystem::file_size(file()), 2'000'000U);
}

TEST_F(journal_test, cuts_its_wal_when_a_long_reader_has_gone) {
  auto o = options();
  o.wal_limit = 1 << 20;
  open(o);
  whole_run("first");
  {
    database reader(file(), database::mode::read_write, std::chrono::seconds(1));
    const snapshot open_for_long(reader);
    EXPECT_EQ(reader.integer("SELECT count(*) FROM runs"), 1);
    for (int n = 0; n < 700; ++n) {
      auto r = make_run("o-" + std::to_string(n));
      commit(r.add(tick(), {r.started(std::string(2000, 'x'))}));
    }
    EXPECT_GT(std::filesystem::file_size(file() + "-wal"), 1U << 20);
    EXPECT_GT(journal_->stats().checkpoints_blocked, 0U);
    EXPECT_EQ(reader.integer("SELECT count(*) FROM runs"), 1);
  }
  for (int n = 700; n < 900; ++n) {
    auto r = make_run("o-" + std::to_string(n));
    commit(r.add(tick(), {r.started(std::string(2000, 'x'))}));
  }
  EXPECT_LE(std::filesystem::file_size(file() + "-wal"), 1U << 20);
  expect_clean();
}

TEST_F(journal_test, refuses_while_another_process_writes_and_goes_on_after_it) {
  auto o = options();
  o.busy_timeout = std::chrono::milliseconds(10);
  open(o);
  auto r = make_run("o-1");
  const auto change = r.start(tick());
  {
    database other(file(), database::mode::read_write, std::chrono::seconds(1));
    other.execute("BEGIN IMMEDIATE");
    const auto result = try_append(change);
    EXPECT_EQ(result.status, append_status::refused);
    EXPECT_NE(result.message.find("another process"), std::string::npos);
    other.execute("ROLLBACK");
  }
  commit(change);
}

TEST_F(journal_test, checks_the_integrity_when_it_was_asked_to) {
  open();
  for (int n = 0; n < 200; ++n) whole_run("o-" + std::to_string(n));
  close();
  ASSERT_TRUE(ask_for_check(directory()));
  open();
  EXPECT_FALSE(check_is_asked(directory())) << "it is asked once";
  close();
  {
    // A page in the middle turns to noise.
    std::fstream f(file(), std::ios::in | std::ios::out | std::ios::binary);
    f.seekp(4096 * 20);
    f << std::string(4096, 'z');
  }
  ASSERT_TRUE(ask_for_check(directory()));
  try {
    open();
    FAIL() << "a damaged store was opened";
  } catch (const store_error& e) {
    EXPECT_NE(std::string(e.what()).find("is damaged"), std::string::npos) << e.what();
  }
  EXPECT_TRUE(check_is_asked(directory()));
}

TEST_F(journal_test, says_where_it_cannot_be_opened) {
  auto o = options();
  o.directory += "/not-there";
  try {
    open(o);
    FAIL() << "there is no such directory";
  } catch (const store_error& e) {
    EXPECT_NE(std::string(e.what()).find("not-there/pawl.db cannot be written"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace pawl::store
