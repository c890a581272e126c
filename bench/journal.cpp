// What the writer's thread needs for the records of 3-step workflows, and nothing else: the embedded journal alone, fed
// with changes that are ready, beside the floor (bare SQLite, the same commits) in turns on the same file system.
//
//     bench_journal --dir D [--in-flight 128] [--workflows 1000000] [--rounds 5] [--floor PATH] [--page N] [--lookups]
//
// A workflow is four changes: [run_started, attempt_started], twice [attempt_completed, attempt_started],
// [attempt_completed, run_completed]; ids are random; every run in flight adds one change to each record. The store
// grows from round to round. Prints a line a round: microseconds of wall clock and of this thread's CPU a workflow.
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "store/data_directory.hpp"
#include "store/embedded_journal.hpp"

namespace {

using steady = std::chrono::steady_clock;
namespace store = pawl::store;
using kind = pawl::engine::event_kind;

struct options {
  std::string directory;
  std::string floor;
  int in_flight = 128;
  long workflows = 1'000'000;
  int rounds = 5;
  bool lookups = false;
  store::embedded_options journal{};
};

double cpu_us() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_nsec) / 1e3;
}

double us_since(steady::time_point t) { return std::chrono::duration<double, std::micro>(steady::now() - t).count(); }

class load {
 public:
  load(store::embedded_journal& journal, int in_flight)
      : journal_(journal),
        runs_(static_cast<std::size_t>(in_flight)) {
    // Runs are at different stages from the beginning, as they are when callers come and go.
    for (std::size_t k = 0; k < runs_.size(); ++k) runs_[k].idle = static_cast<int>(k % 4);
    next_key_ = journal.next_run_key();
  }

  // Builds records beforehand and appends them: only the appending is timed.
  void append(long workflows) {
    wall_us = thread_us = worst_us = 0;
    records = 0;
    long done = 0;
    while (done < workflows) {
      auto r = build(done);
      const double cpu = cpu_us();
      const auto begun = steady::now();
      const auto result = journal_.append(r);
      const double us = us_since(begun);
      wall_us += us;
      thread_us += cpu_us() - cpu;
      worst_us = std::max(worst_us, us);
      ++records;
      if (result.status != store::append_status::committed) {
        std::fprintf(stderr, "append: %s\n", result.message.c_str());
        std::exit(1);
      }
    }
    workflows_done = done;
  }

  std::string random_id() {
    static constexpr char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    std::string out(16, ' ');
    for (auto& c : out) c = letters[random_() & 63U];
    return out;
  }

  double wall_us = 0, thread_us = 0, worst_us = 0;
  long records = 0, workflows_done = 0;

 private:
  struct run {
    pawl::engine::run_key key = 0;
    int stage = 0;
    int idle = 0;
    std::uint64_t seq = 0;
  };

  store::event_row event(run& r, kind k, std::size_t bytes, const char* step) {
    store::event_row e{.seq = ++r.seq,
                       .at = now_,
                       .kind = k,
                       .attempt = *step ? 1U : 0U,
                       .step = step,
                       .body = std::string(bytes, '\0')};
    for (auto& c : e.body) c = static_cast<char>(random_());
    return e;
  }

  store::record build(long& done) {
    static constexpr const char* steps[] = {"reserve", "charge", "ship"};
    now_ += 1000;
    store::record out;
    out.runs.reserve(runs_.size());
    for (auto& r : runs_) {
      if (r.idle > 0) {
        --r.idle;
        continue;
      }
      auto& c = out.runs.emplace_back();
      if (r.stage == 0) {
        r.key = next_key_++;
        r.seq = 0;
        c.created = store::run_header{.workflow_id = random_id(),
                                      .run = 1,
                                      .uid = {journal_.reign(), static_cast<std::uint64_t>(r.key)},
                                      .type = "fulfil-order",
                                      .version = 1,
                                      .started_at = now_,
                                      .start_command = random_id()};
        c.summary = store::run_summary{};
        c.events.push_back(event(r, kind::run_started, 120, ""));
        c.events.push_back(event(r, kind::attempt_started, 45, steps[0]));
      } else if (r.stage < 3) {
        c.events.push_back(event(r, kind::attempt_completed, 20, steps[r.stage - 1]));
        c.events.push_back(event(r, kind::attempt_started, 45, steps[r.stage]));
      } else {
        c.events.push_back(event(r, kind::attempt_completed, 20, steps[2]));
        c.events.push_back(event(r, kind::run_completed, 20, ""));
        c.summary = store::run_summary{
            .phase = pawl::engine::phase::completed, .paused = false, .wake_at = store::wake_never, .closed_at = now_};
        ++done;
      }
      c.key = r.key;
      c.last_seq = r.seq;
      r.stage = (r.stage + 1) % 4;
    }
    return out;
  }

  store::embedded_journal& journal_;
  std::vector<run> runs_;
  std::mt19937_64 random_{std::random_device{}()};
  pawl::engine::run_key next_key_ = 1;
  std::int64_t now_ = 1'700'000'000'000'000;
};

