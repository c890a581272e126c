// The journal in a real Kafka: what is appended is there for every reader, one leader at a time, whatever happens.
#include "broker/kafka_journal.hpp"

#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <thread>

#include "tests/broker_kafka/kafka_fixture.hpp"
#include "tests/store/fixture.hpp"

namespace pawl::broker {
namespace {

using namespace std::chrono_literals;
using store::append_status;
using ::testing::HasSubstr;

// A node's part in it: a directory with a view, and the journal behind it.
class member {
 public:
  member(const kafka_options& client, const std::string& name_space, engine::incarnation incarnation)
      : client_(client),
        name_space_(name_space),
        incarnation_(incarnation) {
    open_view();
  }
  void open_view() { view = store::open_embedded({.directory = directory.path(), .truth = false}); }
  void lead() { journal = open_kafka_journal(options(), *view); }
  void follow() { journal = follow_kafka_journal(options(), *view); }
  void leave() {
    journal.reset();
    view.reset();
  }
  store::append_result append(store::run_change c) {
    store::record r;
    r.runs.push_back(std::move(c));
    return journal->append(r);
  }
  /// A whole run: three records.
  bool run(const std::string& id) {
    journal->await_views();
    const auto key = journal->next_run_key();
    store::scripted_run s(key, id, {journal->reign(), static_cast<std::uint64_t>(key)});
    return append(s.start(10)).status == append_status::committed &&
           append(s.next(20, 1)).status == append_status::committed &&
           append(s.complete(30, 1)).status == append_status::committed;
  }
  /// What a reader sees, as text.
  std::string seen() const {
    auto v = shown();
    std::string out;
    for (const auto& row : v->list({.limit = 1000})) {
      out += row.header.workflow_id + " " + to_text(row.header.uid) + " " + std::string(to_text(row.summary.phase));
      for (const auto& e : v->history(row.key).events)
        out += " " + std::to_string(e.seq) + std::string(to_text(e.kind));
      out += "\n";
    }
    return out;
  }
  bool has(const std::string& id) const { return shown()->find(id).has_value(); }
  std::unique_ptr<store::view> shown() const {
    if (journal) journal->await_views();
    return view->open_view();
  }

  store::temporary_directory directory;
  std::unique_ptr<store::embedded_journal> view;
  std::unique_ptr<kafka_journal> journal;
  std::string warnings;
  std::function<kafka_journal_options::again()> lead_again;
  std::chrono::milliseconds view_linger{20};

 private:
  kafka_journal_options options() {
    return {.client = client_,
            .topic = name_space_ + ".journal",
            .partition = 0,
            .who = {.node_id = "node-" + std::to_string(incarnation_), .incarnation = incarnation_},
            .append_timeout = 4s,
            .lead_again = lead_again,
            .warn = [this](const std::string& w) { warnings += w + "\n"; },
            .view_linger = view_linger,
            .progress = {}};
  }

