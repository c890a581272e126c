// What is only read: the node itself, lists, runs, histories.
#include <unistd.h>

#include <array>

#include "config/nearest_name.hpp"
#include "node/answer.hpp"
#include "node/api_call.hpp"
#include "node/present.hpp"
#include "workflow/instance.hpp"

namespace pawl::node {

namespace {

constexpr std::size_t most_listed = 1'000;
constexpr std::size_t most_events = 1'000;
constexpr std::size_t page_bytes = std::size_t{4} << 20;  // of payloads; a page of history ends before it

/// Sets the filter's part of a state's name; false: there is no such state.
bool set_state(store::list_filter& filter, std::string_view state) {
  if (state == "open" || state == "closed") return filter.open = state == "open", true;
  if (state == "paused") return filter.paused = true, filter.open = true, true;
  for (auto p = engine::phase::running; p <= engine::phase::continued;
       p = static_cast<engine::phase>(static_cast<int>(p) + 1))
    if (to_text(p) == state) return filter.phase = p, true;
  return false;
}

const std::vector<std::string>& state_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> out{"open", "closed", "paused"};
    for (auto p = engine::phase::running; p <= engine::phase::continued;
         p = static_cast<engine::phase>(static_cast<int>(p) + 1))
      out.emplace_back(to_text(p));
    return out;
  }();
  return names;
}

using definition_ptr = std::shared_ptr<const pawl::detail::workflow_definition>;

/// The definition that the run was started with, if this binary has it.
definition_ptr definition_of(const registry& types, const store::run_row& row, store::view& view) {
  auto graph = types.find(row.header.type, row.header.version);
  if (!graph) return nullptr;
  const auto first = view.history(row.key, 1, 1);
  const bool same =
      !first.events.empty() && first.events.front().start && first.events.front().start->digest == graph->digest;
  return same ? graph : nullptr;
}

}  // namespace

std::optional<store::run_row> api::state::find_run(api_call& call, store::view& view, std::uint64_t run) {
  auto row = run == 0 ? view.find(call.workflow_id) : view.find(call.workflow_id, static_cast<std::uint32_t>(run));
  if (!row) call.answer->send(not_found(call.workflow_id, run));
  return row;
}

void api::state::get_config(const call_ptr& call) {
  auto rows = json::array();
  for (const auto& s : options.configuration)
    rows.push_back({{"name", s.name}, {"value", s.value}, {"source", s.source}, {"doc", s.doc}});
  call->answer->send(200, {{"settings", std::move(rows)}});
}

void api::state::get_no_cluster(const call_ptr& call) {
  call->answer->send({.status = 404,
                      .code = "no_cluster",
                      .detail = "this node has no broker, so it is all there is",
                      .mend = "GET /v1/status tells about it"});
}

void api::state::get_status(const call_ptr& call) {
  query_reader query(*call);
  const auto scope = query.text("scope");
  if (query.has("scope") && scope != "node" && scope != "cluster")
    query.refuse("the parameter 'scope' is '" + scope.substr(0, 80) + "'", "give node or cluster");
  if (query.wrong()) return call->answer->send(*query.wrong());
  post(call, [self = shared_from_this(), call, whole = scope != "node"] {
    json body{{"running", self->system != nullptr}};
    body["node"] = {{"version", self->options.version}, {"data_dir", self->options.data_dir}};
    if (!self->options.count_cluster) {
      body["runs"] = present_counts(self->views.borrow()->counts());
      return self->finish_status(call, std::move(body));
    }
    self->options.count_cluster(whole, [self, call, body = std::move(body), whole](const cluster_counts& c) mutable {
      body["runs"] = present_counts(whole ? c.all : c.own);
      body["node_runs"] = present_counts(c.own);
      body["cluster"] = {{"partitions", c.partitions}, {"led", c.led}};
      body["cluster"]["missing_partitions"] = whole ? json(c.missing) : json(nullptr);
      body["node"]["trouble"] = c.trouble;
      self->finish_status(call, std::move(body));
    });
  });
}

