// A view of a journal that is made up, filled at random, and a directory for its snapshots.
#pragma once

#include <gmock/gmock.h>

#include <fstream>
#include <random>
#include <set>
#include <sstream>

#include "store/snapshot_directory.hpp"
#include "store/snapshot_restore.hpp"
#include "store/snapshot_writer.hpp"
#include "tests/store/fixture.hpp"

namespace pawl::store {

/// Everything that a view holds, but what is of this file only (numbers of rows, the order of closed runs' events, how
/// many events share a row).
inline std::string dump(const std::string& directory) {
  database db(database_file(directory), database::mode::read_write, std::chrono::seconds(5));
  std::string out;
  const auto add = [&](const char* what, const char* sql) {
    out += std::string(what) + ":\n";
    for (auto s = db.prepare(sql); s.step();) {
      for (int n = 0; n < s.columns(); ++n) {
        const auto bytes = s.bytes(n);
        out += s.null(n) ? "NULL" : std::string(bytes);
        out += '|';
      }
      out += '\n';
    }
  };
  add("runs",
      "SELECT r.key, r.id, r.run, g.reign, r.serial, t.name, r.version, r.phase, r.paused, r.wake_at, r.started_at, "
      "r.closed_at, r.start_command FROM runs r LEFT JOIN reigns g ON g.number = r.reign LEFT JOIN types t ON "
      "t.number = r.type ORDER BY r.key");
  add("events", "SELECT run_key, seq, at, event, step, attempt, body FROM history ORDER BY run_key, seq");
  add("heartbeats", "SELECT run_key, step, undo, hex(details) FROM heartbeats ORDER BY 1, 2, 3");
  add("outcomes", "SELECT workflow_id, command_id, result, seq, message, at FROM outcomes ORDER BY number");
  add("outbox", "SELECT peer, number, reign, hex(message) FROM outbox ORDER BY 1, 2");
  add("peers", "SELECT * FROM peers ORDER BY 1");
  add("received", "SELECT * FROM received ORDER BY 1, 2");
  add("marks", "SELECT * FROM type_marks ORDER BY 1");
  add("state", "SELECT last_event_at, runs FROM state");
  add("position", "SELECT * FROM log_position ORDER BY what");
  return out;
}

class snapshot_test : public store_test {
 protected:
  static constexpr const char* topic = "shop.journal";

  void SetUp() override {
    store_ = open_snapshot_directory(shared_.path());
    open_view();
  }
  void open_view() {
    auto o = options();
    o.truth = false;
    o.waiting_ids = 20;  // so that some ids are in the table and some are not
    open(o);
  }
  std::unique_ptr<embedded_journal> open_another(const temporary_directory& d) const {
    return open_embedded({.directory = d.path(), .page_size = 4096, .truth = false});
  }

