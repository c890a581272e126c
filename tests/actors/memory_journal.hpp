// A journal and its view in memory, for tests of the actors: as atomic as the real one, and it fails on demand.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include "store/journal.hpp"
#include "store/view.hpp"
#include "workflow/event_codec.hpp"

namespace pawl::test {

/// What an append does instead of committing.
struct planned_failure {
  store::append_status status = store::append_status::unknown;
  bool written = false;  ///< the record is durable although the answer says otherwise
};

struct memory_store {
  std::mutex mutex;
  std::map<engine::run_key, store::run_row> runs;
  std::map<std::string, std::map<std::uint32_t, engine::run_key>, std::less<>> by_id;
  std::map<engine::run_key, std::vector<store::event_row>> events;
  std::map<engine::run_key, std::vector<store::heartbeat_row>> heartbeats;
  std::map<std::pair<std::string, std::string>, store::outcome_row> outcomes;  ///< by workflow id and command id
  engine::type_marks marks;
  std::map<std::size_t, planned_failure> failures;  ///< by the number of the append, from 1
  std::function<std::optional<planned_failure>(const store::record&)> fail_if;
  std::size_t failures_fired = 0;
  std::size_t reopen_refusals = 0;  ///< that many reopenings answer no_space
  std::size_t reopen_refused = 0;
  std::size_t appends = 0;
  std::chrono::milliseconds append_takes{0};  ///< a slow disk; set before the node starts
  /// As a journal elsewhere, whose view is written behind it: what is appended is shown a few records later, or by
  /// settle(). Set before the node starts.
  bool view_lags = false;
  std::map<std::size_t, store::append_status> show_failures;  ///< by the number of the showing, from 1
  std::size_t shows = 0;
  std::size_t show_failures_fired = 0;
  std::size_t awaited = 0;  ///< how often somebody waited for it
  std::uint64_t reign = fresh_reign();
  bool shut = false;
  std::vector<std::string> violations;
  /// Called, without the lock, before a history or what is due is read; may throw.
  std::function<void(engine::run_key)> on_history;
  std::function<void()> on_due;
  /// Called, without the lock, before runs are read together, and before a record is appended; may block.
  std::function<void(std::span<const engine::run_key>)> on_opened;
  std::function<void(const store::record&)> on_append;

  // No two stores of a test name a run alike.
  static std::uint64_t fresh_reign() {
    static std::atomic<std::uint64_t> last{0};
    return (last += 1) << 20;
  }

  void write(const store::record& r) {
    for (const auto& c : r.runs) {
      auto& row = runs[c.key];
      row.key = c.key;
      if (c.created) {
        row.header = *c.created;
        if (!by_id[row.header.workflow_id].emplace(row.header.run, c.key).second)
          violations.push_back("two runs " + std::to_string(row.header.run) + " of " + row.header.workflow_id);
      }
      if (c.summary) row.summary = *c.summary;
      for (const auto& e : c.events) {
        if (e.seq != row.last_seq + 1) violations.push_back("gap in " + row.header.workflow_id);
        row.last_seq = e.seq;
        events[c.key].push_back(e);
      }
      if (c.last_seq != 0 && c.last_seq != row.last_seq) violations.push_back("last_seq of " + row.header.workflow_id);
    }
    for (const auto& h : r.heartbeats) {
      auto& rows = heartbeats[h.key];
      std::erase_if(rows, [&](const auto& o) { return o.step == h.step && o.undo == h.undo; });
      rows.push_back(h);
    }
    for (const auto& o : r.outcomes)
      if (!outcomes.emplace(std::pair{o.workflow_id, o.command_id}, o).second)
        violations.push_back("a second outcome of command " + o.command_id + " to " + o.workflow_id);
    for (const auto& m : r.marks) engine::fold(marks, m);
  }

