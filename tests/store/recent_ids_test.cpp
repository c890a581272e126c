#include "store/recent_ids.hpp"

#include <gtest/gtest.h>

#include <string>

namespace pawl::store {
namespace {

std::uint64_t hash(int n) { return hash_of("workflow-" + std::to_string(n)); }

TEST(id_filter, never_denies_what_it_has_and_is_seldom_wrong_however_much_it_grows) {
  id_filter f(1000);
  for (int n = 0; n < 300'000; ++n) {
    f.add(hash(n));
    ASSERT_TRUE(f.may_have(hash(n)));
  }
  for (int n = 0; n < 300'000; ++n) ASSERT_TRUE(f.may_have(hash(n))) << n;
  int wrong = 0;
  for (int n = 300'000; n < 400'000; ++n) wrong += f.may_have(hash(n)) ? 1 : 0;
  EXPECT_LT(wrong, 8'000);  // several layers, each about 1 in 150
  EXPECT_LT(f.bytes(), 4U << 20);
}

TEST(recent_ids, says_yes_until_it_knows_all) {
  recent_ids ids;
  EXPECT_TRUE(ids.may_exist("a"));
  ids.mark_complete();
  EXPECT_FALSE(ids.may_exist("a"));
  ids.announce(hash_of("a"));
  EXPECT_TRUE(ids.may_exist("a"));
}

TEST(recent_ids, keeps_what_waits_until_its_bucket_is_moved) {
  recent_ids ids;
  std::vector<known_id> added;
  for (int n = 1; n <= 10'000; ++n) added.push_back({hash(n), n});
  ids.settle(added, 0, 0);
  EXPECT_EQ(ids.waiting_count(), 10'000U);
  EXPECT_EQ(ids.waiting(hash(77)), std::vector<engine::run_key>{77});
  ids.settle({}, recent_ids::buckets - 10, 20);  // around the end
  std::size_t left = 0;
  for (std::size_t n = 0; n < recent_ids::buckets; ++n) {
    const bool moved = n >= recent_ids::buckets - 10 || n < 10;
    EXPECT_TRUE(!moved || ids.bucket(n).empty());
    left += ids.bucket(n).size();
  }
  EXPECT_EQ(ids.waiting_count(), left);
  EXPECT_LT(left, 10'000U);
  ids.clear();
  EXPECT_EQ(ids.waiting_count(), 0U);
  EXPECT_TRUE(ids.waiting(hash(77)).empty());
}

TEST(recent_ids, hash_is_the_stored_one) {
  // In the table `ids` of every store there is: if this fails, ids on record are not found any more.
  EXPECT_EQ(hash_of("o-17"), 13299901539752294481U);
  EXPECT_EQ(hash_of(""), 14087677454934409008U);
}

}  // namespace
}  // namespace pawl::store
