// The bytes of the journal's records: what is written comes back, and whatever else comes is refused, never believed.
#include "broker/journal_codec.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

namespace pawl::broker {
namespace {

using ::testing::HasSubstr;

stamp a_stamp(record_kind kind = record_kind::batch, std::uint64_t seq = 17) {
  return {.kind = kind, .epoch = 3, .reign = {0x0123456789abcdefULL, 0xfedcba9876543210ULL}, .seq = seq};
}

batch a_batch() {
  batch b;
  b.position = 4711;
  b.feed = {.offset = 12, .epoch = 3, .reign = {4, 5}, .seq = 6, .released = true};
  store::run_change c;
  c.key = 42;
  c.last_seq = 3;
  c.created = store::run_header{.workflow_id = "o-1",
                                .run = 2,
                                .uid = {{7, 8}, 9},
                                .type = "order",
                                .version = 5,
                                .started_at = 1'700'000'000'000'000,
                                .start_command = "c-1"};
  c.summary = store::run_summary{
      .phase = engine::phase::compensating, .paused = true, .wake_at = store::wake_never, .closed_at = 0};
  c.events.push_back({.seq = 2,
                      .at = 5,
                      .kind = engine::event_kind::attempt_started,
                      .attempt = 1,
                      .step = "charge",
                      .body = std::string("\x80\x00\xff", 3),
                      .undo = true});
  c.events.push_back(
      {.seq = 3, .at = 6, .kind = engine::event_kind::run_killed, .attempt = 0, .step = "", .body = "", .undo = false});
  b.changes.runs.push_back(c);
  b.changes.runs.push_back({.key = 43, .created = {}, .events = {}, .summary = {}, .last_seq = 0});
  b.changes.heartbeats.push_back({.key = 42, .step = 1, .undo = false, .details = "\xc0"});
  b.changes.outcomes.push_back({.command_id = "c-2",
                                .workflow_id = "o-9",
                                .outcome = {.result = engine::command_result::conflict, .seq = 0, .message = "no"},
                                .at = 77});
  auto& o = b.changes.outbox;
  o.messages.push_back({.to = 3, .number = 9, .reign = a_stamp().reign, .message = std::string("\x00\xff", 2)});
  o.acknowledged.push_back({.to = 3, .below = 8});
  o.received.push_back({.from = 2, .number = 5, .reign = {1, 2}, .what = store::receive_mark::state::diverged});
  b.changes.marks.push_back({.type = "order", .version = 2, .revision = 7, .at = 78, .by = "c-3"});
  return b;
}

journal_record read(const std::string& bytes) {
  journal_record out;
  std::string wrong;
  EXPECT_EQ(decode(bytes, out, wrong), readable::yes) << wrong;
  return out;
}

TEST(journal_codec, a_batch_comes_back) {
  const auto in = a_batch();
  const auto out = read(encode(a_stamp(), in));
  EXPECT_EQ(out.stamp, a_stamp());
  EXPECT_EQ(out.batch.position, 4711);
  EXPECT_EQ(out.batch.feed, in.feed);
  EXPECT_EQ(out.batch.changes.outbox.messages, in.changes.outbox.messages) << "the reign is the record's";
  EXPECT_EQ(out.batch.changes.outbox.acknowledged, in.changes.outbox.acknowledged);
  EXPECT_EQ(out.batch.changes.outbox.received, in.changes.outbox.received);
  EXPECT_EQ(out.batch.changes.marks, in.changes.marks);
  ASSERT_EQ(out.batch.changes.runs.size(), 2U);
  const auto& c = out.batch.changes.runs[0];
  const auto& w = in.changes.runs[0];
  EXPECT_EQ(c.key, 42);
  EXPECT_EQ(c.last_seq, 3U);
  ASSERT_TRUE(c.created && c.summary);
  EXPECT_EQ(c.created->workflow_id, "o-1");
  EXPECT_EQ(c.created->run, 2U);
  EXPECT_EQ(c.created->uid, w.created->uid);
  EXPECT_EQ(c.created->type, "order");
  EXPECT_EQ(c.created->version, 5U);
  EXPECT_EQ(c.created->started_at, w.created->started_at);
  EXPECT_EQ(c.created->start_command, "c-1");
  EXPECT_EQ(*c.summary, *w.summary);
  ASSERT_EQ(c.events.size(), 2U);
  EXPECT_EQ(c.events[0].seq, 2U);
  EXPECT_EQ(c.events[0].at, 5);
  EXPECT_EQ(c.events[0].kind, engine::event_kind::attempt_started);
  EXPECT_EQ(c.events[0].step, "charge");
  EXPECT_EQ(c.events[0].attempt, 1U);
  EXPECT_TRUE(c.events[0].undo);
  EXPECT_EQ(c.events[0].body, w.events[0].body);
  EXPECT_FALSE(out.batch.changes.runs[1].created || out.batch.changes.runs[1].summary);
  ASSERT_EQ(out.batch.changes.heartbeats.size(), 1U);
  EXPECT_EQ(out.batch.changes.heartbeats[0].details, "\xc0");
  ASSERT_EQ(out.batch.changes.outcomes.size(), 1U);
  EXPECT_EQ(out.batch.changes.outcomes[0].outcome.result, engine::command_result::conflict);
  EXPECT_EQ(out.batch.changes.outcomes[0].outcome.message, "no");
  EXPECT_EQ(out.batch.changes.outcomes[0].at, 77);
}

TEST(journal_codec, a_record_without_marks_is_as_it_was_before_there_were_any) {
  auto in = a_batch();
  const auto with = encode(a_stamp(), in);
  in.changes.marks.clear();
  const auto without = encode(a_stamp(), in);
  EXPECT_EQ(with.size() - without.size(), 1U + 1 + 6 + 1 + 1 + 1 + 4) << "nothing but the marks";
  EXPECT_TRUE(read(without).batch.changes.marks.empty());
}

TEST(journal_codec, the_other_kinds_come_back) {
  const announcer who{.node_id = "n-1", .incarnation = 0xffffffffffffffffULL, .reads_format = 3};
  const auto a = read(encode(a_stamp(record_kind::announcement, 0), who));
  EXPECT_EQ(a.announced, who);
  EXPECT_EQ(a.stamp.kind, record_kind::announcement);
  EXPECT_EQ(read(encode(a_stamp(record_kind::release))).stamp, a_stamp(record_kind::release));
  EXPECT_EQ(read(encode(a_stamp(record_kind::barrier))).stamp, a_stamp(record_kind::barrier));
}

// Every reader of format 1 reads these bytes for ever (docs/journal.md).
TEST(journal_codec, a_barrier_is_these_bytes) {
  const auto bytes = encode(a_stamp(record_kind::barrier));
  std::string hex;
  for (const unsigned char c : bytes) {
    constexpr char digits[] = "0123456789abcdef";
    hex += digits[c >> 4];
    hex += digits[c & 15];
  }
  EXPECT_EQ(hex, "98010403cf0123456789abcdefcffedcba98765432101100c400");
}

// CRC-32 as everybody has it: that of "123456789" is cbf43926; here of the announcement's body.
TEST(journal_codec, the_stamp_can_be_read_alone) {
  const auto bytes = encode(a_stamp(), a_batch());
  journal_record out;
  std::string wrong;
  EXPECT_EQ(decode_stamp(bytes, out, wrong), readable::yes);
  EXPECT_EQ(out.stamp, a_stamp());
  EXPECT_EQ(out.crc, read(bytes).crc);
  EXPECT_TRUE(out.batch.changes.runs.empty());
}

TEST(journal_codec, what_is_newer_stops_the_reader_and_is_named) {
  auto bytes = encode(a_stamp(record_kind::barrier));
  journal_record out;
  std::string wrong;
  bytes[1] = 2;  // format
  EXPECT_EQ(decode(bytes, out, wrong), readable::newer);
  EXPECT_THAT(wrong, HasSubstr("format 2"));
  bytes[1] = 1;
  bytes[2] = 5;  // kind
  EXPECT_EQ(decode(bytes, out, wrong), readable::newer);
  EXPECT_THAT(wrong, HasSubstr("kind 5"));
}

// Behind the stamp the checksum sees every change; in it, a change makes garbage, something newer, or another stamp.
TEST(journal_codec, damage_is_never_taken_for_the_batch_that_was_written) {
  const auto good = encode(a_stamp(), a_batch());
  std::size_t garbage = 0;
  for (std::size_t at = 0; at < good.size(); ++at)
    for (const int bit : {0, 3, 7}) {
      auto bad = good;
      bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
      journal_record out;
      std::string wrong;
      const auto r = decode(bad, out, wrong);
      garbage += r == readable::garbage ? 1 : 0;
      if (r == readable::yes) EXPECT_NE(out.stamp, a_stamp()) << "byte " << at << " bit " << bit;
    }
  EXPECT_GT(garbage, good.size());
  for (std::size_t n = 0; n < good.size(); ++n) {
    journal_record out;
    std::string wrong;
    EXPECT_EQ(decode(good.substr(0, n), out, wrong), readable::garbage) << n;
    EXPECT_NE(wrong, "");
  }
}

TEST(journal_codec, survives_random_bytes) {
  std::mt19937_64 random(4);
  std::size_t tried = 0;
  for (int k = 0; k < 20'000; ++k) {
    std::string bytes(random() % 200, '\0');
    for (auto& c : bytes) c = static_cast<char>(random());
    if (!bytes.empty() && k % 2 == 0) bytes[0] = '\x98';
    journal_record out;
    std::string wrong;
    tried += decode(bytes, out, wrong) != readable::yes ? 1 : 0;
  }
  EXPECT_EQ(tried, 20'000U);
}

// A body with a right checksum that nobody of ours would write.
TEST(journal_codec, a_body_that_is_no_batch_is_garbage) {
  for (const auto kind : {record_kind::batch, record_kind::announcement}) {
    journal_record out;
    std::string wrong;
    EXPECT_EQ(decode(encode(a_stamp(kind)), out, wrong), readable::garbage);
  }
}

}  // namespace
}  // namespace pawl::broker
