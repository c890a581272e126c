// The few threads on which the api queries the view, behind a bounded queue. Private to the api.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace pawl::node {

/// Thread-safe.
class api_readers {
 public:
  /// `threads` 0: tasks run on the caller's thread. They are started with the first task.
  api_readers(std::size_t threads, std::size_t queued);
  ~api_readers();
  api_readers(const api_readers&) = delete;
  api_readers& operator=(const api_readers&) = delete;

  enum class posted : std::uint8_t { yes, full, stopped };
  enum class room : std::uint8_t {
    limited,   ///< refused when the queue is full
    reserved,  ///< of a request that has waited: it is bounded elsewhere, and is not refused at the end
  };
  /// The task must not throw.
  posted post(std::function<void()> task, room r = room::limited);
  /// Ends the threads; tasks that have not begun are destroyed. Not from a task.
  void stop();

 private:
  void run();

  const std::size_t most_threads_;
  const std::size_t most_queued_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  std::vector<std::thread> threads_;
  bool stopping_ = false;
};

}  // namespace pawl::node
