// nodes and partitions: what a node of a cluster knows of it; and a pair of partitions that has to be mended.
#include "broker/command_codec.hpp"
#include "broker/command_sender.hpp"
#include "broker/topics.hpp"
#include "node/answer.hpp"
#include "node/cli.hpp"
#include "node/render_table.hpp"
#include "node/settings_map.hpp"

#include <future>

namespace pawl::node {
namespace {

std::string number_text(const json& row, const char* name) {
  const auto it = row.find(name);
  return it == row.end() || !it->is_number() ? "-" : it->dump();
}

std::string elapsed_of(const json& row, const char* name) {
  const auto it = row.find(name);
  if (it == row.end() || !it->is_number()) return "-";
  return elapsed_text(std::chrono::milliseconds(it->get<std::int64_t>()));
}

std::string draw_nodes(const canvas& screen, const json& body) {
  table t({"node", "id", "address", "health", ">silent", ">clock", ">leads", ">stands by"});
  for (const auto& n : part_at(body, "nodes")) {
    const auto health = text_at(n, "health");
    const auto clock = text_at(n, "clock");
    t.add({text_at(n, "name") + (flag_at(n, "self") ? " *" : ""),
           text_at(n, "id"),
           text_at(n, "address"),
           {health, health == "ok" ? paint::good : paint::warn},
           elapsed_of(n, "silent_ms"),
           {number_text(n, "clock_offset_ms") + " ms", clock == "right" ? paint::plain : paint::bad},
           number_text(n, "leads"),
           number_text(n, "stands_by")});
  }
  return t.draw(screen);
}

/// "o-17 charge #3 waiting 4m12s"
std::string oldest_text(const json& row) {
  const auto& s = part_at(row, "oldest_step");
  if (!s.is_object()) return {};
  const auto step = text_at(s, "step");
  const auto attempt = number_at(s, "attempt");
  return text_at(s, "workflow_id") + (flag_at(s, "undo") ? " undo" : "") + (step.empty() ? "" : " " + step) +
         (attempt > 1 ? " #" + std::to_string(attempt) : "") + " " + text_at(s, "status") + " " +
         elapsed_of(s, "age_ms") + (flag_at(s, "complete") ? "" : " or older");
}

/// What a person has to look at, below the table.
std::string draw_alarms(const cli_context& c, const json& body) {
  std::string out;
  for (const auto& p : part_at(body, "partitions")) {
    const auto number = number_text(p, "partition");
    for (const auto& from : part_at(p, "diverged_from"))
      out += "partition " + number + " takes nothing of partition " + from.dump() + " any more (outbox_diverged): `" +
             c.global.program + " partitions resync " + from.dump() + " " + number + "` when you have looked\n";
    if (const auto trouble = text_at(p, "trouble"); !trouble.empty())
      out += "partition " + number + ": " + trouble + "\n";
    if (!flag_at(p, "answered") && !text_at(p, "leader").empty())
      out += "partition " + number + ": its leader does not answer; what is shown is what this node knows\n";
  }
  return out.empty() ? out : "\n" + out;
}

std::string draw_partitions(const cli_context& c, const json& body) {
  std::vector<std::string> titles{">partition", "leader", "state", ">since", ">epoch",      ">journal",
                                  ">commands",  ">view",  ">feed", ">open",  "oldest step", "standbys"};
  if (c.wide()) titles.insert(titles.end() - 1, {">outbox", ">paused", ">closed"});
  table t(titles);
  for (const auto& p : part_at(body, "partitions")) {
    std::string standbys;
    for (const auto& f : part_at(p, "followers")) {
      const auto name = text_at(f, "name");
      const auto state = text_at(f, "state");
      standbys += (standbys.empty() ? "" : " ") + (name.empty() ? text_at(f, "node") : name);
      if (state != "standby") standbys += "(" + state + ")";
      if (number_at(f, "lag") > 0) standbys += "-" + number_text(f, "lag");
    }
    const auto state = text_at(p, "state");
    const auto name = text_at(p, "leader_name");
    const auto& runs = part_at(p, "runs");
    std::vector<cell> row{number_text(p, "partition"),
                          name.empty() ? text_at(p, "leader") : name,
                          {state, state == "leading" ? paint::good : paint::warn},
                          elapsed_of(p, "since_ms"),
                          number_text(p, "epoch"),
                          number_text(p, "journal_end"),
                          number_text(p, "command_lag"),
                          number_text(p, "view_lag"),
                          number_text(p, "feed_lag"),
                          runs.is_object() ? number_text(runs, "open") : "-",
                          oldest_text(p)};
    if (c.wide())
      row.insert(row.end(), {number_text(p, "outbox_waiting"), runs.is_object() ? number_text(runs, "paused") : "-",
                             runs.is_object() ? number_text(runs, "closed") : "-"});
    row.emplace_back(standbys);
    t.add(std::move(row));
  }
  return t.draw(c.screen) + draw_alarms(c, body);
}

/// Written to the topic itself, for whoever leads the partition.
command_result resync(const cli_context& c, const cluster_args& args) {
  const auto client = to_kafka_options(c.settings());
  const auto name_space = c.settings().kafka.name_space;
  const auto topic = name_space + ".commands";
  try {
    const auto partitions = broker::partitions_of(client, name_space);
    for (const auto p : {args.from, args.to})
      if (p >= partitions)
        return cli_error{exit_code::not_found,
                         "there is no partition " + std::to_string(p) + "; the namespace " + name_space + " has " +
                             std::to_string(partitions),
                         "`" + c.global.program + " partitions` lists them",
                         {}};
    std::promise<broker::sent_command> promise;
    auto sent = promise.get_future();
    broker::command_sender sender({.client = client, .topic = topic, .partitions = partitions});
    auto message = broker::make_command({}, broker::encode_command(broker::resync_command{.from = args.from}));
    if (!sender.send(std::move(message), [&](const auto& s) { promise.set_value(s); }, args.to))
      return cli_error{exit_code::unavailable, "the command cannot be sent", "Try again", {}};
    const auto done = sent.get();
    if (!done.there())
      return cli_error{
          exit_code::unavailable, topic + ": " + done.error, "Try again: a resync that is read twice does no harm", {}};
    const auto place = topic + "/" + std::to_string(done.partition) + "/" + std::to_string(done.offset);
    if (c.wants_json())
      say_json({{"from", args.from}, {"to", args.to}, {"written", place}});
    else
      say("written as " + place + ": once partition " + std::to_string(args.to) +
          " has read it, it takes what partition " + std::to_string(args.from) +
          " sends again. What it has refused meanwhile is in the dead letters: `" + c.global.program + " dlq list`\n");
    return exit_code::ok;
  } catch (const broker::kafka_error& e) {
    return to_cli_error(e, "`" + c.global.program + " topics check` says whether the topics are there");
  }
}

}  // namespace

command_result show_cluster(const cli_context& c, const cluster_args& args) {
  if (c.settings().kafka.brokers.empty() && !c.global.node)
    return cli_error{exit_code::usage,
                     "kafka.brokers is empty: a node without a broker is no cluster",
                     "`status` shows it; name the brokers, such as --set kafka.brokers=host:9092",
                     {}};
  if (args.what == cluster_args::action::resync) return resync(c, args);
  auto target = c.target(true);
  if (!target) return std::move(target).error();
  const bool nodes = args.what == cluster_args::action::nodes;
  const auto answer = target.value()->ask({.path = {nodes ? "nodes" : "partitions"}});
  if (!answer) return answer.error();
  const auto& body = answer.value().body;
  if (c.wants_json())
    say_json(body);
  else
    say(nodes ? draw_nodes(c.screen, body) : draw_partitions(c, body));
  return exit_code::ok;
}

}  // namespace pawl::node
