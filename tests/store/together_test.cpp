// Records that a view takes together: what is in it afterwards is what one after the other would have left, and a fault
// leaves it with all of them or none, and its position with them.
#include <random>

#include "tests/store/all_kinds.hpp"
#include "tests/store/fault_fixture.hpp"

namespace pawl::store {
namespace {

using records = std::vector<std::shared_ptr<const record>>;

log_position position_of(std::size_t n) {
  const log_point at{.offset = static_cast<std::int64_t>(n) + 10, .epoch = 3, .reign = {1, 2}, .seq = n + 1};
  return {.at = at,
          .crc = static_cast<std::uint32_t>(n * 7 + 1),
          .commands = static_cast<std::int64_t>(n),
          .feed = {.offset = at.offset - 2, .epoch = 3, .reign = {1, 2}, .seq = n}};
}

class together : public store_on_faults {
 protected:
  embedded_options view_options(const std::string& in) const {
    auto o = options();
    o.directory = in;
    o.truth = false;
    o.waiting_ids = 4;  // ids move to their table
    return o;
  }

  // Every row of every table but what differs from one opening to the next, and where the ids are just now; of events
  // what they say, since how many share a row is what differs.
  static std::string rows(const std::string& in) {
    database db(database_file(in), database::mode::read_write, std::chrono::seconds(5));
    std::string out;
    std::vector<std::string> tables;
    for (auto s = db.prepare("SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite_%' AND name "
                             "NOT IN ('reigns', 'ids', 'state', 'schema_version', 'events') ORDER BY name");
         s.step();)
      tables.push_back(s.text(0));
    EXPECT_GE(tables.size(), 8U);
    tables.push_back("history ORDER BY run_key, seq");
    for (const auto& table : tables) {
      out += table + "\n";
      // Of its own, since runs names reigns by a number.
      auto s = db.prepare(table == "runs" ? "SELECT r.*, g.reign FROM runs r JOIN reigns g ON g.number = r.reign"
                                          : "SELECT * FROM " + table);
      while (s.step()) {
        for (int c = 0; c < s.columns(); ++c)
          if (table != "runs" || c != 3)
            out += " " + (s.null(c) ? "null" : std::to_string(s.bytes(c).size()) + ":" + s.text(c));
        out += "\n";
      }
    }
    out += "state " + db.text("SELECT last_event_at || ' ' || runs FROM state");
    return out;
  }

  // What each way leaves, by how many records are given at once; 0: each by itself, the other way.
  std::string left_by(const records& all, std::size_t at_once) {
    const temporary_directory in;
    std::string out;
    {
      auto j = open_embedded(view_options(in.path()));
      for (std::size_t n = 0; n < all.size();) {
        const auto count = std::min(std::max<std::size_t>(at_once, 1), all.size() - n);
        const auto r = at_once == 0 ? j->append(*all[n], position_of(n))
                                    : j->append(std::span(all).subspan(n, count), position_of(n + count - 1));
        EXPECT_EQ(r.status, append_status::committed) << r.message;
        n += count;
        EXPECT_EQ(j->position()->at, position_of(n - 1).at);
      }
      EXPECT_EQ(j->stats().records, all.size());
      out = rows(in.path()) + " " + std::to_string(j->next_run_key()) + " " + std::to_string(j->last_event_time());
      auto v = j->open_view();  // found by their ids, wherever these are
      rows_of_events_ = database(database_file(in.path()), database::mode::read_write, std::chrono::seconds(5))
                            .integer("SELECT count(*) FROM events");
      for (const auto& r : all)
        for (const auto& c : r->runs)
          if (c.created) EXPECT_TRUE(v->find(c.created->workflow_id, c.created->run)) << c.created->workflow_id;
    }
    for (const auto& f : verify(in.path()).findings) ADD_FAILURE() << at_once << " at once: " << f.text();
    return out;
  }

