// update and query: what durable code answers.
#include "config/setting.hpp"
#include "node/answer.hpp"
#include "node/cli.hpp"
#include "node/cli_input.hpp"
#include "node/random_id.hpp"

#include <algorithm>
#include <thread>

namespace pawl::node {
namespace {

constexpr std::chrono::milliseconds one_wait{30'000};  // then it is asked again, so that a dead connection shows
constexpr std::chrono::milliseconds transport_patience{15'000};

/// What durable code is asked by name, and who is asked.
struct code_question {
  std::unique_ptr<cli_target> target;
  question q;
};

/// `verb`: update or query.
template <class Args>
cli_result<code_question> code_question_of(const cli_context& c, const Args& args, const char* verb) {
  code_question out;
  out.q.method = "POST";
  out.q.path = {"workflows", args.id, verb};
  out.q.workflow_id = args.id;
  out.q.body = {{"name", args.name}};
  if (args.has_input) {
    auto input = read_json_argument("--input", args.input, c.settings().limits.payload.count);
    if (!input) return std::move(input).error();
    out.q.body["input"] = std::move(input).value();
  }
  auto target = c.target(true);
  if (!target) return std::move(target).error();
  out.target = std::move(target).value();
  return out;
}

std::string how_to_ask_again(const question& q) {
  return "Send it again with --command-id " + config::printable(q.command_id, 200) +
         ", which asks for the answer alone";
}

/// An update that is on record: what came of it.
command_result say_answer(const cli_context& c, const update_args& args, const question& q, const json& body) {
  const auto state = text_at(body, "state");
  if (c.wants_json()) say_json(body);
  if (state == "answered") {
    const auto answer = body.find("answer");
    if (!c.wants_json()) say(answer == body.end() ? "null\n" : to_text(*answer) + "\n");
    return exit_code::ok;
  }
  const auto what = "workflow " + config::in_quotes(args.id) + ": update " + config::in_quotes(args.name);
  if (state == "pending") {
    if (c.wants_json()) return exit_code::unavailable;
    return cli_error{exit_code::unavailable, what + " is recorded, and not answered yet", how_to_ask_again(q), {}};
  }
  if (c.wants_json()) return exit_code::failed;
  return cli_error{exit_code::failed,
                   what + (state == "refused" ? " was refused: " : ": ") + config::printable(failure_at(body, "error")),
                   {},
                   {}};
}

}  // namespace

command_result send_update(const cli_context& c, const update_args& args) {
  auto asked = code_question_of(c, args, "update");
  if (!asked) return std::move(asked).error();
  auto& [target, q] = asked.value();
  q.command_id = args.command_id.empty() ? random_id() : args.command_id;
  using clock = std::chrono::steady_clock;
  const auto until = args.within ? std::optional(clock::now() + *args.within) : std::nullopt;
  auto give_up = clock::now() + leader_change_patience;
  for (bool recorded = false;;) {
    const auto left = until ? std::chrono::duration_cast<std::chrono::milliseconds>(*until - clock::now()) : one_wait;
    const auto wait = std::clamp(left, std::chrono::milliseconds(0), one_wait);
    q.query = {{"wait_ms", wait.count() > 0 ? std::to_string(wait.count()) : ""}};
    q.patience = transport_patience + wait;
    auto answer = target->ask(q);
    if (!answer && is_leader_change(c, answer.error()) && clock::now() < give_up && (!until || clock::now() < *until)) {
      std::this_thread::sleep_for(leader_change_pause);
      continue;
    }
    if (!answer) {
      auto e = std::move(answer).error();
      if (e.code == exit_code::conflict && e.mend.empty()) e.mend = "`" + c.global.program + " show` tells its state";
      if (recorded && e.code == exit_code::unavailable) e.mend = how_to_ask_again(q);
      return e;
    }
    give_up = clock::now() + leader_change_patience;
    recorded = true;
    const bool pending = answer.value().status == 202;
    if (!pending || (until && clock::now() >= *until)) return say_answer(c, args, q, answer.value().body);
  }
}

command_result ask_query(const cli_context& c, const query_args& args) {
  const auto asked = code_question_of(c, args, "query");
  if (!asked) return asked.error();
  auto answer = asked.value().target->ask(asked.value().q);
  if (!answer) return std::move(answer).error();
  const auto& told = answer.value().body;
  if (c.wants_json()) {
    say_json(told);
    return exit_code::ok;
  }
  if (flag_at(told, "paused"))
    note(c, "workflow " + config::in_quotes(args.id) + " is paused (" + text_at(told, "pause_cause") +
                "): this is what its code has seen so far");
  const auto value = told.find("answer");
  say(value == told.end() ? "null\n" : to_text(*value) + "\n");
  return exit_code::ok;
}

}  // namespace pawl::node
