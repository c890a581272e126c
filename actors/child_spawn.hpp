// What child_process.cpp stands on: owned file descriptors, the frame format, and the careful stretch between vfork and
// exec. Included by the two files of child processes only.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "actors/child_process.hpp"

namespace pawl::actors {

class unique_fd {
 public:
  unique_fd() = default;
  explicit unique_fd(int fd) : fd_(fd) {}
  unique_fd(unique_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  unique_fd& operator=(unique_fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~unique_fd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void reset() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

inline constexpr std::size_t frame_head_size = 4;

inline std::array<char, frame_head_size> frame_head(std::size_t size) {
  std::array<char, frame_head_size> head{};
  for (std::size_t i = 0; i < head.size(); ++i) head[i] = static_cast<char>((size >> (8 * i)) & 0xff);
  return head;
}

inline std::size_t frame_size(const std::array<char, frame_head_size>& head) {
  std::size_t size = 0;
  for (std::size_t i = 0; i < head.size(); ++i) size |= std::size_t{static_cast<unsigned char>(head[i])} << (8 * i);
  return size;
}

/// Cuts a stream of bytes into frames.
class frame_reader {
 public:
  /// Calls on_frame(std::string) for each frame completed. False: a frame is over the limit; the stream is of no use.
  template <class F>
  bool feed(std::string_view bytes, F&& on_frame) {
    while (!bytes.empty()) {
      if (head_have_ < frame_head_size) {
        head_[head_have_++] = bytes.front();
        bytes.remove_prefix(1);
        if (head_have_ < frame_head_size) continue;
        size_ = frame_size(head_);
        if (size_ > max_frame) return false;
      }
      const std::size_t part = std::min(bytes.size(), size_ - body_.size());
      body_.append(bytes.substr(0, part));
      bytes.remove_prefix(part);
      if (body_.size() < size_) continue;
      head_have_ = 0;
      on_frame(std::exchange(body_, {}));
    }
    return true;
  }

 private:
  std::array<char, frame_head_size> head_{};
  std::size_t head_have_ = 0;
  std::size_t size_ = 0;
  std::string body_;
};

struct spawned_child {
  pid_t pid = -1;
  unique_fd socket;  // our side of the frames
  unique_fd process;  // its pidfd: readable when it has ended
  std::error_code error{};
  std::string what{};  // what failed, if anything did
};

/// Returns when the child runs its program or could not. The child dies when the calling *thread* ends.
spawned_child spawn_child(const std::string& program, const std::vector<std::string>& args,
                          const std::vector<std::pair<std::string, std::string>>& environment);

}  // namespace pawl::actors
