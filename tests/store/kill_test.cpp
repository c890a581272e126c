// A process that writes is killed again and again, at moments that nobody chose; whatever it had acknowledged is there.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <random>

#include "tests/store/fixture.hpp"

namespace pawl::store {
namespace {

class kill_test : public store_test {
 protected:
  // Writes records of four runs each until it is killed; tells the number of each that is committed.
  [[noreturn]] void write_for_ever(int told) {
    auto o = options();
    o.wal_limit = 256 * 1024;
    o.waiting_ids = 16;
    open(o);
    for (int n = static_cast<int>(journal_->next_run_key());; n += 4) {
      std::vector<scripted_run> runs;
      for (int k = 0; k < 4; ++k)
        runs.emplace_back(n + k, "o-" + std::to_string(n + k),
                          engine::run_uid{journal_->reign(), static_cast<std::uint64_t>(n + k)});
      append(runs, [&](scripted_run& r) { return r.start(tick()); });
      append(runs, [&](scripted_run& r) { return r.next(tick(), 1); });
      append(runs, [&](scripted_run& r) { return r.complete(tick(), 1); });
      if (::write(told, &n, sizeof n) != static_cast<ssize_t>(sizeof n)) ::_exit(1);
    }
  }
  template <class F>
  void append(std::vector<scripted_run>& runs, F change) {
    record rec;
    for (auto& r : runs) rec.runs.push_back(change(r));
    if (const auto result = journal_->append(rec); result.status != append_status::committed) {
      std::fprintf(stderr, "%s\n", result.message.c_str());
      ::_exit(1);
    }
  }
};

TEST_F(kill_test, what_was_acknowledged_survives_every_kill) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  int acknowledged = 0;
  for (int life = 0; life < 25; ++life) {
    int told[2];
    ASSERT_EQ(::pipe(told), 0);
    now_ += 1'000'000'000;
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(told[0]);
      write_for_ever(told[1]);
    }
    ::close(told[1]);
    // At least one record, then some more, then in the middle of something.
    int n = 0;
    for (auto left = 1 + random() % 12; left > 0; --left) {
      ASSERT_EQ(::read(told[0], &n, sizeof n), static_cast<ssize_t>(sizeof n)) << "the writer has ended by itself";
      acknowledged = n;
    }
    const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 1500);
    while (std::chrono::steady_clock::now() < until) {
    }
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the kill came too late: the writer had ended";
    while (::read(told[0], &n, sizeof n) == static_cast<ssize_t>(sizeof n)) acknowledged = n;  // told before it died
    ::close(told[0]);

    auto v = open_view(directory());
    for (int k = acknowledged; k < acknowledged + 4; ++k) {
      const auto row = v->find("o-" + std::to_string(k));
      ASSERT_TRUE(row) << "o-" << k << " was acknowledged and is lost";
      ASSERT_EQ(row->summary.phase, engine::phase::completed);
      ASSERT_EQ(v->history(row->key).events.size(), 6U);
    }
    const auto report = verify(directory());
    ASSERT_TRUE(report.clean()) << report.findings.front().text();
    ASSERT_GE(report.runs, static_cast<std::uint64_t>(acknowledged));
    ASSERT_LE(report.open_runs, 4U * static_cast<unsigned>(life + 1));
  }
  std::printf("  25 kills, %d runs acknowledged\n", acknowledged + 3);
}

}  // namespace
}  // namespace pawl::store
