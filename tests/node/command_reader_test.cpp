// Messages of `<namespace>.commands`: what they ask for, and every way in which they may be wrong.
#include "node/command_reader.hpp"

#include <gmock/gmock.h>

#include <cstdlib>
#include <fstream>
#include <future>
#include <iterator>
#include <random>

#include "tests/node/api_fixture.hpp"

namespace pawl::node {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using kind = broker::command_verdict::kind;
using status = actors::command_reply::status;

broker::incoming_command message(std::optional<std::string> key, std::string value,
                                 std::vector<std::pair<std::string, std::string>> headers = {}) {
  return {.source = "shop.commands/0/17",
          .offset = 17,
          .key = std::move(key),
          .value = std::move(value),
          .headers = std::move(headers)};
}

class command_messages : public ::testing::Test {
 protected:
  message_command read(const std::string& value, const std::string& key = "o-1") {
    message_command out;
    if (const auto wrong = read_message(message(key, value), types, limits, out))
      ADD_FAILURE() << value << ": " << wrong->cause << ": " << wrong->detail;
    return out;
  }
  std::string mistake(const broker::incoming_command& m) {
    message_command out;
    const auto wrong = read_message(m, types, limits, out);
    return wrong ? wrong->cause + ": " + wrong->detail : "none";
  }
  std::string mistake(const std::string& value, const std::string& key = "o-1") { return mistake(message(key, value)); }

