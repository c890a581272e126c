// start, result, and the commands to a workflow.
#include "config/nearest_name.hpp"
#include "config/setting.hpp"
#include "node/answer.hpp"
#include "node/cli.hpp"
#include "node/cli_input.hpp"
#include "node/random_id.hpp"

#include <algorithm>
#include <thread>

namespace pawl::node {
namespace {

constexpr std::chrono::milliseconds no_wait{0};
constexpr std::chrono::milliseconds first_wait{2'000};  // a pause is told soon
constexpr std::chrono::milliseconds one_wait{30'000};   // then it is asked again, so that a dead connection shows
constexpr std::chrono::milliseconds transport_patience{15'000};

std::string run_text(std::uint64_t run) { return run > 1 ? " (run " + std::to_string(run) + ")" : ""; }

/// A short id that says what it is of: "fulfil-order-3f9a02c4d811".
std::string made_up_id(const std::string& type) { return type.substr(0, 60) + "-" + random_id().substr(0, 12); }

/// A refusal of that kind says what to do, in the words of the command line, where the node did not.
cli_error with_mend(cli_error e, exit_code code, const std::string& mend) {
  if (e.code == code && e.mend.empty()) e.mend = mend;
  return e;
}

/// Of a skip that was refused: that the run's type has no such step, and the nearest one that it has.
std::optional<cli_error> missing_step(const cli_context& c, cli_target& target, const command_args& args) {
  const auto run = target.ask({.path = {"workflows", args.id}, .workflow_id = args.id});
  const auto types = target.ask({.path = {"types"}});
  if (!run || !types) return std::nullopt;
  std::vector<std::string> names;
  for (const auto& type : part_at(types.value().body, "types"))
    for (const auto& version : part_at(type, "versions"))
      if (text_at(type, "type") == text_at(run.value().body, "type") &&
          number_at(version, "version") == number_at(run.value().body, "version"))
        for (const auto& step : part_at(version, "steps")) names.push_back(text_at(step, "name"));
  if (names.empty() || std::find(names.begin(), names.end(), args.step) != names.end()) return std::nullopt;
  const auto nearest = config::nearest_name(args.step, names);
  return cli_error{exit_code::not_found,
                   "workflow " + config::in_quotes(args.id) + ": its type has no step " + config::in_quotes(args.step),
                   nearest ? "Did you mean " + *nearest + "?"
                           : "`" + c.global.program + " types " + text_at(run.value().body, "type") + "` lists them",
                   {}};
}

question result_question(const std::string& id, std::uint64_t run, std::chrono::milliseconds wait) {
  question q;
  q.path = {"workflows", id, "result"};
  q.query = {{"run", run > 0 ? std::to_string(run) : ""},
             {"wait_ms", wait.count() > 0 ? std::to_string(wait.count()) : ""}};
  q.workflow_id = id;
  q.patience = transport_patience + wait;
  return q;
}

cli_result<json> await_end(const cli_context& c, cli_target& target, const std::string& id, std::uint64_t run) {
  bool told = false;
  auto give_up = std::chrono::steady_clock::now() + leader_change_patience;
  for (auto wait = first_wait;; wait = one_wait) {
    auto answer = target.ask(result_question(id, run, wait));
    if (!answer && is_leader_change(c, answer.error()) && std::chrono::steady_clock::now() < give_up) {
      std::this_thread::sleep_for(leader_change_pause);
      continue;
    }
    give_up = std::chrono::steady_clock::now() + leader_change_patience;
    if (!answer) {
      auto e = std::move(answer).error();
      if (e.code == exit_code::unavailable && !e.json.empty())
        e.mend = "Nothing is lost: ask again with `" + c.global.program + " result " + config::printable(id, 200) +
                 " --wait` when the node runs";
      return e;
    }
    auto& body = answer.value().body;
    if (answer.value().status == 200) return std::move(body);
    if (flag_at(body, "paused") && !std::exchange(told, true))
      note(c, "workflow " + config::in_quotes(id) + " is paused; `" + c.global.program + " show " +
                  config::printable(id, 200) + "` says why. Still waiting");
  }
}

command_result say_end(const cli_context& c, const std::string& id, const json& answer) {
  const auto code = say_result(c, id, answer);
  if (code == exit_code::ok || c.wants_json()) return code;
  const auto state = text_at(answer, "state");
  const auto& error = part_at(answer, "error");
  // "was cancelled: no time", not "was cancelled: cancelled: no time".
  const auto why = text_at(error, "code") == state ? text_at(error, "message") : failure_at(answer, "error");
  return cli_error{code,
                   "workflow " + config::in_quotes(id) + run_text(number_at(answer, "run")) +
                       (state == "failed" ? " failed" : " was " + state) +
                       (why.empty() ? "" : ": " + config::printable(why)),
                   "`" + c.global.program + " show " + config::printable(id, 200) + "` tells its steps",
                   {}};
}

}  // namespace

exit_code say_result(const cli_context& c, const std::string&, const json& answer) {
  const bool completed = text_at(answer, "state") == "completed";
  if (c.wants_json()) {
    say_json(answer);
  } else if (completed) {
    const auto result = answer.find("result");
    say(result == answer.end() ? "null\n" : to_text(*result) + "\n");
  }
  return completed ? exit_code::ok : exit_code::failed;
}

cli_result<question> start_question(const cli_context& c, const start_args& args) {
  json body = {{"type", args.type}, {"id", args.id.empty() ? made_up_id(args.type) : args.id}};
  if (args.version) body["version"] = *args.version;
  if (args.has_input) {
    auto input = read_json_argument("--input", args.input, c.settings().limits.payload.count);
    if (!input) return std::move(input).error();
    body["input"] = std::move(input).value();
  }
  if (args.delay) body["delay_ms"] = args.delay->count();
  if (args.deadline) body["deadline_ms"] = args.deadline->count();
  if (!args.closed_id.empty()) body["closed_id"] = args.closed_id;
  question q;
  q.method = "POST";
  q.path = {"workflows"};
  q.workflow_id = args.id;  // one that was made up would say nothing in an error
  q.command_id = args.command_id.empty() ? random_id() : args.command_id;
  q.body = std::move(body);
  return q;
}

command_result start_on(const cli_context& c, cli_target& target, const start_args& args, const question& q) {
  const auto answer = target.ask(q);
  if (!answer)
    return with_mend(answer.error(), exit_code::conflict,
                     "Choose another --id, or begin a new run when the one before is closed: --closed-id allow");
  const auto& body = answer.value().body;
  const auto run = number_at(body, "run");
  const auto id = text_at(q.body, "id");
  if (!args.wait) {
    const auto* how = text_at(body, "outcome") == "duplicate" ? " had been started by this command" : " started";
    if (c.wants_json())
      say_json(body);
    else
      say(config::printable(id) + how + run_text(run) + "\n");
    return exit_code::ok;
  }
  if (args.id.empty() && !c.wants_json()) note(c, "started " + config::printable(id));
  const auto end = await_end(c, target, id, run);
  return end ? say_end(c, id, end.value()) : end.error();
}

command_result start_workflow(const cli_context& c, const start_args& args) {
  const auto q = start_question(c, args);
  if (!q) return q.error();
  auto target = c.target(true);
  if (!target) return std::move(target).error();
  return start_on(c, *target.value(), args, q.value());
}

command_result show_result(const cli_context& c, const result_args& args) {
  auto target = c.target(false);
  if (!target) return std::move(target).error();
  auto q = result_question(args.id, args.run, no_wait);
  if (args.stale_ok) q.query.emplace_back("stale_ok", "true");
  auto answer = target.value()->ask(q);
  if (!answer) return std::move(answer).error();
  note_age(c, answer.value().stale, answer.value().body);
  if (answer.value().status == 200) return say_end(c, args.id, answer.value().body);
  if (args.wait && target.value()->has_node()) {
    const auto run = number_at(answer.value().body, "run");
    const auto end = await_end(c, *target.value(), args.id, run > 0 ? run : args.run);
    return end ? say_end(c, args.id, end.value()) : end.error();
  }
  const auto state = text_at(answer.value().body, "state");
  const auto what = "workflow " + config::in_quotes(args.id) + " is still " + (state.empty() ? "open" : state);
  if (target.value()->has_node())
    return cli_error{exit_code::unavailable, what, "Wait for its end with --wait", answer.value().body.dump()};
  return cli_error{exit_code::unavailable,
                   what + ", and no node runs that would go on with it",
                   "Start one: `" + how_to_start(c.global, c.settings()) + "`",
                   {}};
}

command_result send_command(const cli_context& c, const command_args& args) {
  json body = json::object();
  if (!args.reason.empty()) body["reason"] = args.reason;
  if (args.verb == "skip") {
    body["step"] = args.step;
    if (args.undo) body["undo"] = true;
    if (args.has_result) {
      auto result = read_json_argument("--result", args.result, c.settings().limits.payload.count);
      if (!result) return std::move(result).error();
      body["result"] = std::move(result).value();
    }
  }
  if (args.verb == "signal") {
    body["name"] = args.signal;
    if (args.has_result) {
      auto input = read_json_argument("--input", args.result, c.settings().limits.payload.count);
      if (!input) return std::move(input).error();
      body["input"] = std::move(input).value();
    }
  }
  auto target = c.target(true);
  if (!target) return std::move(target).error();
  question q;
  q.method = "POST";
  q.path = {"workflows", args.id, args.verb};
  q.workflow_id = args.id;
  q.command_id = args.command_id.empty() ? random_id() : args.command_id;
  q.body = std::move(body);
  const auto answer = target.value()->ask(q);
  if (!answer && args.verb == "skip" && answer.error().code == exit_code::usage)
    if (auto missing = missing_step(c, *target.value(), args)) return std::move(*missing);
  if (!answer) return with_mend(answer.error(), exit_code::conflict, "`" + c.global.program + " show` tells its state");
  if (c.wants_json()) {
    say_json(answer.value().body);
    return exit_code::ok;
  }
  const bool again = text_at(answer.value().body, "outcome") == "duplicate";
  say(config::printable(args.id) + ": " + args.verb + (again ? " had been recorded by this command" : " is recorded") +
      "\n");
  return exit_code::ok;
}

}  // namespace pawl::node
