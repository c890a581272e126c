// What a thread hands to the actors in a burst: all of it, in order, whatever ends the burst.
#include "actors/burst.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <stdexcept>
#include <thread>

namespace pawl::actors {
namespace {

// Nobody looks into a job here.
caf::resumable* job(std::uintptr_t n) { return reinterpret_cast<caf::resumable*>(n * 16); }

struct target : burst_target {
  void enqueue_all(const std::vector<caf::resumable*>& jobs) override {
    sizes.push_back(jobs.size());
    all.insert(all.end(), jobs.begin(), jobs.end());
  }
  std::vector<std::size_t> sizes;
  std::vector<caf::resumable*> all;
};

std::vector<caf::resumable*> jobs(std::uintptr_t from, std::uintptr_t to) {
  std::vector<caf::resumable*> out;
  for (auto n = from; n <= to; ++n) out.push_back(job(n));
  return out;
}

TEST(burst, outside_of_one_nothing_is_gathered) {
  target t;
  EXPECT_FALSE(burst::gather(t, job(1)));
  {
    const burst b;
  }
  EXPECT_FALSE(burst::gather(t, job(1)));
  EXPECT_TRUE(t.sizes.empty());
}

TEST(burst, is_handed_over_a_few_at_a_time_in_order_and_to_the_last) {
  constexpr auto longest = burst::longest;
  target t;
  {
    const burst b;
    for (std::size_t n = 1; n <= 2 * longest + 5; ++n) {
      EXPECT_TRUE(burst::gather(t, job(n)));
      EXPECT_EQ(t.sizes.size(), (n - 1) / longest) << "handed over when it is full, and not before";
    }
  }
  EXPECT_EQ(t.sizes, (std::vector<std::size_t>{longest, longest, 5}));
  EXPECT_EQ(t.all, jobs(1, 2 * longest + 5));
}

TEST(burst, one_that_an_exception_ends_leaves_nothing_behind) {
  target t;
  try {
    const burst b;
    for (std::uintptr_t n = 1; n <= 40; ++n) {
      EXPECT_TRUE(burst::gather(t, job(n)));
      if (n == 37) throw std::runtime_error("in the middle");
    }
    FAIL();
  } catch (const std::runtime_error&) {
  }
  EXPECT_EQ(t.all, jobs(1, 37));
  EXPECT_FALSE(burst::gather(t, job(38))) << "and it is over";
}

TEST(burst, one_that_ends_early_leaves_nothing_behind) {
  target t;
  const auto some = [&](std::uintptr_t last) {
    const burst b;
    for (std::uintptr_t n = 1; n <= 40; ++n) {
      burst::gather(t, job(n));
      if (n == last) return;
    }
  };
  some(3);
  EXPECT_EQ(t.all, jobs(1, 3));
}

TEST(burst, of_two_targets_each_gets_its_own_in_order) {
  target a;
  target b;
  {
    const burst together;
    for (std::uintptr_t n = 1; n <= 6; ++n) burst::gather(n % 3 == 0 ? b : a, job(n));
  }
  EXPECT_EQ(a.all, (std::vector{job(1), job(2), job(4), job(5)}));
  EXPECT_EQ(b.all, (std::vector{job(3), job(6)}));
}

TEST(burst, one_within_another_ends_by_itself) {
  target t;
  {
    const burst outer;
    burst::gather(t, job(1));
    {
      const burst inner;
      burst::gather(t, job(2));
    }
    EXPECT_EQ(t.all, jobs(2, 2));
    burst::gather(t, job(3));
  }
  EXPECT_EQ(t.all, (std::vector{job(2), job(1), job(3)}));
}

TEST(burst, is_the_calling_threads_alone) {
  target t;
  const burst b;
  bool gathered = true;
  std::thread([&] { gathered = burst::gather(t, job(1)); }).join();
  EXPECT_FALSE(gathered);
  EXPECT_TRUE(burst::gather(t, job(2)));
}

}  // namespace
}  // namespace pawl::actors
