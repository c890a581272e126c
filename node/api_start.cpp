// POST /v1/workflows, and waiting for a result.
#include <mutex>

#include "node/api_call.hpp"
#include "node/command_body.hpp"
#include "node/present.hpp"

namespace pawl::node {

namespace {

problem too_many_wait() {
  return {.status = 429,
          .code = "busy",
          .detail = "too many requests wait for a result",
          .mend = "ask again later, or without wait_ms",
          .retry_after = std::chrono::seconds(1)};
}

/// A start that waits: answered when the command's outcome and the result are there, or the outcome and no more time.
struct started_wait {
  std::mutex mutex;
  std::optional<actors::command_reply> reply;
  std::optional<actors::run_result> result;
  bool over = false;  ///< the wait has ended, with or without the result
};

}  // namespace

void api::state::start_workflow(const call_ptr& call) {
  query_reader query(*call);
  const auto wait = query.wait();
  if (query.wrong()) return call->answer->send(*query.wrong());
  auto body = body_of(*call);
  if (!body) return;
  auto start = std::make_shared<start_request>();
  if (auto wrong = read_start(std::move(*body), types, options.limits, *start)) return call->answer->send(*wrong);
  call->workflow_id = start->workflow_id;
  const auto closed_policy = start->closed_id;
  engine::command command{.id = {}, .body = std::move(start->command)};

  if (wait.count() == 0) {
    return submit(call, std::move(command), closed_policy, [call, start](const actors::command_reply& r) {
      const int status = r.outcome.result == engine::command_result::applied ? 201 : 200;
      call->answer->send(status,
                         present_started(call->workflow_id, start->command.facts, r, call->command_id, nullptr));
    });
  }

  const auto both = std::make_shared<started_wait>();
  auto answer = [call, start, both] {
    std::unique_lock lock(both->mutex);
    if (!both->reply || !both->over) return;
    const auto& r = *both->reply;
    const auto* result = both->result ? &*both->result : nullptr;
    const int status = r.outcome.result == engine::command_result::applied ? 201 : 200;
    call->answer->send(status, present_started(call->workflow_id, start->command.facts, r, call->command_id, result));
  };
  const auto w = waiters.begin(wait, [both, answer, self = shared_from_this()](const actors::run_result* r) {
    {
      const std::lock_guard lock(both->mutex);
      both->over = true;
      if (r != nullptr && r->state == actors::run_result::status::closed) both->result = *r;
    }
    answer();
  });
  if (!w) return call->answer->send(stopping ? stopping_problem() : too_many_wait());
  submit(
      call, std::move(command), closed_policy,
      [self = shared_from_this(), both, answer, w, id = call->workflow_id](const actors::command_reply& r) {
        {
          const std::lock_guard lock(both->mutex);
          both->reply = r;
        }
        // The node calls back for a start that was applied. One that was applied before waits as everybody does.
        if (r.outcome.result == engine::command_result::duplicate) self->waiters.attach(*self->system, id, r.run, w);
        answer();
      },
      [w] { w->finish(nullptr); }, [w](const actors::run_result& r) { w->finish(&r); });
}

// ---- results

void api::state::answer_result(const call_ptr& call, store::view& view, std::uint64_t run) {
  const auto row = find_run(*call, view, run);
  if (!row) return;
  auto body = present_result(*row);
  if (row->summary.closed_at == 0) return call->answer->send(202, body);
  const auto last = view.history(row->key, row->last_seq, 1);
  if (last.events.empty() || !last.error.empty())
    return call->answer->send({.status = 500,
                               .code = "damaged",
                               .detail = "the last event of the run cannot be read: " + last.error,
                               .workflow_id = call->workflow_id});
  const auto& e = last.events.back();
  add_end(body, row->summary.phase, e.payload, e.error);
  call->answer->send(200, body);
}

void api::state::get_result(const call_ptr& call) {
  query_reader query(*call);
  const auto run = query.number("run", 0, 1, UINT32_MAX);
  const auto wait = query.wait();
  if (query.wrong()) return call->answer->send(*query.wrong());
  read(call, [self = shared_from_this(), call, run, wait](store::view& view) {
    if (wait.count() == 0 || self->system == nullptr) return self->answer_result(call, view, run);
    const auto row = self->find_run(*call, view, run);
    if (!row) return;
    if (row->summary.closed_at != 0) return self->answer_result(call, view, row->header.run);
    self->await_result(call, row->header.run, wait);
  });
}

void api::state::await_result(const call_ptr& call, std::uint32_t run, std::chrono::milliseconds wait) {
  using status = actors::run_result::status;
  auto over = [self = shared_from_this(), call, run](const actors::run_result* r) {
    if (r == nullptr && self->stopping) return call->answer->send(stopping_problem());
    if (r != nullptr && (r->state == status::unavailable || r->state == status::unknown))
      return call->answer->send({.status = 503,
                                 .code = "unavailable",
                                 .detail = "the journal is away",
                                 .mend = "ask again",
                                 .workflow_id = call->workflow_id,
                                 .retry_after = std::chrono::seconds(1)});
    if (r != nullptr && r->state == status::busy)
      return call->answer->send({.status = 429,
                                 .code = "busy",
                                 .detail = "limits.waiters callers wait for results",
                                 .mend = "ask again later, or without wait_ms",
                                 .setting = "limits.waiters",
                                 .retry_after = std::chrono::seconds(1)});
    self->read(
        call, [self, call, run](store::view& view) { self->answer_result(call, view, run); },
        api_readers::room::reserved);
  };
  const auto w = waiters.begin(wait, std::move(over));
  if (!w) return call->answer->send(stopping ? stopping_problem() : too_many_wait());
  waiters.attach(*system, call->workflow_id, run, w);
}

}  // namespace pawl::node
