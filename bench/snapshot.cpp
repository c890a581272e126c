// What a view costs on disk, what snapshots cost, and how fast a view is built anew: from a snapshot, from the records
// of a journal, and by bare inserts of the same rows, in one process and on one file system.
//
//     bench_snapshot --dir D [--runs 1000000] [--payload 100] [--more 10000]
//
// A run is a closed workflow of three steps whose input and results have so many bytes. Its records come as a leader
// with 128 runs under way writes them. Prints one JSON line.
#include <sys/stat.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "broker/journal_codec.hpp"
#include "store/data_directory.hpp"
#include "store/snapshot_directory.hpp"
#include "store/snapshot_restore.hpp"
#include "store/snapshot_writer.hpp"
#include "store/sqlite.hpp"

namespace {

namespace engine = pawl::engine;
namespace store = pawl::store;
using steady = std::chrono::steady_clock;
using kind = engine::event_kind;

constexpr std::size_t in_flight = 128;
constexpr std::size_t changes_at_once = 4096;  // of a view that catches up, as in broker/kafka_journal.cpp
constexpr const char* topic = "bench.journal";

double seconds_since(steady::time_point t) { return std::chrono::duration<double>(steady::now() - t).count(); }

void check(const store::append_result& r) {
  if (r.status == store::append_status::committed) return;
  std::fprintf(stderr, "%s\n", r.message.c_str());
  std::exit(1);
}

// The records of a journal, as their bytes.
class leader {
 public:
  explicit leader(std::size_t payload) : payload_(payload), runs_(in_flight) {
    for (std::size_t k = 0; k < runs_.size(); ++k) runs_[k].idle = static_cast<int>(k % 4);
  }

  /// `until`: so many runs are started in all.
  std::string record(long until) {
    now_ += 1000;
    store::record out;
    for (auto& r : runs_) {
      if (r.idle > 0)
        --r.idle;
      else if (r.stage > 0 || next_key_ <= until)
        out.runs.push_back(change(r));
    }
    const auto s =
        pawl::broker::stamp{.kind = pawl::broker::record_kind::batch, .epoch = 1, .reign = {1, 2}, .seq = ++seq_};
    return encode(
        s, pawl::broker::batch{.changes = std::move(out), .position = static_cast<std::int64_t>(seq_), .feed = {}});
  }
  long closed() const { return closed_; }

 private:
  struct run {
    engine::run_key key = 0;
    std::string id;
    int stage = 0, idle = 0;
    std::uint64_t seq = 0;
  };

  store::event_row row(run& r, kind k, std::uint32_t step = UINT32_MAX, bool payload = false) {
    static constexpr const char* steps[] = {"reserve", "charge", "ship"};
    engine::event e;
    e.seq = ++r.seq;
    e.at = engine::from_micros(now_);
    e.kind = k;
    if (step != UINT32_MAX) {
      e.step = step;
      e.name = steps[step];
      e.attempt = 1;
    }
    if (k == kind::attempt_started)
      e.begun = engine::attempt_facts{
          .policy = {}, .incarnation = 0x0123456789abcdef, .in_child = false, .may_still_run = false};
    if (k == kind::run_started) {
      e.command_id = r.id + "-start";
      e.start = engine::start_facts{.workflow_id = r.id,
                                    .type = "fulfil-order",
                                    .version = 1,
                                    .digest = 0xfedcba9876543210,
                                    .run = 1,
                                    .uid = {{1, 2}, static_cast<std::uint64_t>(r.key)},
                                    .start_at = {},
                                    .deadline = {}};
    }
    if (payload) {
      e.payload.resize(payload_);
      for (auto& c : e.payload) c = static_cast<char>(random_());
    }
    return store::to_row(e);
  }

