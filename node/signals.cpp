#include "node/signals.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace pawl::node {

held_signals::held_signals() {
  sigemptyset(&held_);
  for (const int s : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&held_, s);
  signals_ = ::signalfd(-1, &held_, SFD_CLOEXEC | SFD_NONBLOCK);
  wake_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (signals_ < 0 || wake_ < 0) throw std::system_error(errno, std::generic_category(), "signalfd");
  ::pthread_sigmask(SIG_BLOCK, &held_, &before_);
  struct sigaction ignore{};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, &pipe_before_);
}

held_signals::~held_signals() {
  // One that came too late to be waited for has been obeyed by the end of whatever held it.
  while (wait(std::chrono::milliseconds(0))) {
  }
  ::sigaction(SIGPIPE, &pipe_before_, nullptr);
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  ::close(signals_);
  ::close(wake_);
}

std::optional<int> held_signals::wait(std::chrono::milliseconds patience) {
  std::array<pollfd, 2> both{{{signals_, POLLIN, 0}, {wake_, POLLIN, 0}}};
  const auto ms = static_cast<int>(std::clamp<std::int64_t>(patience.count(), 0, 3'600'000));
  if (::poll(both.data(), both.size(), ms) <= 0) return std::nullopt;
  std::uint64_t count = 0;
  if ((both[1].revents & POLLIN) != 0 && ::read(wake_, &count, sizeof count) < 0) return std::nullopt;
  signalfd_siginfo got{};
  if (::read(signals_, &got, sizeof got) != static_cast<ssize_t>(sizeof got)) return std::nullopt;
  return static_cast<int>(got.ssi_signo);
}

void held_signals::wake() {
  const std::uint64_t one = 1;
  // Only a counter that is full refuses, and then the wait ends anyway.
  [[maybe_unused]] const auto written = ::write(wake_, &one, sizeof one);
}

std::string signal_name(int number) {
  switch (number) {
    case SIGTERM:
      return "SIGTERM";
    case SIGINT:
      return "SIGINT";
    case SIGHUP:
      return "SIGHUP";
    default:
      return "signal " + std::to_string(number);
  }
}

}  // namespace pawl::node
