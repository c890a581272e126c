#include "actors/thread_time.hpp"

#include <ctime>

namespace pawl::actors {

std::chrono::nanoseconds thread_time::ask() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

thread_time thread_time::begin() {
  thread_local thread_time answer;
  thread_time now = answer;
  now.at_ = std::chrono::steady_clock::now();
  if (now.at_ - answer.at_ > oldest_answer) {
    now.busy_ = ask();
    answer = now;
  }
  return now;
}

std::chrono::milliseconds thread_time::passed() const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - at_);
}
std::chrono::milliseconds thread_time::computed() const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(ask() - busy_);
}

}  // namespace pawl::actors
