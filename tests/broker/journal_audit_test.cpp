// What a check of the journal finds, and what it leaves alone.
#include "broker/journal_audit.hpp"

#include <gmock/gmock.h>

#include "workflow/event_codec.hpp"

namespace pawl::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using state = audited_record::state;
constexpr engine::reign one{.high = 1, .low = 1};
constexpr engine::reign two{.high = 2, .low = 2};

store::event_row event(std::uint64_t seq, engine::event_kind kind = engine::event_kind::attempt_started,
                       std::int64_t at = 5) {
  return {.seq = seq, .at = at, .kind = kind, .attempt = 0, .step = "s", .body = "", .undo = false};
}

store::run_change change(engine::run_key key, std::vector<store::event_row> events, bool created = false) {
  store::run_change c{.key = key, .created = {}, .events = std::move(events), .summary = {}, .last_seq = 0};
  c.last_seq = c.events.back().seq;
  if (created)
    c.created = store::run_header{.workflow_id = "w", .run = 1, .uid = {}, .type = "t", .start_command = "c"};
  return c;
}

class audits : public ::testing::Test {
 protected:
  state put(const std::string& bytes) { return audit.read(offset++, bytes).what; }
  state announce(std::uint64_t epoch, const engine::reign& r) {
    return put(
        encode({.kind = record_kind::announcement, .epoch = epoch, .reign = r, .seq = 0}, announcer{.node_id = "n"}));
  }
  state put(std::uint64_t epoch, const engine::reign& r, std::uint64_t seq, batch b = {}) {
    return put(encode({.kind = record_kind::batch, .epoch = epoch, .reign = r, .seq = seq}, b));
  }
  state put(std::uint64_t seq, store::run_change c) {
    batch b;
    b.changes.runs.push_back(std::move(c));
    return put(1, one, seq, std::move(b));
  }
  std::string found() const {
    std::string out;
    for (const auto& f : audit.findings()) out += f + "\n";
    return out;
  }
  journal_audit audit{0};
  std::int64_t offset = 0;
};

TEST_F(audits, what_no_reader_counts_is_no_mistake) {
  EXPECT_EQ(announce(1, one), state::counts);
  EXPECT_EQ(put(1, one, 1), state::counts);
  EXPECT_EQ(put("junk"), state::garbage);
  EXPECT_EQ(announce(2, two), state::counts);
  EXPECT_EQ(put(1, one, 2), state::skipped);
  EXPECT_EQ(put(2, two, 2), state::skipped) << "not the next";
  EXPECT_EQ(put(2, two, 1), state::counts);
  EXPECT_EQ(announce(2, one), state::skipped);
  auto damaged = encode({.kind = record_kind::batch, .epoch = 2, .reign = two, .seq = 2}, batch{});
  damaged[damaged.size() - 3] ^= 1;
  EXPECT_EQ(put(damaged), state::garbage);
  EXPECT_EQ(put(encode({.kind = record_kind::release, .epoch = 2, .reign = two, .seq = 2})), state::counts);
  EXPECT_EQ(put(2, two, 3), state::skipped) << "it was given up";
  audit.finish(offset);
  EXPECT_THAT(found(), IsEmpty());
  EXPECT_EQ(audit.counts().skipped, 4U);
  EXPECT_EQ(audit.counts().garbage, 2U);
}

TEST_F(audits, a_hole_and_an_end_that_cannot_be_read) {
  announce(1, one);
  ++offset;
  put(1, one, 1);
  audit.finish(9);
  EXPECT_THAT(audit.findings(), ElementsAre(HasSubstr("offsets 1 to 1 are missing"), HasSubstr("beyond offset 3")));
}

TEST_F(audits, events_of_runs) {
  announce(1, one);
  put(1, change(1, {event(1), event(2)}, true));
  put(2, change(1, {event(3), event(4, engine::event_kind::run_completed)}));
  put(3, change(2, {event(1)}, true));
  ASSERT_THAT(found(), IsEmpty());
  put(4, change(2, {event(3)}));
  EXPECT_THAT(found(), HasSubstr("offset 4: event 3 of the run with key 2 follows event 1"));
  put(5, change(2, {event(4, engine::event_kind::run_killed), event(5)}));
  EXPECT_THAT(found(), HasSubstr("event 5 of the run with key 2 follows its end"));
  put(6, change(1, {event(5)}));
  EXPECT_THAT(found(), HasSubstr("the run with key 1 changes, and is closed or was never created"));
  put(7, change(2, {event(1)}, true));
  EXPECT_THAT(found(), HasSubstr("the run with key 2 is created again"));
  // Runs are decided side by side; but no leader goes back behind what it has found.
  put(8, change(3, {event(1, engine::event_kind::run_started, 4)}, true));
  const auto before = audit.findings().size();
  announce(2, two);
  const auto lead = [&](std::uint64_t seq, store::run_change c) {
    batch b;
    b.changes.runs.push_back(std::move(c));
    EXPECT_EQ(put(2, two, seq, std::move(b)), state::counts);
    return audit.findings().size() - before;
  };
  EXPECT_EQ(lead(1, change(4, {event(1, engine::event_kind::run_started, 4)}, true)), 1U);
  EXPECT_THAT(found(), HasSubstr("event 1 of the run with key 4 is older than what its leader found"));
  auto reset = change(5, {event(1, engine::event_kind::run_started, 4)}, true);
  engine::event start;
  auto& origin = start.start.emplace().origin.emplace();
  origin.kind = engine::origin_kind::reset;
  encode_body(start, reset.events.front().body);
  EXPECT_EQ(lead(2, reset), 1U) << "what was kept has its times";
  origin.kind = engine::origin_kind::continued;
  reset.key = 6;
  reset.events.front().body.clear();
  encode_body(start, reset.events.front().body);
  EXPECT_EQ(lead(3, reset), 2U);
}

TEST_F(audits, positions_and_numbers_of_messages) {
  announce(1, one);
  batch b;
  b.position = 10;
  b.feed.offset = 0;
  b.changes.outbox.messages = {{.to = 3, .number = 1, .reign = one, .message = ""}};
  b.changes.outbox.received = {{.from = 2, .number = 4, .reign = one}};
  put(1, one, 1, b);
  ASSERT_THAT(found(), IsEmpty());
  b.position = 9;
  b.changes.outbox.messages[0].number = 3;
  b.changes.outbox.acknowledged = {{.to = 3, .below = 9}};
  b.feed.offset = 7;
  put(1, one, 2, b);
  EXPECT_THAT(found(), HasSubstr("goes back from 10 to 9"));
  EXPECT_THAT(found(), HasSubstr("message 3 to partition 3 follows message 1"));
  EXPECT_THAT(found(), HasSubstr("acknowledged below 9"));
  EXPECT_THAT(found(), HasSubstr("message 4 of partition 2 is applied after message 4"));
  EXPECT_THAT(found(), HasSubstr("what is published, offset 7"));
}

TEST_F(audits, a_log_that_was_trimmed) {
  audit = journal_audit(100);
  offset = 100;
  EXPECT_EQ(put(1, one, 7), state::unknown);
  EXPECT_EQ(announce(2, two), state::counts);
  batch b;
  b.changes.runs.push_back(change(5, {event(12)}));
  EXPECT_EQ(put(2, two, 1, b), state::counts);
  audit.finish(offset);
  EXPECT_THAT(found(), IsEmpty());
}

}  // namespace
}  // namespace pawl::broker
