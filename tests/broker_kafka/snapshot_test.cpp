// Snapshots and trim on a real Kafka: what is trimmed is gone from the log, and nobody misses it.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "broker/kafka_snapshots.hpp"
#include "store/snapshot_directory.hpp"
#include "tests/broker_kafka/kafka_fixture.hpp"
#include "tests/store/snapshot_fixture.hpp"

namespace pawl::broker {
namespace {

using namespace std::chrono_literals;
using store::append_status;
using ::testing::HasSubstr;

class snapshots : public on_kafka {
 protected:
  // A node's part in it.
  struct member {
    explicit member(snapshots& test, engine::incarnation n) : incarnation(n), test_(test) { open(); }
    void open() {
      view = store::open_embedded({.directory = directory.path(), .truth = false});
      journal =
          follow_kafka_journal({.client = test_.client(),
                                .topic = test_.name_space + ".journal",
                                .partition = 0,
                                .who = {.node_id = "node-" + std::to_string(incarnation), .incarnation = incarnation},
                                .append_timeout = 4s,
                                .lead_again = {},
                                .snapshots = test_.shared.get(),
                                .warn = [this](const std::string& w) { warnings += w + "\n"; },
                                .progress = [this](const catch_up_progress& p) { restored += p.snapshot.runs; }},
                               *view);
    }
    void close() {
      writer.reset();
      journal.reset();
      view.reset();
    }
    bool lead() { return journal->announce(); }
    /// Whole runs: three records each.
    bool run(int from, int count) {
      for (int n = from; n < from + count; ++n) {
        const auto key = journal->next_run_key();
        store::scripted_run s(key, "w-" + std::to_string(n), {journal->reign(), static_cast<std::uint64_t>(key)});
        const auto begin = s.add(10, {s.started(std::string(payload, 'x')),
                                      store::scripted_run::of_step(store::event_kind::attempt_started, 0, 1)});
        for (auto c : {begin, s.next(20, 1), s.complete(30, 1)}) {
          store::record r;
          r.runs.push_back(std::move(c));
          if (const auto a = journal->append(r); a.status != append_status::committed) {
            warnings += a.message + "\n";
            return false;
          }
        }
        journal->await_views();
      }
      return true;
    }
    /// Everything up to the end is as if published, and said so with the next record.
    void publish_all() {
      const auto p = view->position();
      journal->fed(p->at);
    }
    void write_snapshots() {
      auto o = kafka_snapshots(test_.client(), test_.name_space, 0, *journal,
                               {.records = 1'000'000, .interval = 0ms, .segment_bytes = 20'000, .look_every = 10ms});
      o.warn = [this](const std::string& w) { complaints += w + "\n"; };
      writer = std::make_unique<snapshotter>(*test_.shared, *view, std::move(o));
    }
    bool snapshot() {
      const auto before = writer->stats().written;
      writer->write_now();
      return eventually([&] { return writer->stats().written > before; });
    }
    /// Follows to the end.
    bool follow() {
      return eventually([&] {
        journal->follow(50ms);
        const auto s = journal->stats();
        return s.position >= test_.journal_range().end;
      });
    }
    std::string dump() const { return store::dump(directory.path()); }
    bool has(const std::string& id) const { return view->open_view()->find(id).has_value(); }

    store::temporary_directory directory;
    engine::incarnation incarnation;
    std::unique_ptr<store::embedded_journal> view;
    std::unique_ptr<kafka_journal> journal;
    std::unique_ptr<snapshotter> writer;
    std::string warnings, complaints;
    std::uint64_t restored = 0;
    std::size_t payload = 10;

   private:
    snapshots& test_;
  };

  void SetUp() override {
    on_kafka::SetUp();
    shared = store::open_snapshot_directory(shared_directory.path());
  }
  kafka_reader::range journal_range() {
    kafka_reader r(client(), name_space + ".journal", 0);
    return r.offsets(10s);
  }
  std::vector<std::string> there() { return store::list_snapshots(*shared, 0); }
  std::string path_of(const std::string& name) const { return shared_directory.path() + "/" + name; }

  /// A leader with two snapshots, whose journal is trimmed.
  std::unique_ptr<member> trimmed() {
    auto a = std::make_unique<member>(*this, 1);
    EXPECT_TRUE(a->lead());
    a->write_snapshots();
    for (int k = 0; k < 2; ++k) {
      EXPECT_TRUE(a->run(100 * k, 100)) << a->warnings;
      a->publish_all();
      EXPECT_TRUE(a->run(1000 + k, 1));
      EXPECT_TRUE(a->snapshot()) << a->complaints;
    }
    EXPECT_TRUE(eventually([&] { return a->writer->stats().journal_below > 0; })) << a->complaints;
    EXPECT_TRUE(a->run(200, 20));
    EXPECT_GT(journal_range().first, 250) << "nothing was trimmed";
    return a;
  }

  store::temporary_directory shared_directory;
  std::unique_ptr<store::snapshot_store> shared;
};

TEST_F(snapshots, an_empty_node_starts_from_one_and_goes_on) {
  auto a = trimmed();
  EXPECT_EQ(journal_range().first, a->writer->stats().journal_below);
  member b(*this, 2);
  ASSERT_TRUE(b.follow()) << b.warnings;
  EXPECT_EQ(b.journal->stats().restored, 1U);
  EXPECT_EQ(b.journal->stats().rebuilt, 0U);
  EXPECT_EQ(b.dump(), a->dump());
  // It leads, and what it writes and keeps goes on from there.
  a->writer.reset();
  ASSERT_TRUE(b.lead());
  ASSERT_TRUE(b.run(300, 50)) << b.warnings;
  b.write_snapshots();
  b.publish_all();
  ASSERT_TRUE(b.run(400, 1));
  const auto before = journal_range().first;
  ASSERT_TRUE(b.snapshot()) << b.complaints;
  EXPECT_EQ(b.writer->stats().kept, 2U);
  ASSERT_TRUE(eventually([&] { return journal_range().first > before; }));
  EXPECT_EQ(b.complaints, "");
  member c(*this, 3);
  ASSERT_TRUE(c.follow()) << c.warnings;
  EXPECT_EQ(c.dump(), b.dump());
  for (const auto* id : {"w-0", "w-150", "w-219", "w-349", "w-400"}) EXPECT_TRUE(c.has(id)) << id;
  EXPECT_FALSE(c.has("w-999"));
  for (const auto& f : store::verify(c.directory.path()).findings) ADD_FAILURE() << f.text();
}

// A view that ends before the log begins is of no use any more.
TEST_F(snapshots, a_view_below_the_trim_is_filled_anew) {
  member b(*this, 2);
  {
    member first(*this, 9);
    ASSERT_TRUE(first.lead());
    ASSERT_TRUE(first.run(500, 2));
  }
  ASSERT_TRUE(b.follow());
  ASSERT_TRUE(b.has("w-501"));
  b.close();
  auto a = trimmed();
  b.open();
  ASSERT_LT(b.view->position()->at.offset + 1, journal_range().first);
  ASSERT_TRUE(b.follow()) << b.warnings;
  EXPECT_EQ(b.journal->stats().restored, 1U);
  EXPECT_EQ(b.dump(), a->dump());
  EXPECT_TRUE(b.has("w-501") && b.has("w-219"));
}

// In the middle of reading: the broker says that there is nothing where it wants to go on.
TEST_F(snapshots, a_reader_that_the_trim_overtakes_restores) {
  member a(*this, 1);
  ASSERT_TRUE(a.lead());
  member b(*this, 2);
  ASSERT_TRUE(b.follow());
  a.write_snapshots();
  a.payload = 500'000;  // more than a reader fetches ahead
  for (int k = 0; k < 2; ++k) {
    ASSERT_TRUE(a.run(100 * k, 40)) << a.warnings;
    a.publish_all();
    ASSERT_TRUE(a.run(1000 + k, 1));
    ASSERT_TRUE(a.snapshot()) << a.complaints;
  }
  ASSERT_TRUE(eventually([&] { return journal_range().first > 100; }));
  std::string said;
  ASSERT_TRUE(eventually([&] {
    try {
      b.journal->follow(50ms);
    } catch (const kafka_error& e) {
      said += e.what();
    }
    return b.journal->stats().restored == 1;
  })) << b.warnings;
  EXPECT_NE(said, "") << "it was not in the middle";
  ASSERT_TRUE(b.follow()) << b.warnings;
  EXPECT_EQ(b.dump(), a.dump());
}

TEST_F(snapshots, damaged_ones_are_passed_over) {
  auto a = trimmed();
  const auto newest = there().front();
  const auto whole = std::filesystem::file_size(path_of(newest));
  const auto restores = [&](const char* what) {
    SCOPED_TRACE(what);
    member b(*this, 2);
    EXPECT_TRUE(b.follow()) << b.warnings;
    EXPECT_EQ(b.journal->stats().restored, 1U);
    EXPECT_EQ(b.dump(), a->dump());
    return b.warnings;
  };
  EXPECT_EQ(restores("whole"), "");
  std::filesystem::copy(path_of(newest), path_of("kept"));
  std::filesystem::resize_file(path_of(newest), whole / 2);
  EXPECT_THAT(restores("half-written"), HasSubstr(newest));
  std::filesystem::copy(path_of("kept"), path_of(newest), std::filesystem::copy_options::overwrite_existing);
  {
    std::fstream f(path_of(newest), std::ios::in | std::ios::out | std::ios::binary);
    f.seekp(static_cast<std::streamoff>(whole / 3));
    f.put('\x55');
  }
  EXPECT_THAT(restores("a byte flipped"), HasSubstr(newest));
  std::filesystem::remove(path_of(newest));
  EXPECT_EQ(restores("the newest missing"), "");
}

TEST_F(snapshots, without_any_that_is_good_the_error_says_so) {
  auto a = trimmed();
  for (const auto& name : there()) std::filesystem::resize_file(path_of(name), 40);
  member b(*this, 2);
  try {
    b.journal->follow(50ms);
    FAIL();
  } catch (const store::store_error& e) {
    EXPECT_THAT(e.what(), HasSubstr("nor a snapshot that is good and fits in " + shared->where()));
  }
  EXPECT_THAT(b.warnings, HasSubstr(there().front()));
  EXPECT_THAT(b.warnings, HasSubstr(there().back()));
}

// The log holds another record where the newest one ends: it lost its tail and was written on. That is made by giving a
// snapshot the name and the content of a place that the log does not have.
TEST_F(snapshots, one_of_another_log_is_passed_over) {
  auto a = trimmed();
  member z(*this, 7);
  ASSERT_TRUE(z.follow());
  auto beyond = *z.view->position();
  beyond.at.offset += 1;
  beyond.crc += 1;
  ASSERT_EQ(z.view->append(store::record(), beyond).status, append_status::committed);
  store::snapshot_writer(*shared, *z.view, {.topic = name_space + ".journal", .partition = 0}).write();
  ASSERT_EQ(store::place_of(there().front())->offset, beyond.at.offset);
  member b(*this, 2);
  ASSERT_TRUE(b.follow()) << b.warnings;
  EXPECT_EQ(b.dump(), a->dump());
  EXPECT_THAT(b.warnings, HasSubstr("the log ends at"));
  ASSERT_TRUE(a->run(600, 2));
  member c(*this, 3);
  ASSERT_TRUE(c.follow()) << c.warnings;
  EXPECT_EQ(c.dump(), a->dump());
  EXPECT_THAT(c.warnings, HasSubstr("another record is at offset"));
}

}  // namespace
}  // namespace pawl::broker