  kafka_options client_;
  std::string name_space_;
  engine::incarnation incarnation_;
};

class journal : public on_kafka {
 protected:
  std::unique_ptr<member> someone(engine::incarnation incarnation) {
    return std::make_unique<member>(client(), name_space, incarnation);
  }
};

// Whoever follows is told of each record at once. Once it leads, nobody reads with that reader; only the tail is read
// back, in bulk.
TEST_F(journal, who_leads_does_not_go_on_fetching_what_it_writes) {
  std::atomic<int> fetches = 0;
  auto watched = client();
  watched.properties["debug"] = "fetch";
  watched.log = [&](int, std::string_view text) {
    if (text.find("Fetch topic") != std::string_view::npos) ++fetches;
  };
  member a(watched, name_space, 1);
  a.lead();
  ASSERT_GT(fetches, 0) << "its announcement came back";
  constexpr int runs = 60;
  const auto before = fetches.load();
  const auto begun = std::chrono::steady_clock::now();
  for (int n = 0; n < runs; ++n) ASSERT_TRUE(a.run("w" + std::to_string(n)));
  const auto in_bulk = (std::chrono::steady_clock::now() - begun) / 100ms;
  EXPECT_LT(fetches - before, 20 + 2 * in_bulk) << 3 * runs << " records";
}

TEST_F(journal, another_view_is_built_from_the_log_and_is_the_same) {
  auto a = someone(1);
  a->lead();
  for (int k = 0; k < 20; ++k) ASSERT_TRUE(a->run("w-" + std::to_string(k)));
  const auto stats = a->journal->stats();
  EXPECT_EQ(stats.appended, 60U);
  EXPECT_EQ(stats.skipped + stats.gaps + stats.garbage, 0U);
  EXPECT_TRUE(eventually([&] { return a->journal->stats().read_back == a->journal->stats().end; }));
  auto b = someone(2);
  b->lead();
  EXPECT_EQ(b->seen(), a->seen());
  const auto seen = b->seen();
  EXPECT_EQ(std::count(seen.begin(), seen.end(), '\n'), 20);
  EXPECT_EQ(b->journal->next_run_key(), 21);
  EXPECT_NE(b->journal->reign(), a->journal->reign());
  const auto report = store::verify(b->directory.path());
  for (const auto& f : report.findings) ADD_FAILURE() << f.text();
}

TEST_F(journal, a_view_goes_on_from_where_it_stands) {
  auto a = someone(1);
  a->lead();
  ASSERT_TRUE(a->run("before"));
  a->leave();
  auto b = someone(2);
  b->lead();
  ASSERT_TRUE(b->run("meanwhile"));
  EXPECT_TRUE(b->journal->release());
  EXPECT_EQ(b->append({}).status, append_status::unknown) << "what is released takes nothing more";
  a->open_view();
  EXPECT_FALSE(a->has("meanwhile"));
  a->lead();
  EXPECT_TRUE(a->has("before") && a->has("meanwhile"));
  EXPECT_EQ(a->journal->stats().rebuilt, 0U);
  EXPECT_EQ(a->seen(), b->seen());
}

TEST_F(journal, who_was_superseded_commits_nothing_and_says_by_whom) {
  auto a = someone(1);
  a->lead();
  ASSERT_TRUE(a->run("first"));
  auto b = someone(2);
  b->lead();
  // It may write once before it hears: into the log, and into nobody's view.
  EXPECT_FALSE(a->run("late"));
  const auto r = a->journal->reopen();
  EXPECT_EQ(r.status, append_status::deposed);
  EXPECT_THAT(r.message, HasSubstr("node-2 leads it"));
  ASSERT_TRUE(b->run("second"));
  // It follows now, and may lead again when it is its turn.
  EXPECT_TRUE(eventually([&] {
    a->journal->follow(10ms);
    return a->has("second");
  }));
  EXPECT_FALSE(a->journal->stats().leading);
  EXPECT_TRUE(a->journal->announce());
  ASSERT_TRUE(a->run("third"));
  EXPECT_EQ(b->journal->reopen().status, append_status::deposed);
  auto c = someone(3);
  c->lead();
  EXPECT_EQ(c->seen(), a->seen());
  EXPECT_TRUE(c->has("first") && c->has("second") && c->has("third"));
  EXPECT_FALSE(c->has("late") || b->has("late"));
}

TEST_F(journal, a_follower_keeps_up_and_takes_over_what_is_released) {
  auto a = someone(1);
  a->lead();
  auto b = someone(2);
  b->follow();
  for (int k = 0; k < 20; ++k) ASSERT_TRUE(a->run("w-" + std::to_string(k)));
  EXPECT_TRUE(eventually([&] {
    b->journal->follow(10ms);
    return b->journal->stats().position == a->journal->stats().end;
  }));
  EXPECT_EQ(b->seen(), a->seen());
  EXPECT_FALSE(b->journal->stats().released);
  ASSERT_TRUE(a->journal->release());
  EXPECT_TRUE(eventually([&] {
    b->journal->follow(10ms);
    return b->journal->stats().released;
  }));
  EXPECT_TRUE(b->journal->announce());
  EXPECT_FALSE(b->journal->stats().released);
  ASSERT_TRUE(b->run("more"));
  EXPECT_EQ(b->journal->stats().rebuilt, 0U);
}

// Both announce the same epoch, and the log says who was first.
TEST_F(journal, of_two_announcers_at_once_one_leads) {
  for (int round = 0; round < 5; ++round) {
    auto a = someone(1);
    auto b = someone(2);
    a->follow();
    b->follow();
    for (auto* m : {a.get(), b.get()})
      while (m->journal->follow(50ms)) {
      }
    bool a_leads = false;
    std::thread other([&] { a_leads = a->journal->announce(); });
    const bool b_leads = b->journal->announce();
    other.join();
    ASSERT_TRUE(a_leads || b_leads);
    // The second may have read the first's announcement before it wrote its own: then it took over.
    auto& winner = a->journal->stats().epoch > b->journal->stats().epoch || !b_leads ? *a : *b;
    auto& loser = &winner == a.get() ? *b : *a;
    ASSERT_TRUE(winner.run("round-" + std::to_string(round)));
    EXPECT_FALSE(loser.run("lost-" + std::to_string(round)));
    auto reader = someone(3);
    reader->lead();
    EXPECT_TRUE(reader->has("round-" + std::to_string(round)));
    EXPECT_FALSE(reader->has("lost-" + std::to_string(round)));
  }
}

TEST_F(journal, an_empty_record_is_a_barrier_that_only_a_leader_gets_through) {
  auto a = someone(1);
  a->lead();
  ASSERT_TRUE(a->run("one"));
  const auto before = a->journal->stats();
  EXPECT_EQ(a->journal->append({}).status, append_status::committed);
  EXPECT_EQ(a->journal->stats().end, before.end + 1);
  ASSERT_TRUE(a->run("two"));
  a->leave();
  a->open_view();
  a->lead();
  EXPECT_TRUE(a->has("two"));
  EXPECT_EQ(a->journal->stats().rebuilt, 0U);
  auto b = someone(2);
  b->lead();
  EXPECT_NE(a->journal->append({}).status, append_status::committed);
}

TEST_F(journal, who_may_not_lead_again_is_deposed_or_told_to_wait) {
  auto a = someone(1);
  using again = kafka_journal_options::again;
  auto answer = again::not_yet;
  a->lead_again = [&] { return answer; };
  a->lead();
  EXPECT_EQ(a->journal->reopen().status, append_status::unknown);
  answer = again::no;
  EXPECT_EQ(a->journal->reopen().status, append_status::deposed);
  answer = again::yes;
  EXPECT_EQ(a->journal->reopen().status, append_status::committed);
  ASSERT_TRUE(a->run("one"));
}

// The zombie's record is in the log, for certain: written by hand, under the epoch that is over.
TEST_F(journal, what_a_zombie_writes_is_skipped_by_every_reader) {
  auto a = someone(1);
  a->lead();
  ASSERT_TRUE(a->run("first"));
  const auto old = a->journal->stats().epoch;
  const auto reign = a->journal->reign();
  a->leave();
  auto b = someone(2);
  b->lead();
  store::scripted_run s(b->journal->next_run_key(), "zombie", {reign, 99});
  store::record r;
  r.runs.push_back(s.start(40));
  kafka_producer raw(client(), {});
  std::int64_t at = -1;
  const auto bytes = encode({.kind = record_kind::batch, .epoch = old, .reign = reign, .seq = 4}, batch{.changes = r});
  raw.send(name_space + ".journal", 0, std::nullopt, bytes, [&](const auto& d) { at = d.offset; });
  raw.send(name_space + ".journal", 0, std::nullopt, "this is no record", {});
  ASSERT_TRUE(raw.flush(10s));
  ASSERT_GE(at, 0);
  ASSERT_TRUE(b->run("second")) << "a gap that holds no announcement is read and passed";
  EXPECT_EQ(b->journal->stats().gaps, 1U);
  EXPECT_EQ(b->journal->stats().skipped, 1U);
  EXPECT_EQ(b->journal->stats().garbage, 1U);
  EXPECT_THAT(b->warnings, HasSubstr("as no record of ours"));
  auto c = someone(3);
  c->lead();
  EXPECT_EQ(c->seen(), b->seen());
  EXPECT_FALSE(c->has("zombie"));
}

TEST_F(journal, a_view_of_another_log_is_thrown_away) {
  auto a = someone(1);
  a->lead();
  ASSERT_TRUE(a->run("one"));
  ASSERT_TRUE(a->run("two"));
  a->leave();
  {
    store::database db(store::database_file(a->directory.path()), store::database::mode::read_write, 1s);
    db.execute("UPDATE log_position SET crc = crc + 1");
  }
  a->open_view();
  a->lead();
  EXPECT_EQ(a->journal->stats().rebuilt, 1U);
  EXPECT_THAT(a->warnings, HasSubstr("read anew"));
  EXPECT_TRUE(a->has("one") && a->has("two"));
  ASSERT_TRUE(a->run("three"));
}

TEST_F(journal, a_directory_of_its_own_is_no_view_and_a_view_is_no_store) {
  auto a = someone(1);
  a->lead();
  ASSERT_TRUE(a->run("one"));
  a->leave();
  try {
    store::open_embedded({.directory = a->directory.path()});
    FAIL();
  } catch (const store::store_error& e) {
    EXPECT_THAT(e.what(), HasSubstr("set kafka.brokers"));
  }
  store::temporary_directory own;
  {
    auto j = store::open_embedded({.directory = own.path()});
    store::scripted_run s(1, "w", {j->reign(), 1});
    store::record r;
    r.runs.push_back(s.start(1));
    ASSERT_EQ(j->append(r).status, append_status::committed);
  }
  try {
    store::open_embedded({.directory = own.path(), .truth = false});
    FAIL();
  } catch (const store::store_error& e) {
    EXPECT_THAT(e.what(), HasSubstr("a store of its own"));
  }
}

// ---- a leader's view is written behind its journal

// Takes no runs as long as it stands: what writes one is refused by the database.
class sick_view {
 public:
  explicit sick_view(const member& m)
      : db_(store::database_file(m.directory.path()), store::database::mode::read_write, 5s) {
    db_.execute("CREATE TRIGGER sick BEFORE INSERT ON runs BEGIN SELECT RAISE(ABORT, 'sick'); END");
  }
  void heal() { db_.execute("DROP TRIGGER sick"); }

