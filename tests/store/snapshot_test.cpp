// Snapshots of a view: what is restored is what was there, whatever is damaged is passed over.
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "store/view_loader.hpp"
#include "tests/store/snapshot_fixture.hpp"

namespace pawl::store {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST_F(snapshot_test, what_is_restored_is_what_was_there) {
  go_on(300);
  auto w = writer();
  const auto written = w.write();
  EXPECT_GT(w.written().segments, 1U);
  EXPECT_EQ(written.about.position.at.offset, offset_);
  EXPECT_EQ(written.name, snapshot_name(0, offset_, written.about.position.crc));
  temporary_directory other;
  auto view = open_another(other);
  const auto at = restore(*view);
  ASSERT_TRUE(at) << warnings_;
  EXPECT_EQ(*at, written.about.position);
  EXPECT_EQ(view->position(), at);
  EXPECT_EQ(dump(other.path()), dump(directory()));
  EXPECT_THAT(verify(other.path()).findings, IsEmpty());
  EXPECT_EQ(view->next_run_key(), journal_->next_run_key());
  EXPECT_EQ(view->last_event_time(), journal_->last_event_time());
}

// Rows that older versions read: nodes of several versions share snapshots.
TEST_F(snapshot_test, events_that_share_a_row_are_written_apart_where_their_times_differ) {
  go_on(300);
  temporary_directory of_leader;
  auto leader = open_another(of_leader);
  std::vector<std::shared_ptr<const record>> all;
  for (const auto& [r, at] : log_) all.push_back(std::make_shared<record>(r));
  for (std::size_t n = 0; n < all.size(); n += 8) {
    const auto count = std::min<std::size_t>(8, all.size() - n);
    const auto r = leader->append(std::span(all).subspan(n, count), log_[n + count - 1].second);
    ASSERT_EQ(r.status, append_status::committed) << r.message;
  }
  const auto joined = [](const std::string& in) {
    database db(database_file(in), database::mode::read_write, std::chrono::seconds(5));
    return db.integer("SELECT count(*) FROM events e, json_each(e.heads) h WHERE h.value ->> 5 > 0");
  };
  EXPECT_GT(joined(of_leader.path()), 10);
  EXPECT_EQ(dump(of_leader.path()), dump(directory()));
  snapshot_writer w(*store_, *leader, {.topic = topic, .partition = 0, .segment_bytes = 16'384});
  w.write();
  temporary_directory other;
  auto view = open_another(other);
  ASSERT_TRUE(restore(*view)) << warnings_;
  EXPECT_EQ(joined(other.path()), 0);
  EXPECT_EQ(dump(other.path()), dump(directory()));
  EXPECT_THAT(verify(other.path()).findings, IsEmpty());
}

// Random views, snapshot upon snapshot, by several writers, restored and gone on from.
TEST_F(snapshot_test, any_view_is_the_same_after_a_restore) {
  const char* given = std::getenv("PAWL_SEED");
  const auto first = given ? std::strtoull(given, nullptr, 10) : 1;
  const auto last = given ? first : first + 24;
  std::uint64_t runs = 0;
  std::uint64_t segments = 0;
  for (auto s = first; s <= last; ++s) {
    SCOPED_TRACE("PAWL_SEED=" + std::to_string(s) + " test_store --gtest_filter=*any_view_is_the_same*");
    seed(s);
    forget_all();
    std::optional<snapshot_writer> w;
    for (int round = 0; round < 4; ++round) {
      go_on(1 + static_cast<int>(random_() % 120));
      if (!w || random_() % 3 == 0) {
        // A new leader: it goes on from what is in the store.
        w.emplace(writer(1 + random_() % 20'000));
        if (const auto there = list_snapshots(*store_, 0); !there.empty() && random_() % 4 != 0) {
          const auto base = check_snapshot(*store_, there.front());
          key_set keys;
          for (const auto& line : base.segments) check_segment(*store_, line, journal_->next_run_key(), keys);
          w->continue_from(base.segments, std::move(keys));
        }
      }
      w->write();
      temporary_directory other;
      auto view = open_another(other);
      ASSERT_TRUE(restore(*view)) << warnings_;
      ASSERT_EQ(dump(other.path()), dump(directory()));
      ASSERT_THAT(verify(other.path()).findings, IsEmpty());
      const auto found = view->open_view();
      for (const auto& r : runs_) {
        ASSERT_TRUE(view->may_exist(r->header().workflow_id));
        const auto row = found->find(r->header().workflow_id);
        ASSERT_TRUE(row) << r->header().workflow_id;
        ASSERT_EQ(row->key, r->key());
      }
    }
    runs += runs_.size();
    segments += w->written().segments;
  }
  if (!given) EXPECT_GT(runs, 1000U);
  if (!given) EXPECT_GT(segments, 50U);
}

TEST_F(snapshot_test, a_restored_view_goes_on_like_the_first) {
  go_on(100);
  writer().write();
  temporary_directory other;
  auto view = open_another(other);
  ASSERT_TRUE(restore(*view));
  // The same records go to both.
  for (int n = 0; n < 30; ++n) {
    record r;
    const auto key = journal_->next_run_key();
    ASSERT_EQ(view->next_run_key(), key);
    scripted_run one(key, "later-" + std::to_string(n), {{1, 2}, static_cast<std::uint64_t>(key)});
    r.runs.push_back(one.start(tick()));
    const auto at = next_position();
    ASSERT_EQ(journal_->append(r, at).status, append_status::committed);
    ASSERT_EQ(view->append(r, at).status, append_status::committed);
  }
  EXPECT_EQ(dump(other.path()), dump(directory()));
  // An id of a run that was restored is refused, as in the first.
  record twice;
  const auto key = view->next_run_key();
  auto again = scripted_run(key, runs_.front()->header().workflow_id, {{1, 2}, 99});
  twice.runs.push_back(again.start(tick()));
  EXPECT_EQ(view->append(twice, next_position()).status, append_status::refused);
}

TEST_F(snapshot_test, a_closed_run_is_written_once) {
  for (int n = 0; n < 200; ++n) closed("a-" + std::to_string(n));
  begin("open");
  auto w = writer(1 << 20);
  const auto first = w.write();
  ASSERT_THAT(first.segments, SizeIs(1));
  EXPECT_EQ(first.segments[0].runs, 200U);
  const auto before = w.written();
  for (int n = 0; n < 3; ++n) closed("b-" + std::to_string(n));
  const auto second = w.write();
  ASSERT_THAT(second.segments, SizeIs(2));
  EXPECT_EQ(second.segments[0], first.segments[0]);
  EXPECT_EQ(second.segments[1].runs, 3U);
  EXPECT_EQ(w.written().runs_in_segments - before.runs_in_segments, 3U);
  EXPECT_LT(second.segments[1].sum.bytes * 20, first.segments[0].sum.bytes);
  // Nothing was closed since.
  put(record{});
  EXPECT_EQ(w.write().segments, second.segments);
}

// A run that is closed while the writer is under way is in the snapshot or in a segment, once.
TEST_F(snapshot_test, is_consistent_beside_who_appends) {
  go_on(200);
  std::atomic<bool> done{false};
  std::atomic<int> written{0};
  std::thread beside([&] {
    auto w = writer(4096);
    while (!done || written == 0) {
      w.write();
      ++written;
    }
  });
  for (int n = 0; n < 300 || written < 5; ++n) go_on(5);
  done = true;
  beside.join();
  EXPECT_GE(written, 5);
  // Each of them, read on from, comes to the same.
  for (const auto& name : list_snapshots(*store_, 0)) {
    temporary_directory other;
    auto view = open_another(other);
    ASSERT_TRUE(restore(*view)) << warnings_;
    ASSERT_EQ(warnings_, "");
    ASSERT_EQ(view->position()->at.offset, place_of(name)->offset);
    ASSERT_THAT(verify(other.path()).findings, IsEmpty());
    read_on(*view);
    ASSERT_EQ(dump(other.path()), dump(directory()));
    store_->remove(name);
  }
}

TEST_F(snapshot_test, an_empty_view_has_none_and_one_without_runs_has) {
  EXPECT_THROW(writer().write(), store_error);
  put(record{});
  EXPECT_THAT(writer().write().segments, IsEmpty());
  temporary_directory other;
  auto view = open_another(other);
  EXPECT_TRUE(restore(*view));
  EXPECT_EQ(dump(other.path()), dump(directory()));
}

TEST_F(snapshot_test, a_view_that_was_emptied_meanwhile_has_no_snapshot) {
  go_on(50);
  auto w = writer();
  w.write();
  ASSERT_EQ(journal_->clear().status, append_status::committed);
  put(record{});
  EXPECT_THROW(w.write(), store_error);
  EXPECT_NO_THROW(writer().write());
}

// ---- damage

class snapshot_damage_test : public snapshot_test {
 protected:
  void SetUp() override {
    snapshot_test::SetUp();
    go_on(60);
    auto w = writer(2048);
    older_ = w.write();
    older_dump_ = dump(directory());
    go_on(60);
    newer_ = w.write();
    newer_dump_ = dump(directory());
    ASSERT_GT(newer_.segments.size(), older_.segments.size());
  }
  /// Restores into an empty directory; what it then holds, "" when there is nothing.
  std::string restored() {
    temporary_directory other;
    auto view = open_another(other);
    if (!restore(*view)) {
      EXPECT_FALSE(view->position());
      EXPECT_EQ(view->next_run_key(), 1);
      return {};
    }
    EXPECT_THAT(verify(other.path()).findings, IsEmpty());
    return dump(other.path());
  }
  kept_snapshot older_, newer_;
  std::string older_dump_, newer_dump_;
};

TEST_F(snapshot_damage_test, the_highest_is_taken) {
  EXPECT_EQ(restored(), newer_dump_);
  EXPECT_EQ(warnings_, "");
}

TEST_F(snapshot_damage_test, one_that_is_missing_is_no_trouble) {
  std::filesystem::remove(path_of(newer_.name));
  EXPECT_EQ(restored(), older_dump_);
  std::filesystem::remove(path_of(older_.name));
  EXPECT_EQ(restored(), "");
}

TEST_F(snapshot_damage_test, a_missing_segment_is_told_by_its_name) {
  const auto& name = newer_.segments.back().name;
  std::filesystem::remove(path_of(name));
  EXPECT_EQ(restored(), older_dump_);
  EXPECT_THAT(warnings_, HasSubstr(newer_.name));
  EXPECT_THAT(warnings_, HasSubstr(name + " is missing"));
  // One that both need.
  std::filesystem::remove(path_of(older_.segments.front().name));
  EXPECT_EQ(restored(), "");
  EXPECT_THAT(warnings_, HasSubstr(older_.name));
}

// Wherever it was cut off.
TEST_F(snapshot_damage_test, a_half_written_one_is_passed_over) {
  const auto whole = read_file(path_of(newer_.name));
  ASSERT_GT(whole.size(), 100U);
  int tried = 0;
  for (std::size_t n = 0; n < whole.size(); n += 1 + whole.size() / 40, ++tried) {
    write_file(path_of(newer_.name), whole.substr(0, n));
    ASSERT_EQ(restored(), older_dump_) << "cut after " << n << " bytes";
    ASSERT_THAT(warnings_, HasSubstr(newer_.name));
  }
  EXPECT_GE(tried, 30);
  write_file(path_of(newer_.name), whole + "x");
  EXPECT_EQ(restored(), older_dump_);
  EXPECT_THAT(warnings_, HasSubstr("something follows its end"));
}

// Whichever byte of the snapshot, or of a segment that only it has.
TEST_F(snapshot_damage_test, a_flipped_byte_is_found) {
  for (const auto& name : {newer_.name, newer_.segments.back().name}) {
    const auto whole = read_file(path_of(name));
    for (std::size_t n = 0; n < whole.size(); n += 1 + whole.size() / 60) {
      auto bytes = whole;
      bytes[n] = static_cast<char>(bytes[n] ^ (1 << (n % 8)));
      write_file(path_of(name), bytes);
      ASSERT_EQ(restored(), older_dump_) << name << ", byte " << n;
      ASSERT_THAT(warnings_, HasSubstr(name));
    }
    write_file(path_of(name), whole);
  }
  EXPECT_EQ(restored(), newer_dump_);
}

TEST_F(snapshot_damage_test, a_segment_in_the_place_of_another_is_found) {
  const auto one = read_file(path_of(newer_.segments.back().name));
  const auto other = read_file(path_of(newer_.segments.front().name));
  write_file(path_of(newer_.segments.back().name), other);
  EXPECT_EQ(restored(), older_dump_);
  EXPECT_THAT(warnings_, HasSubstr(newer_.segments.back().name));
}

TEST_F(snapshot_damage_test, one_that_does_not_fit_the_journal_is_passed_over) {
  misfit_ = [&](const log_position& p) {
    return p.at.offset == newer_.about.position.at.offset ? "another record is there" : "";
  };
  EXPECT_EQ(restored(), older_dump_);
  EXPECT_THAT(warnings_, HasSubstr("another record is there"));
}

TEST_F(snapshot_damage_test, one_of_another_journal_is_passed_over) {
  temporary_directory other;
  auto view = open_another(other);
  std::string warned;
  EXPECT_FALSE(restore_view(
      *store_, {.topic = "other.journal", .partition = 0, .misfit = {}, .warn = [&](const auto& w) { warned += w; }},
      *view));
  EXPECT_THAT(warned, HasSubstr("it is of shop.journal/0"));
  EXPECT_FALSE(restore_view(*store_, {.topic = topic, .partition = 1}, *view)) << "which has none";
}

TEST_F(snapshot_damage_test, a_file_under_another_name_is_passed_over) {
  const auto higher = snapshot_name(0, offset_ + 5, 1);
  std::filesystem::copy(path_of(newer_.name), path_of(higher));
  EXPECT_EQ(restored(), newer_dump_);
  EXPECT_THAT(warnings_, HasSubstr(higher));
}

// With a right checksum, as a newer version would write it.
TEST_F(snapshot_damage_test, what_a_newer_version_wrote_is_refused) {
  auto whole = read_file(path_of(newer_.name));
  whole[14] = '2';
  write_file(path_of(newer_.name), whole);
  EXPECT_EQ(restored(), older_dump_);
  EXPECT_THAT(warnings_, HasSubstr("start a newer version"));
}

// A process that dies while it fills a view leaves one that is empty, not one that is half.
TEST_F(snapshot_damage_test, a_view_whose_filling_was_cut_short_is_emptied) {
  temporary_directory other;
  const auto child = ::fork();
  if (child == 0) {
    auto view = open_another(other);
    view->fill([&](view_loader& to) -> log_position {
      for (std::int64_t n = 0; n < 70'000; ++n) {  // more rows than one transaction takes
        const std::array cells{cell::of(n), cell::of(0), cell::of(0), cell::of_bytes("x")};
        to.add(section::heartbeats, cells);
      }
      ::_exit(0);
    });
  }
  ASSERT_GT(child, 0);
  ::waitpid(child, nullptr, 0);
  const auto rows = [&] {
    database db(database_file(other.path()), database::mode::read_write, std::chrono::seconds(5));
    return db.integer("SELECT count(*) FROM heartbeats");
  };
  ASSERT_GE(rows(), 60'000) << "it was not cut short at all";
  EXPECT_THROW(open_embedded({.directory = other.path(), .page_size = 4096}), store_error) << "it is a view's";
  const auto again = open_another(other);
  EXPECT_FALSE(again->position());
  EXPECT_EQ(rows(), 0);
}

TEST_F(snapshot_damage_test, a_view_that_held_something_else_holds_nothing_of_it_afterwards) {
  temporary_directory other;
  auto view = open_another(other);
  record r;
  scripted_run one(1, "of another life", {{1, 1}, 1});
  r.runs.push_back(one.start(5));
  ASSERT_EQ(view->append(r, log_position{}).status, append_status::committed);
  ASSERT_TRUE(restore(*view));
  EXPECT_EQ(dump(other.path()), newer_dump_);
  EXPECT_FALSE(view->open_view()->find("of another life"));
}

// ---- the directory

TEST_F(snapshot_test, nothing_is_seen_before_it_is_finished) {
  {
    auto u = store_->put("p0/00000000000000000007-00000000.snapshot");
    u->write("half of it");
    EXPECT_THAT(list_snapshots(*store_, 0), IsEmpty());
    ASSERT_THAT(store_->list("p0"), SizeIs(1));
    EXPECT_TRUE(store_->list("p0")[0].name.ends_with(".part"));
    EXPECT_TRUE(is_ours(store_->list("p0")[0].name));
  }
  EXPECT_THAT(store_->list("p0"), IsEmpty()) << "one that is given up leaves nothing";
  auto u = store_->put("p0/a");
  u->write("first");
  u->finish();
  auto v = store_->put("p0/a");
  v->write("second one");
  EXPECT_EQ(v->finish().bytes, 10U);
  EXPECT_EQ(read_file(path_of("p0/a")), "second one");
  EXPECT_FALSE(is_ours("p0/a"));
  store_->remove("p0/a");
  store_->remove("p0/a");
  EXPECT_THROW(store_->get("p0/a"), store_error);
  EXPECT_THROW(store_->put("../a"), store_error);
  EXPECT_THAT(store_->list("p7"), IsEmpty());
}

TEST_F(snapshot_test, a_directory_that_cannot_be_made_is_told) {
  write_file(shared_.path() + "/file", "x");
  try {
    open_snapshot_directory(shared_.path() + "/file/below");
    FAIL();
  } catch (const store_error& e) {
    EXPECT_THAT(e.what(), HasSubstr("kafka.snapshot_dir"));
  }
}

TEST(snapshot_names, say_where_they_end) {
  const auto name = snapshot_name(3, 42, 0xabcdef);
  EXPECT_EQ(name, "p3/00000000000000000042-00abcdef.snapshot");
  ASSERT_TRUE(place_of(name));
  EXPECT_EQ(place_of(name)->offset, 42);
  EXPECT_EQ(place_of(name)->crc, 0xabcdefU);
  EXPECT_FALSE(place_of("p3/00000000000000000042-00abcdef.segment"));
  EXPECT_FALSE(place_of("p3/0000000000000000042-00abcdef.snapshot"));
  EXPECT_FALSE(place_of("p3/00000000000000000042-00abcdeg.snapshot"));
  EXPECT_FALSE(place_of("notes.txt"));
  EXPECT_TRUE(is_ours(segment_name(0, 1, 2)));
  EXPECT_FALSE(is_ours("p0/notes.txt"));
  EXPECT_FALSE(is_ours("p0/data.segment"));
}

}  // namespace
}  // namespace pawl::store
