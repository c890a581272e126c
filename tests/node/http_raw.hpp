// A client that sends what it is told to, well-formed or not.
#pragma once

#include <gtest/gtest.h>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>

#include "node/socket_path.hpp"

namespace pawl::node {

class raw_client {
 public:
  explicit raw_client(const std::string& path) {
    const socket_path name(path);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.short_name().data(), name.short_name().size());
    fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("connect");
  }
  ~raw_client() { close(); }
  raw_client(const raw_client&) = delete;
  raw_client& operator=(const raw_client&) = delete;

  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  void end_of_sending() { ::shutdown(fd_, SHUT_WR); }

  /// False: the other side has gone meanwhile.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }

  /// What comes until `mark` has come or the other side has closed; throws when neither happens within 60 s.
  std::string read_until(std::string_view mark) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (mark.empty() || got_.find(mark) == std::string::npos) {
      pollfd p{.fd = fd_, .events = POLLIN, .revents = 0};
      if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("nothing came: " + got_);
      if (::poll(&p, 1, 100) <= 0) continue;
      char bytes[65536];
      const auto n = ::recv(fd_, bytes, sizeof bytes, 0);
      if (n <= 0) {
        closed = true;
        break;
      }
      got_.append(bytes, static_cast<std::size_t>(n));
    }
    const auto at = mark.empty() ? std::string::npos : got_.find(mark);
    const auto size = at == std::string::npos ? got_.size() : at + mark.size();
    auto out = got_.substr(0, size);
    got_.erase(0, size);
    return out;
  }
  std::string read_to_the_end() { return read_until({}); }
  /// One answer with a Content-Length.
  std::string read_answer() {
    auto head = read_until("\r\n\r\n");
    const auto at = head.find("Content-Length: ");
    if (at == std::string::npos) return head;
    const auto size = std::stoul(head.substr(at + 16));
    while (got_.size() < size && !closed) {
      const auto rest = got_.size();
      read_some();
      if (got_.size() == rest && closed) break;
    }
    head += got_.substr(0, size);
    got_.erase(0, size);
    return head;
  }

  bool closed = false;

 private:
  void read_some() {
    char bytes[65536];
    const auto n = ::recv(fd_, bytes, sizeof bytes, 0);
    if (n <= 0)
      closed = true;
    else
      got_.append(bytes, static_cast<std::size_t>(n));
  }
  int fd_ = -1;
  std::string got_;
};

inline int status_of(std::string_view answer) {
  return answer.size() > 12 && answer.starts_with("HTTP/1.") ? std::stoi(std::string(answer.substr(9, 3))) : 0;
}

}  // namespace pawl::node
