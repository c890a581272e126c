#include "store/checkpointer.hpp"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/store/fault_fixture.hpp"

namespace pawl::store {
namespace {

using namespace std::chrono_literals;

class checkpoints : public store_on_faults {
 protected:
  // A view, with so many runs of 2,000 bytes in its WAL.
  void open_with(int runs, std::uint64_t wal_limit) {
    auto o = options();
    o.truth = false;
    o.wal_limit = wal_limit;
    o.vfs = fault_vfs::name;
    open(o);
    for (int n = 0; n < runs; ++n) add();
  }
  append_result add() {
    ++offset_;
    auto r = make_run("o-" + std::to_string(offset_));
    record changes;
    changes.runs.push_back(r.add(tick(), {r.started(std::string(2000, 'x'))}));
    log_position p;
    p.at.offset = offset_;
    p.at.epoch = 1;
    p.at.seq = static_cast<std::uint64_t>(offset_);
    return journal_->append(changes, p);
  }
  std::uintmax_t size() const { return std::filesystem::file_size(file()); }
  std::uintmax_t wal_size() const { return std::filesystem::file_size(file() + "-wal"); }

  static checkpointer::result result_of(checkpointer& c) {
    c.ask();
    c.wait();
    EXPECT_FALSE(c.at_work());
    auto r = c.take();
    EXPECT_TRUE(r) << "it does not end";
    EXPECT_FALSE(c.take()) << "told twice";
    return r.value_or(checkpointer::result());
  }

  std::int64_t offset_ = 0;
};

TEST_F(checkpoints, copies_the_wal_beside_who_commits) {
  open_with(300, std::uint64_t{1} << 30);
  const auto before = size();
  ASSERT_GT(wal_size(), 600'000U);
  checkpointer c(file(), 1s, fault_vfs::name);
  for (int round = 0; round < 3; ++round) {
    const auto r = result_of(c);
    EXPECT_FALSE(r.error) << r.error->what();
    EXPECT_GT(size(), before + static_cast<std::uintmax_t>(round) * 200'000U) << round;
    for (int n = 0; n < 100; ++n) ASSERT_EQ(add().status, append_status::committed);
  }
}

TEST_F(checkpoints, tells_what_went_wrong) {
  open_with(100, std::uint64_t{1} << 30);
  checkpointer c(file(), 1s, fault_vfs::name);
  fault_vfs::get().arm(fault::write_fails, 1);
  auto r = result_of(c);
  ASSERT_TRUE(fault_vfs::get().fired());
  fault_vfs::get().disarm();
  ASSERT_TRUE(r.error);
  EXPECT_EQ(r.error->primary(), SQLITE_IOERR) << r.error->what();
  r = result_of(c);
  EXPECT_FALSE(r.error) << "the next one is well";
  checkpointer of_nothing(directory() + "/none.db", 1s, fault_vfs::name);
  r = result_of(of_nothing);
  ASSERT_TRUE(r.error);
  EXPECT_EQ(r.error->primary(), SQLITE_CANTOPEN);
}

// On a disk that is slow to sync, who commits waits rather than let the WAL grow.
TEST_F(checkpoints, a_view_cuts_its_wal) {
  open_with(0, 1 << 20);
  std::uintmax_t largest = 0;
  std::uint64_t syncs = 0;
  for (int n = 0; n < 3000; ++n) {
    if (n == 2700) {
      syncs = fault_vfs::get().counted().syncs;
      fault_vfs::get().slow_down_syncs(100ms);
    }
    ASSERT_EQ(add().status, append_status::committed);
    largest = std::max(largest, wal_size());
  }
  EXPECT_GT(fault_vfs::get().counted().syncs, syncs + 10);
  EXPECT_GT(journal_->stats().checkpoints, 3U);
  EXPECT_GT(journal_->stats().checkpoint_us, 0U);
  EXPECT_LE(largest, (1U << 20) + 128U * 1024U) << "the limit, and what one commit wrote above it";
  EXPECT_GT(size(), 4'000'000U);
  expect_clean();
}

// What failed aside is told to who appends next, as if it had failed there; what was committed is still there.
TEST_F(checkpoints, a_view_is_closed_when_one_fails) {
  open_with(1, 1 << 20);
  const auto deadline = std::chrono::steady_clock::now() + 30s;
  append_result r;
  fault_vfs::get().arm(fault::sync_fails, 1);  // a commit of a view has none
  while (!fault_vfs::get().fired() && std::chrono::steady_clock::now() < deadline) {
    r = add();
    ASSERT_EQ(r.status, append_status::committed) << r.message;
  }
  ASSERT_TRUE(fault_vfs::get().fired());
  while (r.status == append_status::committed && std::chrono::steady_clock::now() < deadline) r = add();
  fault_vfs::get().disarm();
  EXPECT_EQ(r.status, append_status::broken) << r.message;
  EXPECT_EQ(journal_->reopen().status, append_status::committed);
  const auto stands = journal_->position();
  ASSERT_TRUE(stands);
  EXPECT_GE(stands->at.offset, offset_ - 1);
  EXPECT_EQ(add().status, append_status::committed);
}

}  // namespace
}  // namespace pawl::store
