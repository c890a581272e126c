#include "store/view.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>

#include "tests/store/fixture.hpp"

namespace pawl::store {
namespace {

class view_test : public store_test {
 protected:
  std::vector<std::string> ids(const list_filter& f) {
    std::vector<std::string> out;
    for (const auto& r : journal_->open_view()->list(f)) out.push_back(r.header.workflow_id);
    return out;
  }
  using names = std::vector<std::string>;
};

TEST_F(view_test, finds_the_newest_run_or_the_one_asked_for) {
  open();
  whole_run("o-1");
  const auto second = whole_run("o-1", 2);
  for (auto* v : {journal_->open_view().release(), open_view(directory()).release()}) {
    const std::unique_ptr<view> view(v);
    EXPECT_EQ(view->find("o-1")->key, second.key());
    EXPECT_EQ(view->find("o-1", 1)->header.run, 1U);
    EXPECT_EQ(view->find("o-1", 2)->key, second.key());
    EXPECT_FALSE(view->find("o-1", 3));
    EXPECT_FALSE(view->find("o-2"));
    EXPECT_FALSE(view->find(""));
    EXPECT_EQ(view->get(second.key())->header.workflow_id, "o-1");
    EXPECT_FALSE(view->get(99));
  }
}

TEST_F(view_test, pages_through_a_history) {
  open();
  auto r = make_run("o-1");
  commit(r.start(tick()));
  for (std::uint32_t k = 1; k < 40; ++k) commit(r.next(tick(), k));
  auto view = journal_->open_view();
  std::vector<event> all;
  for (std::uint64_t from = 1;;) {
    const auto page = view->history(r.key(), from, 7);
    ASSERT_LE(page.events.size(), 7U);
    if (page.events.empty()) break;
    ASSERT_EQ(page.events.front().seq, from);
    all.insert(all.end(), page.events.begin(), page.events.end());
    from = all.back().seq + 1;
  }
  EXPECT_EQ(all, r.events());
  EXPECT_TRUE(view->history(r.key(), 81).events.empty());
  EXPECT_TRUE(view->history(99).events.empty());
  EXPECT_EQ(view->history(r.key(), 0, 1).events.front().seq, 1U);
}

TEST_F(view_test, lists_by_every_filter_newest_first) {
  open();
  whole_run("a-1", 1, "order");
  whole_run("a-2", 1, "refund");
  auto waiting = make_run("b-1");
  commit(waiting.start(tick()));
  auto paused = make_run("b-2", 1, "refund");
  commit(paused.start(tick()));
  commit(paused.add(tick(), {scripted_run::of(event_kind::run_paused)}));
  auto failed = make_run("b-%");
  commit(failed.start(tick()));
  commit(failed.add(tick(), {scripted_run::failed(0, 1, {}), scripted_run::of_step(event_kind::step_exhausted, 0),
                             scripted_run::of(event_kind::run_failed)}));
  EXPECT_EQ(ids({}), (names{"b-%", "b-2", "b-1", "a-2", "a-1"}));
  EXPECT_EQ(ids({.type = "refund"}), (names{"b-2", "a-2"}));
  EXPECT_EQ(ids({.type = "nothing"}), names{});
  EXPECT_EQ(ids({.id_prefix = "a-"}), (names{"a-2", "a-1"}));
  EXPECT_EQ(ids({.id_prefix = "b-%"}), (names{"b-%"}));
  EXPECT_EQ(ids({.phase = engine::phase::completed}), (names{"a-2", "a-1"}));
  EXPECT_EQ(ids({.phase = engine::phase::failed}), (names{"b-%"}));
  EXPECT_EQ(ids({.phase = engine::phase::running}), (names{"b-2", "b-1"}));
  EXPECT_EQ(ids({.paused = true}), (names{"b-2"}));
  EXPECT_EQ(ids({.paused = false, .open = true}), (names{"b-1"}));
  EXPECT_EQ(ids({.open = true}), (names{"b-2", "b-1"}));
  EXPECT_EQ(ids({.open = false}), (names{"b-%", "a-2", "a-1"}));
  EXPECT_EQ(ids({.type = "refund", .id_prefix = "b", .paused = true, .open = true}), (names{"b-2"}));
  EXPECT_EQ(ids({.phase = engine::phase::failed, .open = true}), names{});
  EXPECT_EQ(ids({.limit = 2}), (names{"b-%", "b-2"}));
  EXPECT_EQ(ids({.below = paused.key(), .limit = 2}), (names{"b-1", "a-2"}));
  EXPECT_EQ(ids({.open = true, .below = paused.key()}), (names{"b-1"}));
  const auto c = journal_->open_view()->counts();
  EXPECT_EQ(c.open, 2U);
  EXPECT_EQ(c.paused, 1U);
  EXPECT_EQ(c.closed, 3U);
}

TEST_F(view_test, pages_through_what_is_due_in_the_order_of_waking) {
  open();
  std::map<std::pair<std::int64_t, engine::run_key>, std::string> expected;
  for (int n = 0; n < 60; ++n) {
    auto r = make_run("o-" + std::to_string(n));
    commit(r.start(tick()));
    if (n % 3 == 0) {
      expected[{0, r.key()}] = r.header().workflow_id;
    } else if (n % 3 == 1) {
      const auto due = first_time + 1'000'000 - n % 5;
      commit(r.add(tick(), {scripted_run::failed(0, 1, due)}, due));
      expected[{due, r.key()}] = r.header().workflow_id;
    } else {
      commit(r.complete(tick(), 0));
    }
  }
  auto far = make_run("far");
  commit(far.start(tick()));
  commit(far.add(tick(), {scripted_run::failed(0, 1, first_time + 2'000'000)}, first_time + 2'000'000));
  auto view = journal_->open_view();
  for (const std::size_t limit : {1U, 7U, 1000U}) {
    auto want = expected.begin();
    view::due_cursor after;
    for (;;) {
      const auto page = view->due(first_time + 2'000'000, after, limit);
      ASSERT_LE(page.size(), limit);
      for (const auto& at : page) {
        ASSERT_NE(want, expected.end());
        EXPECT_EQ(view->get(at.key)->header.workflow_id, want->second);
        EXPECT_EQ(at.wake_at, want->first.first);
        after = at;
        ++want;
      }
      if (page.size() < limit) break;
    }
    EXPECT_EQ(want, expected.end());
  }
  EXPECT_EQ(view->due(0, {}, 10).size(), 0U);
  EXPECT_EQ(view->due(1, {}, 100).size(), 20U);
}

TEST_F(view_test, opens_runs_together_as_one_by_one) {
  open();
  auto first = make_run("o-1");
  commit(first.start(tick()));
  const auto closed = whole_run("o-2");
  auto beats = make_run("o-3");
  commit(beats.start(tick()));
  record r;
  r.heartbeats.push_back({.key = beats.key(), .step = 0, .undo = false, .details = "half"});
  commit(r);
  auto view = journal_->open_view();
  const std::vector<engine::run_key> keys{beats.key(), 99, closed.key(), first.key()};
  const auto found = view->opened(keys, {});
  ASSERT_EQ(found.size(), 2U) << "what is closed or unknown is left out";
  EXPECT_EQ(found[0].key, beats.key());
  EXPECT_EQ(found[0].workflow_id, "o-3");
  ASSERT_TRUE(found[0].history);
  EXPECT_EQ(found[0].history->events, beats.events());
  ASSERT_EQ(found[0].history->heartbeats.size(), 1U);
  EXPECT_EQ(found[0].history->heartbeats[0].details, "half");
  EXPECT_EQ(found[1].workflow_id, "o-1");
  ASSERT_TRUE(found[1].history);
  EXPECT_EQ(found[1].history->events, first.events());
  EXPECT_TRUE(found[1].history->heartbeats.empty());
  EXPECT_TRUE(view->opened({}, {}).empty());
}

TEST_F(view_test, leaves_what_is_long_to_who_opens_it_alone) {
  open();
  auto small = make_run("o-1");
  commit(small.start(tick()));
  auto many = make_run("o-2");
  commit(many.start(tick()));
  for (std::uint32_t k = 1; k < 10; ++k) commit(many.next(tick(), k));
  auto large = make_run("o-3");
  commit(large.add(tick(), {large.started(std::string(5'000, 'x'))}));
  auto last = make_run("o-4");
  commit(last.start(tick()));
  auto view = journal_->open_view();
  const std::vector<engine::run_key> keys{small.key(), many.key(), large.key(), last.key()};
  const auto read = [&](together limits) {
    std::string out;
    for (const auto& run : view->opened(keys, limits)) {
      out += run.history ? 'y' : 'n';
      if (run.history) EXPECT_EQ(run.history->events, view->history(run.key).events);
    }
    return out;
  };
  EXPECT_EQ(read({}), "yyyy");
  EXPECT_EQ(read({.events = many.events().size()}), "yyyy");
  EXPECT_EQ(read({.events = many.events().size() - 1}), "ynyy");
  EXPECT_EQ(read({.bytes = 4'000}), "yyny");
  EXPECT_EQ(read({.all_bytes = 5'500}), "yynn");
  EXPECT_EQ(read({.all_bytes = 0}), "nnnn");
}

TEST_F(view_test, opens_the_others_beside_one_that_does_not_decode) {
  open();
  auto one = make_run("o-1");
  commit(one.start(tick()));
  auto two = make_run("o-2");
  commit(two.start(tick()));
  sql("UPDATE events SET heads = '[[1,1' WHERE key >> 20 = " + std::to_string(one.key()));
  auto view = journal_->open_view();
  const std::vector<engine::run_key> keys{one.key(), two.key()};
  const auto found = view->opened(keys, {});
  ASSERT_EQ(found.size(), 2U);
  ASSERT_TRUE(found[0].history);
  EXPECT_EQ(found[0].history->error, view->history(one.key()).error);
  EXPECT_FALSE(found[0].history->error.empty());
  ASSERT_TRUE(found[1].history);
  EXPECT_EQ(found[1].history->events, two.events());
}

TEST_F(view_test, says_that_there_is_no_store) {
  try {
    open_view(directory());
    FAIL() << "there is nothing to open";
  } catch (const view_error& e) {
    EXPECT_NE(std::string(e.what()).find("there is no store in " + directory()), std::string::npos) << e.what();
  }
  EXPECT_FALSE(std::filesystem::exists(file())) << "reading must not make one";
}

TEST_F(view_test, reads_the_wal_that_a_kill_has_left) {
  int told[2];
  ASSERT_EQ(::pipe(told), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    open();
    for (int n = 0; n < 50; ++n) whole_run("o-" + std::to_string(n));
    const char c = 'x';
    if (::write(told[1], &c, 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }
  char c = 0;
  ASSERT_EQ(::read(told[0], &c, 1), 1);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(told[0]);
  ::close(told[1]);
  ASSERT_GT(std::filesystem::file_size(file() + "-wal"), 0U);
  auto view = open_view(directory());
  for (int n = 0; n < 50; ++n) {
    const auto row = view->find("o-" + std::to_string(n));
    ASSERT_TRUE(row);
    EXPECT_EQ(view->history(row->key).events.size(), 8U);
  }
  view.reset();
  EXPECT_GT(std::filesystem::file_size(file() + "-wal"), 0U) << "reading must not write";
  expect_clean();
}

// A reader beside the writer sees whole records only: the row and the history always agree.
TEST_F(view_test, sees_whole_records_only_while_a_node_writes) {
  auto o = options();
  o.waiting_ids = 32;
  o.wal_limit = 1 << 20;
  open(o);
  whole_run("o-0");
  std::atomic<int> newest{0};
  std::atomic<bool> done{false};
  std::atomic<int> looked{0};
  std::string wrong;
  std::thread reader([&] {
    auto own = journal_->open_view();
    auto foreign = open_view(directory());
    for (int k = 0; !done; ++k) {
      auto& view = k % 2 == 0 ? *own : *foreign;
      const int n = newest;
      const auto row = view.find("o-" + std::to_string(n));
      if (!row) {
        wrong = "o-" + std::to_string(n) + " is not found";
        return;
      }
      const auto h = view.history(row->key);
      const bool even = h.events.size() % 2 == 0;
      const bool not_less = h.events.size() >= row->last_seq;
      if (!even || !not_less || !h.error.empty()) wrong = "half a record of o-" + std::to_string(n);
      if (row->summary.closed_at != 0 && !is_terminal(h.events.back().kind)) wrong = "a closed run without an end";
      ++looked;
    }
  });
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  int n = 0;
  while ((n < 300 || looked < 300) && std::chrono::steady_clock::now() < deadline) {
    whole_run("o-" + std::to_string(++n));
    newest = n;
  }
  done = true;
  reader.join();
  EXPECT_EQ(wrong, "");
  EXPECT_GE(looked, 300);
}

}  // namespace
}  // namespace pawl::store
