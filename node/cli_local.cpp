// The commands that ask no workflow anything.
#include "config/listing.hpp"
#include "config/setting.hpp"
#include "node/answer.hpp"
#include "node/cli.hpp"
#include "node/render_table.hpp"

#include <set>

namespace pawl::node {
namespace {

void say_settings(const cli_context& c, const std::vector<config::listed_setting>& rows) {
  if (c.wants_json()) {
    json out = json::array();
    for (const auto& r : rows)
      out.push_back({{"name", r.name}, {"value", r.value}, {"source", r.source}, {"doc", r.doc}});
    return say_json(out);
  }
  std::vector<std::string> titles{"setting", "value", "from"};
  if (c.wide()) titles.emplace_back("what it is");
  table t(titles);
  for (const auto& r : rows) {
    std::vector<cell> row{cell(r.name), cell(r.value.empty() ? "\"\"" : r.value),
                          cell(r.source, r.source == "default" ? paint::faint : paint::strong)};
    if (c.wide()) row.emplace_back(r.doc);
    t.add(std::move(row));
  }
  say(t.draw(c.screen));
}

}  // namespace

command_result show_config(const cli_context& c, const config_args& args) {
  if (args.what == config_args::action::sample) {
    say(config::sample_file());
    return exit_code::ok;
  }
  if (!args.of_node) {
    say_settings(c, config::list(c.configuration));
    return exit_code::ok;
  }
  auto target = c.target(true);
  if (!target) return std::move(target).error();
  const auto answer = target.value()->ask({.path = {"config"}});
  if (!answer) return answer.error();
  const auto& body = answer.value().body;
  const auto& settings = body.is_object() && body.contains("settings") ? body["settings"] : body;
  std::vector<config::listed_setting> rows;
  for (const auto& r : settings)
    if (r.is_object())
      rows.push_back({text_at(r, "name"), text_at(r, "value"), text_at(r, "source"), text_at(r, "doc")});
  say_settings(c, rows);
  return exit_code::ok;
}

command_result show_version(const cli_context& c) {
  if (c.wants_json())
    say_json({{"program", c.global.program}, {"version", PAWL_VERSION}, {"compiler", __VERSION__}});
  else
    say(c.global.program + " " + PAWL_VERSION + (c.wide() ? " (" __VERSION__ ")" : "") + "\n");
  return exit_code::ok;
}

command_result show_completion(const cli_context& c, const completion_args& args) {
  auto script = completion_script(args.shell, c.global.program);
  if (!script) return std::move(script).error();
  say(script.value());
  return exit_code::ok;
}

command_result show_names(const cli_context& c, const names_args& args) {
  if (args.what == "types") {
    for (const auto& type : c.types.types()) say(type + "\n");
    return exit_code::ok;
  }
  auto target = c.target(false);
  if (!target) return exit_code::ok;  // in the middle of a command line nobody wants to read an error
  const auto answer =
      target.value()->ask({.path = {"workflows"}, .query = {{"limit", "200"}}, .patience = std::chrono::seconds(2)});
  if (!answer || !answer.value().body.contains("workflows")) return exit_code::ok;
  std::set<std::string> seen;
  for (const auto& row : answer.value().body["workflows"])
    if (const auto id = text_at(row, "id"); !id.empty() && seen.insert(id).second) say(config::printable(id) + "\n");
  return exit_code::ok;
}

}  // namespace pawl::node
