// SIGTERM, SIGINT and SIGHUP as something to wait for, instead of something that interrupts.
#pragma once

#include <chrono>
#include <csignal>
#include <optional>
#include <string>

namespace pawl::node {

/// Blocks the three for this thread and all that it starts from now on, and ignores SIGPIPE; the destructor undoes
/// both. Make it before any other thread is started: a thread with these signals open would take them.
class held_signals {
 public:
  held_signals();
  ~held_signals();
  held_signals(const held_signals&) = delete;
  held_signals& operator=(const held_signals&) = delete;

  /// The next signal that was sent; nothing when the patience is over or wake() was called.
  std::optional<int> wait(std::chrono::milliseconds patience);
  /// Ends a wait, this one or the next. Any thread.
  void wake();

 private:
  sigset_t held_{};
  sigset_t before_{};
  struct sigaction pipe_before_{};
  int signals_ = -1;
  int wake_ = -1;
};

/// "SIGTERM"
std::string signal_name(int number);

}  // namespace pawl::node
