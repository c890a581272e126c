#include "actors/due_backlog.hpp"

#include <algorithm>
#include <functional>

namespace pawl::actors {

std::vector<engine::run_key> due_backlog::take(std::size_t n) {
  if (turn_.empty()) {
    const auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(std::min(turn, waiting_.size()));
    turn_.assign(waiting_.begin(), end);
    waiting_.erase(waiting_.begin(), end);
    std::sort(turn_.begin(), turn_.end(), std::greater<>());
    turn_.erase(std::unique(turn_.begin(), turn_.end()), turn_.end());
  }
  const auto from = turn_.end() - static_cast<std::ptrdiff_t>(std::min(n, turn_.size()));
  std::vector<engine::run_key> out(std::make_reverse_iterator(turn_.end()), std::make_reverse_iterator(from));
  turn_.erase(from, turn_.end());
  return out;
}

void due_backlog::give_back(const std::vector<engine::run_key>& taken) {
  turn_.insert(turn_.end(), taken.rbegin(), taken.rend());
}

void due_backlog::clear() {
  waiting_.clear();
  turn_.clear();
}

}  // namespace pawl::actors
