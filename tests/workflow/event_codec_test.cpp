#include "workflow/event_codec.hpp"

#include <gtest/gtest.h>

#include "tests/sim/rng.hpp"
#include "tests/workflow/rig.hpp"

namespace pawl::engine {
namespace {

// An event of the kind with everything that it may carry.
event full(event_kind kind) {
  event e;
  e.kind = kind;
  e.seq = 7;
  e.at = from_micros(1'700'000'000'000'001);
  const bool of_step =
      (kind >= event_kind::step_scheduled && kind <= event_kind::step_skipped) || kind == event_kind::run_paused;
  if (of_step) {
    e.step = 300;
    e.undo = true;
    e.name = "charge";
    e.attempt = 70'000;
  }
  e.command_id = "c-1";
  e.payload = std::string("\x93\x00\xff\x01", 4);
  e.error = failure{.code = "http", .message = "503 \xc3\xa4", .permanent = true, .retry_in = 90s};
  e.cause = "requested";
  e.due = from_micros(1'700'000'000'999'999);
  if (kind == event_kind::run_started)
    e.start =
        start_facts{.workflow_id = "o-17",
                    .type = "order",
                    .version = 4,
                    .digest = ~0ULL,
                    .run = 3,
                    .uid = {.reign = {.high = ~0ULL, .low = 1}, .serial = 9},
                    .start_at = from_micros(1),
                    .deadline = 5s,
                    .code = true,
                    .parent = return_address{.workflow_id = "p", .uid = {{7, 8}, 9}, .number = 10},
                    .origin = run_origin{.kind = origin_kind::forked,
                                         .uid = {{7, 8}, 11},
                                         .seq = 12,
                                         .workflow_id = "f",
                                         .run = 13,
                                         .earlier = {{.uid = {{1, 2}, 3}, .seq = 4, .workflow_id = "g", .run = 5},
                                                     {.uid = {{6, 7}, 8}, .seq = 9, .workflow_id = "h", .run = 1}}}};
  if (kind == event_kind::attempt_started)
    e.begun = attempt_facts{.policy = {.timeout = 1s,
                                       .heartbeat = 2s,
                                       .deadline = 3s,
                                       .max_attempts = 4,
                                       .first_delay = 5s,
                                       .factor = 1.25,
                                       .max_delay = 6s,
                                       .exhausted = when_exhausted::pause,
                                       .undo = undo_when::completed},
                            .incarnation = ~0ULL,
                            .epoch = ~0ULL,
                            .in_child = true,
                            .may_still_run = true};
  if (kind == event_kind::child_asked)
    e.child = child_facts{.workflow_id = "c",
                          .version = 2,
                          .digest = ~0ULL,
                          .code = true,
                          .policy = child_policy::abandon,
                          .detached = true,
                          .deadline = 5s};
  if (kind == event_kind::signal_sent || kind == event_kind::child_dropped) e.target = "other";
  if (kind == event_kind::update_answered || kind == event_kind::run_reset) e.answers = ~0ULL;
  if (kind == event_kind::compensation_started) e.order = {3, 0, 4'000'000'000U};
  return e;
}

TEST(event_codec, every_kind_comes_back_as_it_was) {
  for (std::uint8_t k = 1; k <= last_event_kind; ++k) {
    recoded(full(static_cast<event_kind>(k)));
    event bare;
    bare.kind = static_cast<event_kind>(k);
    bare.seq = 1;
    recoded(bare);
  }
}

TEST(event_codec, a_run_that_continued_as_new_has_the_origin_that_it_had) {
  auto e = full(event_kind::run_started);
  e.start->origin = run_origin{.kind = origin_kind::continued, .uid = {{7, 8}, 11}, .seq = 12};
  recoded(e);
  e.start->origin.reset();
  recoded(e);
}

TEST(event_codec, nothing_is_no_bytes) {
  std::string body;
  encode_body({}, body);
  EXPECT_EQ(body, "");
}

// msgpack packs a double without a fraction as an integer.
TEST(event_codec, factors_come_back_whole_or_not) {
  for (const double factor : {0.0, 0.5, 1.0, 2.0, 1e-9, 3.0000000001, 1e6}) {
    auto e = full(event_kind::attempt_started);
    e.begun->policy.factor = factor;
    recoded(e);
  }
}

TEST(event_codec, bounds_come_back) {
  auto e = full(event_kind::attempt_started);
  e.begun->policy.timeout = longest_duration;
  e.begun->policy.deadline = 0ms;
  e.error->retry_in = 0ms;
  e.due = latest_time;
  recoded(e);
  auto s = full(event_kind::run_started);
  s.start->deadline = longest_duration;
  s.start->start_at = latest_time;
  recoded(s);
}

std::string decoded(const std::string& body) {
  event e;
  return decode_body(body, e);
}

TEST(event_codec, what_a_newer_writer_added_is_skipped) {
  event e;
  EXPECT_EQ(decode_body("\x82\x7f\x93\x01\x02\x03\x05\xa1x", e), "");
  EXPECT_EQ(e.cause, "x");
}

TEST(event_codec, says_what_is_wrong) {
  using namespace std::string_literals;
  EXPECT_EQ(decoded("\x93\x00\x01\x02"s), "an event's body is a map");
  EXPECT_EQ(decoded("\x81\x05\xa1xx"s), "bytes follow the event's body");
  EXPECT_EQ(decoded("\x81\x05\x01"s), "text was expected");
  EXPECT_EQ(decoded("\x81\x00\xff"s), "a number is out of range");
  EXPECT_EQ(decoded("\x81\x01\x01"s), "true or false was expected");
  EXPECT_EQ(decoded("\x81\x04\x92\xa1x\xa1y"s), "an array is too short");
  EXPECT_EQ(decoded("\x81\x09\xa1x"s), "an array was expected");
  EXPECT_NE(decoded("\x81"s), "");
  EXPECT_NE(decoded("\xc1"s), "");
  EXPECT_NE(decoded("\x81\xa1x\x01"s), "");
}

// Lengths that promise more than there is cost nothing; nesting is bounded.
TEST(event_codec, hostile_lengths_are_cheap) {
  using namespace std::string_literals;
  EXPECT_NE(decoded("\x81\x09\xdd\x00\x0f\xff\xff"s), "");
  EXPECT_NE(decoded("\x81\x09\xdd\xff\xff\xff\xff"s), "");
  EXPECT_NE(decoded("\xdf\xff\xff\xff\xff"s), "");
  EXPECT_NE(decoded("\x81\x05\xdb\x7f\xff\xff\xff"s), "");
  EXPECT_NE(decoded(std::string(100'000, '\x91')), "");
  EXPECT_NE(decoded(std::string(100'000, '\x81')), "");
}

TEST(event_codec, hostile_bytes_decode_or_are_refused) {
  sim::rng r(11);
  std::size_t decoded_events = 0;
  for (int n = 0; n < 60'000; ++n) {
    std::string body;
    encode_body(full(static_cast<event_kind>(1 + r.below(last_event_kind))), body);
    for (auto flips = r.between(1, 4); flips > 0; --flips) {
      switch (r.below(4)) {
        case 0:
          body[r.below(body.size())] = static_cast<char>(r.next());
          break;
        case 1:
          body.erase(r.below(body.size()), 1 + r.below(3));
          break;
        case 2:
          body.insert(r.below(body.size() + 1), 1, static_cast<char>(r.next()));
          break;
        default:
          body.resize(r.below(body.size() + 1));
          break;
      }
      if (body.empty()) body = "\x80";
    }
    event e;
    if (!decode_body(body, e).empty()) continue;
    ++decoded_events;
    recoded(e);  // whatever decodes is an event that can be stored
  }
  EXPECT_GE(decoded_events, 3'000U);
}

TEST(event_codec, noise_decodes_or_is_refused) {
  sim::rng r(12);
  for (int n = 0; n < 60'000; ++n) {
    std::string body(r.below(40), '\0');
    for (auto& c : body) c = static_cast<char>(r.next());
    if (!body.empty() && r.chance(70)) body[0] = static_cast<char>(0x80 + r.below(4));
    event e;
    decode_body(body, e);
  }
}

}  // namespace
}  // namespace pawl::engine
