// Every write, sync and truncate of a small workload fails once, in each way that it can, and the power is cut at each.
// Whatever happens, afterwards every record that was reported committed is there whole, every other one whole or not at
// all, nothing contradicts itself, and the store goes on.
#include <fstream>
#include <random>
#include <sstream>

#include "tests/store/fault_fixture.hpp"

namespace pawl::store {
namespace {

enum class fate : std::uint8_t { not_tried, committed, unknown };

// The same records every time: three runs that overlap, outcomes and heartbeats among them.
std::vector<record> make_records() {
  std::vector<record> out;
  std::vector<scripted_run> runs;
  std::int64_t now = first_time;
  for (int n = 0; n < 3; ++n)
    runs.emplace_back(n + 1, "o-" + std::to_string(n), engine::run_uid{{7, 8}, static_cast<std::uint64_t>(n)});
  const auto heavy = [&](scripted_run& r) {
    return r.add(now, {r.started(std::string(6000, 'x')), scripted_run::of_step(event_kind::attempt_started, 0, 1)});
  };
  for (int n = 0; n < 9; ++n) {
    now += 1000;
    record r;
    r.outcomes.push_back({.command_id = "c-" + std::to_string(n), .workflow_id = "o-0", .outcome = {}, .at = now});
    for (int k = 0; k < 3; ++k) {
      const int stage = n - k;
      auto& run = runs[static_cast<std::size_t>(k)];
      if (stage == 0) r.runs.push_back(heavy(run));
      if (stage > 0 && stage < 5) r.runs.push_back(run.next(now, static_cast<std::uint32_t>(stage)));
      if (stage == 2) r.heartbeats.push_back({.key = run.key(), .step = 1, .undo = false, .details = "half"});
      if (stage == 5) r.runs.push_back(run.complete(now, 4));
    }
    out.push_back(std::move(r));
  }
  return out;
}

class faults_test : public store_on_faults {
 protected:
  embedded_options faulty() const {
    auto o = options();
    o.vfs = fault_vfs::name;
    o.page_size = 1024;
    o.wal_limit = 40 * 1024;  // several checkpoints
    o.waiting_ids = 1;  // ids move
    return o;
  }

  void clear() {
    close();
    fates_.assign(records_.size(), fate::not_tried);
    for (const auto& entry : std::filesystem::directory_iterator(directory()))
      std::filesystem::remove_all(entry.path());
    fault_vfs::get().forget();
  }

  // Goes on like a node: until something is not committed. False: it was not.
  bool run() {
    try {
      journal_ = open_embedded(faulty());
    } catch (const store_error& e) {
      problem_ = e.what();
      return false;
    }
    for (std::size_t n = 0; n < records_.size(); ++n) {
      const bool hit = fault_vfs::get().fired();
      const auto r = journal_->append(records_[n]);
      // An error after a commit, in a checkpoint, does not make that commit doubtful; but it is the last one.
      if (hit && !forgiving_) {
        EXPECT_NE(r.status, append_status::committed);
      }
      fates_[n] = r.status == append_status::committed ? fate::committed : fate::unknown;
      if (r.status == append_status::committed) continue;
      status_ = r.status;
      problem_ = r.message;
      return false;
    }
    if (!check_is_asked(directory())) return true;
    // The checkpoint after the last record has failed: whoever appends next, if only nothing, is told.
    const auto r = journal_->append({});
    EXPECT_NE(r.status, append_status::committed);
    status_ = r.status;
    problem_ = r.message;
    return false;
  }

  void reopen_well(std::uint64_t wal_limit = 40 * 1024) {
    close();
    auto o = faulty();
    o.wal_limit = wal_limit;
    journal_ = open_embedded(o);
  }

  // How many parts of record `n` the store has, and how many there are.
  std::pair<std::size_t, std::size_t> parts(view& v, std::size_t n) {
    std::size_t there = 0;
    std::size_t all = 0;
    for (const auto& c : records_[n].runs) {
      const auto h = v.history(c.key);
      EXPECT_EQ(h.error, "");
      for (const auto& e : c.events) {
        ++all;
        there += h.events.size() >= e.seq ? 1U : 0U;
      }
      if (c.created) ++all, there += v.find(c.created->workflow_id) ? 1U : 0U;
    }
    for (const auto& o : records_[n].outcomes) ++all, there += v.outcome(o.workflow_id, o.command_id) ? 1U : 0U;
    return {there, all};
  }

