// A start at the door of a cluster: passed to the partition's leader, checked before where that one lacks the type.
#include "broker/command_codec.hpp"
#include "node/answer.hpp"
#include "node/api_call.hpp"
#include "node/cluster_door_state.hpp"
#include "node/command_body.hpp"
#include "node/http_client.hpp"
#include "node/random_id.hpp"

namespace pawl::node {

// `task` answers; it is dropped where the door stops, which answers too (see take()).
void cluster_door::state::post(const respond_function& respond, std::function<void()> task) {
  if (readers.post(std::move(task)) == api_readers::posted::full)
    respond(to_response({.status = 429,
                         .code = "busy",
                         .detail = "too many requests wait to be read",
                         .mend = "try again later",
                         .retry_after = milliseconds(200)}));
}

void cluster_door::state::start(api_request request, respond_function respond) {
  if (request.headers.contains(checked_key_header)) return start_checked(std::move(request), std::move(respond));
  auto body = json::parse(request.body, nullptr, false);
  // What is no object, or has no text for an id, is told by the api as everywhere.
  if (!body.is_object() || (body.contains("id") && !body["id"].is_string()))
    return api_of(0)->handle(std::move(request), std::move(respond));
  if (!body.contains("id")) {
    body["id"] = random_id();
    request.body = to_text(body);
  }
  const auto id = body["id"].get<std::string>();
  const auto place = options.places.place(options.places.partition_of(id));
  const auto type = text_at(body, "type");
  auto version = static_cast<std::uint32_t>(number_at(body, "version"));
  const bool asked_to_check = request.headers.contains(check_header);
  if (version == 0 && !asked_to_check) {
    // The leader picks the version of a start that names none: it gets it as it came.
    if (!place.here) return for_workflow(id, std::move(request), std::move(respond));
    version = options.system.choose_version(id, type).version;
    if (version != 0 && !options.types.find(type, version)) {
      body["version"] = version;  // for who checks it
      request.body = to_text(body);
    }
  }
  const auto found = has_type(id, type, version);
  // While binaries are replaced nodes differ in what they run. A start is checked by one that has the type; the leader
  // records it, and the run waits for a leader with its code.
  const bool leader_has =
      place.here ? found > 0 : place.node.empty() || options.places.runs(place.node, type, found > 0 ? found : version);
  if (leader_has && !asked_to_check) return for_workflow(id, std::move(request), std::move(respond));
  if (found > 0 && !place.here)
    return post(respond, [self = shared_from_this(), body = std::move(body), place, request, respond]() mutable {
      self->check_start(std::move(body), place, std::move(request), respond);
    });
  const auto checker = asked_to_check ? partition_place{} : options.places.runner(type, version);
  if (checker.node.empty()) return for_workflow(id, std::move(request), std::move(respond));
  request.headers[check_header] = "1";
  forward(checker, std::move(request), std::move(respond));
}

/// The version that a start of it would get; 0: this binary does not have it.
std::uint32_t cluster_door::state::has_type(const std::string& id, const std::string& type,
                                            std::uint32_t version) const {
  if (version == 0) version = options.system.choose_version(id, type).version;
  return options.types.find(type, version) ? version : 0;
}

// This node has the type and the leader does not.
void cluster_door::state::check_start(json body, const partition_place& place, api_request request,
                                      const respond_function& respond) {
  start_request start;
  const auto choose = [this](const std::string& workflow_id, const std::string& of_type) {
    return options.system.choose_version(workflow_id, of_type);
  };
  if (const auto wrong = read_start(std::move(body), options.types, options.api.limits, start, choose))
    return respond(to_response(*wrong));
  if (place.address.empty())
    return respond(to_response(unavailable("node " + place.node + " leads the partition of workflow '" +
                                           start.workflow_id + "' and says no address at which it can be asked")));
  if (options.places.commands_read() < broker::checked_start_format)
    return respond(to_response(unavailable("node " + place.node + ", which leads the partition of workflow '" +
                                               start.workflow_id + "', does not run " + start.command.facts.type +
                                               " version " + std::to_string(start.command.facts.version) +
                                               ", and there are nodes too old to take a start of a type that they lack",
                                           "go on with replacing the nodes")));
  broker::asked_command asked;
  if (const auto id = request.headers.find("idempotency-key"); id != request.headers.end())
    asked.command.id = id->second;
  asked.command.body = std::move(start.command);
  asked.closed_id = start.closed_id;
  request.body = broker::encode_command(asked);
  request.headers[checked_key_header] = percent_encode(start.workflow_id);
  request.headers["content-type"] = std::string(broker::msgpack_type);
  forward(place, std::move(request), respond);
}

// Another node has checked it, and takes this one for the leader.
void cluster_door::state::start_checked(api_request request, respond_function respond) {
  std::string id;
  if (!percent_decode(request.headers.at(checked_key_header), false, id))
    return api_of(0)->handle(std::move(request), std::move(respond));
  const auto partition = options.places.partition_of(id);
  if (options.places.place(partition).here) return here(partition, std::move(request), std::move(respond));
  respond(to_response(unavailable("this node does not lead partition " + std::to_string(partition) + " any more")));
}

// A start that this node has made itself, of a workflow of any partition.
void cluster_door::state::start_checked_anywhere(api_request request, respond_function respond) {
  std::string id;
  percent_decode(request.headers.at(checked_key_header), false, id);
  const auto place = options.places.place(options.places.partition_of(id));
  if (place.here) return here(place.partition, std::move(request), std::move(respond));
  if (place.node.empty() || place.address.empty())
    return respond(to_response(unavailable("no node that can be asked leads partition " +
                                           std::to_string(place.partition) + " of workflow '" + id + "' now")));
  if (options.places.commands_read() < broker::addressed_format)
    return respond(to_response(unavailable("there are nodes too old to take a start that brings events along",
                                           "go on with replacing the nodes")));
  forward(place, std::move(request), std::move(respond));
}

}  // namespace pawl::node
