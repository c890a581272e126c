#include "node/api.hpp"

#include <algorithm>
#include <exception>

#include "config/nearest_name.hpp"
#include "node/api_call.hpp"
#include "node/command_body.hpp"

namespace pawl::node {

namespace {

struct route : route_description {
  void (api::state::*handle)(const call_ptr&);
};

// The one list of what there is. docs/openapi.json and docs/http.md have the same, which a test checks.
constexpr route routes[] = {
    {{"GET", "/v1/status", "scope"}, &api::state::get_status},
    {{"GET", "/v1/types", ""}, &api::state::get_types},
    {{"POST", "/v1/types/{type}/use", ""}, &api::state::use_version},
    {{"GET", "/v1/config", ""}, &api::state::get_config},
    {{"GET", "/v1/nodes", ""}, &api::state::get_no_cluster},
    {{"GET", "/v1/partitions", "scope"}, &api::state::get_no_cluster},
    {{"POST", "/v1/workflows", "wait_ms"}, &api::state::start_workflow},
    {{"GET", "/v1/workflows", "type prefix state limit cursor stale_ok"}, &api::state::list_workflows},
    {{"GET", "/v1/workflows/{id}", "run stale_ok"}, &api::state::get_workflow},
    {{"GET", "/v1/workflows/{id}/history", "run from limit follow raw stale_ok"}, &api::state::get_history},
    {{"GET", "/v1/workflows/{id}/result", "run wait_ms stale_ok"}, &api::state::get_result},
    {{"POST", "/v1/workflows/{id}/cancel", ""}, &api::state::cancel},
    {{"POST", "/v1/workflows/{id}/kill", ""}, &api::state::kill},
    {{"POST", "/v1/workflows/{id}/pause", ""}, &api::state::pause},
    {{"POST", "/v1/workflows/{id}/resume", ""}, &api::state::resume},
    {{"POST", "/v1/workflows/{id}/skip", ""}, &api::state::skip},
    {{"POST", "/v1/workflows/{id}/signal", ""}, &api::state::signal},
    {{"POST", "/v1/workflows/{id}/reset", ""}, &api::state::reset},
    {{"POST", "/v1/workflows/{id}/fork", ""}, &api::state::fork},
    {{"POST", "/v1/workflows/{id}/update", "wait_ms"}, &api::state::update},
    {{"POST", "/v1/workflows/{id}/query", ""}, &api::state::query},
};

/// What stands before the first `c`; `text` keeps what follows it.
std::string_view next_part(std::string_view& text, char c) {
  const auto at = text.find(c);
  const auto part = text.substr(0, at);
  text = at == std::string_view::npos ? std::string_view() : text.substr(at + 1);
  return part;
}

/// Whether the path is of that form; `id` is then what stands for "{id}" or "{type}", still encoded.
bool matches(std::string_view form, std::string_view path, std::string_view& id) {
  if (form.empty() || path.empty() || path.back() == '/') return false;
  while (!form.empty() || !path.empty()) {
    if (form.empty() || path.empty()) return false;
    const auto wanted = next_part(form, '/');
    const auto got = next_part(path, '/');
    if (wanted.starts_with("{")) {
      if (got.empty()) return false;
      id = got;
    } else if (wanted != got) {
      return false;
    }
  }
  return true;
}

problem bad_request(std::string detail, std::string mend = {}) {
  return {.status = 400, .code = "bad_request", .detail = std::move(detail), .mend = std::move(mend)};
}

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty())
    if (const auto word = next_part(text, ' '); !word.empty()) out.emplace_back(word);
  return out;
}

/// Nothing, or what is wrong with the query.
std::optional<problem> read_query(std::string_view text, std::string_view known,
                                  std::map<std::string, std::string, std::less<>>& out) {
  const auto names = words(known);
  while (!text.empty()) {
    auto part = next_part(text, '&');
    if (part.empty()) continue;
    std::string name;
    std::string value;
    if (!percent_decode(next_part(part, '='), true, name) || !percent_decode(part, true, value))
      return bad_request("the query has a '%' that is not followed by two hex digits");
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      const auto nearest = config::nearest_name(name, names);
      return bad_request("there is no parameter '" + name.substr(0, 80) + "' here",
                         nearest         ? "did you mean '" + *nearest + "'?"
                         : known.empty() ? "this path takes no parameters"
                                         : "known are: " + std::string(known));
    }
    if (!is_utf8_text(value)) return bad_request("the parameter '" + name + "' is not UTF-8 text");
    if (!out.emplace(name, std::move(value)).second)
      return bad_request("the parameter '" + name + "' stands there twice");
  }
  return std::nullopt;
}