  void check() {
    auto v = journal_->open_view();
    for (std::size_t n = 0; n < records_.size(); ++n) {
      const auto [there, all] = parts(*v, n);
      ASSERT_TRUE(there == 0 || there == all) << "record " << n << " is there in part: " << there << " of " << all;
      if (fates_[n] == fate::committed) {
        ASSERT_EQ(there, all) << "record " << n << " was committed and is lost";
      }
      if (fates_[n] == fate::not_tried) {
        ASSERT_EQ(there, 0U) << "record " << n << " was never tried";
      }
      if (fates_[n] == fate::unknown) (there == 0 ? lost_ : kept_) += 1;
    }
    const auto found = findings();
    ASSERT_TRUE(found.empty()) << found.front();
  }

  // And it goes on.
  void check_and_go_on() {
    check();
    if (HasFatalFailure()) return;
    const auto id = "after-" + std::to_string(++after_);
    scripted_run r(std::max<engine::run_key>(journal_->next_run_key(), 1000), id, {journal_->reign(), 1});
    commit(r.start(tick()));
    commit(r.complete(tick(), 0));
    ASSERT_TRUE(journal_->open_view()->find(id));
    const auto found = findings();
    ASSERT_TRUE(found.empty()) << found.front();
  }

  std::uint64_t points(fault f) {
    clear();
    fault_vfs::get().arm(fault::none, 0);
    EXPECT_TRUE(run()) << problem_;
    close();
    return fault_vfs::get().counted().of(f);
  }

  template <class F>
  void sweep(fault f, std::uint64_t floor, F after_fault) {
    const auto all = points(f);
    EXPECT_GE(all, floor) << "the workload has become too small to mean something";
    for (std::uint64_t n = 1; n <= all; ++n) {
      SCOPED_TRACE(std::string(to_text(f)) + " at " + std::to_string(n) + " of " + std::to_string(all));
      clear();
      fault_vfs::get().arm(f, n);
      const bool all_well = run();
      if (all_well) close();  // the last cut of the WAL belongs to it
      ASSERT_TRUE(fault_vfs::get().fired());
      after_fault(all_well, n);
      if (HasFatalFailure()) return;
      close();
    }
    std::printf("  %s: %llu points, of the records in doubt %d were there and %d were not\n", to_text(f),
                static_cast<unsigned long long>(all), kept_, lost_);
  }

