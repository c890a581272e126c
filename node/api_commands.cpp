// Commands: cancel, kill, pause, resume, skip, signal, reset; and what every command, a start too, is answered with.
#include <algorithm>

#include "node/api_call.hpp"
#include "node/command_body.hpp"
#include "node/present.hpp"

namespace pawl::node {

problem refusal_of(const actors::command_reply& r, std::chrono::milliseconds outcome_age) {
  using status = actors::command_reply::status;
  using result = engine::command_result;
  switch (r.state) {
    case status::busy:
      return {.status = 429,
              .code = "busy",
              .detail = r.message,
              .mend = "send it again later, under the same command id",
              .retry_after = r.retry_after};
    case status::unavailable:
      return {.status = 503,
              .code = "unavailable",
              .detail = r.message,
              .mend = "send it again later, under the same command id",
              .retry_after = r.retry_after};
    case status::unknown:
      return {.status = 503,
              .code = "unknown",
              .detail = "it may be on record or not" + (r.message.empty() ? "" : ": " + r.message),
              .mend = "send it again under the same command id to learn",
              .retry_after = std::max(r.retry_after, std::chrono::milliseconds(200))};
    case status::invalid:
      return {.status = 422, .code = "invalid", .detail = r.message};
    case status::recorded:
      break;
  }
  problem p{.detail = r.message, .remembered_for = outcome_age};
  switch (r.outcome.result) {
    case result::not_found:
      p.status = 404, p.code = "not_found";
      break;
    case result::invalid:
      p.status = 422, p.code = "invalid";
      break;
    case result::too_large:
      p.status = 413, p.code = "too_large";
      break;
    default:
      p.status = 409, p.code = "conflict";
      break;
  }
  return p;
}

void api::state::submit(const call_ptr& call, engine::command command, engine::closed_id_policy closed_id,
                        std::function<void(const actors::command_reply&)> accepted, std::function<void()> refused,
                        actors::result_function on_result) {
  const auto id_is_good = set_command_id(*call);
  if (id_is_good && system == nullptr)
    call->answer->send({.status = 503,
                        .code = "no_node",
                        .detail = "no node runs on " + options.data_dir,
                        .mend = "start one with `node`, or run a workflow in this process with `run`",
                        .workflow_id = call->workflow_id});
  if (!id_is_good || system == nullptr) {
    if (refused) refused();
    return;
  }
  command.id = call->command_id;
  actors::command_request r;
  r.workflow_id = call->workflow_id;
  r.command = std::move(command);
  r.closed_id = closed_id;
  r.on_result = std::move(on_result);
  r.reply = actors::owed_reply([call, accepted = std::move(accepted), refused = std::move(refused),
                                age = options.outcome_age](const actors::command_reply& reply) {
    const auto outcome = reply.outcome.result;
    const bool taken = outcome == engine::command_result::applied || outcome == engine::command_result::duplicate;
    if (reply.state == actors::command_reply::status::recorded && taken) return accepted(reply);
    auto p = refusal_of(reply, age);
    p.workflow_id = call->workflow_id;
    p.command_id = call->command_id;
    call->answer->send(p);
    if (refused) refused();
  });
  system->submit(std::move(r));
}

void api::state::submit_command(const call_ptr& call, decltype(engine::command::body) body) {
  submit(call, {.id = {}, .body = std::move(body)}, engine::closed_id_policy::reject,
         [call](const actors::command_reply& r) {
           call->answer->send(200, present_outcome(call->workflow_id, r, call->command_id));
         });
}

namespace {

/// The reason of a cancel, a kill or a pause; nullopt: refused.
std::optional<std::string> reason_of(const api_call& call, const std::optional<json>& body) {
  std::string reason;
  if (!body) return std::nullopt;
  if (auto wrong = read_reason(*body, reason)) {
    call.answer->send(*wrong);
    return std::nullopt;
  }
  return reason;
}

}  // namespace

void api::state::cancel(const call_ptr& call) {
  if (auto reason = reason_of(*call, body_of(*call))) submit_command(call, engine::cancel_command{std::move(*reason)});
}
void api::state::kill(const call_ptr& call) {
  if (auto reason = reason_of(*call, body_of(*call))) submit_command(call, engine::kill_command{std::move(*reason)});
}
void api::state::pause(const call_ptr& call) {
  if (auto reason = reason_of(*call, body_of(*call))) submit_command(call, engine::pause_command{std::move(*reason)});
}
void api::state::resume(const call_ptr& call) {
  const auto body = body_of(*call);
  if (!body) return;
  if (const auto wrong = read_resume(*body)) return call->answer->send(*wrong);
  submit_command(call, engine::resume_command{});
}

void api::state::signal(const call_ptr& call) {
  auto body = body_of(*call);
  if (!body) return;
  engine::signal_command command;
  if (const auto wrong = read_signal(std::move(*body), options.limits, command)) return call->answer->send(*wrong);
  submit_command(call, std::move(command));
}

void api::state::reset(const call_ptr& call) {
  const auto body = body_of(*call);
  if (!body) return;
  engine::reset_command command;
  if (const auto wrong = read_reset(*body, command)) return call->answer->send(*wrong);
  submit_command(call, std::move(command));
}

// The result is read by the type of the step's result, so the run's definition has to be known first.
void api::state::skip(const call_ptr& call) {
  auto body = body_of(*call);
  if (!body) return;
  skip_request asked;
  if (const auto wrong = read_skip(std::move(*body), asked)) return call->answer->send(*wrong);
  read(call, [self = shared_from_this(), call, asked = std::move(asked)](store::view& view) {
    const auto row = self->find_run(*call, view, 0);
    if (!row) return;
    const auto graph = self->types.find(row->header.type, row->header.version);
    engine::skip_command command;
    if (const auto wrong = read_skip_result(asked, graph.get(), command)) return call->answer->send(*wrong);
    self->submit_command(call, std::move(command));
  });
}

}  // namespace pawl::node
