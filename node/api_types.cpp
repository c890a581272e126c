// Workflow types: what there is, which version new runs get, and marking one for them.
#include <algorithm>

#include "config/nearest_name.hpp"
#include "node/api_call.hpp"
#include "node/command_body.hpp"
#include "node/present.hpp"

namespace pawl::node {

namespace {

/// What nodes run of a type, as "n1 runs 1, 2; n2 runs 1".
std::string told_runs(const actors::fleet::nodes& nodes, const registry& own, const std::string& type) {
  const auto list = [](const std::vector<std::uint32_t>& versions) {
    std::string out;
    for (const auto v : versions) out += (out.empty() ? "" : ", ") + std::to_string(v);
    return out.empty() ? std::string("none") : out;
  };
  if (nodes.empty()) return "this node runs " + list(own.versions(type));
  std::string out;
  for (const auto& n : nodes) {
    const auto it = n.types.find(type);
    out += (out.empty() ? "" : "; ") + (n.name.empty() ? n.id : n.name) + " runs " +
           list(it == n.types.end() ? std::vector<std::uint32_t>() : it->second);
  }
  return out;
}

bool has(const std::vector<std::uint32_t>& versions, std::uint32_t wanted) {
  return wanted == 0 ? !versions.empty() : std::find(versions.begin(), versions.end(), wanted) != versions.end();
}

/// Whether any of them runs it. `version` 0: any.
bool runs(const actors::fleet::nodes& nodes, const registry& own, const std::string& type, std::uint32_t version) {
  return has(own.versions(type), version) || std::any_of(nodes.begin(), nodes.end(), [&](const auto& n) {
           const auto it = n.types.find(type);
           return it != n.types.end() && has(it->second, version);
         });
}

std::optional<problem> misfit_of_use(const actors::node_system& system, const registry& own, const std::string& type,
                                     const use_body& asked) {
  const auto nodes = system.all_nodes();
  if (!runs(*nodes, own, type, 0)) {
    if (!asked.version && system.marks().contains(type))
      return std::nullopt;  // so that a mark can always be taken away
    auto known = own.types();
    for (const auto& n : *nodes)
      for (const auto& [name, versions] : n.types) known.push_back(name);
    const auto nearest = config::nearest_name(type, known);
    return problem{.status = 404,
                   .code = "no_such_type",
                   .detail = "no living node has a workflow type '" + type.substr(0, 160) + "'",
                   .mend = nearest ? "did you mean '" + *nearest + "'?" : "GET /v1/types lists them"};
  }
  if (!asked.version || asked.force || runs(*nodes, own, type, *asked.version)) return std::nullopt;
  return problem{.status = 404,
                 .code = "no_such_version",
                 .detail = "no living node runs version " + std::to_string(*asked.version) + " of workflow type '" +
                           type + "': " + told_runs(*nodes, own, type),
                 .mend =
                     "mark a version that runs, or give force: then starts that name no version are refused until "
                     "a node runs it"};
}

}  // namespace

void api::state::get_types(const call_ptr& call) {
  if (system != nullptr) return call->answer->send(200, present_types(types, system->marks(), *system->all_nodes()));
  read(call, [self = shared_from_this(), call](store::view& view) {
    call->answer->send(200, present_types(self->types, view.type_marks(), {}));
  });
}

void api::state::use_version(const call_ptr& call) {
  const auto type = std::exchange(call->workflow_id, {});
  auto body = body_of(*call);
  if (!body) return;
  use_body asked;
  if (const auto wrong = read_use(*body, asked)) return call->answer->send(*wrong);
  if (!set_command_id(*call)) return;
  if (system == nullptr)
    return call->answer->send({.status = 503,
                               .code = "no_node",
                               .detail = "no node runs on " + options.data_dir,
                               .mend = "start one with `node`"});
  auto submit = [self = shared_from_this(), call, type, asked] {
    actors::use_request r{
        .type = type, .version = asked.version.value_or(0), .command_id = call->command_id, .reply = {}};
    r.reply = actors::owed_reply([self, call, type, asked](const actors::command_reply& reply) {
      if (reply.state != actors::command_reply::status::recorded) {
        auto p = refusal_of(reply, self->options.outcome_age);
        p.command_id = call->command_id;
        return call->answer->send(p);
      }
      call->answer->send(200, present_use(type, asked.version.value_or(0), reply, call->command_id,
                                          self->options.outcome_age, *self->system->all_nodes()));
    });
    self->system->use_version(std::move(r));
  };
  const auto wrong = misfit_of_use(*system, types, type, asked);
  if (!wrong) return submit();
  // What was done before is answered alike, whatever the nodes run by now.
  read(call, [call, wrong, submit = std::move(submit)](store::view& view) {
    if (view.outcome({}, call->command_id)) return submit();
    call->answer->send(*wrong);
  });
}

}  // namespace pawl::node
