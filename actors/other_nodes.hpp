// What a partition's engine knows of the other nodes, as far as attempts on record under their incarnations go: whether
// they may still run, and which of them their node says that it never began. Thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "actors/attempt.hpp"

namespace pawl::actors {

/// All attempts of a partition that a node holds which led it, up to `epoch`. What was recorded under its incarnation
/// by then and is not in here has not begun, and will not.
struct held_list {
  std::uint64_t epoch = 0;
  engine::incarnation incarnation = 0;
  std::vector<attempt_id> attempts{};
};

class other_nodes {
 public:
  /// `living`: at first; none: nothing is known, and any of them may live.
  explicit other_nodes(std::optional<std::vector<engine::incarnation>> living) : living_(std::move(living)) {}

  void set_living(std::vector<engine::incarnation> living) {
    const std::lock_guard lock(mutex_);
    living_ = std::move(living);
    std::erase_if(held_, [this](const auto& h) { return !lives(h.first); });
  }
  /// The newest counts.
  void take(held_list list) {
    const std::lock_guard lock(mutex_);
    auto& known = held_[list.incarnation];
    if (list.epoch >= known.epoch) known = std::move(list);
  }
  bool may_live(engine::incarnation i) const {
    const std::lock_guard lock(mutex_);
    return lives(i);
  }
  /// The node says that it does not hold this attempt, which was recorded under `epoch`.
  bool disclaimed(const attempt_id& id, engine::incarnation i, std::uint64_t epoch) const {
    const std::lock_guard lock(mutex_);
    const auto it = held_.find(i);
    if (it == held_.end() || epoch > it->second.epoch) return false;
    const auto& list = it->second.attempts;
    return std::find(list.begin(), list.end(), id) == list.end();
  }

 private:
  bool lives(engine::incarnation i) const {
    return !living_ || std::find(living_->begin(), living_->end(), i) != living_->end();
  }
  mutable std::mutex mutex_;
  std::optional<std::vector<engine::incarnation>> living_;
  std::unordered_map<engine::incarnation, held_list> held_;
};

}  // namespace pawl::actors
