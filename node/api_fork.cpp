// POST /v1/workflows/{id}/fork: a new workflow begins with events of this one. Who leads this one's partition reads
// them and sends the start; where the new one belongs to another partition, to that one's leader.
#include "actors/branch_source.hpp"
#include "broker/command_codec.hpp"
#include "node/api_call.hpp"
#include "node/command_body.hpp"
#include "node/http_client.hpp"
#include "node/present.hpp"

namespace pawl::node {

void api::state::fork(const call_ptr& call) {
  const auto body = body_of(*call);
  if (!body) return;
  fork_request asked;
  if (const auto wrong = read_fork(*body, options.limits, asked)) return call->answer->send(*wrong);
  if (asked.workflow_id == call->workflow_id)
    return call->answer->send({.status = 422,
                               .code = "invalid",
                               .detail = "body.id: it is the workflow itself",
                               .mend = "give the fork an id of its own, or `reset` this one",
                               .workflow_id = call->workflow_id});
  read(call, [self = shared_from_this(), call, asked = std::move(asked)](store::view& view) {
    const auto now = std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
    auto found = actors::source_branch(
        view, self->types,
        {.workflow_id = call->workflow_id,
         .run = asked.run,
         .version = asked.version,
         .cut = {.kind = engine::origin_kind::forked, .seq = asked.seq, .signals = asked.signals}},
        self->options.limits, now);
    if (found.branch.events.empty()) {
      actors::command_reply refused;
      refused.outcome = found.branch.refusal;
      refused.message = refused.outcome.message;
      auto p = refusal_of(refused, std::chrono::milliseconds(0));
      p.workflow_id = call->workflow_id;
      return call->answer->send(p);
    }
    call->workflow_id = asked.workflow_id;
    self->begin_fork(call, actors::start_of(std::move(found.branch)));
  });
}

void api::state::begin_fork(const call_ptr& call, engine::start_command start) {
  start.facts.workflow_id = start.kept.front().start->workflow_id = call->workflow_id;
  if (options.begin_elsewhere) {
    broker::asked_command asked;
    asked.command.body = std::move(start);
    api_request r;
    r.method = "POST";
    r.path = "/v1/workflows";
    r.body = broker::encode_command(asked);
    r.headers[checked_key_header] = percent_encode(call->workflow_id);
    r.headers["content-type"] = std::string(broker::msgpack_type);
    if (const auto id = call->request.headers.find("idempotency-key"); id != call->request.headers.end())
      r.headers.insert(*id);
    return options.begin_elsewhere(std::move(r), [call](api_response a) { call->answer->send(std::move(a)); });
  }
  const auto facts = start.facts;
  submit(call, {.id = {}, .body = std::move(start)}, engine::closed_id_policy::reject,
         [call, facts](const actors::command_reply& r) {
           const int status = r.outcome.result == engine::command_result::applied ? 201 : 200;
           call->answer->send(status, present_started(call->workflow_id, facts, r, call->command_id, nullptr));
         });
}

}  // namespace pawl::node
