#include "node/render_lists.hpp"

#include "config/setting.hpp"
#include "node/answer.hpp"
#include "node/render_run.hpp"
#include "node/render_table.hpp"

#include <algorithm>
#include <map>

namespace pawl::node {
namespace {

std::string count(const json& object, const char* key) { return std::to_string(number_at(object, key)); }

std::string joined(const json& names) {
  std::string out;
  if (names.is_array())
    for (const auto& n : names)
      out += (out.empty() ? "" : ", ") + (n.is_string() ? n.get<std::string>() : std::string());
  return out;
}

std::string option_text(const json& options) {
  std::string out;
  if (options.is_object())
    for (const auto& [name, value] : options.items()) {
      const bool by_default = (name == "where" && value == "pool") || (name == "exhausted" && value == "compensate") ||
                              (name == "undo_when" && value == "may_have_run");
      if (!by_default)
        out += (out.empty() ? "" : ", ") + name + "=" + (value.is_string() ? value.get<std::string>() : to_text(value));
    }
  return out;
}

}  // namespace

std::string draw_workflows(const canvas& c, const json& answer, std::int64_t now, bool wide) {
  std::vector<std::string> titles{"id", "type", "state", "started", "took"};
  if (wide) titles = {"id", ">run", "type", ">version", "state", "started", "took", ">events", "wakes", "run uid"};
  table t(titles);
  for (const auto& row : part_at(answer, "workflows")) {
    const auto began = time_at(row, "started_at"), closed = time_at(row, "closed_at"), wakes = time_at(row, "wake_at");
    const auto started = began ? (wide ? time_text(*began) : relative_text(*began, now)) : std::string();
    const auto took = began ? elapsed_text(std::chrono::microseconds(closed.value_or(now) - *began)) : std::string();
    const cell state(state_text(row), color_of_state(text_at(row, "state"), flag_at(row, "paused")));
    const cell lasted(closed ? took : "", paint::plain);
    if (wide)
      t.add({cell(text_at(row, "id")), cell(count(row, "run")), cell(text_at(row, "type")), cell(count(row, "version")),
             state, cell(started), lasted, cell(count(row, "events")), cell(wakes ? relative_text(*wakes, now) : ""),
             cell(text_at(row, "run_uid"))});
    else
      t.add({cell(text_at(row, "id") + (number_at(row, "run") > 1 ? " (run " + count(row, "run") + ")" : "")),
             cell(text_at(row, "type")), state, cell(started), lasted});
  }
  auto whole = c;
  whole.cut = false;
  return t.draw(whole);
}

namespace {

/// Every version that is here (with its details), runs on another node, or is marked.
std::map<std::uint64_t, const json*> versions_of(const json& type) {
  std::map<std::uint64_t, const json*> out;
  for (const auto& v : part_at(type, "versions")) out[number_at(v, "version")] = &v;
  for (const auto& n : part_at(type, "nodes"))
    for (const auto& v : part_at(n, "versions"))
      if (v.is_number_unsigned()) out.try_emplace(v.get<std::uint64_t>(), nullptr);
  if (const auto marked = number_at(type, "marked"); marked > 0) out.try_emplace(marked, nullptr);
  return out;
}

/// Why new runs get that version; empty: they do not.
std::string new_runs_text(const json& type, std::uint64_t version) {
  if (number_at(type, "current") != version) return {};
  const auto why = text_at(type, "current_by");
  if (why == "marked") return "marked";
  if (why == "common") return "all nodes run it";
  return part_at(type, "nodes").empty() ? "newest" : "newest of this node";
}

std::string names_of_lacking(const json& type, std::uint64_t version) {
  std::string out;
  for (const auto& n : part_at(type, "nodes")) {
    const auto& versions = part_at(n, "versions");
    if (std::find(versions.begin(), versions.end(), json(version)) != versions.end()) continue;
    const auto name = text_at(n, "name");
    out += (out.empty() ? "" : " ") + (name.empty() ? text_at(n, "id") : name);
  }
  return out;
}

}  // namespace

std::string draw_types(const canvas& c, const json& answer) {
  bool cluster = false;
  for (const auto& type : part_at(answer, "types")) cluster = cluster || !part_at(type, "nodes").empty();
  std::vector<std::string> titles{"type", ">version", "new runs", ">steps", "input", "returns"};
  if (cluster) titles.insert(titles.begin() + 3, "not on");
  table t(titles);
  for (const auto& type : part_at(answer, "types"))
    for (const auto& [version, details] : versions_of(type)) {
      std::vector<cell> row{cell(text_at(type, "type")), cell(std::to_string(version)),
                            cell(new_runs_text(type, version), paint::strong)};
      if (cluster) row.emplace_back(names_of_lacking(type, version));
      const bool here = details != nullptr;
      row.insert(row.end(),
                 {cell(here ? std::to_string(part_at(*details, "steps").size()) : "-"),
                  cell(here ? text_at(*details, "input") : "-"), cell(here ? text_at(*details, "returns") : "")});
      t.add(std::move(row));
    }
  return t.draw(c);
}

std::string draw_type(const canvas& c, const json& type, bool wide) {
  std::string out;
  for (const auto& v : part_at(type, "versions")) {
    if (!out.empty()) out += "\n";
    std::vector<std::pair<std::string, cell>> head{{"type", cell(text_at(type, "type"), paint::strong)},
                                                   {"version", cell(count(v, "version"))}};
    if (const auto why = new_runs_text(type, number_at(v, "version")); !why.empty())
      head.emplace_back("new runs", cell("get it: " + why));
    if (const auto lacking = names_of_lacking(type, number_at(v, "version")); !lacking.empty())
      head.emplace_back("not on", cell(lacking, paint::warn));
    head.emplace_back("input", cell(text_at(v, "input")));
    if (const auto returns = text_at(v, "returns"); !returns.empty())
      head.emplace_back("returns", cell("the result of " + returns));
    if (number_at(v, "deadline_ms") > 0)
      head.emplace_back("deadline", cell(elapsed_text(std::chrono::milliseconds(number_at(v, "deadline_ms")))));
    head.emplace_back("digest", cell(text_at(v, "digest")));
    out += draw_pairs(c, head) + "\n";
    table t({"step", "takes", "after", "undo", "options"});
    for (const auto& s : part_at(v, "steps"))
      t.add({cell(text_at(s, "name")), cell(joined(part_at(s, "arguments"))), cell(joined(part_at(s, "after"))),
             cell(flag_at(s, "undo") ? "yes" : ""), cell(option_text(part_at(s, "options")))});
    out += t.draw(c);
    if (wide) out += "\ninput schema\n" + part_at(v, "input_schema").dump(2) + "\n";
  }
  return out;
}

std::string draw_status(const canvas& c, const json& answer, bool wide) {
  const auto& node = part_at(answer, "node");
  const auto& runs = part_at(answer, "runs");
  std::vector<std::pair<std::string, cell>> out;
  const bool running = flag_at(answer, "running");
  const bool draining = flag_at(node, "draining");
  const std::string state = !running                             ? "no node runs"
                            : draining                           ? "draining"
                            : flag_at(node, "journal_available") ? "running"
                                                                 : "running, the journal is away";
  out.emplace_back("node", cell(state, state == "running" ? paint::good : paint::warn));
  out.emplace_back("data", cell(text_at(node, "data_dir")));
  out.emplace_back("version", cell(text_at(node, "version")));
  if (running) {
    out.emplace_back("pid", cell(count(node, "pid")));
    out.emplace_back("up", cell(elapsed_text(std::chrono::milliseconds(number_at(node, "uptime_ms")))));
    if (const auto trouble = text_at(node, "trouble"); !trouble.empty())
      out.emplace_back("trouble", cell(trouble, paint::bad));
  }
  const auto counted = [](const json& r) {
    return count(r, "open") + " open, " + count(r, "paused") + " of them paused; " + count(r, "closed") + " closed";
  };
  const auto& cluster = part_at(answer, "cluster");
  const auto& missing = part_at(cluster, "missing_partitions");
  out.emplace_back("workflows", cell(counted(runs) + (cluster.is_object() ? " in the cluster" : "")));
  if (!missing.empty()) {
    std::string names;
    for (const auto& p : missing) names += (names.empty() ? "" : ", ") + p.dump();
    out.emplace_back("not counted", cell("partitions " + names + ", whose leaders do not answer", paint::warn));
  }
  if (cluster.is_object())
    out.emplace_back("led here", cell(count(cluster, "led") + " of " + count(cluster, "partitions") +
                                      " partitions: " + counted(part_at(answer, "node_runs"))));
  if (!running) return draw_pairs(c, out);
  const auto& p = part_at(answer, "partition");
  const auto& a = part_at(answer, "attempts");
  out.emplace_back("in memory", cell(count(p, "live") + ", " + count(p, "resting") + " of them resting; " +
                                     count(p, "waiters") + " callers wait for results"));
  out.emplace_back("attempts",
                   cell(count(a, "running") + " under way; since its start " + count(a, "started") + " started, " +
                        count(a, "timed_out") + " timed out, " + count(a, "lost") + " lost"));
  if (number_at(a, "lingering") > 0)
    out.emplace_back("hanging", cell(count(a, "lingering") + " functions outlived their attempts", paint::warn));
  if (wide) {
    out.emplace_back("incarnation", cell(text_at(node, "incarnation")));
    for (const auto* part : {"partition", "commits", "attempts", "pool"})
      out.emplace_back(part, cell(to_text(part_at(answer, part))));
  }
  auto on = c;
  on.cut = c.cut && !wide;
  return draw_pairs(on, out);
}

}  // namespace pawl::node
