// What never changes about the runs that were asked for last, so that the feed need not ask a view about each event.
#pragma once

#include <cstddef>
#include <list>
#include <unordered_map>
#include <utility>

#include "store/journal.hpp"

namespace pawl::broker {

/// At most so many; the one that was not asked for the longest goes first. One thread at a time.
class recent_runs {
 public:
  explicit recent_runs(std::size_t most) : most_(most) {}

  /// Of a key that is there already, the new one counts. The reference holds until the next put, drop or clear.
  const store::run_header& put(engine::run_key key, store::run_header header) {
    drop(key);
    if (!order_.empty() && order_.size() >= most_) drop(order_.back().first);
    order_.emplace_front(key, std::move(header));
    at_[key] = order_.begin();
    return order_.front().second;
  }
  /// Null: not here.
  const store::run_header* find(engine::run_key key) {
    const auto it = at_.find(key);
    if (it == at_.end()) return nullptr;
    order_.splice(order_.begin(), order_, it->second);
    return &order_.front().second;
  }
  void drop(engine::run_key key) {
    const auto it = at_.find(key);
    if (it == at_.end()) return;
    order_.erase(it->second);
    at_.erase(it);
  }
  void clear() {
    order_.clear();
    at_.clear();
  }
  std::size_t size() const { return order_.size(); }

 private:
  using entries = std::list<std::pair<engine::run_key, store::run_header>>;
  std::size_t most_;
  entries order_;  // asked for last: first
  std::unordered_map<engine::run_key, entries::iterator> at_;
};

}  // namespace pawl::broker
