// Child processes of the node: this binary once more, for code that may kill its process.
//
// Parent and child talk over a socket pair, in frames: a length of four bytes, little-endian, then that many bytes. In
// the child the socket is always fd 3; everything above it is closed, stdin is /dev/null, signals are as in a fresh
// process. A child never outlives its parent: the kernel kills it when the thread that started it ends, which is why
// the group's one thread does all the starting.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace pawl::actors {

inline constexpr std::size_t max_frame = std::size_t{8} << 20;
inline constexpr int child_frame_fd = 3;

/// How a child ended.
struct child_exit {
  int code = 0;    // of exit(); meaningless if a signal ended it
  int signal = 0;  // 0: none
  bool core_dumped = false;
  /// kill() or stop() of ours ended it. A child that had died of something else before our kill arrived is not ours.
  bool by_us = false;
  /// It sent a frame over the limit and was killed for that; by_us is false.
  bool bad_frame = false;

  bool clean() const { return signal == 0 && code == 0; }
  /// For people: "exit code 1", "signal 6 (Aborted)", ...
  std::string describe() const;
};

enum class send_result : std::uint8_t { sent, too_large, backlog, gone };

class child_group_core;

/// A handle on one child. Letting go of it neither kills nor forgets the child. Thread-safe.
class child_process {
 public:
  child_process(const child_process&) = delete;
  child_process& operator=(const child_process&) = delete;
  ~child_process();

  pid_t pid() const { return pid_; }
  /// Hands the frame over without blocking. `backlog`: the child has not yet read max_frame bytes sent before; nothing
  /// was taken. `gone`: it has ended or closed its side.
  send_result send(std::string_view frame);
  /// SIGKILL. Nothing happens if it has ended.
  void kill();

 private:
  friend class child_group_core;
  struct side;
  explicit child_process(pid_t pid, std::unique_ptr<side> s);

  const pid_t pid_;
  const std::unique_ptr<side> side_;
};

struct child_spec {
  std::vector<std::string> args;  // args[0] is the program's name
  std::vector<std::pair<std::string, std::string>> environment{};  // added to ours, or replaces
  /// Both on the group's thread; must be short and must not throw. They may come before start() has returned. Nothing
  /// follows on_exit; all frames that the child sent whole come before it.
  std::function<void(child_process&, std::string frame)> on_frame{};
  std::function<void(child_process&, const child_exit&)> on_exit{};
  std::string program = "/proc/self/exe";
};

struct child_start {
  std::shared_ptr<child_process> child;  // null: it was not started, on_exit will not be called
  std::error_code error{};
  std::string what{};  // what failed: "exec", "vfork", ...
};

/// All children, and the one thread that starts them, reads from them and sees them end. Thread-safe.
class child_group {
 public:
  child_group();
  child_group(const child_group&) = delete;
  child_group& operator=(const child_group&) = delete;
  /// Stops.
  ~child_group();

  /// Returns once the child has begun to run its program or has failed to; about a millisecond.
  child_start start(child_spec spec);
  std::size_t running() const;
  /// Starts no more, kills all, delivers each on_exit, ends the thread. Says how many children had not ended when the
  /// patience did (only a process stuck in the kernel survives SIGKILL). Not from a callback.
  std::size_t stop(std::chrono::milliseconds patience = std::chrono::seconds(5));

 private:
  std::unique_ptr<child_group_core> core_;
};

// --- in the child ------------------------------------------------------------------------------------------

/// To be called first thing in the child. Dies on the spot if the parent is gone, makes sure that it dies with it, and
/// keeps fd 3 from programs that user code may start. False: this process was not started by a child_group.
bool enter_child();

enum class frame_result : std::uint8_t { frame, end, broken };
/// Blocks. end: the other side closed between two frames. broken: inside of one, or too large, or an error (errno).
frame_result read_frame(int fd, std::string& frame);
/// Blocks. False: too large, or the other side is gone (errno). Not to be called by two threads at once.
bool write_frame(int fd, std::string_view frame);

}  // namespace pawl::actors
