// What this binary can run, as JSON.
#include "node/present.hpp"

#include <algorithm>
#include <set>

namespace pawl::node {

namespace {

std::string source_name(const pawl::detail::graph_definition& g, const pawl::detail::source& s) {
  return s.is_input() ? "input" : g.steps[s.step].name;
}

json present_options(const step_options& o) {
  auto out = json::object();
  const auto duration = [&](const char* name, const std::optional<std::chrono::milliseconds>& d) {
    if (d) out[name] = d->count();
  };
  duration("timeout_ms", o.timeout);
  duration("deadline_ms", o.deadline);
  duration("heartbeat_ms", o.heartbeat);
  if (o.retry.max_attempts) out["max_attempts"] = *o.retry.max_attempts;
  duration("first_delay_ms", o.retry.first_delay);
  if (o.retry.factor) out["factor"] = *o.retry.factor;
  duration("max_delay_ms", o.retry.max_delay);
  if (o.max_concurrent > 0) out["max_concurrent"] = o.max_concurrent;
  out["where"] = o.where == run_on::in_place ? "in_place" : "pool";
  out["exhausted"] = o.exhausted == when_exhausted::pause ? "pause" : "compensate";
  out["undo_when"] = o.undo == undo_when::completed ? "completed" : "may_have_run";
  return out;
}

json present_step(const pawl::detail::graph_definition& g, const pawl::detail::step_definition& s) {
  auto arguments = json::array();
  for (const auto& a : s.arguments) arguments.push_back(source_name(g, a));
  auto after = json::array();
  for (const auto k : s.after) after.push_back(g.steps[k].name);
  return {{"name", s.name},
          {"arguments", std::move(arguments)},
          {"after", std::move(after)},
          {"result", s.result != nullptr ? s.result->name : "nil"},
          {"undo", static_cast<bool>(s.undo)},
          {"options", present_options(s.options)}};
}

std::string hex(std::uint64_t n) {
  std::string out(16, '0');
  for (auto it = out.rbegin(); it != out.rend(); ++it, n >>= 4) *it = "0123456789abcdef"[n & 0x0f];
  return out;
}

json present_version(const pawl::detail::workflow_definition& d) {
  json out{{"version", d.options.version}, {"digest", hex(d.digest)}};
  out["kind"] = d.as_code() != nullptr ? "code" : "graph";
  out["deadline_ms"] = d.options.deadline ? json(d.options.deadline->count()) : json(nullptr);
  out["input"] = d.input != nullptr ? d.input->name : "any";
  out["input_schema"] = d.input != nullptr ? json::parse(json_schema(*d.input)) : json::object();
  out["returns"] = nullptr;
  out["steps"] = json::array();
  if (const auto* code = d.as_code(); code != nullptr && code->result != nullptr) out["returns"] = code->result->name;
  if (const auto* g = d.as_graph()) {
    if (g->returns) out["returns"] = source_name(*g, *g->returns);
    for (const auto& s : g->steps) out["steps"].push_back(present_step(*g, s));
  }
  return out;
}

}  // namespace

namespace {

std::vector<const engine::runnable_types*> each(const actors::fleet::nodes& nodes) {
  std::vector<const engine::runnable_types*> out;
  out.reserve(nodes.size());
  for (const auto& n : nodes) out.push_back(&n.types);
  return out;
}

json present_nodes(const actors::fleet::nodes& nodes, const std::string& type) {
  auto out = json::array();
  for (const auto& n : nodes) {
    const auto it = n.types.find(type);
    out.push_back({{"id", n.id},
                   {"name", n.name},
                   {"self", n.self},
                   {"versions", it == n.types.end() ? json::array() : json(it->second)}});
  }
  return out;
}

json present_type(const registry& types, const std::string& type, const engine::type_mark* mark,
                  const actors::fleet::nodes& nodes) {
  auto versions = json::array();
  for (const auto v : types.versions(type)) versions.push_back(present_version(*types.find(type, v)));
  const auto own = types.latest(type);
  std::uint32_t latest = own ? own->options.version : 0;
  for (const auto& n : nodes)
    if (const auto it = n.types.find(type); !own && it != n.types.end()) latest = std::max(latest, it->second.back());
  const auto marked = mark != nullptr ? mark->version : 0;
  const auto chosen =
      engine::choose_version(marked, engine::common_version(each(nodes), type), own ? own->options.version : 0);
  return {{"type", type},
          {"latest", latest},
          {"current", chosen.version != 0 ? json(chosen.version) : json(nullptr)},
          {"current_by", to_text(chosen.why)},
          {"marked", marked != 0 ? json(marked) : json(nullptr)},
          {"marked_at", marked != 0 ? json(time_to_text(engine::from_micros(mark->at))) : json(nullptr)},
          {"nodes", present_nodes(nodes, type)},
          {"versions", std::move(versions)}};
}

}  // namespace

json present_types(const registry& types, const engine::type_marks& marks, const actors::fleet::nodes& nodes) {
  std::set<std::string> names;
  for (const auto& type : types.types()) names.insert(type);
  for (const auto& n : nodes)
    for (const auto& [type, versions] : n.types) names.insert(type);
  for (const auto& [type, mark] : marks)
    if (mark.version != 0) names.insert(type);
  auto out = json::array();
  for (const auto& type : names) {
    const auto mark = marks.find(type);
    out.push_back(present_type(types, type, mark == marks.end() ? nullptr : &mark->second, nodes));
  }
  return {{"types", std::move(out)}};
}

json present_use(const std::string& type, std::uint32_t version, const actors::command_reply& r,
                 const std::string& command_id, std::chrono::milliseconds remembered_for,
                 const actors::fleet::nodes& nodes) {
  auto lacking = json::array();
  for (const auto& n : nodes) {
    const auto it = n.types.find(type);
    const bool there = it != n.types.end() && std::binary_search(it->second.begin(), it->second.end(), version);
    if (version != 0 && !there) lacking.push_back({{"id", n.id}, {"name", n.name}});
  }
  return {{"type", type},
          {"version", version != 0 ? json(version) : json(nullptr)},
          {"revision", r.outcome.seq},
          {"outcome", to_text(r.outcome.result)},
          {"command_id", command_id},
          {"remembered_for_ms", remembered_for.count()},
          {"lacking", std::move(lacking)},
          {"waiting_partitions", json::array()}};
}

}  // namespace pawl::node