  store::run_change change(run& r) {
    store::run_change c;
    if (r.stage == 0) {
      r.key = next_key_++;
      r.id = random_id();
      r.seq = 0;
      c.created = store::run_header{.workflow_id = r.id,
                                    .run = 1,
                                    .uid = {{1, 2}, static_cast<std::uint64_t>(r.key)},
                                    .type = "fulfil-order",
                                    .version = 1,
                                    .started_at = now_,
                                    .start_command = r.id + "-start"};
      c.summary = store::run_summary{};
      c.events = {row(r, kind::run_started, UINT32_MAX, true), row(r, kind::attempt_started, 0)};
    } else if (r.stage < 3) {
      const auto step = static_cast<std::uint32_t>(r.stage);
      c.events = {row(r, kind::attempt_completed, step - 1, true), row(r, kind::attempt_started, step)};
    } else {
      c.events = {row(r, kind::attempt_completed, 2, true), row(r, kind::run_completed, UINT32_MAX, true)};
      c.summary = store::run_summary{
          .phase = engine::phase::completed, .paused = false, .wake_at = store::wake_never, .closed_at = now_};
      ++closed_;
    }
    c.key = r.key;
    c.last_seq = r.seq;
    r.stage = (r.stage + 1) % 4;
    return c;
  }

  std::string random_id() {
    static constexpr char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    std::string out(16, ' ');
    for (auto& c : out) c = letters[random_() & 63U];
    return out;
  }

  const std::size_t payload_;
  std::vector<run> runs_;
  std::mt19937_64 random_{1};
  engine::run_key next_key_ = 1;
  std::uint64_t seq_ = 0;
  long closed_ = 0;
  std::int64_t now_ = 1'700'000'000'000'000;
};

// Takes records as a view does that catches up with the log.
class follower {
 public:
  explicit follower(store::embedded_journal& view) : view_(view) {}
  void take(const std::string& bytes) {
    const auto begun = steady::now();
    pawl::broker::journal_record r;
    std::string wrong;
    if (decode(bytes, r, wrong) != pawl::broker::readable::yes) std::exit(1);
    changes_ += r.batch.changes.runs.size();
    pending_.push_back(std::make_shared<store::record>(std::move(r.batch.changes)));
    ++offset_;
    journal_bytes += bytes.size();
    if (changes_ >= changes_at_once) hand_over();
    seconds += seconds_since(begun);
  }
  void hand_over() {
    store::log_position p;
    p.at = {.offset = offset_,
            .epoch = 1,
            .reign = {1, 2},
            .seq = static_cast<std::uint64_t>(offset_ + 1),
            .released = false};
    check(view_.append(pending_, p));
    pending_.clear();
    changes_ = 0;
  }
  double seconds = 0;
  std::uint64_t journal_bytes = 0;

 private:
  store::embedded_journal& view_;
  std::vector<std::shared_ptr<const store::record>> pending_;
  std::size_t changes_ = 0;
  std::int64_t offset_ = -1;
};

std::unique_ptr<store::embedded_journal> open_view(const std::string& directory) {
  std::filesystem::create_directories(directory);
  return store::open_embedded({.directory = directory, .truth = false});
}

std::uint64_t size_of(const std::string& file) {
  struct stat s{};
  return ::stat(file.c_str(), &s) == 0 ? static_cast<std::uint64_t>(s.st_size) : 0;
}

// The rows of one table into the same table of another store, in large transactions; only the inserting is timed.
double copy_table(store::database& from, store::database& to, const std::string& select, const std::string& insert) {
  struct value {
    bool text = false, blob = false;
    std::int64_t number = 0;
    std::string bytes;
  };
  auto in = from.prepare(select);
  auto out = to.prepare(insert);
  double seconds = 0;
  for (bool more = true; more;) {
    std::vector<std::vector<value>> rows;
    while (rows.size() < 65'536 && (more = in.step())) {
      auto& row = rows.emplace_back();
      for (int n = 0; n < in.columns(); ++n) {
        const auto type = in.type(n);
        row.push_back({.text = type == store::column_type::text,
                       .blob = type == store::column_type::blob,
                       .number = in.integer(n),
                       .bytes = type == store::column_type::integer ? std::string() : in.text(n)});
      }
    }
    const auto begun = steady::now();
    to.execute("BEGIN");
    for (const auto& row : rows) {
      int n = 0;
      for (const auto& v : row) {
        ++n;
        if (v.blob)
          out.bind_blob(n, v.bytes);
        else if (v.text)
          out.bind(n, v.bytes);
        else
          out.bind(n, v.number);
      }
      out.run();
    }
    to.execute("COMMIT");
    to.execute("PRAGMA wal_checkpoint(PASSIVE)");
    seconds += seconds_since(begun);
  }
  return seconds;
}

double bare_insert(const std::string& from, const std::string& to) {
  open_view(to);  // for its tables
  store::database source(store::database_file(from), store::database::mode::read_write, std::chrono::seconds(5));
  store::database db(store::database_file(to), store::database::mode::read_write, std::chrono::seconds(5));
  db.execute("PRAGMA synchronous=NORMAL");
  db.execute("PRAGMA cache_size=-65536");
  return copy_table(source, db, "SELECT * FROM runs ORDER BY key",
                    "INSERT INTO runs VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)") +
         copy_table(source, db, "SELECT * FROM events ORDER BY number", "INSERT INTO events VALUES(?1,?2,?3,?4,?5)") +
         copy_table(source, db, "SELECT * FROM ids ORDER BY hash, key", "INSERT INTO ids VALUES(?1,?2)");
}

}  // namespace