  template <class Change>
  void change(Change f) {
    const std::lock_guard lock(mutex);
    f(*this);
  }
};

class memory_journal final : public store::journal {
 public:
  explicit memory_journal(std::shared_ptr<memory_store> s, std::uint64_t epoch = 0)
      : store_(std::move(s)),
        epoch_(epoch) {
    const std::lock_guard lock(store_->mutex);
    ++store_->reign;
    store_->shut = false;
  }
  ~memory_journal() override {
    const std::lock_guard lock(store_->mutex);
    show_all();  // who opens the next one reads it
  }
  memory_journal(const memory_journal&) = delete;
  memory_journal& operator=(const memory_journal&) = delete;
  store::append_result append(store::record r) override {
    if (store_->on_append) store_->on_append(r);
    if (store_->append_takes.count() > 0) std::this_thread::sleep_for(store_->append_takes);
    const std::lock_guard lock(store_->mutex);
    appender_ = std::this_thread::get_id();
    ++store_->appends;
    if (store_->shut) store_->violations.push_back("append to a shut journal");
    if (unshown_.size() >= most_unshown || awaited_)
      if (auto shown = show(); shown.status != store::append_status::committed) return shown;
    std::optional<planned_failure> failure;
    if (const auto planned = store_->failures.find(store_->appends); planned != store_->failures.end())
      failure = planned->second;
    if (!failure && store_->fail_if) failure = store_->fail_if(r);
    if (failure) {
      ++store_->failures_fired;
      show_all();
      if (failure->written) store_->write(r);
      store_->shut = true;
      return {failure->status, "planned failure"};
    }
    if (store_->view_lags)
      unshown_.push_back(r);
    else
      store_->write(r);
    return {};
  }
  store::append_result settle() override {
    const std::lock_guard lock(store_->mutex);
    return store_->shut ? store::append_result() : show();
  }
  void await_views() override {
    std::unique_lock lock(store_->mutex);
    if (unshown_.empty()) return;
    if (appender_ == std::this_thread::get_id()) static_cast<void>(show());
    const auto now = times_shown_;
    awaited_ = !unshown_.empty();
    store_->awaited += awaited_ ? 1 : 0;
    shown_.wait(lock, [&] { return unshown_.empty() || failed_ || times_shown_ != now; });
    if (failed_ && times_shown_ == now) throw store::view_error("planned failure");
  }
  bool may_begin(std::string_view id) const override {
    const std::lock_guard lock(store_->mutex);
    for (const auto& r : unshown_)
      for (const auto& c : r.runs)
        if (c.created && c.created->workflow_id == id) return true;
    return false;
  }
  store::append_result reopen() override {
    const std::lock_guard lock(store_->mutex);
    if (store_->reopen_refusals > 0) {
      --store_->reopen_refusals;
      ++store_->reopen_refused;
      return {store::append_status::no_space, "no space in memory"};
    }
    show_all();  // read from the journal
    store_->shut = false;
    ++store_->reign;
    return {};
  }
  engine::reign reign() const override {
    const std::lock_guard lock(store_->mutex);
    return {store_->reign, 7};
  }
  std::uint64_t epoch() const override { return epoch_; }
  engine::run_key next_run_key() const override {
    const std::lock_guard lock(store_->mutex);
    return store_->runs.empty() ? 1 : store_->runs.rbegin()->first + 1;
  }
  std::int64_t last_event_time() const override {
    const std::lock_guard lock(store_->mutex);
    std::int64_t last = 0;
    for (const auto& r : store_->events)
      if (!r.second.empty()) last = std::max(last, r.second.back().at);
    return last;
  }

 private:
  static constexpr std::size_t most_unshown = 4;

  // With the store's lock.
  void show_all() {
    for (const auto& r : unshown_) store_->write(r);
    unshown_.clear();
    failed_ = awaited_ = false;
    ++times_shown_;
    shown_.notify_all();
  }
  store::append_result show() {
    if (unshown_.empty()) return {};
    const auto planned = store_->show_failures.find(++store_->shows);
    if (planned == store_->show_failures.end()) {
      show_all();
      return {};
    }
    ++store_->show_failures_fired;
    failed_ = store_->shut = true;
    shown_.notify_all();
    return {planned->second, "planned failure of the view"};
  }

