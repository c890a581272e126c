// A journal and its view in memory, for tests of the actors: as atomic as the real one, and it fails on demand.
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <mutex>

#include "store/journal.hpp"
#include "store/view.hpp"
#include "workflow/event_codec.hpp"

namespace pawl::test {

/// What the n-th append does instead of committing.
struct planned_failure {
  store::append_status status = store::append_status::unknown;
  bool written = false;  ///< the record is durable although the answer says otherwise
};

struct memory_store {
  std::mutex mutex;
  std::map<engine::run_key, store::run_row> runs;
  std::map<engine::run_key, std::vector<store::event_row>> events;
  std::map<engine::run_key, std::vector<store::heartbeat_row>> heartbeats;
  std::vector<store::outcome_row> outcomes;
  std::deque<planned_failure> failures;  ///< taken one an append, from the front
  std::size_t failures_fired = 0;
  std::size_t reopen_refusals = 0;       ///< that many reopenings answer no_space
  std::size_t appends = 0;
  std::uint64_t reign = 1;
  bool shut = false;
  std::vector<std::string> violations;

  void write(const store::record& r) {
    for (const auto& c : r.runs) {
      auto& row = runs[c.key];
      row.key = c.key;
      if (c.created) row.header = *c.created;
      if (c.summary) row.summary = *c.summary;
      for (const auto& e : c.events) {
        if (e.seq != row.last_seq + 1) violations.push_back("gap in " + row.header.workflow_id);
        row.last_seq = e.seq;
        events[c.key].push_back(e);
      }
    }
    for (const auto& h : r.heartbeats) {
      auto& rows = heartbeats[h.key];
      std::erase_if(rows, [&](const auto& o) { return o.step == h.step && o.undo == h.undo; });
      rows.push_back(h);
    }
    outcomes.insert(outcomes.end(), r.outcomes.begin(), r.outcomes.end());
  }
};

class memory_journal final : public store::journal {
 public:
  explicit memory_journal(std::shared_ptr<memory_store> s) : store_(std::move(s)) {}
  store::append_result append(const store::record& r) override {
    const std::lock_guard lock(store_->mutex);
    ++store_->appends;
    if (store_->shut) store_->violations.push_back("append to a shut journal");
    if (!store_->failures.empty()) {
      const auto f = store_->failures.front();
      store_->failures.pop_front();
      ++store_->failures_fired;
      if (f.written) store_->write(r);
      store_->shut = true;
      return {f.status, "planned failure"};
    }
    store_->write(r);
    return {};
  }
  store::append_result reopen() override {
    const std::lock_guard lock(store_->mutex);
    if (store_->reopen_refusals > 0) {
      --store_->reopen_refusals;
      return {store::append_status::no_space, "no space in memory"};
    }
    store_->shut = false;
    ++store_->reign;
    return {};
  }
  engine::reign reign() const override { return {store_->reign, 7}; }
  engine::run_key next_run_key() const override {
    const std::lock_guard lock(store_->mutex);
    return store_->runs.empty() ? 1 : store_->runs.rbegin()->first + 1;
  }
  std::int64_t last_event_time() const override {
    const std::lock_guard lock(store_->mutex);
    std::int64_t last = 0;
    for (const auto& r : store_->events)
      for (const auto& e : r.second) last = std::max(last, e.at);
    return last;
  }

 private:
  std::shared_ptr<memory_store> store_;
};

class memory_view final : public store::view {
 public:
  explicit memory_view(std::shared_ptr<memory_store> s) : store_(std::move(s)) {}
  std::optional<store::run_row> find(std::string_view id) override { return find_if([&](const auto& r) { return r.header.workflow_id == id; }); }
  std::optional<store::run_row> find(std::string_view id, std::uint32_t run) override {
    return find_if([&](const auto& r) { return r.header.workflow_id == id && r.header.run == run; });
  }
  std::optional<store::run_row> get(engine::run_key key) override {
    return find_if([&](const auto& r) { return r.key == key; });
  }
  store::stored_history history(engine::run_key key, std::uint64_t from, std::size_t limit) override {
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
      if (const auto wrong = engine::decode_body(row.body, e); !wrong.empty()) out.error = wrong;
      out.events.push_back(std::move(e));
    }
    out.heartbeats = store_->heartbeats[key];
    return out;
  }
  std::vector<store::run_row> due(std::int64_t until, due_cursor after, std::size_t limit) override {
    const std::lock_guard lock(store_->mutex);
    std::vector<store::run_row> out;
    for (const auto& [key, row] : store_->runs)
      if (row.summary.closed_at == 0 && row.summary.wake_at < until && std::pair{row.summary.wake_at, key} > std::pair{after.wake_at, after.key})
        out.push_back(row);
    std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
      return std::pair{a.summary.wake_at, a.key} < std::pair{b.summary.wake_at, b.key};
    });
    if (out.size() > limit) out.resize(limit);
    return out;
  }
  std::vector<store::run_row> list(const store::list_filter&) override { return {}; }
  std::optional<store::outcome_row> outcome(std::string_view id, std::string_view command) override {
    const std::lock_guard lock(store_->mutex);
    for (const auto& o : store_->outcomes)
      if (o.workflow_id == id && o.command_id == command) return o;
    return std::nullopt;
  }
  store::view_counts counts() override { return {}; }

 private:
  template <class Match>
  std::optional<store::run_row> find_if(Match match) {
    const std::lock_guard lock(store_->mutex);
    for (auto it = store_->runs.rbegin(); it != store_->runs.rend(); ++it)
      if (match(it->second)) return it->second;
    return std::nullopt;
  }
  std::shared_ptr<memory_store> store_;
};

}  // namespace pawl::test
