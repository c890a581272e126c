#include "broker/recent_runs.hpp"

#include <gtest/gtest.h>

namespace pawl::broker {
namespace {

store::run_header named(const std::string& id) {
  store::run_header h;
  h.workflow_id = id;
  return h;
}

TEST(recent_runs, forgets_what_was_not_asked_for_the_longest) {
  recent_runs r(2);
  r.put(1, named("a"));
  r.put(2, named("b"));
  ASSERT_NE(r.find(1), nullptr);
  r.put(3, named("c"));
  EXPECT_EQ(r.size(), 2U);
  EXPECT_EQ(r.find(2), nullptr);
  ASSERT_NE(r.find(1), nullptr);
  EXPECT_EQ(r.find(1)->workflow_id, "a");
  EXPECT_EQ(r.find(3)->workflow_id, "c");
}

TEST(recent_runs, the_newer_of_a_key_counts) {
  recent_runs r(2);
  r.put(1, named("a"));
  EXPECT_EQ(r.put(1, named("b")).workflow_id, "b");
  EXPECT_EQ(r.size(), 1U);
  EXPECT_EQ(r.find(1)->workflow_id, "b");
  r.drop(1);
  r.drop(1);
  EXPECT_EQ(r.find(1), nullptr);
  r.put(2, named("c"));
  r.clear();
  EXPECT_EQ(r.size(), 0U);
  EXPECT_EQ(r.find(2), nullptr);
}

TEST(recent_runs, stays_within_its_bound) {
  recent_runs r(100);
  for (engine::run_key k = 0; k < 10'000; ++k) r.put(k, named("w-" + std::to_string(k)));
  EXPECT_EQ(r.size(), 100U);
  EXPECT_NE(r.find(9'900), nullptr);
  EXPECT_EQ(r.find(9'899), nullptr);
}

}  // namespace
}  // namespace pawl::broker
