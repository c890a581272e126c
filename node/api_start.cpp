// POST /v1/workflows, and waiting for a result.
#include <mutex>

#include "broker/command_codec.hpp"
#include "node/answer.hpp"
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

problem deposed_problem(const std::string& workflow_id) {
  return {.status = 503,
          .code = "unavailable",
          .detail =
              "this node does not lead the partition any more, or its journal is away, so it cannot tell whether "
              "the workflow has ended",
          .mend = "ask for the result again",
          .workflow_id = workflow_id,
          .retry_after = std::chrono::milliseconds(500)};
}

/// What another node has checked against the type.
std::optional<problem> read_checked_start(const api_call& call, const engine::limits& limits, start_request& out) {
  const auto malformed = [](std::string detail) {
    return problem{.status = 400, .code = "bad_request", .detail = std::move(detail), .mend = "send JSON"};
  };
  if (!percent_decode(call.request.headers.at(checked_key_header), false, out.workflow_id))
    return malformed("the header pawl-key is not percent-encoded");
  if (auto wrong = check_workflow_id(out.workflow_id, limits.id_length)) return wrong;
  broker::node_command read;
  std::string wrong;
  if (broker::decode_command(call.request.body, read, wrong) != broker::command_readable::yes)
    return malformed("a start of another node cannot be read: " + wrong);
  auto* asked = std::get_if<broker::asked_command>(&read);
  auto* start = asked != nullptr ? std::get_if<engine::start_command>(&asked->command.body) : nullptr;
  if (start == nullptr || start->facts.digest == 0) return malformed("it is no start that another node has checked");
  if (start->input.size() > limits.payload) return too_long("input", start->input.size(), limits.payload);
  out.command = std::move(*start);
  out.command.facts.workflow_id = out.workflow_id;
  out.closed_id = asked->closed_id;
  return std::nullopt;
}

/// A start that waits: answered when the command's outcome and the result are there, or the outcome and no more time.
struct started_wait {
  std::mutex mutex;
  std::optional<actors::command_reply> reply;
  std::optional<actors::run_result> result;
  bool over = false;  ///< the wait has ended, with or without the result
  bool answered = false;
};

}  // namespace

version_chooser api::state::version_chooser_of() const {
  if (system == nullptr) return {};
  return [s = system](const std::string& workflow_id, const std::string& type) {
    return s->choose_version(workflow_id, type);
  };
}

void api::state::start_workflow(const call_ptr& call) {
  query_reader query(*call);
  const auto wait = query.wait();
  if (query.wrong()) return call->answer->send(*query.wrong());
  start_request start;
  if (call->request.headers.contains(checked_key_header)) {
    if (auto wrong = read_checked_start(*call, options.limits, start)) return call->answer->send(*wrong);
  } else {
    auto body = body_of(*call);
    if (!body) return;
    if (auto wrong = read_start(std::move(*body), types, options.limits, start, version_chooser_of()))
      return refuse_start(call, std::move(*wrong));
  }
  begin_start(call, std::move(start), wait);
}

// One that was applied before is answered as it was then, although its input may not fit the version that new runs get
// by now.
void api::state::refuse_start(const call_ptr& call, problem wrong) {
  const auto command = call->request.headers.find("idempotency-key");
  auto body = json::parse(call->request.body, nullptr, false);
  const auto id = text_at(body, "id");
  if (command == call->request.headers.end() || id.empty() || body.contains("version") || system == nullptr)
    return call->answer->send(wrong);
  read(call, [self = shared_from_this(), call, wrong = std::move(wrong), id, command = command->second,
              body = std::move(body)](store::view& view) {
    auto row = view.find(id);
    if (row && row->header.start_command != command) row = actors::started_before(view, id, command, row->header.run);
    auto as_then = body;
    if (row) as_then["version"] = row->header.version;
    start_request start;
    if (!row || read_start(std::move(as_then), self->types, self->options.limits, start))
      return call->answer->send(wrong);
    self->begin_start(call, std::move(start), query_reader(*call).wait());
  });
}

void api::state::begin_start(const call_ptr& call, start_request start, std::chrono::milliseconds wait) {
  call->workflow_id = start.workflow_id;
  const auto closed_policy = start.closed_id;
  const auto facts = start.command.facts;  // the answer tells them
  engine::command command{.id = {}, .body = std::move(start.command)};

  if (wait.count() == 0) {
    return submit(call, std::move(command), closed_policy, [call, facts](const actors::command_reply& r) {
      const int status = r.outcome.result == engine::command_result::applied ? 201 : 200;
      call->answer->send(status, present_started(call->workflow_id, facts, r, call->command_id, nullptr));
    });
  }

  const auto both = std::make_shared<started_wait>();
  auto answer = [self = shared_from_this(), call, facts, both] {
    std::unique_lock lock(both->mutex);
    if (!both->reply || !both->over || std::exchange(both->answered, true)) return;
    const auto& r = *both->reply;
    const auto* result = both->result ? &*both->result : nullptr;
    const int status = r.outcome.result == engine::command_result::applied ? 201 : 200;
    auto body = present_started(call->workflow_id, facts, r, call->command_id, result);
    lock.unlock();
    if (result != nullptr || !self->options.prove) return call->answer->send(status, body);
    // That it has not ended is as of now.
    self->options.prove([call, status, body = std::move(body)](bool leads) {
      if (leads) return call->answer->send(status, body);
      auto p = deposed_problem(call->workflow_id);
      p.detail = "the start is on record, and " + p.detail;
      p.command_id = call->command_id;
      call->answer->send(p);
    });
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
  const auto asked = find_run(*call, view, run);
  if (!asked) return;
  // Of one that has continued as new the result is that of the run which goes on with it.
  const std::optional row = actors::newest_life(view, *asked);
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
  if (query.flag("stale_ok") && wait.count() > 0)
    query.refuse("wait_ms and stale_ok=true are both there", "leave one of them out");
  if (query.wrong()) return call->answer->send(*query.wrong());
  read(call, [self = shared_from_this(), call, run, wait](store::view& view) {
    if (wait.count() == 0 || self->system == nullptr) return self->answer_result(call, view, run);
    const auto asked = self->find_run(*call, view, run);
    if (!asked) return;
    const std::optional row = actors::newest_life(view, *asked);
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
    auto tell = [self, call, run] {
      self->read(
          call, [self, call, run](store::view& view) { self->answer_result(call, view, run); },
          api_readers::room::reserved);
    };
    // An end is for ever; that there is none yet is as of now.
    if (r != nullptr || !self->options.prove) return tell();
    self->options.prove(
        [call, tell](bool leads) { leads ? tell() : call->answer->send(deposed_problem(call->workflow_id)); });
  };
  const auto w = waiters.begin(wait, std::move(over));
  if (!w) return call->answer->send(stopping ? stopping_problem() : too_many_wait());
  waiters.attach(*system, call->workflow_id, run, w);
}

}  // namespace pawl::node
