#pragma once

#include <chrono>

namespace pawl::actors {

/// What the calling thread spends from a moment on: of a processor, and of the time that passes. Of the processor's
/// time the kernel has to be asked, so at the beginning an answer will do that is `oldest_answer` old: so much too much
/// may be counted.
class thread_time {
 public:
  static constexpr std::chrono::milliseconds oldest_answer{10};

  static thread_time begin();
  std::chrono::milliseconds passed() const;
  std::chrono::milliseconds computed() const;  ///< a system call

 private:
  static std::chrono::nanoseconds ask();

  std::chrono::nanoseconds busy_{};
  std::chrono::steady_clock::time_point at_{};
};

}  // namespace pawl::actors
