// What durable code answers: updates, which are commands, and queries, which are reads.
#include <mutex>

#include "node/api_call.hpp"
#include "node/command_body.hpp"
#include "node/present.hpp"

namespace pawl::node {

namespace {

/// Of a request that does not wait: so long it is looked for an answer that is there.
constexpr std::chrono::milliseconds first_look{50};

problem too_many_wait() {
  return {.status = 429,
          .code = "busy",
          .detail = "too many requests wait for an answer",
          .mend = "send it again later under the same command id, which asks for the answer alone",
          .setting = "limits.waiters",
          .retry_after = std::chrono::seconds(1)};
}

/// An update that waits: for its outcome first, then for its answer.
struct update_wait {
  std::mutex mutex;
  std::optional<actors::update_answer> answer;
  bool over = false;
};

json with_state(json body, const actors::update_answer& a) {
  if (a.state == actors::update_answer::status::ended) {
    body["state"] = "ended";
    body["run_state"] = to_text(a.phase);
    body["error"] = {{"code", "run_ended"},
                     {"message", "the run is " + std::string(to_text(a.phase)) + " and did not answer the update"},
                     {"permanent", true}};
    return body;
  }
  if (a.run != 0) body["run"] = a.run;
  body["state"] = a.error ? "refused" : "answered";
  if (a.error)
    body["error"] = present_failure(*a.error);
  else
    body["answer"] = to_json(a.value);
  return body;
}

using answer_status = actors::update_answer::status;

// Where it is not known what became of it, the same command id asks again.
std::optional<problem> no_answer(const api_call& call, const actors::update_answer& a) {
  problem p;
  switch (a.state) {
    case answer_status::answered:
    case answer_status::ended:
      return std::nullopt;
    case answer_status::busy:
      p = too_many_wait();
      break;
    case answer_status::not_found:
      p = {.status = 404,
           .code = "not_found",
           .detail = "the update is on record no more: the run that it was for has been removed"};
      break;
    case answer_status::unavailable:
      p = {.status = 503,
           .code = "unavailable",
           .detail = "the update is on record, but this node leads the partition no more, or its journal is away",
           .mend = "send it again under the same command id, which asks for the answer alone",
           .retry_after = std::chrono::milliseconds(500)};
      break;
  }
  p.workflow_id = call.workflow_id;
  p.command_id = call.command_id;
  return p;
}

}  // namespace

void api::state::update(const call_ptr& call) {
  query_reader query(*call);
  const auto wait = query.wait();
  if (query.wrong()) return call->answer->send(*query.wrong());
  auto body = body_of(*call);
  if (!body) return;
  engine::update_command command;
  if (const auto wrong = read_update(std::move(*body), options.limits, command)) return call->answer->send(*wrong);
  submit(
      call, {.id = {}, .body = std::move(command)}, engine::closed_id_policy::reject,
      [self = shared_from_this(), call, wait](const actors::command_reply& r) { self->await_answer(call, r, wait); });
}

// It is on record. Its answer may be too, if this is not the first time.
void api::state::await_answer(const call_ptr& call, const actors::command_reply& r, std::chrono::milliseconds wait) {
  const auto both = std::make_shared<update_wait>();
  auto body = present_outcome(call->workflow_id, r, call->command_id);
  auto over = [self = shared_from_this(), call, both, body = std::move(body)](const actors::run_result*) mutable {
    std::unique_lock lock(both->mutex);
    both->over = true;
    const auto answer = both->answer;
    lock.unlock();
    if (answer) {
      if (const auto wrong = no_answer(*call, *answer)) return call->answer->send(*wrong);
      return call->answer->send(200, with_state(std::move(body), *answer));
    }
    body["state"] = "pending";
    if (self->stopping) return call->answer->send(*no_answer(*call, {}));
    if (!self->options.prove) return call->answer->send(202, body);
    // That there is none yet is as of now.
    self->options.prove([call, body = std::move(body)](bool leads) {
      if (leads) return call->answer->send(202, body);
      call->answer->send(*no_answer(*call, {}));
    });
  };
  // One that waits not at all hears what is there already.
  const auto w = waiters.begin(std::max(wait, first_look), std::move(over));
  if (!w) {
    auto p = stopping ? *no_answer(*call, {}) : too_many_wait();
    p.workflow_id = call->workflow_id;
    p.command_id = call->command_id;
    return call->answer->send(p);
  }
  actors::answer_request asked;
  asked.workflow_id = call->workflow_id;
  asked.run = r.run;
  asked.seq = r.outcome.seq;
  asked.command_id = call->command_id;
  asked.on_answer = [both, w](const actors::update_answer& a) {
    {
      const std::lock_guard lock(both->mutex);
      if (both->over) return;
      both->answer = a;
    }
    const actors::run_result told;
    w->finish(&told);
  };
  asked.wanted = [both] {
    const std::lock_guard lock(both->mutex);
    return !both->over;
  };
  system->await_answer(std::move(asked));
}

// ---- queries

namespace {

problem refusal(const actors::query_reply& r) {
  using status = actors::query_reply::status;
  problem p{.detail = r.message};
  switch (r.state) {
    case status::answered:
      break;
    case status::invalid:
      p.status = 422, p.code = "invalid";
      break;
    case status::failed:
      p.status = 500, p.code = "query_failed", p.detail = "the query failed: " + r.code + ": " + r.message;
      break;
    case status::too_large:
      p.status = 413, p.code = "too_large", p.setting = "limits.payload";
      break;
    case status::not_found:
      p.status = 404, p.code = "not_found";
      break;
    case status::conflict:
      p.status = 409, p.code = "conflict";
      break;
    case status::busy:
      p.status = 429, p.code = "busy", p.retry_after = std::chrono::milliseconds(100);
      break;
    case status::unavailable:
      p.status = 503, p.code = "unavailable", p.mend = "ask again", p.retry_after = std::chrono::milliseconds(500);
      break;
  }
  return p;
}

}  // namespace

void api::state::query(const call_ptr& call) {
  auto body = body_of(*call);
  if (!body) return;
  actors::query_request r;
  if (const auto wrong = read_query(std::move(*body), options.limits, r.name, r.input))
    return call->answer->send(*wrong);
  if (system == nullptr)
    return call->answer->send({.status = 503,
                               .code = "no_node",
                               .detail = "no node runs on " + options.data_dir + ", so the code of workflow '" +
                                         call->workflow_id + "' runs nowhere",
                               .mend = "start one with `node`",
                               .workflow_id = call->workflow_id});
  r.workflow_id = call->workflow_id;
  r.on_reply = [self = shared_from_this(), call, name = r.name](const actors::query_reply& reply) {
    if (reply.state != actors::query_reply::status::answered) {
      auto p = refusal(reply);
      p.workflow_id = call->workflow_id;
      return call->answer->send(p);
    }
    // Large answers take milliseconds to write: not on an actor's thread.
    self->post(call, [call, name, reply] {
      json out{{"id", call->workflow_id},        {"run", reply.run}, {"run_uid", reply.run_uid}, {"name", name},
               {"answer", to_json(reply.value)}, {"seq", reply.seq}};
      out["paused"] = !reply.pause_cause.empty();
      if (!reply.pause_cause.empty()) out["pause_cause"] = reply.pause_cause;
      call->answer->send(200, out);
    });
  };
  system->query(std::move(r));
}

}  // namespace pawl::node
