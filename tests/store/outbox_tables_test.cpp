// What a view keeps of a partition's dealings with the others.
#include "store/outbox_tables.hpp"

#include "store/outbox_reader.hpp"

#include <gmock/gmock.h>

#include "tests/store/fixture.hpp"

namespace pawl::store {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using state = receive_mark::state;
constexpr engine::reign one{.high = 0xfedcba9876543210, .low = 1};
constexpr engine::reign two{.high = 2, .low = 2};

class outbox_tables_test : public store_test {
 protected:
  void SetUp() override { begin(); }
  void begin() {
    auto o = options();
    o.truth = false;
    open(o);
  }
  append_status put(outbox_changes c) {
    ++offset_;
    return journal_
        ->append({.runs = {}, .heartbeats = {}, .outcomes = {}, .outbox = std::move(c)},
                 {.at = {.offset = offset_, .epoch = 1, .reign = one, .seq = 1}, .crc = 0, .feed = {}})
        .status;
  }
  std::vector<outbox_row> messages(std::int32_t to, std::uint64_t first = 1, std::size_t bytes = 1'000'000) {
    return outbox_reader(directory_.path()).messages(to, first, bytes);
  }
  std::int64_t offset_ = -1;
};

TEST_F(outbox_tables_test, messages_wait_until_they_are_acknowledged) {
  const std::string binary("\0\xff", 2);
  ASSERT_EQ(
      put({.messages = {{3, 1, one, binary}, {3, 2, two, "b"}, {5, 1, one, "c"}}, .acknowledged = {}, .received = {}}),
      append_status::committed);
  EXPECT_THAT(messages(3), ElementsAre(outbox_row{3, 1, one, binary}, outbox_row{3, 2, two, "b"}));
  EXPECT_THAT(messages(3, 2), ElementsAre(outbox_row{3, 2, two, "b"}));
  EXPECT_THAT(messages(3, 1, 1), ElementsAre(outbox_row{3, 1, one, binary})) << "one at least";
  ASSERT_EQ(put({.messages = {}, .acknowledged = {{3, 2}, {5, 2}}, .received = {}}), append_status::committed);
  EXPECT_THAT(messages(3), ElementsAre(outbox_row{3, 2, two, "b"}));
  EXPECT_THAT(messages(5), IsEmpty());
  journal_.reset();
  begin();
  EXPECT_THAT(journal_->outbox().lanes, ElementsAre(outbox_lane_row{3, 3, 2}, outbox_lane_row{5, 2, 2}))
      << "a number is never given twice";
}

TEST_F(outbox_tables_test, a_number_that_is_there_is_refused) {
  ASSERT_EQ(
      put({.messages = {{3, 1, one, "a"}}, .acknowledged = {}, .received = {{.from = 4, .number = 7, .reign = one}}}),
      append_status::committed);
  EXPECT_EQ(
      put({.messages = {{3, 1, one, "b"}}, .acknowledged = {}, .received = {{.from = 4, .number = 9, .reign = one}}}),
      append_status::refused);
  EXPECT_EQ(journal_->outbox().received[0].number(), 7U) << "what was refused is forgotten whole";
}

TEST_F(outbox_tables_test, what_was_applied_is_known_by_its_reigns) {
  receive_state folded{.from = 4};
  const auto take = [&](const receive_mark& m) {
    folded.fold(m);
    ASSERT_EQ(put({.messages = {}, .acknowledged = {}, .received = {m}}), append_status::committed);
    ASSERT_THAT(journal_->outbox().received, ElementsAre(folded));
  };
  for (std::uint64_t n = 1; n <= 60; ++n) take({.from = 4, .number = n, .reign = {.high = n / 3, .low = 1}});
  EXPECT_EQ(folded.stretches.size(), most_stretches);
  take({.from = 4, .number = 60, .reign = {.high = 20, .low = 1}, .what = state::diverged});
  journal_.reset();
  begin();
  EXPECT_THAT(journal_->outbox().received, ElementsAre(folded));
  take({.from = 4, .what = state::any});
  EXPECT_TRUE(folded.stretches.empty());
  take({.from = 4, .number = 7, .reign = two});
  EXPECT_THAT(folded.stretches, ElementsAre(receive_stretch{7, 7, two}));
  EXPECT_EQ(journal_->clear().status, append_status::committed);
  EXPECT_THAT(journal_->outbox().received, IsEmpty());
}

}  // namespace
}  // namespace pawl::store
