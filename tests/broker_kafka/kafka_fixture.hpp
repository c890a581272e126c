// A real Kafka of the test's own, on a free port and in a folder of its own (tests/scripts/kafka_broker.py). It ends
// with the test's process, however that ends.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>

#include "broker/kafka_client.hpp"

namespace pawl::broker {

class real_kafka {
 public:
  real_kafka();
  ~real_kafka();
  real_kafka(const real_kafka&) = delete;
  real_kafka& operator=(const real_kafka&) = delete;
  const std::string& bootstrap() const { return bootstrap_; }
  /// "kill", "start", ...: what kafka_broker.py takes on its standard input; returns when it is done.
  void tell(const std::string& command);

 private:
  std::string line();
  int to_ = -1;
  FILE* from_ = nullptr;
  int pid_ = -1;
  std::string bootstrap_;
};

template <class Condition>
bool eventually(Condition condition, std::chrono::seconds within = std::chrono::seconds(30)) {
  const auto deadline = std::chrono::steady_clock::now() + within;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

/// One broker for all cases of a process; each case has a namespace of its own.
class on_kafka : public ::testing::Test {
 protected:
  static void SetUpTestSuite();
  void SetUp() override;
  static real_kafka& broker();
  kafka_options client() const;

  std::string name_space;
};

}  // namespace pawl::broker