// A fresh floor for the same commits, as a process of its own. Its line is passed on.
void run_floor(const options& o) {
  if (o.floor.empty()) return;
  const auto file = o.directory + "/floor.db";
  const auto command = o.floor + " " + std::to_string(o.in_flight) + " 3 5 " + file;
  std::fflush(stdout);
  if (std::system(command.c_str()) != 0) std::fprintf(stderr, "the floor failed: %s\n", command.c_str());
  for (const char* end : {"", "-wal", "-shm"}) ::unlink((file + end).c_str());
}

void measure_lookups(store::embedded_journal& journal, load& l) {
  while (!journal.stats().ids_known) ::usleep(1000);
  auto view = journal.open_view();
  constexpr int times = 200'000;
  auto begun = steady::now();
  long known = 0;
  for (int k = 0; k < times; ++k) known += journal.may_exist(l.random_id()) ? 1 : 0;
  std::printf("may_exist of a fresh id: %.2f us, %.2f %% needless\n", us_since(begun) / times,
              100.0 * static_cast<double>(known) / times);
  begun = steady::now();
  for (int k = 0; k < times; ++k) known += view->find(l.random_id()) ? 1 : 0;
  std::printf("find of a fresh id: %.2f us\n", us_since(begun) / times);
  std::vector<std::string> ids;
  for (pawl::engine::run_key key = 1; key < journal.next_run_key() && ids.size() < 20'000;
       key += 1 + journal.next_run_key() / 20'000)
    ids.push_back(view->get(key)->header.workflow_id);
  std::shuffle(ids.begin(), ids.end(), std::mt19937_64{1});
  begun = steady::now();
  for (const auto& id : ids) known += view->find(id) ? 0 : 1;
  std::printf("find of a known id: %.2f us\n", us_since(begun) / static_cast<double>(ids.size()));
  begun = steady::now();
  for (pawl::engine::run_key key = 1; key < 20'000; ++key) known += static_cast<long>(view->history(key).events.size());
  std::printf("history of a run (8 events): %.2f us\n", us_since(begun) / 20'000);
  if (known == 42) std::puts("");
}

[[noreturn]] void usage() {
  std::fprintf(stderr,
               "usage: bench_journal --dir D [--in-flight N] [--workflows N] [--rounds N] [--floor PATH] [--page N] "
               "[--wal-mib N] [--lookups]\n");
  std::exit(2);
}

options parse(int argc, char** argv) {
  options o;
  for (int k = 1; k < argc; ++k) {
    const std::string flag = argv[k];
    if (flag == "--lookups") {
      o.lookups = true;
      continue;
    }
    if (k + 1 >= argc) usage();
    const std::string value = argv[++k];
    if (flag == "--dir")
      o.directory = value;
    else if (flag == "--in-flight")
      o.in_flight = std::atoi(value.c_str());
    else if (flag == "--workflows")
      o.workflows = std::atol(value.c_str());
    else if (flag == "--rounds")
      o.rounds = std::atoi(value.c_str());
    else if (flag == "--floor")
      o.floor = value;
    else if (flag == "--page")
      o.journal.page_size = static_cast<std::uint32_t>(std::atoi(value.c_str()));
    else if (flag == "--wal-mib")
      o.journal.wal_limit = static_cast<std::uint64_t>(std::atol(value.c_str())) << 20;
    else
      usage();
  }
  if (o.directory.empty() || o.in_flight < 1 || o.rounds < 1 || o.workflows < 1) usage();
  return o;
}

}  // namespace

int main(int argc, char** argv) {
  auto o = parse(argc, argv);
  std::filesystem::create_directories(o.directory);
  if (std::filesystem::exists(store::database_file(o.directory))) {
    std::fprintf(stderr, "%s has a store already\n", o.directory.c_str());
    return 2;
  }
  if (store::data_directory::is_in_memory(o.directory))
    std::fprintf(stderr, "%s lives in memory: nothing is synced, the wall clock says little\n", o.directory.c_str());
  o.journal.directory = o.directory;
  auto journal = store::open_embedded(o.journal);
  load l(*journal, o.in_flight);
  for (int round = 1; round <= o.rounds; ++round) {
    run_floor(o);
    const auto before = journal->stats();
    l.append(o.workflows);
    const auto s = journal->stats();
    struct stat file{};
    ::stat(store::database_file(o.directory).c_str(), &file);
    const double n = static_cast<double>(l.workflows_done);
    std::printf(
        "round %d: %.2f us wall, %.2f us cpu a workflow (%.0f us a record, checkpoints %.2f us a workflow, worst "
        "record %.1f ms); %ld runs, %.0f bytes a run\n",
        round, l.wall_us / n, l.thread_us / n, l.wall_us / static_cast<double>(l.records),
        static_cast<double>(s.checkpoint_us - before.checkpoint_us) / n, l.worst_us / 1000,
        static_cast<long>(journal->next_run_key() - 1),
        static_cast<double>(file.st_size) / static_cast<double>(journal->next_run_key()));
    std::fflush(stdout);
  }
  if (o.lookups) measure_lookups(*journal, l);
}