  log_position next_position() {
    ++offset_;
    return {
        .at = {.offset = offset_,
               .epoch = 3,
               .reign = {7, 9},
               .seq = static_cast<std::uint64_t>(offset_),
               .released = false},
        .crc = static_cast<std::uint32_t>(offset_ * 2'654'435'761U),
        .commands = offset_ * 2,
        .feed = {.offset = offset_ - 1, .epoch = 3, .reign = {7, 9}, .seq = static_cast<std::uint64_t>(offset_ - 1)}};
  }
  void put(const record& r) {
    const auto at = next_position();
    const auto result = journal_->append(r, at);
    ASSERT_EQ(result.status, append_status::committed) << result.message;
    log_.emplace_back(r, at);
  }
  /// What follows in the log where the view stands.
  void read_on(embedded_journal& view) {
    const auto from = view.position()->at.offset + 1;
    for (auto n = static_cast<std::size_t>(from); n < log_.size(); ++n) {
      const auto result = view.append(log_[n].first, log_[n].second);
      ASSERT_EQ(result.status, append_status::committed) << result.message;
    }
  }
  /// Begins anew, with an empty view and no snapshots.
  void forget_all() {
    runs_.clear();
    lanes_.clear();
    steps_.clear();
    log_.clear();
    offset_ = -1;
    ASSERT_EQ(journal_->clear().status, append_status::committed);
    for (const auto& b : store_->list("p0")) store_->remove(b.name);
  }
  void put(run_change c) {
    record r;
    r.runs.push_back(std::move(c));
    put(r);
  }

  /// A run whose first record is there.
  scripted_run& begin(const std::string& id, std::uint32_t run = 1, const std::string& type = "order") {
    const auto key = journal_->next_run_key();
    auto& r = *runs_.emplace_back(std::make_unique<scripted_run>(
        key, id, engine::run_uid{{random_() % 3, 5}, static_cast<std::uint64_t>(key)}, run, type));
    put(r.start(tick()));
    return r;
  }
  void closed(const std::string& id) {
    auto& r = begin(id);
    put(r.next(tick(), 1));
    put(r.complete(tick(), 1));
  }

  /// `records` more of what a leader writes.
  void go_on(int records) {
    using r = scripted_run;
    for (int n = 0; n < records; ++n) {
      record out;
      const auto open = pick_open();
      const auto kind = random_() % 10;
      if (!open || kind < 3) {
        begin("w-" + std::to_string(random_() % 1'000'000) + "-" + std::to_string(runs_.size()), 1,
              "type" + std::to_string(random_() % 3));
        continue;
      }
      auto& one = *open->run;
      if (kind < 5) {
        out.runs.push_back(one.next(tick(), ++open->step));
      } else if (kind < 7) {
        out.runs.push_back(one.complete(tick(), open->step));
      } else if (kind < 8) {
        auto e = r::of(event_kind::run_killed);
        e.command_id = "kill";
        e.error = engine::failure{.code = "asked", .message = std::string(random_() % 500, 'x')};
        out.runs.push_back(one.add(tick(), {e}));
      } else if (kind < 9) {
        out.heartbeats.push_back(
            {.key = one.key(), .step = open->step, .undo = false, .details = std::string("\0\xff", 2)});
      } else {
        talk(out);
        if (random_() % 3 == 0)
          out.marks.push_back({.type = "type" + std::to_string(random_() % 3),
                               .version = static_cast<std::uint32_t>(random_() % 4),
                               .revision = 1 + random_() % 50,
                               .at = offset_,
                               .by = "u-" + std::to_string(offset_)});
        out.outcomes.push_back({.command_id = "c-" + std::to_string(offset_),
                                .workflow_id = one.header().workflow_id,
                                .outcome = {.result = engine::command_result::conflict, .seq = 4, .message = "no"},
                                .at = tick()});
      }
      put(out);
    }
  }

  /// What a partition has to do with the others.
  void talk(record& out) {
    const auto peer = static_cast<std::int32_t>(1 + random_() % 2);
    auto& lane = lanes_[peer];
    for (auto n = random_() % 3; n > 0; --n)
      out.outbox.messages.push_back(
          {.to = peer, .number = ++lane.given, .reign = {7, 9}, .message = std::string("\0m", 2)});
    if (lane.acknowledged < lane.given && random_() % 2 == 0)
      out.outbox.acknowledged.push_back({.to = peer, .below = ++lane.acknowledged + 1});
    lane.received += 1 + random_() % 3;
    out.outbox.received.push_back({.from = peer, .number = lane.received, .reign = {lane.received / 8, 1}});
    if (random_() % 20 == 0)
      out.outbox.received.push_back({.from = peer,
                                     .number = lane.received,
                                     .reign = {lane.received / 8, 1},
                                     .what = receive_mark::state::diverged});
    if (random_() % 20 == 0) out.outbox.received.push_back({.from = peer, .what = receive_mark::state::any});
  }

  snapshot_writer writer(std::uint64_t segment_bytes = 16'384) {
    return {*store_, *journal_, {.topic = topic, .partition = 0, .segment_bytes = segment_bytes}};
  }
  std::optional<log_position> restore(embedded_journal& into) {
    warnings_.clear();
    return restore_view(*store_,
                        {.topic = topic,
                         .partition = 0,
                         .misfit = misfit_,
                         .warn = [this](const std::string& w) { warnings_ += w + "\n"; }},
                        into);
  }
  std::string path_of(const std::string& name) const { return shared_.path() + "/" + name; }
  std::vector<std::string> names(std::string_view suffix) {
    std::vector<std::string> out;
    for (const auto& b : store_->list("p0"))
      if (b.name.ends_with(suffix)) out.push_back(b.name);
    std::sort(out.begin(), out.end());
    return out;
  }
  static std::string read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }
  static void write_file(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  }
  void seed(std::uint64_t n) { random_.seed(n); }

  temporary_directory shared_;
  std::unique_ptr<snapshot_store> store_;
  std::function<std::string(const log_position&)> misfit_;
  std::string warnings_;
  std::mt19937_64 random_{1};
  std::vector<std::unique_ptr<scripted_run>> runs_;
  std::vector<std::pair<record, log_position>> log_;
  std::int64_t offset_ = -1;
  struct lane {
    std::uint64_t given = 0, acknowledged = 0, received = 0;
  };
  std::map<std::int32_t, lane> lanes_;

 private:
  struct open_run {
    scripted_run* run;
    std::uint32_t& step;
  };
  std::optional<open_run> pick_open() {
    if (runs_.empty()) return std::nullopt;
    for (int tries = 0; tries < 20; ++tries) {
      auto& r = *runs_[random_() % runs_.size()];
      if (!is_closed(r.state().phase)) return open_run{&r, steps_[r.key()]};
    }
    return std::nullopt;
  }
  std::map<engine::run_key, std::uint32_t> steps_;
};

}  // namespace pawl::store
