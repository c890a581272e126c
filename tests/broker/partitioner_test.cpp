#include "broker/partitioner.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pawl::broker {
namespace {

// The cases of Apache Kafka's own test of murmur2 (UtilsTest.testMurmur2), and kafka-python's.
TEST(partitioner, hashes_as_java_does) {
  const auto hash = [](std::string_view s) { return static_cast<std::int32_t>(murmur2(s)); };
  EXPECT_EQ(hash("21"), -973932308);
  EXPECT_EQ(hash("foobar"), -790332482);
  EXPECT_EQ(hash("a-little-bit-long-string"), -985981536);
  EXPECT_EQ(hash("a-little-bit-longer-string"), -1486304829);
  EXPECT_EQ(hash("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8"), -58897971);
  EXPECT_EQ(hash("abc"), 479470107);
}

TEST(partitioner, spreads_ids_and_stays_in_range) {
  std::vector<int> counts(8);
  for (int i = 0; i < 8000; ++i) ++counts.at(static_cast<std::size_t>(partition_of("order-" + std::to_string(i), 8)));
  for (const auto c : counts) EXPECT_NEAR(c, 1000, 200);
  EXPECT_EQ(partition_of("anything", 1), 0);
}

}  // namespace
}  // namespace pawl::broker