  gate doors;
  registry types = api_types(doors);
  command_limits limits;
};

TEST_F(command_messages, a_start_has_what_a_start_over_http_has) {
  const auto c = read(R"({"command": "start", "type": "gated", "input": 7, "version": 3, "deadline_ms": 5000,
                          "closed_id": "allow", "command_id": "c-1", "id": "o-1"})");
  EXPECT_EQ(c.workflow_id, "o-1");
  EXPECT_EQ(c.command.id, "c-1");
  EXPECT_EQ(c.closed_id, engine::closed_id_policy::allow);
  const auto& start = std::get<engine::start_command>(c.command.body);
  EXPECT_EQ(start.facts.workflow_id, "o-1");
  EXPECT_EQ(start.facts.type, "gated");
  EXPECT_EQ(start.facts.version, 3U);
  EXPECT_EQ(start.facts.deadline, 5'000ms);
  EXPECT_EQ(to_json(start.input), json(7));
}

TEST_F(command_messages, the_others_too) {
  EXPECT_EQ(std::get<engine::cancel_command>(read(R"({"command": "cancel", "reason": "late"})").command.body).reason,
            "late");
  EXPECT_EQ(std::get<engine::kill_command>(read(R"({"command": "kill"})").command.body).reason, "");
  EXPECT_EQ(std::get<engine::pause_command>(read(R"({"command": "pause", "reason": "r"})").command.body).reason, "r");
  EXPECT_TRUE(std::holds_alternative<engine::resume_command>(read(R"({"command": "resume"})").command.body));
  const auto skip = read(R"({"command": "skip", "step": "bad", "result": {"id": "x"}, "undo": true})").skip;
  ASSERT_TRUE(skip);
  EXPECT_EQ(skip->step, "bad");
  EXPECT_TRUE(skip->undo);
  EXPECT_EQ(skip->result["id"], "x");
  const auto signal = std::get<engine::signal_command>(
      read(R"({"command": "signal", "name": "approved", "input": {"by": "ada"}})").command.body);
  EXPECT_EQ(signal.name, "approved");
  EXPECT_EQ(to_json(signal.payload), json({{"by", "ada"}}));
  const auto update =
      std::get<engine::update_command>(read(R"({"command": "update", "name": "plan", "input": 7})").command.body);
  EXPECT_EQ(update.name, "plan");
  EXPECT_EQ(to_json(update.payload), json(7));
  const auto reset = std::get<engine::reset_command>(
      read(R"({"command": "reset", "to": 12, "run": 3, "version": 2, "signals": false, "reason": "a bug"})")
          .command.body);
  EXPECT_EQ(reset.seq, 12U);
  EXPECT_EQ(reset.run, 3U);
  EXPECT_EQ(reset.version, 2U);
  EXPECT_FALSE(reset.signals);
  EXPECT_EQ(reset.reason, "a bug");
  EXPECT_TRUE(std::get<engine::reset_command>(read(R"({"command": "reset", "to": 1})").command.body).signals);
}

TEST_F(command_messages, without_a_command_id_the_place_is_the_id) {
  EXPECT_EQ(read(R"({"command": "cancel"})").command.id, "shop.commands/0/17");
}

TEST_F(command_messages, what_was_a_dead_letter_keeps_its_id) {
  message_command out;
  const broker::message_headers again{{"pawl-origin", "shop.commands/0/3"}};
  ASSERT_FALSE(read_message(message("k", R"({"command": "cancel"})", again), types, limits, out));
  EXPECT_EQ(out.command.id, "shop.commands/0/3");
  ASSERT_FALSE(read_message(message("k", R"({"command": "cancel", "command_id": "own"})", again), types, limits, out));
  EXPECT_EQ(out.command.id, "own");
  EXPECT_THAT(mistake(message("k", R"({"command": "cancel"})", {{"pawl-origin", std::string(600, 'x')}})),
              HasSubstr("too_large: the command id"));
}

TEST_F(command_messages, keys_and_headers) {
  const std::string good = R"({"command": "cancel"})";
  EXPECT_THAT(mistake(message(std::nullopt, good)), HasSubstr("bad_key: the message has no key"));
  EXPECT_THAT(mistake(good, ""), HasSubstr("bad_key: the key is empty"));
  EXPECT_THAT(mistake(good, "\xff\xfe"), HasSubstr("bad_key: the key is not UTF-8"));
  EXPECT_THAT(mistake(good, "a\nb"), HasSubstr("bad_key"));
  EXPECT_THAT(mistake(good, std::string(513, 'k')), HasSubstr("bad_key: the key has 513 bytes"));
  EXPECT_EQ(mistake(message("k", good, {{"Content-Type", "application/json; charset=utf-8"}})), "none");
  EXPECT_EQ(mistake(message("k", good, {{"trace", "\xff"}})), "none");
  EXPECT_THAT(mistake(message("k", good, {{"content-type", "application/x-msgpack"}})),
              HasSubstr("bad_content_type: the header content-type is 'application/x-msgpack'"));
}

TEST_F(command_messages, values_that_are_none) {
  EXPECT_THAT(mistake(""), HasSubstr("bad_json"));
  EXPECT_THAT(mistake("{"), HasSubstr("bad_json: line 1"));
  EXPECT_THAT(mistake(R"({"command": "cancel", "command": "kill"})"), HasSubstr("bad_json"));
  EXPECT_THAT(mistake(std::string(100'000, '[')), HasSubstr("bad_json"));
  EXPECT_THAT(mistake("[]"), HasSubstr("invalid: the value is not a JSON object"));
  EXPECT_THAT(mistake("{}"), HasSubstr("invalid: body.command: missing"));
  EXPECT_THAT(mistake(R"({"command": 1})"), HasSubstr("invalid: body.command: expected a string"));
  EXPECT_THAT(mistake(R"({"command": "cancle"})"), HasSubstr("did you mean 'cancel'?"));
  EXPECT_THAT(mistake(R"({"command": "cancel", "reson": "x"})"),
              HasSubstr("invalid: body: this command has no field 'reson'; did you mean 'reason'?"));
  EXPECT_THAT(mistake(R"({"command": "resume", "reason": "x"})"), HasSubstr("invalid: body: resume takes no fields"));
  EXPECT_THAT(mistake(R"({"command": "skip"})"), HasSubstr("invalid: body"));
  EXPECT_THAT(mistake(R"({"command": "cancel", "id": "o-2"})"), HasSubstr("invalid: body.id: it is 'o-2'"));
  EXPECT_THAT(mistake(R"({"command": "cancel", "command_id": ""})"), HasSubstr("invalid: the command id"));
  EXPECT_THAT(mistake(R"({"command": "cancel", "command_id": ")" + std::string(600, 'c') + "\"}"),
              HasSubstr("too_large: the command id"));
  limits.value = 10;
  EXPECT_THAT(mistake(R"({"command": "cancel"})"), HasSubstr("too_large: the value has 21 bytes"));
}

TEST_F(command_messages, starts_that_are_none) {
  EXPECT_THAT(mistake(R"({"command": "start"})"), HasSubstr("invalid: body"));
  EXPECT_THAT(mistake(R"({"command": "start", "type": "ordre"})"), HasSubstr("did you mean 'order'?"));
  EXPECT_THAT(mistake(R"({"command": "start", "type": "ordre"})"),
              HasSubstr("invalid: this node has no workflow type"));
  EXPECT_THAT(mistake(R"({"command": "start", "type": "gated", "version": 9})"),
              HasSubstr("invalid: this node has no version"));
  EXPECT_THAT(mistake(R"({"command": "start", "type": "gated", "input": "x"})"), HasSubstr("invalid: input"));
  EXPECT_THAT(mistake(R"({"command": "start", "type": "order", "input": {"id": "x", "totl": 1}})"),
              HasSubstr("invalid: input: order has no field 'totl'; did you mean 'total'?"));
  EXPECT_THAT(mistake(R"({"command": "start", "type": "gated", "input": 1, "wait_ms": 5})"),
              HasSubstr("invalid: body: a start has no field 'wait_ms'"));
  limits.engine.payload = 16;
  EXPECT_THAT(mistake(R"({"command": "start", "type": "order", "input": {"id": ")" + std::string(50, 'i') +
                      R"(", "total": 1}})"),
              HasSubstr("too_large: the input has"));
}

broker::incoming_command packed(const broker::node_command& c, std::optional<std::string> key = "o-1") {
  return message(std::move(key), broker::encode_command(c), {{"content-type", "application/msgpack"}});
}

TEST_F(command_messages, nodes_write_msgpack) {
  engine::start_command start;
  start.facts.type = "of another binary";
  start.facts.version = 9;
  start.input = "\x07";
  message_command out;
  ASSERT_FALSE(read_message(packed(broker::asked_command{.command = {.id = "c", .body = start}}), types, limits, out));
  EXPECT_EQ(out.workflow_id, "o-1");
  EXPECT_EQ(out.command.id, "c");
  const auto& got = std::get<engine::start_command>(out.command.body);
  EXPECT_EQ(got.facts.workflow_id, "o-1");
  EXPECT_EQ(got.facts.type, "of another binary") << "whether it is known here is for the engine to say";
  EXPECT_EQ(to_json(got.input), json(7));

  out = {};
  const engine::run_uid uid{.reign = {1, 2}, .serial = 3};
  const broker::asked_command skip{.command = {.id = "", .body = engine::skip_command{"bad", "\x07", true}},
                                   .target = uid};
  ASSERT_FALSE(read_message(packed(skip), types, limits, out));
  EXPECT_EQ(out.command.id, "shop.commands/0/17");
  EXPECT_EQ(out.skip->step, "bad");
  EXPECT_EQ(out.skip->result, json(7));
  EXPECT_EQ(out.target, uid);

  out = {};
  ASSERT_FALSE(read_message(packed(broker::held_attempts{.epoch = 7}, std::nullopt), types, limits, out));
  EXPECT_EQ(out.held->epoch, 7U);
  out = {};
  ASSERT_FALSE(read_message(packed(broker::attempt_result{.run = uid, .key = 5}), types, limits, out));
  EXPECT_EQ(out.attempt->key, 5);
  EXPECT_EQ(out.workflow_id, "o-1");
}

TEST_F(command_messages, a_mark_of_another_partition) {
  const engine::type_mark mark{.type = "order", .version = 2, .revision = 3, .at = 4, .by = "u-1"};
  message_command out;
  ASSERT_FALSE(read_message(packed(broker::use_version_command{mark}, std::nullopt), types, limits, out));
  EXPECT_EQ(out.mark, mark);
}

TEST_F(command_messages, the_version_of_a_start_that_names_none) {
  std::vector<std::string> asked;
  const auto choose = [&](const std::string& id, const std::string& type) {
    asked.push_back(id + " " + type);
    return engine::version_choice{9, engine::version_reason::marked};
  };
  message_command out;
  const auto wrong =
      read_message(message("k", R"({"command": "start", "type": "gated", "input": 1})"), types, limits, out, choose);
  ASSERT_TRUE(wrong);
  EXPECT_EQ(wrong->version, 9U) << "whoever has that is waited for";
  EXPECT_THAT(wrong->detail, HasSubstr("version 9 of workflow type 'gated', which is marked for new runs"));
  EXPECT_EQ(asked, std::vector<std::string>{"k gated"});
  const std::string named = R"({"command": "start", "type": "gated", "input": 1, "version": 3})";
  EXPECT_FALSE(read_message(message("k", named), types, limits, out, choose));
  EXPECT_EQ(asked.size(), 1U) << "one that names its version is not asked about";
}

TEST_F(command_messages, msgpack_that_is_none) {
  const broker::message_headers msgpack{{"content-type", "application/msgpack"}};
  EXPECT_THAT(mistake(message("k", R"({"command": "cancel"})", msgpack)), HasSubstr("bad_msgpack: "));
  EXPECT_THAT(mistake(message("k", "", msgpack)), HasSubstr("bad_msgpack: "));
  EXPECT_THAT(mistake(message("k", "\x95\x01\x63\xa0\xc0\x90", msgpack)), HasSubstr("newer: "));
  const broker::asked_command cancel{.command = {.id = "", .body = engine::cancel_command{}}};
  EXPECT_THAT(mistake(packed(cancel, std::nullopt)), HasSubstr("bad_key: "));
  EXPECT_THAT(mistake(packed(broker::attempt_result{}, "")), HasSubstr("bad_key: "));
  auto long_id = cancel;
  long_id.command.id = std::string(600, 'c');
  EXPECT_THAT(mistake(packed(long_id)), HasSubstr("too_large: the command id"));
  engine::start_command start;
  start.input = "\xc4\x20" + std::string(32, 'i');
  limits.engine.payload = 16;
  EXPECT_THAT(mistake(packed(broker::asked_command{.command = {.id = "c", .body = start}})),
              HasSubstr("too_large: the input has"));
}

TEST_F(command_messages, no_bytes_are_worse_than_a_mistake) {
  std::mt19937 random(20260305);
  const std::string good = R"({"command": "start", "type": "order", "input": {"id": "x", "total": 1.5}})";
  engine::start_command start;
  start.facts.type = "order";
  start.input = "\x07";
  const auto msgpack = broker::encode_command(broker::asked_command{.command = {.id = "c", .body = start}});
  for (int k = 0; k < 20'000; ++k) {
    auto bytes = k % 2 == 0 ? good : msgpack;
    for (int n = 0; n < 1 + k % 5; ++n) bytes[random() % bytes.size()] = static_cast<char>(random());
    if (k % 3 == 0) bytes.resize(random() % bytes.size());
    message_command out;
    auto m = message("k", bytes);
    if (k % 2 != 0) m.headers = {{"content-type", "application/msgpack"}};
    const auto wrong = read_message(m, types, limits, out);
    if (wrong) EXPECT_FALSE(wrong->cause.empty() || wrong->detail.empty());
  }
}

// Not held against the schema: numbers below 0 and empty ids, whose keywords the checker does not know.
TEST_F(command_messages, are_what_the_schema_says) {
  const auto* source = std::getenv("PAWL_SOURCE");  // ctest sets it
  std::ifstream in(std::string(source != nullptr ? source : ".") + "/docs/command.schema.json");
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const auto parsed = parse_json(text);
  ASSERT_TRUE(parsed) << parsed.error().text();
  const auto& schema = parsed.value();
  ASSERT_EQ(schema["anyOf"].size(), 7U);
  std::set<std::string> verbs;
  for (const auto& [name, part] : schema["$defs"].items()) {
    if (!part.contains("properties")) continue;
    EXPECT_EQ(part["additionalProperties"], false) << name;
    for (const auto& verb : part["properties"]["command"]["enum"]) {
      verbs.insert(verb.get<std::string>());
      // Every member that it names is one that is read: a value of a wrong type is a complaint about that member.
      for (const auto& [member, rule] : part["properties"].items()) {
        if (member == "command" || member == "input" || member == "result") continue;
        json value{{"command", verb}};
        if (verb == "start") value["type"] = "order";
        if (verb == "skip") value["step"] = "bad";
        if (verb == "signal" || verb == "update") value["name"] = "approved";
        if (verb == "reset") value["to"] = 1;
        value[member] = json::array();
        EXPECT_THAT(mistake(to_text(value)), HasSubstr("invalid: body." + member + ": expected")) << to_text(value);
      }
      json value{{"command", verb}, {"no_such_member", 1}};
      if (verb == "start") value["type"] = "order";
      if (verb == "skip") value["step"] = "bad";
      if (verb == "signal" || verb == "update") value["name"] = "approved";
      EXPECT_THAT(mistake(to_text(value)), HasSubstr("invalid: body")) << to_text(value);
    }
  }
  EXPECT_EQ(verbs,
            (std::set<std::string>{"start", "cancel", "kill", "pause", "resume", "skip", "signal", "update", "reset"}));
}

TEST(command_verdicts, follow_from_the_replies) {
  const auto on = [](status s) {
    actors::command_reply r;
    r.state = s;
    r.message = "why";
    return verdict_on(r);
  };
  EXPECT_EQ(on(status::recorded).what, kind::dealt_with);
  EXPECT_EQ(on(status::busy).what, kind::full);
  EXPECT_EQ(on(status::unavailable).what, kind::again);
  EXPECT_EQ(on(status::unknown).what, kind::again);
  EXPECT_EQ(on(status::invalid).what, kind::dead);
  EXPECT_EQ(on(status::invalid).detail, "why");
}

// Through the engine of a real node, without a broker.
class command_handlers : public ::testing::Test {
 protected:
  broker::command_verdict tell(const std::string& key, const std::string& value) {
    auto answer = std::make_shared<std::promise<broker::command_verdict>>();
    auto future = answer->get_future();
    handler(message(key, value), [answer](broker::command_verdict v) { answer->set_value(std::move(v)); });
    if (future.wait_for(patience) != std::future_status::ready) throw std::runtime_error("no verdict");
    return future.get();
  }
  json show(const std::string& id) { return node.ask("GET /v1/workflows/" + id).body; }

