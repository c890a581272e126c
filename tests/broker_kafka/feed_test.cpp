// The event feed on a real Kafka: every event, in order, whatever happens to who publishes it.
#include "broker/feed_publisher.hpp"

#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "tests/broker_kafka/kafka_fixture.hpp"
#include "tests/store/fixture.hpp"

namespace pawl::broker {
namespace {

using namespace std::chrono_literals;
using store::append_status;
using ::testing::HasSubstr;

/// What was published, in the order in which it lies there.
struct published_event {
  std::string key;
  std::string uid;
  std::uint64_t seq = 0;
};

class feed : public on_kafka {
 protected:
  void TearDown() override {
    publisher.reset();
    journal.reset();
  }

  void lead(engine::incarnation incarnation = 1) {
    journal.reset();
    view = store::open_embedded({.directory = directory.path(), .truth = false});
    journal = open_kafka_journal({.client = client(),
                                  .topic = name_space + ".journal",
                                  .partition = 0,
                                  .who = {.node_id = "node-" + std::to_string(incarnation), .incarnation = incarnation},
                                  .append_timeout = 4s,
                                  .warn = {},
                                  .progress = {}},
                                 *view);
  }
  void leave() {
    publisher.reset();
    journal.reset();
    view.reset();
  }

  feed_options options() {
    feed_options o;
    o.client = client();
    o.name_space = name_space;
    o.render = [this](const feed_event& e) {
      ++rendered;
      return feed_message{.value = to_text(e.run.uid) + " " + std::to_string(e.event.seq),
                          .time = "2026-01-01T00:00:00Z"};
    };
    // Of the feed's thread alone, as a view has to be.
    o.find_run = [v = std::shared_ptr<store::view>(view->open_view()), this](engine::run_key key) {
      ++asked;
      const auto row = v->get(key);
      return row ? std::optional(row->header) : std::nullopt;
    };
    o.warn = [this](const std::string& w) {
      const std::lock_guard lock(mutex);
      warnings += w + "\n";
    };
    return o;
  }
  void publish() { publish(options()); }
  void publish(feed_options o) { publisher = std::make_unique<feed_publisher>(std::move(o), *journal); }
  std::string warned() {
    const std::lock_guard lock(mutex);
    return warnings;
  }

  /// `count` runs of six events each, begun, continued and ended together: three records.
  bool runs(const std::string& name, int count) {
    std::vector<store::scripted_run> all;
    for (int k = 0; k < count; ++k) {
      const auto key = next_key() + k;
      all.emplace_back(key, name + "-" + std::to_string(k),
                       engine::run_uid{journal->reign(), static_cast<std::uint64_t>(key)});
    }
    const auto append = [&](auto step) {
      store::record r;
      for (auto& s : all) r.runs.push_back(step(s));
      return journal->append(r).status == append_status::committed;
    };
    return append([](auto& s) { return s.start(10); }) && append([](auto& s) { return s.next(20, 1); }) &&
           append([](auto& s) { return s.complete(30, 1); });
  }
  engine::run_key next_key() const {
    journal->await_views();
    return journal->next_run_key();
  }

  std::vector<published_event> all_published() const {
    kafka_reader r(client(), name_space + ".events", 0);
    const auto there = r.offsets(10s);
    std::vector<published_event> out;
    r.seek(there.first);
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    std::int64_t next = there.first;
    while (next < there.end && std::chrono::steady_clock::now() < deadline)
      if (const auto* m = r.next(100ms)) {
        const auto blank = m->value.find(' ');
        out.push_back({std::string(m->key), std::string(m->value.substr(0, blank)),
                       std::stoull(std::string(m->value.substr(blank + 1)))});
        next = m->offset + 1;
      }
    EXPECT_GE(next, there.end);
    return out;
  }

  /// As a consumer: drops repeats, sees no gap; how many events are left.
  static std::size_t consume(const std::vector<published_event>& all) {
    std::map<std::string, std::uint64_t> last;
    std::map<std::string, std::string> key_of;
    std::size_t n = 0;
    for (const auto& e : all) {
      auto& seen = last[e.uid];
      EXPECT_LE(e.seq, seen + 1) << e.key << " " << e.uid << ": an event is behind a later one";
      EXPECT_EQ(key_of.try_emplace(e.uid, e.key).first->second, e.key);
      if (e.seq <= seen) continue;
      seen = e.seq;
      ++n;
    }
    for (const auto& [uid, seq] : last) EXPECT_EQ(seq, 6U) << uid;
    return n;
  }

