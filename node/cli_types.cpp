// `types use`: which version of a type new runs get that name none.
#include "config/setting.hpp"
#include "node/answer.hpp"
#include "node/cli.hpp"
#include "node/random_id.hpp"

namespace pawl::node {

namespace {

std::string names_in(const json& nodes) {
  std::string out;
  for (const auto& n : nodes) {
    const auto name = text_at(n, "name");
    out += (out.empty() ? "" : ", ") + (name.empty() ? text_at(n, "id") : name);
  }
  return out;
}

/// What is not as it will be yet, to standard error.
void note_what_waits(const cli_context& c, const json& answer) {
  if (const auto lacking = names_in(part_at(answer, "lacking")); !lacking.empty())
    note(c, lacking + (part_at(answer, "lacking").size() == 1 ? " lacks" : " lack") +
                " it: runs in partitions led there wait for their code");
  std::string waiting;
  for (const auto& p : part_at(answer, "waiting_partitions")) waiting += (waiting.empty() ? "" : ", ") + p.dump();
  if (!waiting.empty())
    note(c,
         "partition " + waiting + " has not heard of it yet: it is on its way there, and is told once somebody leads");
}

}  // namespace

command_result use_version(const cli_context& c, const types_args& args) {
  auto target = c.target(true);
  if (!target) return std::move(target).error();
  question q;
  q.method = "POST";
  q.path = {"types", args.type, "use"};
  q.command_id = args.command_id.empty() ? random_id() : args.command_id;
  if (args.version != 0)
    q.body = {{"version", args.version}};
  else
    q.body = {{"clear", true}};
  if (args.force) q.body["force"] = true;
  const auto answer = target.value()->ask(q);
  if (!answer) {
    auto e = answer.error();
    if (const auto at = e.mend.find("give force"); at != std::string::npos)
      e.mend.replace(at, 10, "repeat with --force");
    return e;
  }
  const auto& body = answer.value().body;
  if (c.wants_json()) {
    say_json(body);
    return exit_code::ok;
  }
  const auto version = number_at(body, "version");
  const bool again = text_at(body, "outcome") == "duplicate";
  const auto type = config::printable(args.type);
  if (again)
    say(type + ": that had been recorded by this command\n");
  else if (version == 0)
    say(type + ": no version is marked; new runs get the highest that all living nodes run\n");
  else
    say(type + ": new runs get version " + std::to_string(version) + "\n");
  note_what_waits(c, body);
  return exit_code::ok;
}

}  // namespace pawl::node