int main(int argc, char** argv) {
  std::string directory;
  long count = 1'000'000;
  long more = 10'000;
  std::size_t payload = 100;
  CLI::App app{"snapshots of a view, and building one anew"};
  app.add_option("--dir", directory, "an empty or new directory")->required();
  app.add_option("--runs", count);
  app.add_option("--more", more, "runs between the first snapshot and the second");
  app.add_option("--payload", payload);
  CLI11_PARSE(app, argc, argv);

  const auto first = directory + "/first";
  auto view = open_view(first);
  leader lead(payload);
  follower follow(*view);
  const auto until = [&](long closed) {
    while (lead.closed() < closed) follow.take(lead.record(closed));
    follow.hand_over();
  };
  until(count);
  const auto replay = follow.seconds;
  const auto per_run = [&](double bytes) { return bytes / static_cast<double>(lead.closed()); };
  view.reset();
  const auto view_bytes = per_run(static_cast<double>(size_of(store::database_file(first))));
  const auto journal_bytes = per_run(static_cast<double>(follow.journal_bytes));
  view = open_view(first);

  const auto shared = store::open_snapshot_directory(directory + "/snapshots");
  store::snapshot_writer writer(*shared, *view, {.topic = topic});
  auto begun = steady::now();
  const auto one = writer.write();
  const auto whole = seconds_since(begun);
  const auto segment_bytes = writer.written().segment_bytes;
  follower on(*view);
  const auto before = lead.closed();
  while (lead.closed() < before + more) on.take(lead.record(before + more));
  on.hand_over();
  begun = steady::now();
  const auto two = writer.write();
  const auto changed = seconds_since(begun);

  auto restored = open_view(directory + "/restored");
  begun = steady::now();
  const auto at = store::restore_view(*shared, {.topic = topic}, *restored);
  const auto restore = seconds_since(begun);
  if (!at) std::exit(1);
  restored.reset();
  const auto bare = bare_insert(first, directory + "/bare");
  const auto rate = [&](double seconds) { return static_cast<double>(lead.closed()) / seconds; };
  std::printf(
      "{\"runs\":%ld,\"payload\":%zu,\"view_bytes_per_run\":%.0f,\"journal_bytes_per_run\":%.0f,"
      "\"first_snapshot_s\":%.2f,\"segment_bytes_per_run\":%.0f,\"segments\":%zu,"
      "\"more\":%ld,\"second_snapshot_s\":%.3f,\"second_segment_bytes\":%llu,\"second_bytes\":%llu,"
      "\"restore_runs_per_s\":%.0f,\"replay_runs_per_s\":%.0f,\"bare_runs_per_s\":%.0f,"
      "\"restore_of_bare\":%.2f,\"replay_of_bare\":%.2f}\n",
      lead.closed(), payload, view_bytes, journal_bytes, whole, per_run(static_cast<double>(segment_bytes)),
      one.segments.size(), more, changed,
      static_cast<unsigned long long>(writer.written().segment_bytes - segment_bytes),
      static_cast<unsigned long long>(two.bytes), rate(restore), rate(replay), rate(bare), bare / restore,
      bare / replay * static_cast<double>(count) / static_cast<double>(lead.closed()));
}