  store::temporary_directory directory;
  std::unique_ptr<store::embedded_journal> view;
  std::unique_ptr<kafka_journal> journal;
  std::unique_ptr<feed_publisher> publisher;
  std::atomic<std::uint64_t> rendered{0};
  std::atomic<std::uint64_t> asked{0};
  std::mutex mutex;
  std::string warnings;
};

TEST_F(feed, has_the_events_of_fifty_runs_in_order) {
  lead();
  publish();
  for (int k = 0; k < 10; ++k) ASSERT_TRUE(runs("w" + std::to_string(k), 5));
  EXPECT_TRUE(eventually([&] { return journal->fed().offset + 1 == journal->stats().end; }));
  const auto all = all_published();
  ASSERT_EQ(all.size(), 300U);
  EXPECT_EQ(consume(all), 300U);
  EXPECT_EQ(all.front().key, "w0-0");
  EXPECT_EQ(publisher->stats().published, 300U);
  EXPECT_EQ(publisher->stats().begun, 1U);
  EXPECT_EQ(asked, 0U) << "every run began while it published";
  EXPECT_EQ(warned(), "");
}

TEST_F(feed, after_a_planned_stop_nothing_repeats) {
  lead();
  publish();
  ASSERT_TRUE(runs("before", 40));
  EXPECT_TRUE(publisher->stop(20s));
  publisher.reset();
  EXPECT_EQ(journal->fed().offset + 1, journal->stats().end);
  EXPECT_TRUE(journal->release());
  leave();
  lead(2);
  publish();
  ASSERT_TRUE(runs("after", 10));
  EXPECT_TRUE(publisher->stop(20s));
  EXPECT_EQ(publisher->stats().published, 60U);
  const auto all = all_published();
  EXPECT_EQ(all.size(), 300U);
  EXPECT_EQ(consume(all), 300U);
}

// Once it has come to the end, what follows is still in memory.
TEST_F(feed, what_was_just_committed_is_not_read_again) {
  lead();
  ASSERT_TRUE(runs("before", 5));
  publish();
  const auto told = [&] { return journal->fed().offset + 1 == journal->stats().end; };
  EXPECT_TRUE(eventually(told));
  EXPECT_EQ(publisher->stats().from_memory, 0U);
  for (int k = 0; k < 5; ++k) ASSERT_TRUE(runs("w" + std::to_string(k), 5));
  EXPECT_TRUE(eventually(told));
  EXPECT_GE(publisher->stats().from_memory, 14U) << "of 15 records";
  const auto all = all_published();
  EXPECT_EQ(all.size(), 180U);
  EXPECT_EQ(consume(all), 180U);
}

// Destroyed while it is at it, several times: each goes on from what the one before was certain of.
TEST_F(feed, who_is_destroyed_in_the_middle_leaves_no_gap) {
  lead();
  for (int k = 0; k < 10; ++k) ASSERT_TRUE(runs("w" + std::to_string(k), 50));
  auto slowly = options();
  slowly.render = [quick = slowly.render](const feed_event& e) {
    std::this_thread::sleep_for(200us);
    return quick(e);
  };
  for (int k = 0; k < 4; ++k) {
    const auto before = rendered.load();
    publish(slowly);
    ASSERT_TRUE(eventually([&] { return rendered > before + 400; }));
    publisher.reset();
  }
  EXPECT_LT(journal->fed().offset + 1, journal->stats().end);
  EXPECT_GE(journal->fed().offset, 0);
  publish();
  EXPECT_TRUE(publisher->stop(30s));
  const auto all = all_published();
  EXPECT_EQ(consume(all), 3'000U);
  EXPECT_LT(all.size(), 3'000U + 4 * 1'500U) << "a stretch repeats, not everything";
  EXPECT_EQ(warned(), "");
}

TEST_F(feed, an_error_is_told_and_it_goes_on_from_where_it_was) {
  lead();
  auto o = options();
  std::atomic<int> left = 2;
  o.render = [&left, well = o.render](const feed_event& e) {
    if (e.event.seq == 4 && left > 0 && left-- > 0) throw std::runtime_error("a broken renderer");
    return well(e);
  };
  publish(o);
  ASSERT_TRUE(runs("w", 50));
  EXPECT_TRUE(publisher->stop(20s));
  EXPECT_EQ(consume(all_published()), 300U);
  EXPECT_EQ(publisher->stats().begun, 3U);
  EXPECT_THAT(warned(), HasSubstr("goes on in 100 ms"));
  EXPECT_THAT(warned(), HasSubstr("a broken renderer"));
}

// A run that began before fed() is in no record that is read: the view knows it.
TEST_F(feed, a_run_of_long_ago_is_looked_up) {
  lead();
  publish();
  store::scripted_run s(next_key(), "old", {journal->reign(), 1});
  const auto append = [&](store::run_change c) {
    store::record r;
    r.runs.push_back(std::move(c));
    return journal->append(r).status == append_status::committed;
  };
  ASSERT_TRUE(append(s.start(10)));
  EXPECT_EQ(journal->settle().status, append_status::committed);
  ASSERT_TRUE(publisher->stop(20s));
  auto o = options();
  std::atomic<bool> away = true;
  o.find_run = [&away, well = o.find_run](engine::run_key key) {
    return away.exchange(false) ? std::nullopt : well(key);  // as of a view that is read anew
  };
  publish(o);
  ASSERT_TRUE(append(s.next(20, 1)));
  ASSERT_TRUE(append(s.complete(30, 1)));
  EXPECT_TRUE(publisher->stop(20s));
  EXPECT_THAT(warned(), HasSubstr("is not in the view"));
  EXPECT_EQ(asked, 1U);
  EXPECT_EQ(consume(all_published()), 6U);
}

TEST_F(feed, what_a_zombie_writes_is_not_published) {
  lead(1);
  ASSERT_TRUE(runs("first", 1));
  const auto old = journal->stats().epoch;
  const auto reign = journal->reign();
  leave();
  lead(2);
  publish();
  store::scripted_run s(next_key(), "zombie", {reign, 99});
  store::record r;
  r.runs.push_back(s.start(40));
  kafka_producer raw(client(), {});
  const auto bytes = encode({.kind = record_kind::batch, .epoch = old, .reign = reign, .seq = 4}, batch{.changes = r});
  raw.send(name_space + ".journal", 0, std::nullopt, bytes, {});
  raw.send(name_space + ".journal", 0, std::nullopt, "this is no record", {});
  ASSERT_TRUE(raw.flush(10s));
  ASSERT_TRUE(runs("second", 1));
  // Behind the end of the leader: it may be anybody's.
  raw.send(name_space + ".journal", 0, std::nullopt, bytes, {});
  ASSERT_TRUE(raw.flush(10s));
  EXPECT_TRUE(publisher->stop(20s));
  EXPECT_EQ(publisher->stats().skipped, 1U);
  EXPECT_EQ(publisher->stats().garbage, 1U);
  EXPECT_THAT(warned(), HasSubstr("as no record of ours"));
  const auto all = all_published();
  EXPECT_EQ(all.size(), 12U);
  EXPECT_EQ(consume(all), 12U);
  for (const auto& e : all) EXPECT_NE(e.key, "zombie");
}

TEST_F(feed, of_another_log_everything_is_published_once_more) {
  lead();
  ASSERT_TRUE(runs("w", 5));
  auto wrong = store::log_point{.offset = 2, .epoch = journal->stats().epoch, .reign = {1, 2}, .seq = 2};
  journal->fed(wrong);
  publish();
  EXPECT_TRUE(publisher->stop(20s));
  EXPECT_THAT(warned(), HasSubstr("journal_diverged"));
  EXPECT_EQ(consume(all_published()), 30U);
  publisher.reset();
  wrong.offset = 1'000;  // behind its end
  journal->fed(wrong);
  publish();
  EXPECT_TRUE(publisher->stop(20s));
  const auto all = all_published();
  EXPECT_EQ(all.size(), 60U);
  EXPECT_EQ(consume(all), 30U);
}

TEST_F(feed, the_broker_is_killed_and_comes_back) {
  lead();
  auto slowly = options();
  slowly.render = [quick = slowly.render](const feed_event& e) {
    std::this_thread::sleep_for(500us);
    return quick(e);
  };
  publish(slowly);
  ASSERT_TRUE(runs("before", 300));
  ASSERT_TRUE(eventually([&] { return rendered > 300; }));
  broker().tell("kill 1");
  std::this_thread::sleep_for(500ms);
  broker().tell("start 1");
  EXPECT_TRUE(eventually([&] { return journal->reopen().status == append_status::committed; }));
  ASSERT_TRUE(runs("after", 10));
  EXPECT_TRUE(publisher->stop(60s));
  EXPECT_EQ(consume(all_published()), 1'860U);
}

}  // namespace
}  // namespace pawl::broker
