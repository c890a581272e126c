// A directory of its own for each test, runs with true histories, and raw SQL for what a store must never contain.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "store/data_directory.hpp"
#include "store/embedded_journal.hpp"
#include "store/sqlite.hpp"
#include "store/verify.hpp"
#include "workflow/instance.hpp"

namespace pawl::store {

using engine::event;
using engine::event_kind;

/// In memory where there is room: what a test does to a disk it does in a file layer of its own, and thousands of syncs
/// of a busy real one would only make it slow.
class temporary_directory {
 public:
  temporary_directory() {
    std::error_code none;
    const auto room = std::filesystem::space("/dev/shm", none);
    const bool roomy = !none && room.available > (std::uintmax_t{256} << 20);
    path_ = ((roomy ? std::filesystem::path("/dev/shm") : std::filesystem::temp_directory_path()) / "pawl-store-XXXXXX")
                .string();
    if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  }
  ~temporary_directory() { std::filesystem::remove_all(path_); }
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// One run as an actor would keep it: gives the changes that a journal takes, with summaries that follow from the
/// events.
class scripted_run {
 public:
  scripted_run(engine::run_key key, std::string workflow_id, engine::run_uid uid, std::uint32_t run = 1,
               std::string type = "order")
      : key_(key),
        instance_(engine::make_instance(nullptr)) {
    header_ = {.workflow_id = std::move(workflow_id),
               .run = run,
               .uid = uid,
               .type = std::move(type),
               .version = 1,
               .started_at = 0,
               .start_command = "start-" + std::to_string(key)};
  }

  engine::run_key key() const { return key_; }
  const run_header& header() const { return header_; }
  const engine::instance& state() const { return *instance_; }
  const std::vector<event>& events() const { return events_; }
  std::string broken() const { return instance_->broken; }

  /// The change that adds these events at `at`. `wake_at` only matters for a run that is open and has no attempt.
  run_change add(std::int64_t at, std::vector<event> more, std::int64_t wake_at = wake_now) {
    run_change c;
    c.key = key_;
    if (events_.empty()) header_.started_at = at, c.created = header_;
    for (auto& e : more) {
      e.seq = instance_->last_seq + 1;
      e.at = engine::from_micros(at);
      evolve(*instance_, e);
      if (!instance_->broken.empty()) throw std::logic_error("scripted_run: " + instance_->broken);
      c.events.push_back(to_row(e));
      events_.push_back(std::move(e));
    }
    const bool closed = is_closed(instance_->phase);
    const run_summary s{.phase = instance_->phase,
                        .paused = instance_->paused,
                        .wake_at = closed                            ? wake_never
                                   : instance_->running_attempts > 0 ? wake_now
                                                                     : wake_at,
                        .closed_at = closed ? at : 0};
    if (c.created || !(s == summary_)) c.summary = summary_ = s;
    c.last_seq = instance_->last_seq;
    return c;
  }

  event started(std::string input = "\xc0") const {
    event e;
    e.kind = event_kind::run_started;
    e.command_id = header_.start_command;
    e.payload = std::move(input);
    e.start = engine::start_facts{.workflow_id = header_.workflow_id,
                                  .type = header_.type,
                                  .version = 1,
                                  .digest = 77,
                                  .run = header_.run,
                                  .uid = header_.uid,
                                  .start_at = {},
                                  .deadline = {}};
    return e;
  }
  static event of(event_kind kind) {
    event e;
    e.kind = kind;
    return e;
  }
  static event of_step(event_kind kind, std::uint32_t step, std::uint32_t attempt = 0, bool undo = false) {
    auto e = of(kind);
    e.step = step;
    e.name = step_name(step);
    e.attempt = attempt;
    e.undo = undo;
    if (kind == event_kind::attempt_started)
      e.begun = engine::attempt_facts{.policy = {}, .incarnation = 5, .in_child = false, .may_still_run = false};
    return e;
  }
  static event failed(std::uint32_t step, std::uint32_t attempt, std::optional<std::int64_t> due, bool undo = false) {
    auto e = of_step(event_kind::attempt_failed, step, attempt, undo);
    e.error = engine::failure{.code = "http_503", .message = "the service is away"};
    if (due) e.due = engine::from_micros(*due);
    return e;
  }
  static std::string step_name(std::uint32_t step) { return "step" + std::to_string(step); }

  // The usual ways.
  run_change start(std::int64_t at) { return add(at, {started(), of_step(event_kind::attempt_started, 0, 1)}); }
  run_change next(std::int64_t at, std::uint32_t step) {
    return add(at,
               {of_step(event_kind::attempt_completed, step - 1, 1), of_step(event_kind::attempt_started, step, 1)});
  }
  run_change complete(std::int64_t at, std::uint32_t step) {
    return add(at, {of_step(event_kind::attempt_completed, step, 1), of(event_kind::run_completed)});
  }

 private:
  engine::run_key key_;
  run_header header_;
  run_summary summary_;
  std::unique_ptr<engine::instance> instance_;
  std::vector<event> events_;
};

inline constexpr std::int64_t first_time = 1'700'000'000'000'000;

class store_test : public testing::Test {
 protected:
  embedded_options options() const {
    embedded_options o;
    o.directory = directory_.path();
    o.page_size = 4096;
    return o;
  }
  void open(const embedded_options& o) {
    journal_.reset();
    journal_ = open_embedded(o);
  }
  void open() { open(options()); }
  void close() { journal_.reset(); }

  void commit(const record& r) {
    const auto result = journal_->append(r);
    ASSERT_EQ(result.status, append_status::committed) << result.message;
  }
  void commit(run_change c) {
    record r;
    r.runs.push_back(std::move(c));
    commit(r);
  }
  append_result try_append(run_change c) {
    record r;
    r.runs.push_back(std::move(c));
    return journal_->append(r);
  }

  std::int64_t tick() { return now_ += 1000; }
  scripted_run make_run(std::string id, std::uint32_t run = 1, std::string type = "order") {
    const auto key = journal_->next_run_key();
    return scripted_run(key, std::move(id), {journal_->reign(), static_cast<std::uint64_t>(key)}, run, std::move(type));
  }
  /// A whole run of three steps, one record a change.
  scripted_run whole_run(const std::string& id, std::uint32_t run = 1, std::string type = "order") {
    auto r = make_run(id, run, std::move(type));
    commit(r.start(tick()));
    commit(r.next(tick(), 1));
    commit(r.next(tick(), 2));
    commit(r.complete(tick(), 2));
    return r;
  }

  const std::string& directory() const { return directory_.path(); }
  std::string file() const { return database_file(directory_.path()); }
  void sql(const std::string& text) {
    database db(file(), database::mode::read_write, std::chrono::seconds(5));
    db.execute(text);
  }
  std::string ask(const std::string& text) {
    database db(file(), database::mode::read_write, std::chrono::seconds(5));
    return db.text(text);
  }
  std::vector<std::string> findings() {
    std::vector<std::string> out;
    for (const auto& f : verify(directory()).findings) out.push_back(f.text());
    return out;
  }
  void expect_clean() {
    const auto found = findings();
    EXPECT_TRUE(found.empty()) << found.front();
  }
  void wait_for_ids() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!journal_->stats().ids_known) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "the ids were not read";
      std::this_thread::yield();
    }
  }

  temporary_directory directory_;
  std::unique_ptr<embedded_journal> journal_;
  std::int64_t now_ = first_time;
};

}  // namespace pawl::store
