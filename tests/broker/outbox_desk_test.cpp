// What the threads of a leader tell each other about its outbox, without Kafka.
#include "broker/outbox_desk.hpp"

#include <gmock/gmock.h>

namespace pawl::broker {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
constexpr engine::reign own{.high = 5, .low = 5};
constexpr engine::reign theirs{.high = 7, .low = 7};

outgoing_command message(const std::string& value) { return {.key = "k", .value = value, .headers = {}}; }

class desks : public ::testing::Test {
 protected:
  void SetUp() override {
    desk.begin({}, own);
    desk.begin_reading(0);
  }
  store::outbox_changes taken(std::int64_t position = 0) {
    store::outbox_changes c;
    offsets = desk.take_messages(c);
    desk.take_marks(position, c);
    return c;
  }
  std::vector<std::uint64_t> sendable() {
    std::vector<std::uint64_t> out;
    tasks = desk.next(0ms);
    for (const auto& t : tasks) out.push_back(t.sending.number);
    return out;
  }
  outbox_desk desk;
  std::vector<std::int64_t> offsets;
  std::vector<outbox_desk::task> tasks;
};

TEST_F(desks, a_message_is_sent_once_its_batch_is_durable) {
  ASSERT_TRUE(desk.forward(3, 1, message("a")));
  ASSERT_TRUE(desk.forward(5, 1, message("b")));
  EXPECT_THAT(sendable(), IsEmpty());
  const auto c = taken();
  EXPECT_THAT(offsets, ElementsAre(3, 5));
  ASSERT_EQ(c.messages.size(), 2U);
  EXPECT_EQ(c.messages[1].number, 2U);
  EXPECT_EQ(c.messages[1].reign, own);
  EXPECT_THAT(sendable(), IsEmpty());
  desk.committed(c);
  EXPECT_THAT(sendable(), ElementsAre(1, 2));
  EXPECT_EQ(tasks[0].reign, own);
  EXPECT_THAT(sendable(), IsEmpty());
  desk.all_failed();
  EXPECT_THAT(sendable(), ElementsAre(1, 2));
  desk.acknowledged(tasks[0]);
  EXPECT_THAT(taken().acknowledged, ElementsAre(store::outbox_ack{1, 2}));
  EXPECT_EQ(desk.stats().waiting, 1U);
}

TEST_F(desks, what_the_engine_causes_is_numbered_too) {
  ASSERT_TRUE(desk.forward(3, 1, message("a")));
  store::outbox_changes c;
  c.messages.push_back({.to = 1, .message = "of the engine"});
  desk.take_messages(c);
  EXPECT_EQ(c.messages[0].number + c.messages[1].number, 3U);
}

TEST_F(desks, who_leads_no_more_sends_nothing_and_hears_nothing) {
  ASSERT_TRUE(desk.forward(3, 1, message("a")));
  const auto c = taken();
  desk.committed(c);
  ASSERT_THAT(sendable(), ElementsAre(1));
  const auto before = tasks;
  desk.end();
  EXPECT_FALSE(desk.forward(4, 1, message("b")));
  EXPECT_THAT(sendable(), IsEmpty());
  desk.begin({.lanes = {{.to = 1, .given_below = 9, .acknowledged_below = 8}}, .received = {}}, theirs);
  EXPECT_FALSE(desk.forward(4, 1, message("b"))) << "of a reading that began before";
  desk.acknowledged(before[0]);
  EXPECT_THAT(sendable(), ElementsAre(8)) << "an answer to the one before says nothing";
  EXPECT_FALSE(tasks[0].message) << "it is in the view only";
}

TEST_F(desks, marks_ride_with_the_position_that_passes_them) {
  const auto mark = [&](std::int64_t offset, std::uint64_t number, const engine::reign& r) {
    desk.received(offset, {.from = 2, .number = number, .reign = r});
  };
  mark(10, 1, theirs);
  mark(11, 2, theirs);
  mark(13, 3, own);
  mark(20, 4, own);
  EXPECT_THAT(taken(10).received, IsEmpty());
  const auto c = taken(20);
  EXPECT_THAT(c.received, ElementsAre(store::receive_mark{.from = 2, .number = 2, .reign = theirs},
                                      store::receive_mark{.from = 2, .number = 3, .reign = own}))
      << "one for each stretch of one reign";
  // Reading begins again at 20: what was above it is read again.
  const auto states = desk.begin_reading(20);
  ASSERT_EQ(states.size(), 1U);
  EXPECT_EQ(states[0].number(), 3U);
  EXPECT_THAT(taken(30).received, IsEmpty());
}

TEST_F(desks, too_much_that_waits_for_a_batch_has_to_wait) {
  const std::string large(most_staged_bytes - 100, 'x');
  ASSERT_TRUE(desk.forward(1, 1, message(large)));
  EXPECT_FALSE(desk.forward(2, 1, message("more than the rest" + std::string(200, 'x'))));
  taken();
  EXPECT_TRUE(desk.forward(2, 1, message(std::string(largest_forward, 'x')))) << "a single one always";
  desk.begin_reading(2);
  EXPECT_THAT(taken().messages, IsEmpty()) << "it is read again, and forwarded then";
}

TEST_F(desks, what_is_not_kept_in_memory_is_in_the_view) {
  const std::string large(std::size_t{1} << 20, 'x');
  for (int k = 0; k < 12; ++k) {
    ASSERT_TRUE(desk.forward(k, 1, message(large)));
    desk.committed(taken());
  }
  ASSERT_EQ(sendable().size(), 12U);
  std::size_t kept = 0;
  for (const auto& t : tasks) kept += t.message ? 1 : 0;
  EXPECT_GT(kept, 4U);
  EXPECT_LT(kept, 9U);
}

}  // namespace
}  // namespace pawl::broker
