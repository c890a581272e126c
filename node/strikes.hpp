// Something that may happen now and then, and must not happen again and again.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>

namespace pawl::node {

/// One thread at a time.
class strikes {
 public:
  using clock = std::chrono::steady_clock;
  strikes(std::size_t most, clock::duration window) : most_(most), window_(window) {}

  /// It has happened. True: as often as is too often within the window; it is counted from none again.
  bool hit(clock::time_point now = clock::now()) {
    while (!times_.empty() && now - times_.front() > window_) times_.pop_front();
    times_.push_back(now);
    if (times_.size() < most_) return false;
    times_.clear();
    return true;
  }

 private:
  const std::size_t most_;
  const clock::duration window_;
  std::deque<clock::time_point> times_;
};

}  // namespace pawl::node
