// What this binary can run, as JSON.
#include "node/present.hpp"

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

json present_types(const registry& types) {
  auto out = json::array();
  for (const auto& type : types.types()) {
    auto versions = json::array();
    for (const auto v : types.versions(type)) versions.push_back(present_version(*types.find(type, v)));
    out.push_back({{"type", type}, {"latest", types.latest(type)->options.version}, {"versions", std::move(versions)}});
  }
  return {{"types", std::move(out)}};
}

}  // namespace pawl::node
