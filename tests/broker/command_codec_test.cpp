// Commands as nodes write them: what is written is read, and no bytes are worse than a mistake.
#include "broker/command_codec.hpp"

#include <gmock/gmock.h>

#include <random>

#include "workflow/packed.hpp"

namespace pawl::broker {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

const engine::run_uid uid{.reign = {.high = 0xfedcba9876543210, .low = 7}, .serial = 42};
const std::string seven = "\x07";  // msgpack

asked_command start() {
  engine::start_command c;
  c.facts.type = "fulfil-order";
  c.facts.version = 3;
  c.facts.start_at = engine::from_micros(1'700'000'000'000'000);
  c.facts.deadline = 90'000ms;
  c.input = seven;
  return {.command = {.id = "c-1", .body = c}, .closed_id = engine::closed_id_policy::allow_if_failed};
}

asked_command with_signal() {
  auto c = start();
  std::get<engine::start_command>(c.command.body).signal = engine::signal_command{"approved", seven};
  return c;
}

attempt_result ended() {
  return {.run = uid,
          .key = 99,
          .incarnation = 0xffffffffffffffff,
          .end = {.step = 5,
                  .undo = true,
                  .attempt = 3,
                  .end = engine::attempt_end::failed,
                  .result = seven,
                  .error = engine::failure{.code = "http_503", .message = "later", .permanent = true, .retry_in = 5s}}};
}

asked_command branch() {
  engine::event first;
  first.kind = engine::event_kind::run_started;
  first.seq = 1;
  first.at = engine::from_micros(1'700'000'000'000'000);
  first.payload = seven;
  auto& facts = first.start.emplace();
  facts.workflow_id = "w";
  facts.type = "order";
  facts.version = 3;
  facts.digest = 9;
  facts.run = 2;
  facts.uid = uid;
  facts.deadline = 5s;
  facts.code = true;
  first.start->origin =
      engine::run_origin{.kind = engine::origin_kind::forked, .uid = uid, .seq = 2, .workflow_id = "o", .run = 1};
  engine::event signal;
  signal.kind = engine::event_kind::signal_received;
  signal.seq = 2;
  signal.at = first.at + 1s;
  signal.name = "go";
  signal.command_id = "s-1";
  signal.payload = seven;
  engine::start_command s;
  s.facts = *first.start;
  s.input = seven;
  s.kept = {first, signal};
  return {.command = {.id = "f", .body = std::move(s)}, .closed_id = engine::closed_id_policy::allow};
}

std::vector<node_command> all() {
  return {start(),
          asked_command{.command = {.id = "", .body = engine::cancel_command{"late"}}, .target = uid},
          asked_command{.command = {.id = "k", .body = engine::kill_command{}}},
          asked_command{.command = {.id = "p", .body = engine::pause_command{"r"}}},
          asked_command{.command = {.id = "r", .body = engine::resume_command{}}},
          asked_command{.command = {.id = "s", .body = engine::skip_command{"charge", seven, true}}},
          asked_command{.command = {.id = "g", .body = engine::signal_command{"approved", seven}}},
          asked_command{.command = {.id = "u", .body = engine::update_command{"plan", seven}}},
          asked_command{.command = {.id = "x", .body = engine::reset_command{12, 3, 2, false, "a bug"}}},
          branch(),
          with_signal(),
          ended(),
          attempt_result{.run = uid, .key = 1, .incarnation = 2, .end = {.attempt = 1}},
          attempt_result{.run = uid, .key = 1, .incarnation = 2, .end = {.attempt = 1}, .details = seven},
          held_attempts{.epoch = 4,
                        .incarnation = 5,
                        .list = {{.run = uid, .key = 1, .step = 2, .undo = true, .attempt = 3}, {.attempt = 9}}},
          held_attempts{.epoch = 1, .incarnation = 2},
          resync_command{7},
          use_version_command{{.type = "order", .version = 2, .revision = 3, .at = 1'700'000'000'000'000, .by = "u"}},
          use_version_command{{.type = "order", .revision = 1}}};
}

TEST(command_codec, what_is_written_is_read) {
  for (const auto& c : all()) {
    node_command out;
    std::string wrong;
    const auto bytes = encode_command(c);
    ASSERT_EQ(decode_command(bytes, out, wrong), command_readable::yes) << wrong;
    EXPECT_EQ(out.index(), c.index());
    EXPECT_EQ(encode_command(out), bytes);
  }
  node_command out;
  std::string wrong;
  decode_command(encode_command(start()), out, wrong);
  const auto& got = std::get<asked_command>(out);
  const auto& facts = std::get<engine::start_command>(got.command.body).facts;
  EXPECT_EQ(facts.type, "fulfil-order");
  EXPECT_EQ(facts.deadline, 90s);
  EXPECT_EQ(got.closed_id, engine::closed_id_policy::allow_if_failed);
  EXPECT_FALSE(got.target);
  decode_command(encode_command(ended()), out, wrong);
  EXPECT_EQ(std::get<attempt_result>(out).run, uid);
  EXPECT_EQ(std::get<attempt_result>(out).end.error->retry_in, 5s);
}

TEST(command_codec, a_start_brings_its_events_along) {
  node_command out;
  std::string wrong;
  const auto bytes = encode_command(branch());
  EXPECT_EQ(bytes[1], 2) << "which no older node takes for something else";
  ASSERT_EQ(decode_command(bytes, out, wrong), command_readable::yes) << wrong;
  const auto& got = std::get<asked_command>(out);
  const auto& start = std::get<engine::start_command>(got.command.body);
  const auto sent = branch();
  const auto& before = std::get<engine::start_command>(sent.command.body);
  EXPECT_EQ(start.kept, before.kept);
  EXPECT_EQ(start.facts, before.facts);
  EXPECT_EQ(start.input, before.input);
  EXPECT_EQ(got.closed_id, sent.closed_id);
  auto headless = sent;
  auto& kept = std::get<engine::start_command>(headless.command.body).kept;
  kept.erase(kept.begin());
  EXPECT_EQ(decode_command(encode_command(headless), out, wrong), command_readable::malformed);
  EXPECT_NE(wrong.find("begin with a start"), std::string::npos) << wrong;
}

std::vector<asked_command> of_code() {
  const engine::return_address who{.workflow_id = "parent", .uid = uid, .number = 4};
  auto child = start();
  auto& facts = std::get<engine::start_command>(child.command.body).facts;
  facts.digest = 5;
  child.command.back = who;
  auto with_parent = child;
  std::get<engine::start_command>(with_parent.command.body).facts.parent = who;
  asked_command signal{.command = {.id = "s", .body = engine::signal_command{"go", seven}, .back = who}};
  asked_command drop{.command = {.id = "d", .body = engine::cancel_command{"dropped"}}};
  drop.command.only_child_of = who;
  asked_command end{.command = {.id = "e",
                                .body = engine::call_ended{.run = uid,
                                                           .number = 4,
                                                           .end = engine::call_end::failed,
                                                           .payload = seven,
                                                           .error = engine::failure{.code = "x", .message = "y"}}}};
  return {child, with_parent, signal, drop, end};
}

TEST(command_codec, what_workflows_send_each_other_says_who_is_answered) {
  for (const auto& c : of_code()) {
    node_command out;
    std::string wrong;
    const auto bytes = encode_command(c);
    EXPECT_EQ(bytes[1], 2) << "which no older node takes for something else";
    ASSERT_EQ(decode_command(bytes, out, wrong), command_readable::yes) << wrong;
    const auto& got = std::get<asked_command>(out);
    EXPECT_EQ(got.command.back, c.command.back);
    EXPECT_EQ(got.command.only_child_of, c.command.only_child_of);
    if (const auto* s = std::get_if<engine::start_command>(&got.command.body)) {
      EXPECT_EQ(s->facts.parent, std::get<engine::start_command>(c.command.body).facts.parent);
    }
    if (const auto* e = std::get_if<engine::call_ended>(&got.command.body)) {
      EXPECT_EQ(e->run, uid);
      EXPECT_EQ(e->number, 4U);
      EXPECT_EQ(e->end, engine::call_end::failed);
      EXPECT_EQ(e->payload, seven);
      EXPECT_EQ(e->error->code, "x");
    }
    EXPECT_EQ(encode_command(out), bytes);
  }
}

asked_command checked_start() {
  auto c = start();
  std::get<engine::start_command>(c.command.body).facts.digest = 0xfedcba9876543210;
  return c;
}

// What nodes of the version before read too is written as they know it.
TEST(command_codec, only_a_start_that_was_checked_and_what_partitions_send_is_of_format_2) {
  node_command out;
  std::string wrong;
  const auto is_new = [](const node_command& c) {
    if (std::holds_alternative<use_version_command>(c)) return true;
    const auto* asked = std::get_if<asked_command>(&c);
    if (asked == nullptr) return false;
    const auto* start = std::get_if<engine::start_command>(&asked->command.body);
    return (start && !start->kept.empty()) || std::holds_alternative<engine::reset_command>(asked->command.body);
  };
  for (const auto& c : all()) EXPECT_EQ(encode_command(c)[1], is_new(c) ? 2 : 1);
  const auto bytes = encode_command(checked_start());
  EXPECT_EQ(bytes[1], 2);
  ASSERT_EQ(decode_command(bytes, out, wrong), command_readable::yes) << wrong;
  const auto& facts = std::get<engine::start_command>(std::get<asked_command>(out).command.body).facts;
  EXPECT_EQ(facts.digest, 0xfedcba9876543210);
  EXPECT_EQ(facts.type, "fulfil-order");
  EXPECT_EQ(encode_command(out), bytes);
}

// The bytes are in docs/commands.md: another implementation reads them.
TEST(command_codec, the_bytes_are_these) {
  const asked_command cancel{.command = {.id = "c", .body = engine::cancel_command{"x"}}, .target = std::nullopt};
  EXPECT_EQ(encode_command(cancel), "\x95\x01\x02\xa1\x63\xc0\x91\xa1\x78");
  EXPECT_EQ(encode_command(resync_command{3}), "\x95\x01\x09\xa0\xc0\x91\x03");
  EXPECT_EQ(encode_command(use_version_command{{.type = "t", .version = 2, .revision = 3, .at = 4, .by = "u"}}),
            "\x95\x02\x0f\xa1\x75\xc0\x94\xa1\x74\x02\x03\x04");
}

TEST(command_codec, what_is_newer_is_told_from_what_is_broken) {
  node_command out;
  std::string wrong;
  auto bytes = encode_command(resync_command{3});
  bytes[2] = 120;
  EXPECT_EQ(decode_command(bytes, out, wrong), command_readable::newer);
  EXPECT_THAT(wrong, HasSubstr("kind 120"));
  bytes[1] = 3;
  EXPECT_EQ(decode_command(bytes, out, wrong), command_readable::newer);
  EXPECT_THAT(wrong, HasSubstr("format 3"));
  for (const std::string& broken :
       {std::string(), std::string("\xc1"), std::string("\x90"), std::string("{\"command\""), bytes + "\x01",
        encode_command(resync_command{3}).substr(0, 4)})
    EXPECT_EQ(decode_command(broken, out, wrong), command_readable::malformed);
}

TEST(command_codec, a_mark_is_of_a_type_and_has_a_revision) {
  const engine::type_mark mark{.type = "order", .version = 2, .revision = 3, .at = 4, .by = "u-1"};
  node_command out;
  std::string wrong;
  ASSERT_EQ(decode_command(encode_command(use_version_command{mark}), out, wrong), command_readable::yes) << wrong;
  EXPECT_EQ(std::get<use_version_command>(out).mark, mark);
  for (const auto& broken : {engine::type_mark{.type = "", .version = 2, .revision = 3},
                             engine::type_mark{.type = "order", .version = 2, .revision = 0}})
    EXPECT_EQ(decode_command(encode_command(use_version_command{broken}), out, wrong), command_readable::malformed);
}

TEST(command_codec, an_input_is_one_value) {
  auto c = start();
  std::get<engine::start_command>(c.command.body).input = "\xc1";
  node_command out;
  std::string wrong;
  EXPECT_EQ(decode_command(encode_command(c), out, wrong), command_readable::malformed);
  std::get<engine::start_command>(c.command.body).input = "\x07\x07";
  EXPECT_EQ(decode_command(encode_command(c), out, wrong), command_readable::malformed);
  EXPECT_THAT(wrong, HasSubstr("the input"));
}

TEST(command_codec, no_bytes_are_worse_than_a_mistake) {
  std::mt19937 random(20260305);
  std::size_t read = 0;
  for (const auto& c : all()) {
    const auto good = encode_command(c);
    for (int k = 0; k < 5'000; ++k) {
      auto bytes = good;
      for (int n = 0; n < 1 + k % 4; ++n) bytes[random() % bytes.size()] = static_cast<char>(random());
      if (k % 3 == 0) bytes.resize(random() % bytes.size());
      node_command out;
      std::string wrong;
      if (decode_command(bytes, out, wrong) == command_readable::yes) {
        ++read;
        encode_command(out);
      } else {
        EXPECT_FALSE(wrong.empty());
      }
    }
  }
  EXPECT_GT(read, 100U);
}

}  // namespace
}  // namespace pawl::broker