  void expect_the_same(const records& all) {
    const auto one_by_one = left_by(all, 0);
    EXPECT_GT(one_by_one.size(), 500U);
    const auto apart = rows_of_events_;
    for (const std::size_t n : {1U, 2U, 3U, 4U, 5U, 7U, 1000U})
      EXPECT_EQ(left_by(all, n), one_by_one) << n << " at once";
    EXPECT_LT(rows_of_events_, apart * 3 / 4) << "what is written together is not kept together";
  }
  std::int64_t rows_of_events_ = 0;  // of what left_by() left
};

TEST_F(together, every_kind_of_event_and_row_is_as_if_one_by_one) {
  records all;
  append_all_kinds([&](const record& r) { all.push_back(std::make_shared<record>(r)); });
  EXPECT_GE(all.size(), 20U);
  expect_the_same(all);
}

// Runs whose lines change in every record, close, and have heartbeats in between; messages, marks and outcomes.
TEST_F(together, whatever_is_mixed_is_as_if_one_by_one) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto pick = [&](std::uint32_t below) { return static_cast<std::uint32_t>(random() % below); };
  records all;
  std::vector<scripted_run> open;
  std::vector<std::uint32_t> steps;
  engine::run_key key = 0;
  std::uint64_t sent = 0;
  std::size_t beats = 0;
  std::size_t closed = 0;
  for (int n = 0; n < 60; ++n) {
    auto r = std::make_shared<record>();
    tick();
    for (std::uint32_t k = pick(3); k > 0; --k) {
      ++key;
      open.emplace_back(key, "w-" + std::to_string(key), engine::run_uid{{1, 2}, static_cast<std::uint64_t>(key)});
      steps.push_back(0);
      r->runs.push_back(open.back().start(now_));
    }
    for (std::size_t k = 0; k < open.size();) {
      auto& run = open[k];
      const auto what = run.events().back().at == engine::from_micros(now_) ? 9 : pick(6);
      if (what < 2) r->heartbeats.push_back({run.key(), steps[k], false, "half " + std::to_string(beats++)});
      if (what < 3) r->runs.push_back(run.next(now_, ++steps[k]));
      if (what == 3) {
        const auto step = steps[k]++;
        r->runs.push_back(run.add(now_, {scripted_run::failed(step, 1, now_ + 500),
                                         scripted_run::of_step(event_kind::attempt_started, step, 2),
                                         scripted_run::of_step(event_kind::attempt_completed, step, 2),
                                         scripted_run::of_step(event_kind::attempt_started, step + 1, 1)}));
      }
      if (what == 4) {
        auto paused = scripted_run::of(event_kind::run_paused);
        paused.cause = "requested";
        r->runs.push_back(run.add(now_, {paused}));
        r->runs.push_back(run.add(now_, {scripted_run::of(event_kind::run_resumed)}));
      }
      if (what == 5 && pick(2) == 0) {
        r->heartbeats.push_back({run.key(), steps[k], false, "at its end"});
        auto killed = scripted_run::of(event_kind::run_killed);
        r->runs.push_back(run.add(now_, {killed}));
        open.erase(open.begin() + static_cast<std::ptrdiff_t>(k));
        steps.erase(steps.begin() + static_cast<std::ptrdiff_t>(k));
        ++closed;
        continue;
      }
      ++k;
    }
    if (pick(3) == 0)
      r->outcomes.push_back(
          {.command_id = "c-" + std::to_string(pick(20)), .workflow_id = "w-1", .outcome = {}, .at = now_});
    if (pick(2) == 0) r->outbox.messages.push_back({.to = 1, .number = ++sent, .reign = {1, 2}, .message = "m"});
    if (sent > 3 && pick(4) == 0) r->outbox.acknowledged.push_back({.to = 1, .below = sent - 1});
    if (pick(4) == 0)
      r->marks.push_back({.type = "order", .version = pick(3), .revision = pick(9), .at = now_, .by = "u"});
    all.push_back(std::move(r));
  }
  EXPECT_GT(closed, 0U);
  EXPECT_GT(beats, 0U);
  expect_the_same(all);
}

TEST_F(together, nothing_but_the_position_is_written_too) {
  open(view_options(directory()));
  ASSERT_EQ(journal_->append(records{}, position_of(4)).status, append_status::committed);
  EXPECT_EQ(journal_->position()->at, position_of(4).at);
}

TEST_F(together, one_that_is_refused_takes_the_others_along) {
  open(view_options(directory()));
  auto a = make_run("o-a");
  scripted_run b(2, "o-b", {journal_->reign(), 2});
  scripted_run a_again(3, "o-a", {journal_->reign(), 3});
  const auto of = [](std::vector<run_change> c) {
    auto r = std::make_shared<record>();
    r->runs = std::move(c);
    return r;
  };
  ASSERT_EQ(journal_->append(records{of({a.start(tick())})}, position_of(0)).status, append_status::committed);
  const auto before = rows(directory());
  const records all{of({b.start(tick())}), of({a.next(tick(), 1)}), of({a_again.start(tick())}),
                    of({a.complete(tick(), 1)})};
  const auto refused = journal_->append(all, position_of(4));
  EXPECT_EQ(refused.status, append_status::refused);
  EXPECT_NE(refused.message.find("run 1 of workflow 'o-a' exists already"), std::string::npos) << refused.message;
  EXPECT_EQ(rows(directory()), before);
  EXPECT_EQ(journal_->position()->at, position_of(0).at);
  EXPECT_EQ(journal_->next_run_key(), 2);
  EXPECT_FALSE(journal_->open_view()->find("o-b"));
  // And of what was to come nothing is remembered: the same without it is taken.
  ASSERT_EQ(journal_->append(records{all[0], all[1], all[3]}, position_of(3)).status, append_status::committed);
  EXPECT_EQ(journal_->open_view()->find("o-a")->summary.phase, engine::phase::completed);
  record more;
  more.runs.push_back(b.next(tick(), 1));
  ASSERT_EQ(journal_->append(more, position_of(4)).status, append_status::committed);
  EXPECT_EQ(journal_->open_view()->find("o-b")->last_seq, 4U);
  expect_clean();
}

TEST_F(together, a_change_of_a_run_that_is_not_there_is_refused) {
  open(view_options(directory()));
  auto a = make_run("o-a");
  scripted_run nobody(7, "o-nobody", {journal_->reign(), 7});
  static_cast<void>(nobody.start(tick()));
  auto first = std::make_shared<record>();
  first->runs = {a.start(now_), nobody.next(tick(), 1)};
  auto second = std::make_shared<record>();
  second->runs = {nobody.complete(tick(), 1)};
  first->runs.back().summary = run_summary{.phase = engine::phase::running};
  EXPECT_EQ(journal_->append(records{first, second}, position_of(1)).status, append_status::refused);
  EXPECT_FALSE(journal_->position());
}

// A write fails, and the disk fills up, at every point: afterwards the view stands where its rows stand, and goes on.
TEST_F(together, a_fault_at_any_write_leaves_all_of_them_or_none) {
  records all;
  append_all_kinds([&](const record& r) { all.push_back(std::make_shared<record>(r)); });
  constexpr std::size_t at_once = 4;
  std::vector<std::string> after;  // so many records
  {
    const temporary_directory in;
    auto j = open_embedded(view_options(in.path()));
    after.push_back(rows(in.path()));
    for (std::size_t n = 0; n < all.size(); ++n) {
      ASSERT_EQ(j->append(*all[n], position_of(n)).status, append_status::committed);
      after.push_back(rows(in.path()));
    }
  }
  auto faulty = view_options(directory());
  faulty.vfs = fault_vfs::name;
  faulty.page_size = 1024;
  faulty.wal_limit = 40 * 1024;
  for (const auto f : {fault::write_fails, fault::disk_full, fault::short_write}) {
    int fired = 0;
    int in_doubt = 0;
    for (std::uint64_t at = 1;; at += 5) {  // of some hundred writes
      SCOPED_TRACE(std::string(to_text(f)) + " at " + std::to_string(at));
      close();
      for (const auto& entry : std::filesystem::directory_iterator(directory()))
        std::filesystem::remove_all(entry.path());
      fault_vfs::get().forget();
      fault_vfs::get().disarm();
      open(faulty);
      fault_vfs::get().arm(f, at);
      std::size_t n = 0;
      append_result r;
      for (; n < all.size(); n += at_once) {
        const auto count = std::min(at_once, all.size() - n);
        r = journal_->append(std::span(all).subspan(n, count), position_of(n + count - 1));
        if (r.status != append_status::committed) break;
      }
      if (!fault_vfs::get().fired()) break;
      ++fired;
      fault_vfs::get().disarm();
      if (r.status == append_status::committed) continue;
      ++in_doubt;
      close();
      open(faulty);
      const auto stands = journal_->position();
      const auto there = stands ? static_cast<std::size_t>(stands->at.offset) - 9 : 0;
      EXPECT_TRUE(there == n || there == std::min(n + at_once, all.size())) << there << " of " << n;
      ASSERT_EQ(rows(directory()), after.at(there));
      // As the log gives them again.
      for (auto next = there; next < all.size(); next += at_once) {
        const auto count = std::min(at_once, all.size() - next);
        ASSERT_EQ(journal_->append(std::span(all).subspan(next, count), position_of(next + count - 1)).status,
                  append_status::committed);
      }
      ASSERT_EQ(rows(directory()), after.back());
    }
    EXPECT_GE(fired, 20) << to_text(f);
    EXPECT_GE(in_doubt, 20) << to_text(f);
  }
}

}  // namespace
}  // namespace pawl::store
