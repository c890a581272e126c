#include "broker/heartbeat_codec.hpp"

#include <gmock/gmock.h>

#include <random>

namespace pawl::broker {
namespace {

using ::testing::HasSubstr;

heartbeat whole() {
  return {.node = "0123456789abcdef",
          .incarnation = 0xfedcba9876543210ULL,
          .beat = 17,
          .born = 4711,
          .sent_ms = 1'700'000'000'123,
          .name = "n1",
          .address = "127.0.0.1:7300",
          .health = node_health::leaving,
          .runs = {"order/1", "hello/2"},
          .definitions = {{.digest = 0xfedcba9876543210ULL, .code = true}, {.digest = 7}},
          .reads = {.journal = 3, .commands = 2, .snapshots = 4},
          .partitions = {{.partition = 0, .role = partition_role::leading, .position = 9},
                         {.partition = 7, .role = partition_role::diverged, .position = -1}}};
}

TEST(heartbeat_codec, what_is_written_comes_back) {
  heartbeat out;
  std::string wrong;
  ASSERT_TRUE(decode(encode(whole()), out, wrong)) << wrong;
  EXPECT_EQ(out, whole());
}

// The bytes that docs/cluster.md describes; a change of them is a change of the format.
TEST(heartbeat_codec, the_bytes_stay_as_they_are) {
  heartbeat h{.node = "n", .incarnation = 1, .beat = 2, .born = -1, .sent_ms = 3};
  h.runs = {"t/1"};
  h.partitions = {{.partition = 1, .role = partition_role::standby, .position = 5}};
  const std::string expected("\x9d\x01\xa1n\x01\x02\xff\x03\xa0\xa0\x01\x01\x91\xa3t/1\x91\x93\x01\x01\x05\x92\x01\x01",
                             25);
  EXPECT_EQ(encode(h), expected);
}

TEST(heartbeat_codec, of_a_version_that_says_less_the_first_formats_are_assumed) {
  const std::string before("\x9c\x01\xa1n\x01\x02\xff\x03\xa0\xa0\x01\x01\x91\xa3t/1\x91\x93\x01\x01\x05", 22);
  heartbeat out;
  std::string wrong;
  ASSERT_TRUE(decode(before, out, wrong)) << wrong;
  EXPECT_EQ(out.reads, read_formats{});
  EXPECT_TRUE(out.definitions.empty());
  EXPECT_EQ(out.partitions.size(), 1U);
}

TEST(heartbeat_codec, whatever_else_comes_is_refused) {
  heartbeat out;
  std::string wrong;
  EXPECT_FALSE(decode("", out, wrong));
  EXPECT_FALSE(decode("hello", out, wrong));
  auto later = encode(whole());
  later[1] = '\x02';
  EXPECT_FALSE(decode(later, out, wrong));
  EXPECT_THAT(wrong, HasSubstr("format 2"));
  EXPECT_FALSE(decode(std::string(3'000'000, '\xc0'), out, wrong));
  const std::uint64_t seed = 20261125;
  std::mt19937_64 random(seed);
  for (int n = 0; n < 20'000; ++n) {
    auto bytes = encode(whole());
    for (int k = 0; k < 3; ++k) bytes[random() % bytes.size()] = static_cast<char>(random());
    bytes.resize(random() % (bytes.size() + 1));
    decode(bytes, out, wrong);  // returns
  }
}

TEST(heartbeat_codec, a_node_with_very_many_types_still_says_who_it_is) {
  auto h = whole();
  h.runs.assign(100'000, std::string(100, 't'));
  h.definitions.assign(100'000, {.digest = UINT64_MAX, .code = true});
  const auto bytes = encode(h);
  EXPECT_LT(bytes.size(), largest_heartbeat);
  heartbeat out;
  std::string wrong;
  ASSERT_TRUE(decode(bytes, out, wrong)) << wrong;
  EXPECT_EQ(out.partitions, h.partitions);
}

}  // namespace
}  // namespace pawl::broker