// What this process does; the counts of workflows are in `body`.
void api::state::finish_status(const call_ptr& call, json body) {
  if (system == nullptr) return call->answer->send(200, body);
  system->status([self = shared_from_this(), call, body = std::move(body)](const actors::node_status& s) mutable {
    auto& of_node = body["node"];
    of_node["pid"] = ::getpid();
    of_node["incarnation"] = s.incarnation;
    const auto up = std::chrono::steady_clock::now() - self->began;
    of_node["uptime_ms"] = std::chrono::duration_cast<std::chrono::milliseconds>(up).count();
    of_node["draining"] = s.draining;
    of_node["journal_available"] = s.journal_available;
    if (text_at(of_node, "trouble").empty())
      of_node["trouble"] = s.partition.trouble.empty() ? s.commits.trouble : s.partition.trouble;
    of_node["waiting_requests"] = self->waiters.waiting();
    of_node["followers"] = self->followers.following();
    body.update(present_status(s));
    call->answer->send(200, body);
  });
}

void api::state::list_workflows(const call_ptr& call) {
  query_reader query(*call);
  store::list_filter filter;
  filter.type = query.text("type");
  filter.id_prefix = query.text("prefix");
  const auto limit = query.number("limit", 100, 1, most_listed);
  filter.below = static_cast<engine::run_key>(query.number("cursor", INT64_MAX, 1, INT64_MAX));
  query.flag("stale_ok");  // of a cluster, whose door has seen it
  const auto state = query.text("state");
  if (query.has("state") && !set_state(filter, state)) {
    const auto nearest = config::nearest_name(state, state_names());
    query.refuse("there is no state '" + state.substr(0, 80) + "'",
                 nearest ? "did you mean '" + *nearest + "'?" : "docs/http.md lists the states");
  }
  if (query.wrong()) return call->answer->send(*query.wrong());
  filter.limit = limit + 1;  // one more tells whether there is a next page
  read(call, [call, filter, limit](store::view& view) {
    auto rows = view.list(filter);
    const bool more = rows.size() > limit;
    if (more) rows.resize(limit);
    auto list = json::array();
    for (const auto& r : rows) list.push_back(present_row(r));
    json next = nullptr;
    if (more) next = std::to_string(rows.back().key);
    api_response r{.body = to_text({{"workflows", std::move(list)}, {"next", std::move(next)}}) + "\n"};
    // For who puts the pages of several partitions together.
    if (call->request.headers.contains("pawl-partition")) {
      auto& keys = r.headers["Pawl-Keys"];
      for (const auto& row : rows) keys += (keys.empty() ? "" : ",") + std::to_string(row.key);
    }
    call->answer->send(std::move(r));
  });
}

void api::state::get_workflow(const call_ptr& call) {
  query_reader query(*call);
  const auto run = query.number("run", 0, 1, UINT32_MAX);
  query.flag("stale_ok");
  if (query.wrong()) return call->answer->send(*query.wrong());
  read(call, [self = shared_from_this(), call, run](store::view& view) {
    auto row = self->find_run(*call, view, run);
    if (!row) return;
    // The row once more, after the history: a commit between the two would show a state that its events contradict.
    while (true) {
      const auto history = view.history(row->key);
      const auto last = history.events.empty() ? 0 : history.events.back().seq;
      if (last <= row->last_seq || !history.error.empty())
        return call->answer->send(200, present_run(*row, history, self->types));
      row = view.get(row->key);
      if (!row) return call->answer->send(not_found(call->workflow_id, run));
    }
  });
}

