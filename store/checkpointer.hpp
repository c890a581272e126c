// Copies the WAL of a database into its file beside the thread that commits, which would stand still for it: some 45 ms
// for 16 MiB here, under load and while traced. What is committed meanwhile is left for that thread: little, and only
// when nothing is left does SQLite begin the WAL anew.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "store/sqlite.hpp"

namespace pawl::store {

class checkpointer {
 public:
  struct result {
    std::optional<sqlite_error> error{};  ///< but for a lock that somebody else holds
    std::chrono::microseconds took{0};
  };

  /// Its connection and its thread begin with the first ask().
  checkpointer(std::string file, std::chrono::milliseconds busy_timeout, std::string vfs);
  /// Waits for what it is at.
  ~checkpointer();
  checkpointer(const checkpointer&) = delete;
  checkpointer& operator=(const checkpointer&) = delete;

  // One thread, which commits:

  /// Copies what is committed now. Not while it is at work.
  void ask();
  bool at_work() const { return at_work_.load(std::memory_order_acquire); }
  /// Until it is not.
  void wait();
  /// What came of the last ask(), once.
  std::optional<result> take();

 private:
  void run();
  result copy(database& db) const;

  const std::string file_;
  const std::chrono::milliseconds busy_timeout_;
  const std::string vfs_;
  std::atomic<bool> at_work_{false};
  std::mutex mutex_;  // guards what follows
  std::condition_variable asked_, done_;
  bool stopping_ = false;
  std::optional<result> result_;
  std::thread thread_;
};

}  // namespace pawl::store
