// The runs that are due and wait for room in memory.
#pragma once

#include <cstddef>
#include <deque>
#include <vector>

#include "workflow/ids.hpp"

namespace pawl::actors {

/// First come, first served, by turns: within a turn the lowest key is first, since neighbours on disk are read and
/// written together for little more than one of them alone. Nobody waits for who came more than a turn later.
class due_backlog {
 public:
  static constexpr std::size_t turn = 4'096;

  void push(engine::run_key key) { waiting_.push_back(key); }
  /// The next ones, at most `n`, in ascending order.
  std::vector<engine::run_key> take(std::size_t n);
  /// They could not be served: they are the next again.
  void give_back(const std::vector<engine::run_key>& taken);
  bool empty() const { return turn_.empty() && waiting_.empty(); }
  std::size_t size() const { return turn_.size() + waiting_.size(); }
  void clear();

 private:
  std::deque<engine::run_key> waiting_;
  std::vector<engine::run_key> turn_;  // descending
};

}  // namespace pawl::actors