namespace {

/// A page of events, cut before its payloads get too large.
json history_page(store::view& view, const store::run_row& row, const definition_ptr& graph, std::uint64_t from,
                  std::size_t limit) {
  constexpr std::size_t at_once = 64;
  auto events = json::array();
  std::size_t bytes = 0;
  auto next = from;
  std::string error;
  while (next <= row.last_seq && events.size() < limit && error.empty()) {
    const auto part = view.history(row.key, next, std::min(at_once, limit - events.size()));
    if (part.events.empty()) break;
    error = part.error;
    for (const auto& e : part.events) {
      bytes += e.payload.size();
      if (bytes > page_bytes && !events.empty()) break;
      events.push_back(present_event(e, graph.get()));
      next = e.seq + 1;
    }
    if (bytes > page_bytes) break;
  }
  json out{{"id", row.header.workflow_id},
           {"run", row.header.run},
           {"run_uid", to_text(row.header.uid)},
           {"events", std::move(events)}};
  out["next"] = next <= row.last_seq && error.empty() ? json(next) : json(nullptr);
  out["closed"] = row.summary.closed_at != 0;
  if (!error.empty()) out["broken"] = error;
  return out;
}

/// A page of events as they are stored, for who takes them elsewhere.
json raw_page(store::view& view, const store::run_row& row, std::uint64_t from, std::size_t limit) {
  auto events = json::array();
  std::size_t bytes = 0;
  auto next = from;
  for (const auto& e : view.stored(row.key, from, limit)) {
    bytes += e.body.size();
    if (bytes > page_bytes && !events.empty()) break;
    events.push_back({{"seq", e.seq},
                      {"at_us", e.at},
                      {"kind", static_cast<unsigned>(e.kind)},
                      {"name", e.step},
                      {"attempt", e.attempt},
                      {"body", to_base64(e.body)}});
    next = e.seq + 1;
  }
  json out{{"id", row.header.workflow_id},
           {"run", row.header.run},
           {"run_uid", to_text(row.header.uid)},
           {"raw", std::move(events)}};
  out["next"] = next <= row.last_seq && next > from ? json(next) : json(nullptr);
  out["closed"] = row.summary.closed_at != 0;
  return out;
}

problem too_many_followed() {
  return {.status = 429,
          .code = "busy",
          .detail = "too many histories are being followed",
          .mend = "try again later",
          .retry_after = std::chrono::seconds(1)};
}

}  // namespace

void api::state::get_history(const call_ptr& call) {
  query_reader query(*call);
  const auto run = query.number("run", 0, 1, UINT32_MAX);
  const auto from = query.number("from", 1, 1, INT64_MAX);
  const auto limit = query.number("limit", most_events, 1, most_events);
  const bool follow = query.flag("follow");
  const bool stale_ok = query.flag("stale_ok");
  const bool raw = query.flag("raw");
  if (follow && raw) query.refuse("follow=true and raw=true are both there", "leave one of them out");
  if (follow && query.has("limit")) query.refuse("limit and follow=true are both there", "leave one of them out");
  if (query.wrong()) return call->answer->send(*query.wrong());
  read(call, [self = shared_from_this(), call, run, from, limit, follow, raw, stale_ok](store::view& view) {
    const auto row = self->find_run(*call, view, run);
    if (!row) return;
    if (raw) return call->answer->send(200, raw_page(view, *row, from, limit));
    const auto graph = definition_of(self->types, *row, view);
    if (!follow) return call->answer->send(200, history_page(view, *row, graph, from, limit));
    if (self->followers.following() >= self->options.followers) return call->answer->send(too_many_followed());
    api_response r{.status = 200, .content_type = "application/x-ndjson"};
    r.stream = [self, key = row->key, from, graph, stale_ok](line_sink sink, std::function<void()> end) {
      followed_run f{.key = key, .next_seq = from, .line = {}, .sink = std::move(sink), .end = std::move(end)};
      if (!stale_ok) f.leads = self->options.leads;
      f.line = [graph](const engine::event& e) { return to_text(present_event(e, graph.get())); };
      self->follow(std::move(f));
    };
    call->answer->send(std::move(r));
  });
}

void api::state::follow(followed_run f) {
  if (system == nullptr) {
    const auto end = f.end;
    try {
      const auto view = views.borrow();
      return history_followers::send_once(*view.operator->(), std::move(f));
    } catch (const store::view_error&) {
      return end();
    }
  }
  const auto sink = f.sink;
  const auto end = f.end;
  if (followers.add(std::move(f))) return;
  sink(last_line(stopping ? stopping_problem() : too_many_followed()));
  end();
}

}  // namespace pawl::node