const route* find_route(api_call& call, std::string_view& id) {
  std::string allowed;
  for (const auto& r : routes) {
    if (!matches(r.path, call.request.path, id)) continue;
    if (r.method == call.request.method) return &r;
    allowed += (allowed.empty() ? "" : ", ") + std::string(r.method);
  }
  if (allowed.empty()) {
    call.answer->send({.status = 404,
                       .code = "no_such_route",
                       .detail = "there is nothing at this path",
                       .mend = "docs/http.md lists the paths"});
    return nullptr;
  }
  auto r = to_response({.status = 405,
                        .code = "method_not_allowed",
                        .detail = call.request.method + " is not for this path",
                        .mend = "use " + allowed});
  r.headers["Allow"] = allowed;
  call.answer->send(std::move(r));
  return nullptr;
}

/// Runs `f`, and answers the call when it throws.
template <class F>
void guard(api_call& call, const F& f) noexcept {
  try {
    f();
  } catch (const store::view_error& e) {
    call.answer->send({.status = 500, .code = "damaged", .detail = e.what()});
  } catch (const std::exception& e) {
    call.answer->send({.status = 500, .code = "internal", .detail = e.what()});
  }
}

}  // namespace

std::vector<route_description> api_routes() { return {std::begin(routes), std::end(routes)}; }

owed_answer::~owed_answer() {
  if (!sent_) send(stopping_problem());
}

void owed_answer::send(api_response r) {
  if (!sent_.exchange(true)) respond_(std::move(r));
}

problem not_found(const std::string& workflow_id, std::uint64_t run) {
  return {.status = 404,
          .code = "not_found",
          .detail = "there is no " + (run == 0 ? "workflow" : "run " + std::to_string(run) + " of workflow") + " '" +
                    workflow_id + "'",
          .workflow_id = workflow_id};
}

problem stopping_problem() {
  return {.status = 503,
          .code = "unavailable",
          .detail = "the node is stopping",
          .mend = "try again when it runs again",
          .retry_after = std::chrono::seconds(1)};
}

api::state::state(const registry& t, actors::node_system* s, actors::view_pool::factory open_view, api_options o)
    : types(t),
      system(s),
      options(std::move(o)),
      views(std::move(open_view), options.views_ready),
      readers(options.readers, options.queued_reads),
      waiters(options.waiting),
      followers(views, options.followers) {}

void api::state::handle(api_request request, std::function<void(api_response)> respond) {
  if (options.front && options.front(request, respond)) return;
  const auto call = std::make_shared<api_call>();
  call->answer = std::make_shared<owed_answer>(std::move(respond));
  call->request = std::move(request);
  if (stopping) return call->answer->send(stopping_problem());
  std::string_view id;
  const auto* r = find_route(*call, id);
  if (r == nullptr) return;
  if (const auto wrong = read_query(call->request.query, r->queries, call->query)) return call->answer->send(*wrong);
  if (!percent_decode(id, false, call->workflow_id) || !is_utf8_text(call->workflow_id))
    return call->answer->send(bad_request("the workflow id in the path is not percent-encoded UTF-8 text"));
  if (call->workflow_id.size() > options.limits.id_length)
    return call->answer->send(too_long("workflow id", call->workflow_id.size(), options.limits.id_length));
  // A long body takes milliseconds to read: not on the thread that serves all connections.
  constexpr std::size_t short_body = 32 * 1024;
  if (call->request.body.size() <= short_body) return guard(*call, [&] { (this->*r->handle)(call); });
  post(call, [self = shared_from_this(), call, r] { (self.get()->*r->handle)(call); });
}

void api::state::read(const call_ptr& call, std::function<void(store::view&)> f, api_readers::room room) {
  post(
      call,
      [self = shared_from_this(), f = std::move(f)] {
        const auto view = self->views.borrow();
        f(*view.operator->());
      },
      room);
}

void api::state::post(const call_ptr& call, std::function<void()> f, api_readers::room room) {
  switch (readers.post([call, f = std::move(f)] { guard(*call, f); }, room)) {
    case api_readers::posted::yes:
      return;
    case api_readers::posted::stopped:
      return call->answer->send(stopping_problem());
    case api_readers::posted::full:
      break;
  }
  call->answer->send({.status = 429,
                      .code = "busy",
                      .detail = "too many queries wait for the database",
                      .mend = "try again later",
                      .retry_after = std::chrono::milliseconds(200)});
}

void api::state::stop() {
  if (stopping.exchange(true)) return;
  followers.stop();
  waiters.stop();
  readers.stop();
}

api::api(const registry& types, actors::node_system* system, actors::view_pool::factory open_view, api_options options)
    : state_(std::make_shared<state>(types, system, std::move(open_view), std::move(options))) {}

api::~api() { stop(); }

void api::handle(api_request request, std::function<void(api_response)> respond) {
  state_->handle(std::move(request), std::move(respond));
}

void api::stop() { state_->stop(); }

}  // namespace pawl::node