  api_node node;
  broker::command_handler handler = make_command_handler(node.types, *node.system, {});
};

TEST_F(command_handlers, a_start_is_one_run_however_often_it_comes) {
  for (int k = 0; k < 5; ++k)
    EXPECT_EQ(tell("o-1", R"({"command": "start", "type": "gated", "input": 1, "command_id": "c"})").what,
              kind::dealt_with);
  EXPECT_EQ(show("o-1")["run"], 1);
  EXPECT_EQ(node.ask("GET /v1/workflows").body["workflows"].size(), 1U);
  // Another command, refused by the workflow: on record, and no dead letter.
  EXPECT_EQ(tell("o-1", R"({"command": "start", "type": "gated", "input": 1, "command_id": "d"})").what,
            kind::dealt_with);
  EXPECT_EQ(tell("o-1", R"({"command": "cancel", "reason": "enough"})").what, kind::dealt_with);
  EXPECT_TRUE(eventually([&] { return show("o-1")["state"] == "cancelled"; }));
  EXPECT_EQ(tell("nobody", R"({"command": "cancel"})").what, kind::dealt_with);
}

TEST_F(command_handlers, a_start_that_comes_again_is_no_dead_letter_whatever_new_runs_get_by_now) {
  const std::string start = R"({"command": "start", "type": "gated", "input": 1, "command_id": "c"})";
  EXPECT_EQ(tell("o-1", start).what, kind::dealt_with);
  ASSERT_EQ(node.ask("POST /v1/types/gated/use", R"({"version":9,"force":true})").status, 200);
  EXPECT_EQ(tell("o-1", start).what, kind::dealt_with);
  EXPECT_EQ(tell("o-2", start).what, kind::dead) << "a new one";
  node.doors.open();
}

TEST_F(command_handlers, a_skip_is_read_by_the_type_of_the_step) {
  EXPECT_EQ(tell("s", R"({"command": "start", "type": "stuck", "command_id": "c-start"})").what, kind::dealt_with);
  ASSERT_TRUE(eventually([&] { return show("s")["paused"] == true; }));
  const auto wrong = tell("s", R"({"command": "skip", "step": "bad", "result": 7, "command_id": "c-1"})");
  EXPECT_EQ(wrong.what, kind::dead);
  EXPECT_EQ(wrong.cause, "invalid");
  EXPECT_THAT(wrong.detail, HasSubstr("result"));
  EXPECT_EQ(
      tell("s", R"({"command": "skip", "step": "bad", "result": {"id": "x", "total": 1}, "command_id": "c-2"})").what,
      kind::dealt_with);
  EXPECT_TRUE(eventually([&] { return show("s")["state"] == "completed"; }));
  EXPECT_EQ(tell("nobody", R"({"command": "skip", "step": "bad", "command_id": "c-3"})").what, kind::dealt_with);
}

TEST_F(command_handlers, mistakes_are_dead) {
  const auto v = tell("k", "\x01garbage\xff");
  EXPECT_EQ(v.what, kind::dead);
  EXPECT_EQ(v.cause, "bad_json");
}

}  // namespace
}  // namespace pawl::node
