// When snapshots are written, which are kept, and what is trimmed; without a Kafka.
#include "broker/snapshotter.hpp"

#include <gmock/gmock.h>

#include <atomic>
#include <filesystem>

#include "tests/store/snapshot_fixture.hpp"

namespace pawl::broker {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class snapshotter_test : public store::snapshot_test {
 protected:
  snapshotter_options usual() {
    snapshotter_options o;
    o.topic = topic;
    o.rules = {.records = 50, .bytes = 1 << 30, .interval = 0ms, .segment_bytes = 8192, .look_every = 5ms};
    o.progress = [this] {
      const std::lock_guard lock(mutex_);
      return progress_;
    };
    o.misfit = [this](const store::log_position& p) {
      const std::lock_guard lock(mutex_);
      return p.at.offset == misfit_at_ ? std::string("another record is there") : std::string();
    };
    o.standbys = [this] {
      const std::lock_guard lock(mutex_);
      ++looks_;
      return standbys_;
    };
    o.trim_journal = [this](std::int64_t below) {
      const std::lock_guard lock(mutex_);
      if (refuse_) throw std::runtime_error("the broker is away");
      trimmed_ = below;
    };
    o.trim_commands = [this](std::int64_t below) {
      const std::lock_guard lock(mutex_);
      commands_trimmed_ = below;
    };
    o.warn = [this](const std::string& w) {
      const std::lock_guard lock(mutex_);
      told_ += w + "\n";
    };
    return o;
  }
  void begin(snapshotter_options o) { snapshots_ = std::make_unique<snapshotter>(*store_, *journal_, std::move(o)); }
  void begin() { begin(usual()); }
  /// Appends, and then says so, as a leader would.
  void append(int records, std::uint64_t bytes_each = 100) {
    go_on(records);
    const std::lock_guard lock(mutex_);
    progress_ = {.end = offset_ + 1,
                 .appended = static_cast<std::uint64_t>(offset_ + 1),
                 .appended_bytes = progress_.appended_bytes + static_cast<std::uint64_t>(records) * bytes_each};
  }
  template <class F>
  bool soon(F f) {
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (!f(snapshots_->stats())) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(2ms);
    }
    return true;
  }
  bool written(std::uint64_t n) {
    return soon([&](const auto& s) { return s.written >= n; });
  }
  std::string told() {
    const std::lock_guard lock(mutex_);
    return told_;
  }
  int looked() {
    const std::lock_guard lock(mutex_);
    return looks_;
  }
  std::int64_t trimmed() {
    const std::lock_guard lock(mutex_);
    return trimmed_;
  }

  std::mutex mutex_;
  journal_progress progress_;
  std::vector<std::int64_t> standbys_;
  std::int64_t misfit_at_ = -1, trimmed_ = -1, commands_trimmed_ = -1;
  int looks_ = 0;
  bool refuse_ = false;
  std::string told_;
  std::unique_ptr<snapshotter> snapshots_;
};

TEST_F(snapshotter_test, one_is_written_every_so_many_records_and_two_are_kept) {
  append(60);
  begin();
  ASSERT_TRUE(written(1));
  const auto first = offset_;
  EXPECT_EQ(trimmed(), -1) << "one is too few to rely on";
  append(200, 1000);
  ASSERT_TRUE(written(2));
  ASSERT_TRUE(soon([&](const auto& s) { return s.journal_below > 0; }));
  EXPECT_EQ(trimmed(), first - 1) << "the feed is one behind";
  EXPECT_EQ(commands_trimmed_, 2 * first);
  const auto second = offset_;
  append(200, 1000);
  ASSERT_TRUE(written(3));
  ASSERT_TRUE(soon([&](const auto& s) { return s.journal_below == second - 1; }));
  snapshots_->stop();
  const auto s = snapshots_->stats();
  EXPECT_EQ(s.kept, 2U);
  EXPECT_EQ(s.newest, offset_);
  EXPECT_EQ(s.oldest, second);
  EXPECT_EQ(s.bound, "the feed");
  EXPECT_EQ(s.failed, 0U) << s.last_error;
  EXPECT_THAT(names(".snapshot"), SizeIs(2));
}

TEST_F(snapshotter_test, not_before_as_much_as_the_last_one_was_journaled) {
  append(60);
  begin();
  ASSERT_TRUE(written(1));
  append(200, 1);  // many records, of nothing
  const auto looks = looked();
  ASSERT_TRUE(soon([&](const auto&) { return looked() > looks + 2; }));
  EXPECT_EQ(snapshots_->stats().written, 1U);
  append(1, snapshots_->stats().last_bytes);
  EXPECT_TRUE(written(2));
}

