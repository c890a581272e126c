// reset and fork: a run that begins with events of another one.
#include "config/setting.hpp"
#include "node/answer.hpp"
#include "node/cli.hpp"
#include "node/random_id.hpp"

namespace pawl::node {
namespace {

json body_of(const branch_args& args) {
  json body = {{"to", args.to}};
  if (args.forks) body["id"] = args.new_id;
  if (args.run > 0) body["run"] = args.run;
  if (args.version > 0) body["version"] = args.version;
  if (args.drop_signals) body["signals"] = false;
  if (!args.reason.empty()) body["reason"] = args.reason;
  return body;
}

std::string told(const branch_args& args, const json& answer) {
  const auto& made = args.forks ? args.new_id : args.id;
  if (text_at(answer, "outcome") == "duplicate")
    return config::printable(made) + ": " + (args.forks ? "fork" : "reset") + " had been recorded by this command\n";
  const auto upto = "events 1 to " + std::to_string(args.to);
  const auto run = std::to_string(number_at(answer, "run"));
  auto text = args.forks ? config::printable(made) + ": begun with " + upto + " of " + config::printable(args.id)
                         : config::printable(made) + ": run " + run + " goes on behind " + upto + " of " +
                               (args.run > 0 ? "run " + std::to_string(args.run) : "the run before it");
  text += "\nSteps behind event " + std::to_string(args.to) +
          " are done again. They reach the outside under new idempotency keys, so that what they did there before may "
          "be done "
          "twice; the new run is " +
          text_at(answer, "run_uid") + "\n";
  return text;
}

}  // namespace

command_result send_branch(const cli_context& c, const branch_args& args) {
  auto target = c.target(true);
  if (!target) return std::move(target).error();
  question q;
  q.method = "POST";
  q.path = {"workflows", args.id, args.forks ? "fork" : "reset"};
  q.workflow_id = args.id;
  q.command_id = args.command_id.empty() ? random_id() : args.command_id;
  q.body = body_of(args);
  auto answer = target.value()->ask(q);
  if (!answer) {
    auto e = std::move(answer).error();
    if (e.mend.empty() && (e.code == exit_code::conflict || e.code == exit_code::usage))
      e.mend = "`" + c.global.program + " history " + config::printable(args.id, 200) + "` numbers its events";
    return e;
  }
  if (c.wants_json())
    say_json(answer.value().body);
  else
    say(told(args, answer.value().body));
  return exit_code::ok;
}

}  // namespace pawl::node
