// Exported histories, and what this binary's code makes of them.
#include "tests/code/code_rig.hpp"
#include "workflow/history_file.hpp"
#include "workflow/replay.hpp"

namespace pawl::engine {
namespace {

using verdict = replay_report::verdict;

int twice(step_context&, const int& n) { return 2 * n; }
task<int> original(workflow_context& wf) {
  const auto a = co_await wf.step("first", twice, 1);
  co_await wf.sleep(1h);
  co_return co_await wf.step("second", twice, a);
}
task<int> without_sleep(workflow_context& wf) {
  const auto a = co_await wf.step("first", twice, 1);
  co_return co_await wf.step("second", twice, a);
}
task<std::string> other_types(workflow_context&) { co_return ""; }

template <class R>
registry with(task<R> (*code)(workflow_context&), std::uint32_t version = 1) {
  registry types;
  types.add("code", {.version = version}, code);
  return types;
}

std::vector<event> whole_run() {
  code_rig r(original);
  r.begin();
  r.perform(0);
  r.pass(1h);
  r.perform(1);
  EXPECT_EQ(r.result<int>(), 4);
  return r.history;
}

std::vector<stored_event> stored(const std::vector<event>& history) {
  std::vector<stored_event> out;
  for (const auto& e : history) {
    auto& s = out.emplace_back(stored_event{.kind = static_cast<std::uint8_t>(e.kind),
                                            .seq = e.seq,
                                            .at = to_micros(e.at),
                                            .name = e.name,
                                            .attempt = e.attempt,
                                            .body = {}});
    encode_body(e, s.body);
  }
  return out;
}

TEST(history_file, comes_back_to_the_letter) {
  const auto history = whole_run();
  const auto bytes = write_history_file(stored(history), "1.2.3");
  history_file read;
  ASSERT_EQ(read_history_file(bytes, read), "");
  EXPECT_EQ(read.written_by, "1.2.3");
  EXPECT_EQ(read.events, history);
}

// The bytes of docs/history-file.md, by hand.
TEST(history_file, has_the_bytes_that_are_written_down) {
  const std::string bytes =
      "\x93\xacpawl-history\x01\xa3"
      "9.9"
      "\x96\x01\x05\x12\xa0" +
      std::string(1, '\0') + "\xc4" + std::string(1, '\0') + "\x01";
  EXPECT_EQ(write_history_file({{.kind = 18, .seq = 1, .at = 5, .name = "", .attempt = 0, .body = ""}}, "9.9"), bytes);
}

TEST(history_file, what_is_not_whole_or_none_is_refused) {
  const auto bytes = write_history_file(stored(whole_run()), "1");
  history_file read;
  for (std::size_t n = 0; n < bytes.size(); ++n)
    EXPECT_NE(read_history_file(bytes.substr(0, n), read), "") << "cut after " << n;
  EXPECT_EQ(read_history_file(bytes + "x", read), "bytes follow its end");
  EXPECT_EQ(read_history_file("{\"events\":[]}", read), "it does not begin as an exported history does");
  auto later = bytes;
  later[14] = 2;
  EXPECT_EQ(read_history_file(later, read), "it has format 2, and this binary reads format 1");
  const auto unknown = write_history_file({{.kind = 250, .seq = 1, .at = 5, .name = "", .attempt = 0, .body = ""}}, "");
  EXPECT_EQ(read_history_file(unknown, read), "event 1: its kind 250 is not known to this binary");
}

TEST(history_file, hostile_bytes_are_refused_or_read) {
  const auto whole = write_history_file(stored(whole_run()), "1");
  std::uint64_t seed = 7;
  std::size_t refused = 0;
  for (int n = 0; n < 3'000; ++n) {
    auto bytes = whole;
    for (int k = 0; k < 3; ++k) {
      seed = stable_hash("flip", seed + 1);
      bytes[seed % bytes.size()] = static_cast<char>(seed >> 32);
    }
    history_file read;
    if (!read_history_file(bytes, read).empty()) ++refused;
  }
  EXPECT_GE(refused, 300U);
}

TEST(replay, the_same_code_is_as_recorded) {
  const auto history = whole_run();
  const auto r = replay(with(original), history);
  EXPECT_EQ(r.what, verdict::as_recorded);
  EXPECT_EQ(r.events, history.size());
  EXPECT_EQ(r.workflow_id, "w");
  EXPECT_EQ(r.type, "code");
  for (std::size_t n = 1; n < history.size(); ++n)
    EXPECT_EQ(replay(with(original), {history.begin(), history.begin() + static_cast<std::ptrdiff_t>(n)}).what,
              verdict::as_recorded)
        << "an open run of " << n << " events";
}

TEST(replay, other_code_is_told_with_the_event_and_what_it_asks_for) {
  const auto history = whole_run();
  const auto r = replay(with(without_sleep), history);
  EXPECT_EQ(r.what, verdict::diverged);
  EXPECT_EQ(r.seq, 4U);
  EXPECT_EQ(r.events, 3U);
  EXPECT_NE(r.message.find("event 4 is timer_started of timer 1 'sleep', but the code asks for step 1 'second'"),
            std::string::npos)
      << r.message;
}

TEST(replay, a_type_that_is_missing_or_has_changed_and_a_damaged_history_are_told_apart) {
  auto history = whole_run();
  EXPECT_EQ(replay(with(original, 2), history).what, verdict::no_code);
  EXPECT_EQ(replay(with(other_types), history).what, verdict::changed);
  EXPECT_EQ(replay(with(original), {}).what, verdict::broken);
  history.erase(history.begin() + 2);
  const auto r = replay(with(original), history);
  EXPECT_EQ(r.what, verdict::broken);
  EXPECT_EQ(r.seq, 4U);
}

// --- a result that is given for a step of code

int refuses(step_context&, const int&) { throw permanent_error("no", "refused"); }
void refuses_too(step_context&) { throw permanent_error("no", "refused"); }
task<int> pauses(workflow_context& wf) {
  const auto n = co_await wf.step("number", refuses, {.exhausted = when_exhausted::pause}, 1);
  co_await wf.step("nothing", refuses_too, {.exhausted = when_exhausted::pause});
  co_return n;
}

TEST(code_skip, takes_a_result_of_the_steps_type_only) {
  code_rig r(pauses);
  r.begin();
  r.perform(0);
  ASSERT_TRUE(r.state->paused);
  const auto wrong = r.ask(skip_command{.step = "number", .result = encode(std::string("five"))});
  EXPECT_EQ(wrong.result, command_result::invalid);
  EXPECT_EQ(wrong.message.find("the result of step 'number': "), 0U) << wrong.message;
  EXPECT_EQ(r.ask(skip_command{.step = "number", .result = ""}).result, command_result::invalid);
  EXPECT_EQ(r.ask(skip_command{.step = "number", .result = encode(5)}).result, command_result::applied);
  r.perform(1);
  ASSERT_TRUE(r.state->paused);
  EXPECT_EQ(r.ask(skip_command{.step = "nothing", .result = encode(5)}).result, command_result::invalid);
  EXPECT_EQ(r.ask(skip_command{.step = "nothing", .result = "\xc0"}).result, command_result::applied);
  EXPECT_EQ(r.result<int>(), 5);
}

}  // namespace
}  // namespace pawl::engine