  std::shared_ptr<memory_store> store_;
  const std::uint64_t epoch_;
  // Under the store's lock.
  std::vector<store::record> unshown_;
  std::condition_variable shown_;
  std::thread::id appender_;
  std::uint64_t times_shown_ = 0;
  bool awaited_ = false;
  bool failed_ = false;
};

class memory_view final : public store::view {
 public:
  explicit memory_view(std::shared_ptr<memory_store> s) : store_(std::move(s)) {}
  std::optional<store::run_row> find(std::string_view id) override {
    const std::lock_guard lock(store_->mutex);
    const auto it = store_->by_id.find(id);
    if (it == store_->by_id.end()) return std::nullopt;
    return store_->runs.at(it->second.rbegin()->second);
  }
  std::optional<store::run_row> find(std::string_view id, std::uint32_t run) override {
    const std::lock_guard lock(store_->mutex);
    const auto it = store_->by_id.find(id);
    if (it == store_->by_id.end() || !it->second.contains(run)) return std::nullopt;
    return store_->runs.at(it->second.at(run));
  }
  std::optional<store::run_row> get(engine::run_key key) override {
    const std::lock_guard lock(store_->mutex);
    const auto it = store_->runs.find(key);
    return it == store_->runs.end() ? std::nullopt : std::optional(it->second);
  }
  store::stored_history history(engine::run_key key, std::uint64_t from = 1, std::size_t limit = SIZE_MAX) override {
    if (const auto hook = store_->on_history) hook(key);
    const std::lock_guard lock(store_->mutex);
    store::stored_history out;
    for (const auto& row : store_->events[key]) {
      if (row.seq < from || out.events.size() >= limit) continue;
      engine::event e;
      e.kind = row.kind;
      e.seq = row.seq;
      e.at = engine::from_micros(row.at);
      e.attempt = row.attempt;
      e.name = row.step;
      if (const auto wrong = engine::decode_body(row.body, e); !wrong.empty()) {
        out.error = "event " + std::to_string(row.seq) + ": " + wrong;
        break;
      }
      out.events.push_back(std::move(e));
    }
    out.heartbeats = store_->heartbeats[key];
    return out;
  }
  std::vector<store::event_row> stored(engine::run_key key, std::uint64_t from, std::size_t limit) override {
    const std::lock_guard lock(store_->mutex);
    std::vector<store::event_row> out;
    for (const auto& row : store_->events[key])
      if (row.seq >= from && out.size() < limit) out.push_back(row);
    return out;
  }
  // A history whose reading a test wants to see, or to fail, is left to who reads it alone.
  std::vector<store::opened_run> opened(std::span<const engine::run_key> keys, const store::together&) override {
    if (store_->on_opened) store_->on_opened(keys);
    std::vector<store::opened_run> out;
    for (const auto key : keys) {
      const auto row = get(key);
      if (!row || row->summary.closed_at != 0) continue;
      auto& run = out.emplace_back();
      run.key = key;
      run.workflow_id = row->header.workflow_id;
      if (!store_->on_history) run.history = history(key);
    }
    return out;
  }
  std::vector<due_cursor> due(std::int64_t until, due_cursor after, std::size_t limit) override {
    if (const auto hook = store_->on_due) hook();
    const std::lock_guard lock(store_->mutex);
    std::vector<due_cursor> out;
    for (const auto& [key, row] : store_->runs)
      if (row.summary.closed_at == 0 && row.summary.wake_at < until &&
          std::pair{row.summary.wake_at, key} > std::pair{after.wake_at, after.key})
        out.push_back({row.summary.wake_at, key});
    std::sort(out.begin(), out.end(),
              [](const auto& a, const auto& b) { return std::pair{a.wake_at, a.key} < std::pair{b.wake_at, b.key}; });
    if (out.size() > limit) out.resize(limit);
    return out;
  }
  std::vector<store::run_row> list(const store::list_filter&) override { return {}; }
  std::optional<store::outcome_row> outcome(std::string_view id, std::string_view command) override {
    const std::lock_guard lock(store_->mutex);
    const auto it = store_->outcomes.find({std::string(id), std::string(command)});
    return it == store_->outcomes.end() ? std::nullopt : std::optional(it->second);
  }
  store::view_counts counts() override { return {}; }
  engine::type_marks type_marks() override {
    const std::lock_guard lock(store_->mutex);
    return store_->marks;
  }

 private:
  std::shared_ptr<memory_store> store_;
};

}  // namespace pawl::test
