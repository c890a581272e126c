// nodes and partitions: what a node of a cluster knows of it.
#include "node/answer.hpp"
#include "node/cli.hpp"
#include "node/render_table.hpp"

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

std::string draw_partitions(const canvas& screen, const json& body) {
  table t({">partition", "leader", "state", ">since", ">epoch", ">journal", ">view lag", ">feed lag", "standbys"});
  for (const auto& p : part_at(body, "partitions")) {
    std::string standbys;
    for (const auto& s : part_at(p, "standbys"))
      if (s.is_string()) standbys += (standbys.empty() ? "" : " ") + s.get<std::string>();
    const auto state = text_at(p, "state");
    const auto name = text_at(p, "leader_name");
    t.add({number_text(p, "partition"),
           name.empty() ? text_at(p, "leader") : name,
           {state, state == "leading" ? paint::good : paint::warn},
           elapsed_of(p, "since_ms"),
           number_text(p, "epoch"),
           number_text(p, "journal_end"),
           number_text(p, "view_lag"),
           number_text(p, "feed_lag"),
           standbys});
  }
  return t.draw(screen);
}

}  // namespace

command_result show_cluster(const cli_context& c, const cluster_args& args) {
  if (c.settings().kafka.brokers.empty() && !c.global.node)
    return cli_error{exit_code::usage,
                     "kafka.brokers is empty: a node without a broker is no cluster",
                     "`status` shows it; name the brokers, such as --set kafka.brokers=host:9092",
                     {}};
  auto target = c.target(true);
  if (!target) return std::move(target).error();
  const bool nodes = args.what == cluster_args::action::nodes;
  const auto answer = target.value()->ask({.path = {nodes ? "nodes" : "partitions"}});
  if (!answer) return answer.error();
  const auto& body = answer.value().body;
  if (c.wants_json())
    say_json(body);
  else
    say(nodes ? draw_nodes(c.screen, body) : draw_partitions(c.screen, body));
  return exit_code::ok;
}

}  // namespace pawl::node
