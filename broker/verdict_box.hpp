// Where what became of commands waits for the thread that read them. Outlives the intake for as long as anybody may
// still say it.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "broker/command_intake.hpp"

namespace pawl::broker {

/// Any thread puts, one takes.
class verdict_box {
 public:
  struct entry {
    std::uint64_t reading;
    std::int64_t offset;
    command_verdict verdict;
  };
  /// Of so many commands that are handed in the verdicts are gathered for `gathering`, instead of one waking the thread
  /// for each; of fewer the first one wakes it. Nobody waits for a verdict but the next command of the same key.
  static constexpr std::size_t crowd = 16;
  static constexpr std::chrono::milliseconds gathering{1};

  void put(entry e) {
    bool first = false;
    {
      const std::lock_guard lock(mutex_);
      first = entries_.empty();
      entries_.push_back(std::move(e));
    }
    if (first) arrived_.notify_one();
  }
  std::vector<entry> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(entries_, {});
  }

  /// Until there is one, or `most` is over, or the end has come. `awaited`: how many may come.
  void wait(std::chrono::milliseconds most, std::size_t awaited) {
    if (awaited >= crowd) return std::this_thread::sleep_for(gathering);
    std::unique_lock lock(mutex_);
    arrived_.wait_for(lock, most, [this] { return !entries_.empty() || ending_.load(); });
  }
  /// Until `most` is over, or the end has come, whatever there is.
  void rest(std::chrono::milliseconds most) {
    std::unique_lock lock(mutex_);
    arrived_.wait_for(lock, most, [this] { return ending_.load(); });
  }
  /// Until there is one, or `most` is over.
  void last_wait(std::chrono::milliseconds most) {
    std::unique_lock lock(mutex_);
    arrived_.wait_for(lock, most, [this] { return !entries_.empty(); });
  }
  /// Who waits goes on, and waits no more.
  void end() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    arrived_.notify_all();
  }
  bool is_ending() const { return ending_; }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<entry> entries_;
  std::atomic<bool> ending_{false};
};

}  // namespace pawl::broker
