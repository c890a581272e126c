// What must hold of any node and its journal, whatever happened to them.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "tests/actors/node_fixture.hpp"

namespace pawl::test {

/// Counts the calls of functions by what names an attempt: its idempotency key and its number.
class call_log {
 public:
  int enter(const step_context& c) {
    const std::lock_guard lock(mutex_);
    order_.push_back(c.step() + (c.idempotency_key().ends_with("/undo") ? "~" : ""));
    const int n = ++calls_[c.idempotency_key() + "#" + std::to_string(c.attempt())];
    entered_.notify_all();
    return n;
  }
  std::vector<std::string> order() const {
    const std::lock_guard lock(mutex_);
    return order_;
  }
  std::size_t count(const std::string& step) const {
    const std::lock_guard lock(mutex_);
    return static_cast<std::size_t>(std::count(order_.begin(), order_.end(), step));
  }
  std::size_t total() const {
    const std::lock_guard lock(mutex_);
    return order_.size();
  }
  bool reaches(std::size_t n) {
    std::unique_lock lock(mutex_);
    return entered_.wait_for(lock, patience, [&] { return order_.size() >= n; });
  }
  /// The attempts whose function was called more than once.
  std::vector<std::string> repeated() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> out;
    for (const auto& c : calls_)
      if (c.second > 1) out.push_back(c.first);
    return out;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable entered_;
  std::map<std::string, int> calls_;
  std::vector<std::string> order_;
};

/// Functions wait in it until it opens; opens itself when it goes, so that no test hangs.
class gate {
 public:
  ~gate() { open(); }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void pass() {
    std::unique_lock lock(mutex_);
    ++inside_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_; });
    --inside_;
    changed_.notify_all();
  }
  bool holds(int n) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, [&] { return inside_ >= n; });
  }
  bool empty() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, [&] { return inside_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int inside_ = 0;
};

/// What a node leaves that is killed now: what it writes after the copy is lost.
inline std::shared_ptr<memory_store> copy_of(memory_store& from) {
  auto to = std::make_shared<memory_store>();
  const std::lock_guard lock(from.mutex);
  to->runs = from.runs;
  to->by_id = from.by_id;
  to->events = from.events;
  to->heartbeats = from.heartbeats;
  to->outcomes = from.outcomes;
  to->reign = from.reign;
  return to;
}

/// Every history is whole, folds, and is what its run's line says; at most one end a run and one completion a step.
inline void expect_laws(const std::shared_ptr<memory_store>& store, const registry& types) {
  memory_view view(store);
  std::vector<store::run_row> rows;
  {
    const std::lock_guard lock(store->mutex);
    EXPECT_TRUE(store->violations.empty()) << store->violations.front();
    for (const auto& r : store->runs) rows.push_back(r.second);
  }
  std::map<std::string, std::set<std::uint32_t>> open;
  for (const auto& row : rows) {
    const auto who = row.header.workflow_id + " run " + std::to_string(row.header.run);
    const auto history = view.history(row.key);
    ASSERT_TRUE(history.error.empty()) << who << ": " << history.error;
    auto i = engine::make_instance(types.find(row.header.type, row.header.version));
    std::map<std::pair<std::uint32_t, bool>, int> completions;
    int ends = 0;
    for (const auto& e : history.events) {
      engine::evolve(*i, e);
      ends += is_terminal(e.kind) ? 1 : 0;
      if (e.kind == engine::event_kind::attempt_completed) {
        EXPECT_EQ(++completions[std::pair(e.step, e.undo)], 1) << who << " step " << e.name;
      }
    }
    ASSERT_TRUE(i->broken.empty()) << who << ": " << i->broken;
    EXPECT_EQ(i->last_seq, row.last_seq) << who;
    EXPECT_EQ(to_text(i->phase), to_text(row.summary.phase)) << who;
    EXPECT_EQ(i->paused, row.summary.paused) << who;
    EXPECT_EQ(ends, is_closed(i->phase) ? 1 : 0) << who;
    EXPECT_EQ(row.summary.closed_at != 0, is_closed(i->phase)) << who;
    if (!is_closed(i->phase)) open[row.header.workflow_id].insert(row.header.run);
  }
  for (const auto& o : open) EXPECT_EQ(o.second.size(), 1U) << o.first << " has several open runs";
}

/// Nothing is under way and nothing is kept of what was.
inline void expect_idle(test_node& node) {
  actors::node_status s;
  const bool idle = eventually([&] {
    s = node.status();
    return s.attempts == 0 && s.lingering == 0 && s.slots.taken == 0 && s.slots.waiting == 0 &&
           s.partition.waiters == 0 && s.commits.waiting == 0;
  });
  EXPECT_TRUE(idle) << "attempts=" << s.attempts << " lingering=" << s.lingering << " taken=" << s.slots.taken
                    << " waiting=" << s.slots.waiting << " waiters=" << s.partition.waiters
                    << " commits=" << s.commits.waiting;
}

/// ... and no run is in memory.
inline void expect_empty(test_node& node) {
  expect_idle(node);
  actors::node_status s;
  EXPECT_TRUE(eventually([&] { return (s = node.status()).partition.live == 0; }))
      << "live=" << s.partition.live << " resting=" << s.partition.resting;
}

}  // namespace pawl::test