  std::vector<record> records_ = make_records();
  std::vector<fate> fates_;
  append_status status_ = append_status::committed;
  std::string problem_;
  int kept_ = 0, lost_ = 0, after_ = 0;
  bool forgiving_ = false;  // SQLite goes on after some of these faults, and may
};

TEST_F(faults_test, every_write_fails_once) {
  sweep(fault::write_fails, 150, [&](bool all_well, std::uint64_t) {
    if (!all_well && journal_) {
      EXPECT_EQ(status_, append_status::broken) << problem_;
    }
    EXPECT_EQ(check_is_asked(directory()), !all_well);
    fault_vfs::get().disarm();
    reopen_well();
    EXPECT_FALSE(check_is_asked(directory()));
    check_and_go_on();
  });
}

TEST_F(faults_test, every_write_is_cut_short_once) {
  sweep(fault::short_write, 150, [&](bool all_well, std::uint64_t) {
    if (!all_well && journal_) {
      EXPECT_EQ(status_, append_status::broken) << problem_;
    }
    fault_vfs::get().disarm();
    reopen_well();
    check_and_go_on();
  });
}

// The handle is closed, says so, and the same journal goes on when there is room again.
TEST_F(faults_test, the_disk_is_full_from_every_write_on) {
  int reopened = 0;
  sweep(fault::disk_full, 150, [&](bool all_well, std::uint64_t) {
    if (!all_well && journal_) {
      EXPECT_EQ(status_, append_status::no_space) << problem_;
      EXPECT_NE(problem_.find("make room"), std::string::npos) << problem_;
      EXPECT_EQ(journal_->append(records_.front()).status, append_status::unknown);
      EXPECT_EQ(journal_->reopen().status, append_status::no_space);
      EXPECT_EQ(journal_->reopen().status, append_status::no_space);
      fault_vfs::get().disarm();
      const auto before = journal_->reign();
      ASSERT_EQ(journal_->reopen().status, append_status::committed);
      EXPECT_NE(journal_->reign(), before);
      ++reopened;
    } else {
      fault_vfs::get().disarm();
      reopen_well();
    }
    check_and_go_on();
  });
  EXPECT_GT(reopened, 80);
}

// The kernel calls the pages clean although they never reached the disk: what is acknowledged after it must not rest on
// them, so the power is cut later.
TEST_F(faults_test, every_sync_fails_once_and_the_power_is_cut_later) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  sweep(fault::sync_fails, 15, [&](bool all_well, std::uint64_t n) {
    if (!all_well && journal_) {
      EXPECT_EQ(status_, append_status::broken) << problem_;
    }
    fault_vfs::get().disarm();
    reopen_well(64U << 20);  // no checkpoint before the power goes
    check_and_go_on();
    if (HasFatalFailure()) return;
    for (std::size_t k = 0; k < records_.size(); ++k)  // what is there now has been seen, and must stay
      if (fates_[k] == fate::unknown)
        fates_[k] = parts(*journal_->open_view(), k).first > 0 ? fate::committed : fate::not_tried;
    const auto last = "after-" + std::to_string(after_);
    // The power is cut while it works: nothing is closed in peace.
    fault_vfs::get().arm(fault::power_cut, 1);
    EXPECT_NE(try_append(make_run("never").start(tick())).status, append_status::committed);
    close();
    fault_vfs::get().crash(seed + n);
    reopen_well();
    ASSERT_TRUE(journal_->open_view()->find(last));
    check_and_go_on();
  });
  EXPECT_GT(kept_, 0);
  EXPECT_GT(lost_, 0);
}

TEST_F(faults_test, every_truncate_fails_once) {
  forgiving_ = true;
  sweep(fault::truncate_fails, 1, [&](bool, std::uint64_t) {
    fault_vfs::get().disarm();
    reopen_well();
    check_and_go_on();
  });
}

TEST_F(faults_test, the_power_is_cut_at_every_operation) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  sweep(fault::power_cut, 200, [&](bool, std::uint64_t n) {
    close();
    fault_vfs::get().crash(seed + n);
    reopen_well();
    check_and_go_on();
  });
  if (HasFatalFailure()) return;
  EXPECT_GT(lost_, 0);
}

// The WAL ends in the middle of the last COMMIT, at every sector of it.
TEST_F(faults_test, a_torn_commit_is_no_commit) {
  clear();
  auto o = faulty();
  o.vfs.clear();
  o.wal_limit = 64U << 20;
  open(o);
  for (std::size_t n = 0; n + 1 < records_.size(); ++n) commit(records_[n]);
  const auto wal = file() + "-wal";
  const auto before = std::filesystem::file_size(wal);
  commit(records_.back());
  const auto after = std::filesystem::file_size(wal);
  ASSERT_GT(after, before);
  const temporary_directory copy;
  const auto torn = database_file(copy.path());
  std::string bytes;
  {
    const std::ifstream f(wal, std::ios::binary);
    std::ostringstream all;
    all << f.rdbuf();
    bytes = all.str();
  }
  // By another process: opening and closing the file in this one would drop SQLite's locks on it.
  ASSERT_EQ(std::system(("cp '" + file() + "' '" + file() + ".copy'").c_str()), 0);
  int tried = 0;
  for (auto size = before; size <= after; size += 512, ++tried) {
    SCOPED_TRACE(size);
    std::filesystem::copy_file(file() + ".copy", torn, std::filesystem::copy_options::overwrite_existing);
    std::filesystem::remove(torn + "-shm");
    std::ofstream(torn + "-wal", std::ios::binary | std::ios::trunc) << bytes.substr(0, size);
    auto v = open_view(copy.path());
    for (std::size_t n = 0; n < records_.size(); ++n) {
      const auto [there, all] = parts(*v, n);
      ASSERT_EQ(there, n + 1 == records_.size() && size < after ? 0U : all) << n;
    }
    const auto report = verify(copy.path());
    ASSERT_TRUE(report.clean()) << report.findings.front().text();
  }
  EXPECT_GE(tried, 5);
}

}  // namespace
}  // namespace pawl::store
