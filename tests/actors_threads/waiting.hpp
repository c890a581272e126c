// How the tests of this folder wait: for a condition, with a deadline.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace pawl::actors::testing {

inline constexpr std::chrono::seconds patience{30};

template <class F>
bool eventually(F&& condition, std::chrono::milliseconds limit = patience) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace pawl::actors::testing