TEST_F(snapshotter_test, or_every_so_many_bytes_but_not_too_often) {
  auto o = usual();
  o.rules.records = 1'000'000;
  o.rules.bytes = 50'000;
  o.rules.interval = 1h;
  append(60, 2000);
  begin(o);
  ASSERT_TRUE(written(1));
  append(60, 200'000);
  const auto looks = looked();
  ASSERT_TRUE(soon([&](const auto&) { return looked() > looks + 2; }));
  EXPECT_EQ(snapshots_->stats().written, 1U);
}

TEST_F(snapshotter_test, whoever_asks_gets_one) {
  append(5);
  begin();
  ASSERT_TRUE(soon([&](const auto& s) { return s.failed == 0 && s.written == 0; }));
  snapshots_->write_now();
  EXPECT_TRUE(written(1));
}

// A standby's position is the bound until it has read on.
TEST_F(snapshotter_test, the_journal_waits_for_a_standby) {
  append(60);
  standbys_ = {20};
  begin();
  ASSERT_TRUE(written(1));
  append(100, 1000);
  ASSERT_TRUE(written(2));
  ASSERT_TRUE(soon([&](const auto& s) { return s.journal_below == 19; }));
  EXPECT_EQ(snapshots_->stats().bound, "a standby");
  {
    const std::lock_guard lock(mutex_);
    standbys_ = {500};
  }
  EXPECT_TRUE(soon([&](const auto& s) { return s.journal_below == 58; })) << trimmed();
}

TEST_F(snapshotter_test, a_new_leader_goes_on_from_what_is_there) {
  append(60);
  begin();
  ASSERT_TRUE(written(1));
  snapshots_->stop();
  const auto before = names(".segment").size();
  ASSERT_GT(before, 0U);
  append(100, 1000);
  begin();
  ASSERT_TRUE(written(1));
  const auto s = snapshots_->stats();
  EXPECT_EQ(s.kept, 2U) << "the other one was read whole, and is good";
  EXPECT_GT(s.segments, before) << "and its segments are gone on from";
  EXPECT_EQ(told(), "");
  store::temporary_directory other;
  auto view = open_another(other);
  ASSERT_TRUE(restore(*view));
  EXPECT_EQ(store::dump(other.path()), store::dump(directory()));
}

TEST_F(snapshotter_test, a_damaged_segment_is_written_anew) {
  append(60);
  begin();
  ASSERT_TRUE(written(1));
  snapshots_->stop();
  const auto segment = names(".segment").front();
  auto bytes = read_file(path_of(segment));
  bytes[bytes.size() / 2] ^= 1;
  write_file(path_of(segment), bytes);
  append(100, 1000);
  begin();
  ASSERT_TRUE(written(1));
  EXPECT_THAT(told(), HasSubstr(segment));
  EXPECT_EQ(snapshots_->stats().kept, 1U) << "the one that needs it is no longer good";
  EXPECT_EQ(trimmed(), -1);
  store::temporary_directory other;
  auto view = open_another(other);
  ASSERT_TRUE(restore(*view));
  EXPECT_EQ(warnings_, "");
  EXPECT_EQ(store::dump(other.path()), store::dump(directory()));
}

TEST_F(snapshotter_test, one_of_a_journal_that_lost_its_tail_does_not_count) {
  append(60);
  begin();
  ASSERT_TRUE(written(1));
  snapshots_->stop();
  misfit_at_ = offset_;
  append(100, 1000);
  begin();
  ASSERT_TRUE(written(1));
  EXPECT_EQ(snapshots_->stats().kept, 1U);
  EXPECT_THAT(told(), HasSubstr("another record is there"));
}

// What somebody else has put there stays, and so does what is young or needed.
TEST_F(snapshotter_test, only_what_nobody_needs_is_removed) {
  append(60);
  begin();
  ASSERT_TRUE(written(1));
  const auto first = names(".snapshot").front();
  const auto old_segment = "p0/" + std::string(20, '0') + "-00000000000000aa.segment";
  const auto young_segment = "p0/" + std::string(20, '0') + "-00000000000000bb.segment";
  const auto old_part = "p0/" + std::string(20, '0') + "-00000000.snapshot.00000000000000aa.part";
  for (const auto& n : {old_segment, young_segment, old_part, std::string("p0/notes.txt")}) write_file(path_of(n), "x");
  const auto long_ago = std::filesystem::file_time_type::clock::now() - 2h;
  for (const auto& n : {old_segment, old_part, std::string("p0/notes.txt")})
    std::filesystem::last_write_time(path_of(n), long_ago);
  for (const auto& n : names(".segment"))
    if (n != young_segment) std::filesystem::last_write_time(path_of(n), long_ago);
  append(100, 1000);
  ASSERT_TRUE(written(2));
  append(100, 1000);
  ASSERT_TRUE(written(3));
  snapshots_->stop();
  const auto there = [&](const std::string& n) { return std::filesystem::exists(path_of(n)); };
  EXPECT_FALSE(there(first));
  EXPECT_FALSE(there(old_segment));
  EXPECT_FALSE(there(old_part));
  EXPECT_TRUE(there(young_segment));
  EXPECT_TRUE(there("p0/notes.txt"));
  store::temporary_directory other;
  auto view = open_another(other);
  ASSERT_TRUE(restore(*view)) << warnings_;
  EXPECT_EQ(store::dump(other.path()), store::dump(directory()));
}

TEST_F(snapshotter_test, what_fails_is_told_once_and_tried_again) {
  append(60);
  begin();
  ASSERT_TRUE(written(1));
  {
    const std::lock_guard lock(mutex_);
    refuse_ = true;
  }
  append(100, 1000);
  ASSERT_TRUE(soon([&](const auto& s) { return s.failed == 1; }));
  EXPECT_THAT(told(), HasSubstr("the broker is away"));
  EXPECT_EQ(snapshots_->stats().written, 2U);
}

TEST_F(snapshotter_test, a_view_that_is_built_anew_is_begun_with_anew) {
  append(60);
  begin();
  ASSERT_TRUE(written(1));
  forget_all();
  append(120, 1000);
  ASSERT_TRUE(written(2)) << snapshots_->stats().last_error;
  snapshots_->stop();
  store::temporary_directory other;
  auto view = open_another(other);
  ASSERT_TRUE(restore(*view)) << warnings_;
  read_on(*view);
  EXPECT_EQ(store::dump(other.path()), store::dump(directory()));
}

}  // namespace
}  // namespace pawl::broker
