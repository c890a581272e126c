// POST /v1/workflows, and waiting for a result.
#include <mutex>

#include "config/nearest_name.hpp"
#include "node/api_call.hpp"
#include "node/present.hpp"
#include "node/random_id.hpp"

namespace pawl::node {

enum class closed_id_choice { reject, allow_if_failed, allow };
PAWL_ENUM(closed_id_choice, reject, allow_if_failed, allow)

/// The body, apart from its input, whose type follows from the others.
struct start_body {
  static constexpr std::string_view pawl_name = "a start";
  std::string type;
  std::optional<std::string> id;
  std::optional<std::uint32_t> version;
  any_value input;
  std::optional<std::uint64_t> delay_ms;
  std::optional<std::string> start_at;
  std::optional<std::uint64_t> deadline_ms;
  closed_id_choice closed_id = closed_id_choice::reject;
  PAWL_FIELDS(type, id, version, (input, any_value{}), delay_ms, start_at, deadline_ms,
              (closed_id, closed_id_choice::reject))
};

namespace {

using graph_ptr = std::shared_ptr<const pawl::detail::graph_definition>;

problem invalid(std::string detail, std::string mend = {}) {
  return {.status = 422, .code = "invalid", .detail = std::move(detail), .mend = std::move(mend)};
}

std::optional<problem> find_graph(const registry& types, const start_body& b, graph_ptr& out) {
  out = b.version ? types.find(b.type, *b.version) : types.latest(b.type);
  if (out) return std::nullopt;
  if (const auto versions = types.versions(b.type); !versions.empty()) {
    std::string known;
    for (const auto v : versions) known += (known.empty() ? "" : ", ") + std::to_string(v);
    return problem{
        .status = 404,
        .code = "no_such_version",
        .detail = "this node has no version " + std::to_string(*b.version) + " of workflow type '" + b.type + "'",
        .mend = "it has " + known};
  }
  const auto known = types.types();
  const auto nearest = config::nearest_name(b.type, known);
  return problem{.status = 404,
                 .code = "no_such_type",
                 .detail = "this node has no workflow type '" + b.type.substr(0, 160) + "'",
                 .mend = nearest ? "did you mean '" + *nearest + "'?" : "GET /v1/types lists them"};
}

std::optional<problem> check_id(const std::string& id, std::size_t limit) {
  if (id.empty()) return invalid("a workflow id is at least one character long", "leave it out, and one is made");
  if (id.size() > limit) return too_long("workflow id", id.size(), limit);
  if (!is_utf8_text(id)) return invalid("the workflow id has control characters in it", "use printable text");
  return std::nullopt;
}

std::optional<problem> read_times(const start_body& b, engine::start_facts& facts) {
  if (b.delay_ms && b.start_at) return invalid("delay_ms and start_at are both there", "give one of them");
  const auto now = std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
  if (b.delay_ms) {
    if (*b.delay_ms > static_cast<std::uint64_t>(engine::longest_duration.count()))
      return invalid("delay_ms is more than 2,000 years");
    if (*b.delay_ms > 0) facts.start_at = now + engine::milliseconds(static_cast<std::int64_t>(*b.delay_ms));
  }
  if (b.start_at) {
    facts.start_at = time_from_text(*b.start_at);
    if (!facts.start_at)
      return invalid("start_at is '" + b.start_at->substr(0, 80) + "'",
                     "give a time as in 2026-03-05T10:00:00Z or 2026-03-05T10:00:00.250+01:00");
  }
  if (b.deadline_ms) {
    if (*b.deadline_ms > static_cast<std::uint64_t>(engine::longest_duration.count()))
      return invalid("deadline_ms is more than 2,000 years");
    facts.deadline = engine::milliseconds(static_cast<std::int64_t>(*b.deadline_ms));
  }
  return std::nullopt;
}

engine::closed_id_policy policy_of(closed_id_choice c) {
  if (c == closed_id_choice::allow) return engine::closed_id_policy::allow;
  return c == closed_id_choice::reject ? engine::closed_id_policy::reject : engine::closed_id_policy::allow_if_failed;
}

/// A start that is taken apart.
struct start_request {
  start_body body;
  engine::start_command command;
};

std::optional<problem> read_start(json body, const registry& types, const engine::limits& limits, start_request& out) {
  if (!body.is_object()) return invalid("the body is not a JSON object");
  json input = nullptr;
  bool has_input = false;
  if (const auto it = body.find("input"); it != body.end()) {
    has_input = true;
    input = std::move(*it);
    *it = nullptr;
  }
  const auto encoded = encode_json(body, &descriptor_of<start_body>(), "body");
  if (!encoded) return invalid(encoded.error().path + ": " + encoded.error().message, encoded.error().mend);
  out.body = decode<start_body>(encoded.value());
  graph_ptr graph;
  if (auto wrong = find_graph(types, out.body, graph)) return wrong;
  if (!out.body.id) out.body.id = "w-" + random_id();
  if (auto wrong = check_id(*out.body.id, limits.id_length)) return wrong;
  auto& facts = out.command.facts;
  facts.workflow_id = *out.body.id;
  facts.type = out.body.type;
  facts.version = graph->options.version;
  if (auto wrong = read_times(out.body, facts)) return wrong;
  auto payload = encode_json(input, graph->input, "input");
  if (!payload) {
    auto mend = payload.error().mend;
    if (!has_input) mend = "give the input of '" + facts.type + "'" + (mend.empty() ? "" : "; " + mend);
    return invalid(payload.error().path + ": " + payload.error().message, mend);
  }
  out.command.input = std::move(payload).value();
  if (out.command.input.size() > limits.payload)
    return problem{.status = 413,
                   .code = "too_large",
                   .detail = "the input has " + std::to_string(out.command.input.size()) +
                             " bytes as msgpack, limits.payload is " + std::to_string(limits.payload),
                   .mend = "put what is large elsewhere and give its address",
                   .workflow_id = facts.workflow_id,
                   .setting = "limits.payload"};
  return std::nullopt;
}

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
  call->workflow_id = *start->body.id;
  const auto closed_policy = policy_of(start->body.closed_id);
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