 private:
  store::database db_;
};

TEST_F(journal, a_leaders_view_takes_a_few_records_at_once_and_all_when_nothing_is_to_be_appended) {
  auto a = someone(1);
  a->view_linger = 10min;
  a->lead();
  const auto has = [&](const std::string& id) { return a->view->open_view()->find(id).has_value(); };
  const auto begin = [&](engine::run_key key) {
    store::scripted_run s(key, "w-" + std::to_string(key), {a->journal->reign(), static_cast<std::uint64_t>(key)});
    return a->append(s.start(10)).status == append_status::committed;
  };
  const auto rows_of = [&](engine::run_key key) {
    store::database db(store::database_file(a->directory.path()), store::database::mode::read_write, 5s);
    return db.integer("SELECT count(*) FROM events WHERE key >> 20 = " + std::to_string(key));
  };
  const auto before = a->journal->stats().position;
  store::scripted_run first(1, "w-1", {a->journal->reign(), 1});
  ASSERT_EQ(a->append(first.start(10)).status, append_status::committed);
  ASSERT_EQ(a->append(first.next(20, 1)).status, append_status::committed);
  for (engine::run_key k = 2; k <= 6; ++k) ASSERT_TRUE(begin(k));
  EXPECT_FALSE(has("w-1"));
  EXPECT_EQ(a->journal->stats().position, before) << "how far the view is, and not the journal";
  EXPECT_TRUE(a->journal->may_begin("w-6"));
  ASSERT_TRUE(begin(7));
  ASSERT_TRUE(eventually([&] { return has("w-7"); })) << "eight at once, though nobody waits for them";
  EXPECT_EQ(a->view->open_view()->history(1).events, first.events());
  EXPECT_EQ(rows_of(1), 1) << "of two records";
  ASSERT_TRUE(eventually([&] { return !a->journal->may_begin("w-7"); }));
  ASSERT_TRUE(begin(8));
  EXPECT_EQ(a->journal->append({}).status, append_status::committed);
  EXPECT_FALSE(has("w-8"));
  EXPECT_LT(a->journal->stats().position, a->journal->stats().end) << "a barrier does not write it";
  EXPECT_EQ(a->journal->settle().status, append_status::committed);
  EXPECT_TRUE(has("w-8"));
  EXPECT_EQ(a->journal->stats().position, a->journal->stats().end);
  EXPECT_EQ(a->journal->append({}).status, append_status::committed);
  EXPECT_EQ(a->journal->stats().position, a->journal->stats().end) << "what changes nothing is shown at once";
  // What a crash leaves out is read again.
  ASSERT_TRUE(begin(9));
  a->leave();
  a->open_view();
  EXPECT_FALSE(has("w-9"));
  a->lead();
  EXPECT_TRUE(has("w-9"));
  EXPECT_EQ(a->journal->stats().rebuilt, 0U);
  ASSERT_TRUE(begin(10));
  EXPECT_TRUE(a->journal->release());
  EXPECT_TRUE(has("w-10"));
  const auto report = store::verify(a->directory.path());
  for (const auto& f : report.findings) ADD_FAILURE() << f.text();
}

// The thread that appends is at the brokers'; who reads is not kept waiting for what these do.
TEST_F(journal, who_waits_for_the_view_does_not_wait_for_the_brokers) {
  auto a = someone(1);
  a->view_linger = 10min;
  a->lead();
  store::scripted_run s(1, "w", {a->journal->reign(), 1});
  std::promise<void> begun;
  std::promise<void> paused;
  std::jthread appends([&] {
    EXPECT_EQ(a->append(s.start(10)).status, append_status::committed);
    begun.set_value();
    paused.get_future().wait();
    EXPECT_EQ(a->append(s.next(20, 1)).status, append_status::unknown);
  });
  begun.get_future().wait();
  broker().tell("pause 1");
  const auto before = std::chrono::steady_clock::now();
  paused.set_value();
  EXPECT_NO_THROW(a->journal->await_views());
  EXPECT_LT(std::chrono::steady_clock::now() - before, 3s) << "the append gives up after 4 s";
  EXPECT_TRUE(a->view->open_view()->find("w"));
  appends.join();
  broker().tell("resume 1");
}

TEST_F(journal, a_view_that_cannot_be_written_is_read_again_from_where_it_stands) {
  auto a = someone(1);
  a->view_linger = 10min;
  a->lead();
  ASSERT_TRUE(a->run("first"));
  a->journal->await_views();
  sick_view sick(*a);
  const auto reign = a->journal->reign();
  std::vector<store::scripted_run> runs;
  for (engine::run_key k = 2; k <= 4; ++k) {
    runs.emplace_back(k, "w-" + std::to_string(k), engine::run_uid{reign, static_cast<std::uint64_t>(k)});
    ASSERT_EQ(a->append(runs.back().start(10)).status, append_status::committed);
  }
  std::thread([&] {
    EXPECT_THROW(
        {
          std::jthread settles([&] { EXPECT_EQ(a->journal->settle().status, append_status::unknown); });
          a->journal->await_views();
        },
        store::view_error);
  }).join();
  EXPECT_FALSE(a->journal->stats().leading) << "it can't go on with it";
  EXPECT_EQ(a->append({}).status, append_status::unknown);
  sick.heal();
  EXPECT_EQ(a->journal->reopen().status, append_status::committed);
  EXPECT_EQ(a->journal->stats().rebuilt, 0U);
  for (const auto& r : runs) EXPECT_TRUE(a->has(r.header().workflow_id)) << "what was acknowledged is there";
  ASSERT_TRUE(a->run("last"));
  auto b = someone(2);
  b->lead();
  EXPECT_EQ(b->seen(), a->seen());
}

// What is read in a gap moves the view's position on: not over records that the view has not taken. Its leader may hear
// of the other before it writes, and then there is no gap.
TEST_F(journal, what_others_wrote_in_between_does_not_hide_what_the_view_has_not_taken) {
  std::uint64_t gaps = 0;
  kafka_producer raw(client(), {});
  for (int round = 0; round < 20 && gaps == 0; ++round) {
    const auto id = "behind-" + std::to_string(round);
    auto a = someone(1);
    a->view_linger = 10min;
    a->lead();
    store::scripted_run s(a->journal->next_run_key(), id, {a->journal->reign(), 1});
    ASSERT_EQ(a->append(s.start(10)).status, append_status::committed);
    sick_view sick(*a);
    const stamp higher{
        .kind = record_kind::announcement, .epoch = a->journal->stats().epoch + 1, .reign = {5, 6}, .seq = 0};
    std::int64_t at = -1;
    raw.send(name_space + ".journal", 0, std::nullopt,
             encode(higher, announcer{.node_id = "other", .incarnation = 9}, journal_format),
             [&](const auto& d) { at = d.offset; });
    ASSERT_TRUE(raw.flush(10s));
    EXPECT_NE(a->append(s.next(20, 1)).status, append_status::committed);
    gaps += a->journal->stats().gaps;
    sick.heal();
    a->leave();
    a->open_view();
    a->follow();
    EXPECT_TRUE(eventually([&] {
      a->journal->follow(10ms);
      return a->journal->stats().position > at;
    }));
    EXPECT_TRUE(a->has(id));
    auto reader = someone(2);
    reader->lead();
    EXPECT_TRUE(reader->has(id));
  }
  EXPECT_GT(gaps, 0U) << "nothing of what is tried here has happened";
}

TEST_F(journal, a_record_that_is_too_large_leaves_nobody_waiting_for_the_view) {
  auto a = someone(1);
  a->view_linger = 10min;
  a->lead();
  store::scripted_run s(1, "w", {a->journal->reign(), 1});
  ASSERT_EQ(a->append(s.start(10)).status, append_status::committed);
  store::scripted_run large(2, "large", {a->journal->reign(), 2});
  const auto r = a->append(large.add(20, {large.started(std::string(9 << 20, 'x'))}));
  EXPECT_EQ(r.status, append_status::refused);
  EXPECT_THAT(r.message, HasSubstr("lower limits.batch"));
  std::thread([&] { EXPECT_NO_THROW(a->journal->await_views()); }).join();
  EXPECT_TRUE(a->view->open_view()->find("w"));
  EXPECT_EQ(a->journal->reopen().status, append_status::committed);
  ASSERT_TRUE(a->run("after"));
}

// Acknowledged records outlive the broker's SIGKILL, an append meanwhile has an unknown outcome, and it goes on.
TEST_F(journal, the_broker_is_killed_and_comes_back) {
  auto a = someone(1);
  a->lead();
  ASSERT_TRUE(a->run("before"));
  broker().tell("kill 1");
  store::scripted_run s(a->journal->next_run_key(), "meanwhile", {a->journal->reign(), 77});
  const auto r = a->append(s.start(50));
  EXPECT_EQ(r.status, append_status::unknown) << r.message;
  broker().tell("start 1");
  EXPECT_TRUE(eventually([&] { return a->journal->reopen().status == append_status::committed; }));
  EXPECT_TRUE(a->has("before"));
  ASSERT_TRUE(a->run("after"));
  auto b = someone(2);
  b->lead();
  EXPECT_EQ(b->seen(), a->seen());
}

}  // namespace
}  // namespace pawl::broker
