// Where a message of the commands goes, by its key, its headers, and what was applied before it.
#include "broker/command_route.hpp"

#include <gmock/gmock.h>

#include "broker/command_codec.hpp"
#include "broker/outbox_desk.hpp"
#include "broker/partitioner.hpp"

namespace pawl::broker {
namespace {

using kind = command_route::kind;
using ::testing::HasSubstr;
constexpr std::int32_t partitions = 4;
constexpr engine::reign one{.high = 1, .low = 0xffffffffffffffff};
constexpr engine::reign two{.high = 2, .low = 2};

std::string key_of(std::int32_t partition) {
  for (int k = 0;; ++k)
    if (auto key = "k" + std::to_string(k); partition_of(key, partitions) == partition) return key;
}

incoming_command message(std::optional<std::string> key, message_headers headers = {}) {
  return {
      .source = "shop.commands/2/7", .offset = 7, .key = std::move(key), .value = "{}", .headers = std::move(headers)};
}

incoming_command sent(std::int32_t from, std::uint64_t number, const engine::reign& r, std::int32_t to = 2) {
  return message(key_of(to), {{"pawl-outbox", to_text(outbox_place{from, number, r})}});
}

class routes : public ::testing::Test {
 protected:
  command_route route(const incoming_command& m) { return route_command(m, 2, partitions, in); }
  inbox in;
};

TEST_F(routes, by_key) {
  EXPECT_EQ(route(message(key_of(2))).what, kind::hand_in);
  const auto other = route(message(key_of(3)));
  EXPECT_EQ(other.what, kind::forward);
  EXPECT_EQ(other.to, 3);
  EXPECT_FALSE(other.mark);
  // What they are is for whoever reads them to say.
  EXPECT_EQ(route(message(std::nullopt)).what, kind::hand_in);
  EXPECT_EQ(route(message("")).what, kind::hand_in);
  auto large = message(key_of(3));
  large.value = std::string(largest_forward, 'x');
  EXPECT_EQ(route(large).cause, "wrong_partition");
}

TEST_F(routes, messages_of_other_partitions_in_their_order) {
  const auto first = route(sent(0, 1, one));
  EXPECT_EQ(first.what, kind::hand_in);
  EXPECT_EQ(first.mark, (store::receive_mark{.from = 0, .number = 1, .reign = one}));
  EXPECT_EQ(route(sent(0, 1, one)).what, kind::repeat);
  EXPECT_EQ(route(sent(0, 3, one)).what, kind::early);
  EXPECT_EQ(route(sent(1, 1, two)).what, kind::hand_in);
  EXPECT_EQ(route(sent(0, 2, two)).what, kind::hand_in);
}

TEST_F(routes, a_second_hop_is_dead_and_counts_as_applied) {
  const auto r = route(sent(0, 1, one, 3));
  EXPECT_EQ(r.cause, "wrong_partition");
  EXPECT_EQ(r.mark->number, 1U);
  EXPECT_EQ(route(sent(0, 2, one)).what, kind::hand_in);
}

TEST_F(routes, a_stub_is_dead_and_counts_as_applied) {
  auto stub = sent(0, 1, one);
  stub.key.reset();
  stub.headers.emplace_back("pawl-stub", "shop.commands/0/5: too large");
  const auto r = route(stub);
  EXPECT_EQ(r.cause, "refused");
  EXPECT_EQ(r.detail, "shop.commands/0/5: too large");
  EXPECT_EQ(r.mark->number, 1U);
}

TEST_F(routes, a_pair_that_ended_goes_on_after_a_resync) {
  route(sent(0, 1, one));
  const auto r = route(sent(0, 1, two));
  EXPECT_EQ(r.cause, "outbox_diverged");
  EXPECT_EQ(r.mark->what, store::receive_mark::state::diverged);
  const auto next = route(sent(0, 2, two));
  EXPECT_EQ(next.cause, "outbox_diverged");
  EXPECT_FALSE(next.mark) << "once";
  auto resync = message(std::nullopt, {{"content-type", "application/msgpack"}});
  resync.value = encode_command(resync_command{0});
  const auto again = route(resync);
  EXPECT_EQ(again.what, kind::resync);
  EXPECT_EQ(again.mark->what, store::receive_mark::state::any);
  EXPECT_EQ(route(sent(0, 3, two)).what, kind::hand_in);
}

TEST_F(routes, a_header_that_no_node_writes) {
  for (const auto* text : {"", "0", "0/1", "0/0/00000000000000010000000000000001",
                           "-1/1/00000000000000010000000000000001", "0/1/xyz", "0/1x/00000000000000010000000000000001"})
    EXPECT_EQ(route(message(key_of(2), {{"pawl-outbox", text}})).cause, "invalid") << text;
  EXPECT_EQ(place_from_text(to_text(outbox_place{3, 18'446'744'073'709'551'615U, one}))->number,
            18'446'744'073'709'551'615U);
}

TEST(messages, come_back_as_they_were_packed) {
  const outgoing_command m{
      .key = std::string("\0k", 2), .value = std::string("\xff\0", 2), .headers = {{"a", "1"}, {"a", ""}}};
  outgoing_command out;
  ASSERT_TRUE(unpack_message(pack_message(m), out));
  EXPECT_EQ(out.key, m.key);
  EXPECT_EQ(out.value, m.value);
  EXPECT_EQ(out.headers, m.headers);
  ASSERT_TRUE(unpack_message(pack_message({}), out));
  EXPECT_FALSE(out.key);
  for (const auto* bytes : {"", "\x93", "\xc1", "{}"}) EXPECT_FALSE(unpack_message(bytes, out));
}

}  // namespace
}  // namespace pawl::broker
