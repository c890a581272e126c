#include "node/signals.hpp"

#include <gtest/gtest.h>

#include <unistd.h>

#include <thread>

namespace pawl::node {
namespace {

using namespace std::chrono_literals;

TEST(held_signals, are_waited_for_one_by_one) {
  held_signals held;
  EXPECT_EQ(held.wait(0ms), std::nullopt);
  ::kill(::getpid(), SIGTERM);
  EXPECT_EQ(held.wait(10s), SIGTERM);
  ::kill(::getpid(), SIGINT);
  EXPECT_EQ(held.wait(10s), SIGINT);
  EXPECT_EQ(held.wait(0ms), std::nullopt);
  EXPECT_EQ(signal_name(SIGTERM), "SIGTERM");
}

TEST(held_signals, another_thread_ends_a_wait) {
  held_signals held;
  const auto begun = std::chrono::steady_clock::now();
  std::thread other([&] { held.wake(); });
  EXPECT_EQ(held.wait(60s), std::nullopt);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 30s);
  other.join();
}

TEST(held_signals, a_pipe_without_reader_ends_nobody) {
  held_signals held;
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ::close(ends[0]);
  EXPECT_EQ(::write(ends[1], "x", 1), -1);
  EXPECT_EQ(errno, EPIPE);
  ::close(ends[1]);
}

}  // namespace
}  // namespace pawl::node
