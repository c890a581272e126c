#include "config/nearest_name.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pawl::config {
namespace {

TEST(edit_distance, counts_each_kind_of_edit_once) {
  EXPECT_EQ(edit_distance("", ""), 0U);
  EXPECT_EQ(edit_distance("threads", "threads"), 0U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("abc", ""), 3U);
  EXPECT_EQ(edit_distance("thread", "threads"), 1U);
  EXPECT_EQ(edit_distance("threadz", "threads"), 1U);
  EXPECT_EQ(edit_distance("thraeds", "threads"), 1U);  // neighbours exchanged
  EXPECT_EQ(edit_distance("htraeds", "threads"), 2U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
  EXPECT_EQ(edit_distance("Threads", "tHREADS"), 0U);
}

TEST(nearest_name, finds_the_nearest_and_only_if_it_is_near) {
  const std::vector<std::string> names{"pool.threads", "pool.children", "log.level"};
  EXPECT_EQ(nearest_name("pool.thraeds", names), "pool.threads");
  EXPECT_EQ(nearest_name("log.levle", names), "log.level");
  EXPECT_EQ(nearest_name("kafka.brokers", names), std::nullopt);
  EXPECT_EQ(nearest_name("", names), std::nullopt);
  EXPECT_EQ(nearest_name("pool.threads", {}), std::nullopt);
}

TEST(nearest_name, takes_the_first_of_equals) {
  const std::vector<std::string> names{"bat", "cat"};
  EXPECT_EQ(nearest_name("hat", names), "bat");
}

TEST(nearest_name, does_not_compare_names_of_absurd_length) {
  const std::vector<std::string> names{std::string(10'000, 'x')};
  EXPECT_EQ(nearest_name(std::string(10'000, 'x'), names), std::nullopt);
}

}  // namespace
}  // namespace pawl::config
