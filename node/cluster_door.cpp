#include "node/cluster_door.hpp"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <mutex>
#include <thread>
#include <tuple>

#include "node/answer.hpp"
#include "node/api_call.hpp"
#include "node/http_client.hpp"
#include "node/http_forwarder.hpp"
#include "node/random_id.hpp"

namespace pawl::node {
namespace {

using respond_function = std::function<void(api_response)>;
using std::chrono::milliseconds;

constexpr std::string_view workflows_path = "/v1/workflows";
constexpr const char* forwarded_header = "pawl-forwarded";
constexpr const char* partition_header = "pawl-partition";
/// What another node gets on top of the request's own wait_ms.
constexpr milliseconds forward_patience{30'000};
/// For a reader of a followed history that does not keep up.
constexpr milliseconds full_pause{10};

problem unavailable(std::string detail, std::string mend = "ask again in a moment") {
  return {.status = 503,
          .code = "unavailable",
          .detail = std::move(detail),
          .mend = std::move(mend),
          .retry_after = milliseconds(500)};
}

/// The value of a parameter, still encoded; and the query without it.
std::optional<std::string> take_parameter(std::string& query, std::string_view name) {
  std::string rest;
  std::optional<std::string> found;
  std::string_view left = query;
  while (!left.empty()) {
    const auto end = left.find('&');
    const auto part = left.substr(0, end);
    left = end == std::string_view::npos ? std::string_view() : left.substr(end + 1);
    if (part.substr(0, part.find('=')) == name)
      found = part.find('=') == std::string_view::npos ? "" : std::string(part.substr(part.find('=') + 1));
    else if (!part.empty())
      rest += (rest.empty() ? "" : "&") + std::string(part);
  }
  if (found) query = rest;
  return found;
}

std::string parameter(std::string query, std::string_view name) { return take_parameter(query, name).value_or(""); }

milliseconds wait_of(const api_request& r) {
  const auto text = parameter(r.query, "wait_ms");
  std::int64_t ms = 0;
  std::from_chars(text.data(), text.data() + text.size(), ms);
  return std::clamp(milliseconds(ms), milliseconds(0), longest_wait);
}

/// The id in "/v1/workflows/{id}..."; none: another path, or not readable, which the api tells.
std::optional<std::string> id_in(std::string_view path) {
  if (!path.starts_with(workflows_path) || path.size() <= workflows_path.size() + 1 ||
      path[workflows_path.size()] != '/')
    return std::nullopt;
  path.remove_prefix(workflows_path.size() + 1);
  std::string id;
  if (!percent_decode(path.substr(0, path.find('/')), false, id) || id.empty()) return std::nullopt;
  return id;
}

/// One page of a list, from one partition.
struct part {
  std::int32_t partition = 0;
  int status = 0;
  json rows = json::array();
  std::vector<std::int64_t> keys{};
  bool more = false;
  std::string refusal{};  ///< the answer to a mistake of the caller, which every partition tells alike
};

/// Answers when the last of the parts is there.
struct gathered {
  std::mutex mutex;
  std::vector<part> parts;
  std::size_t missing = 0;
  std::function<void(std::vector<part>)> then;
  void put(part p) {
    std::vector<part> all;
    {
      const std::lock_guard lock(mutex);
      parts.push_back(std::move(p));
      if (--missing > 0) return;
      all = std::move(parts);
    }
    then(std::move(all));
  }
};

part to_part(std::int32_t partition, const api_response& r) {
  part p{.partition = partition, .status = r.status};
  const auto body = json::parse(r.body, nullptr, false);
  if (r.status >= 400 && r.status < 500 && r.status != 429) p.refusal = r.body;
  if (r.status != 200 || !body.is_object()) return p;
  p.rows = body.value("workflows", json::array());
  p.more = body.contains("next") && !body["next"].is_null();
  for (const auto& [name, value] : r.headers) {
    if (name != "pawl-keys" && name != "Pawl-Keys") continue;
    std::string_view left = value;
    while (!left.empty()) {
      const auto end = left.find(',');
      std::int64_t key = 0;
      const auto text = left.substr(0, end);
      std::from_chars(text.data(), text.data() + text.size(), key);
      p.keys.push_back(key);
      left = end == std::string_view::npos ? std::string_view() : left.substr(end + 1);
    }
  }
  if (p.keys.size() != p.rows.size()) p.status = 502;
  return p;
}

/// "12.-.7": for each partition the key below which the next page begins; "-": it has no more; "0": from its newest.
std::optional<std::vector<std::int64_t>> read_cursor(std::string_view text, std::size_t partitions) {
  std::vector<std::int64_t> out;
  while (true) {
    const auto end = text.find('.');
    const auto one = text.substr(0, end);
    std::int64_t key = -1;
    if (one != "-") {
      const auto read = std::from_chars(one.data(), one.data() + one.size(), key);
      if (read.ec != std::errc() || read.ptr != one.data() + one.size() || key < 0) return std::nullopt;
    }
    out.push_back(key);
    if (end == std::string_view::npos) break;
    text = text.substr(end + 1);
  }
  if (out.size() != partitions) return std::nullopt;
  return out;
}

}  // namespace

struct cluster_door::state : std::enable_shared_from_this<cluster_door::state> {
  explicit state(cluster_door_options o)
      : options(std::move(o)),
        forwarder(options.forwards),
        follows(options.followed_elsewhere, options.followed_elsewhere) {
    apis.resize(static_cast<std::size_t>(options.places.partitions()));
  }

  struct partition_api {
    std::shared_ptr<api> of{};
    std::uint64_t life = 0;  // of the view that it reads
  };
  std::shared_ptr<api> api_of(std::int32_t partition);
  void for_workflow(const std::string& id, api_request request, respond_function respond);
  void start(api_request request, respond_function respond);
  void list(api_request request, respond_function respond);
  void list_part(std::int32_t partition, const api_request& request, const std::function<void(part)>& then);
  void here(std::int32_t partition, api_request request, respond_function respond);
  void stale(std::int32_t partition, api_request request, respond_function respond);
  void forward(const partition_place& place, api_request request, respond_function respond);
  void forward_stream(const partition_place& place, const api_request& request, const respond_function& respond);
  bool ask(const partition_place& place, const api_request& request, std::function<void(api_response)> answer);
  bool is_led_by(const partition_place& place) const;
  void pass_on(const partition_place& place, const api_request& request, const line_sink& sink);
  api_response partitions_document() const;
  api_response nodes_document() const;

  const cluster_door_options options;
  std::mutex mutex;
  std::vector<partition_api> apis;  // by partition, made when first asked; under the mutex
  http_forwarder forwarder;
  api_readers follows;
  std::atomic<bool> stopping{false};
};

std::shared_ptr<api> cluster_door::state::api_of(std::int32_t partition) {
  const auto life = options.places.view_life(partition);
  std::shared_ptr<api> over;  // ends outside of the lock
  const std::lock_guard lock(mutex);
  auto& one = apis.at(static_cast<std::size_t>(partition));
  if (one.of && one.life == life) return one.of;
  over = std::move(one.of);
  const auto open_view = [places = &options.places, partition] {
    auto v = places->open_view(partition);
    if (!v) throw store::view_error("this node holds no view of partition " + std::to_string(partition));
    return v;
  };
  one = {std::make_shared<api>(options.types, &options.system, open_view, options.api), life};
  return one.of;
}

// Behind a barrier what is read is what is so: a leader that was deposed does not get through it.
void cluster_door::state::here(std::int32_t partition, api_request request, respond_function respond) {
  if (request.method != "GET") return api_of(partition)->handle(std::move(request), std::move(respond));
  options.system.barrier(partition, [self = shared_from_this(), partition, request = std::move(request),
                                     respond = std::move(respond)](bool leads) mutable {
    if (!leads || self->stopping)
      return respond(to_response(unavailable("this node does not lead partition " + std::to_string(partition) +
                                             " any more, or its journal is away")));
    self->api_of(partition)->handle(std::move(request), std::move(respond));
  });
}

void cluster_door::state::stale(std::int32_t partition, api_request request, respond_function respond) {
  const auto age = options.places.staleness(partition);
  if (!age)
    return respond(to_response(unavailable("this node holds no view of partition " + std::to_string(partition),
                                           "ask a leader or a standby; `partitions` lists them")));
  api_of(partition)->handle(std::move(request), [age, respond = std::move(respond)](api_response r) {
    r.headers["Pawl-Stale-Ms"] = std::to_string(age->count());
    respond(std::move(r));
  });
}

void cluster_door::state::for_workflow(const std::string& id, api_request request, respond_function respond) {
  const auto partition = options.places.partition_of(id);
  const bool stale_ok = request.method == "GET" && take_parameter(request.query, "stale_ok") == "true";
  if (stale_ok) return stale(partition, std::move(request), std::move(respond));
  const auto place = options.places.place(partition);
  if (place.here) return here(partition, std::move(request), std::move(respond));
  const auto number = std::to_string(partition);
  if (place.node.empty())
    return respond(to_response(unavailable("no node leads partition " + number + " of workflow '" + id + "' now")));
  if (request.headers.contains(forwarded_header))
    return respond(to_response(unavailable("this node does not lead partition " + number + "; it takes node " +
                                           place.node + " for its leader")));
  if (place.address.empty())
    return respond(to_response(unavailable(
        "node " + place.node + " leads partition " + number + " and says no address at which it can be asked",
        "set http.listen or http.advertise there")));
  forward(place, std::move(request), std::move(respond));
}

void cluster_door::state::start(api_request request, respond_function respond) {
  auto body = json::parse(request.body, nullptr, false);
  // What is no object, or has no text for an id, is told by the api as everywhere.
  if (!body.is_object() || (body.contains("id") && !body["id"].is_string()))
    return api_of(0)->handle(std::move(request), std::move(respond));
  if (!body.contains("id")) {
    body["id"] = random_id();
    request.body = to_text(body);
  }
  for_workflow(body["id"].get<std::string>(), std::move(request), std::move(respond));
}

// ---- other nodes

namespace {

// What the caller is told instead of the leader's answer.
problem no_answer(const partition_place& place, const api_request& request, const transport_error& wrong) {
  const auto where = "node " + place.node + " at " + place.address + ", which leads partition " +
                     std::to_string(place.partition) + ", ";
  if (wrong.what == transport_error::kind::no_node) return unavailable(where + "is not there");
  if (request.method == "GET") return unavailable(where + "gave no answer: " + wrong.message);
  problem p{.status = 503,
            .code = "unknown",
            .detail = where + "gave no answer: " + wrong.message + "; the command may be on record or not",
            .mend = "send it again under the same command id to learn",
            .retry_after = milliseconds(500)};
  if (const auto id = request.headers.find("idempotency-key"); id != request.headers.end()) p.command_id = id->second;
  return p;
}

problem too_many_forwards(const partition_place& place) {
  return {.status = 429,
          .code = "busy",
          .detail = "too many requests wait for other nodes",
          .mend = "try again later, or ask " + place.address,
          .retry_after = milliseconds(200)};
}

}  // namespace

bool cluster_door::state::is_led_by(const partition_place& place) const {
  const auto now = options.places.place(place.partition);
  return now.node.empty() || (now.node == place.node && now.address == place.address);
}

// What waits at a node is given up when another one leads: it will not answer, or not for the partition any more.
bool cluster_door::state::ask(const partition_place& place, const api_request& request,
                              std::function<void(api_response)> answer) {
  return forwarder.ask({.node = {.address = place.address, .token = options.token},
                        .what = request,
                        .timeout = wait_of(request) + forward_patience,
                        .give_up =
                            [self = weak_from_this(), place] {
                              const auto s = self.lock();
                              return !s || !s->is_led_by(place);
                            },
                        .done =
                            [place, request, answer = std::move(answer)](auto got) {
                              answer(got ? std::move(got).value()
                                         : to_response(no_answer(place, request, got.error())));
                            }});
}

void cluster_door::state::forward(const partition_place& place, api_request request, respond_function respond) {
  if (stopping) return respond(to_response(stopping_problem()));
  // Of its headers those that are about the request; the others, Host above all, are about this connection.
  decltype(request.headers) kept{{forwarded_header, "1"}};
  for (const char* name : {"idempotency-key", partition_header})
    if (const auto it = request.headers.find(name); it != request.headers.end()) kept.insert(*it);
  // So that it can be named when its outcome is not known.
  if (request.method == "POST") kept.try_emplace("idempotency-key", random_id());
  request.headers = std::move(kept);
  if (parameter(request.query, "follow") == "true") return forward_stream(place, request, respond);
  if (!ask(place, request, respond)) respond(to_response(too_many_forwards(place)));
}

// A run that is not there has to be told before the stream begins.
void cluster_door::state::forward_stream(const partition_place& place, const api_request& request,
                                         const respond_function& respond) {
  auto look = request;
  take_parameter(look.query, "follow");
  take_parameter(look.query, "from");
  look.query += (look.query.empty() ? "" : "&") + std::string("limit=1");
  const auto asked = ask(place, look, [self = shared_from_this(), place, request, respond](api_response seen) {
    if (seen.status != 200) return respond(std::move(seen));
    api_response r{.status = 200, .content_type = "application/x-ndjson"};
    r.stream = [self, place, request](const line_sink& sink, const std::function<void()>& end) {
      const auto begun = self->follows.post([self, place, request, sink, end] {
        self->pass_on(place, request, sink);
        end();
      });
      if (begun != api_readers::posted::yes) end();
    };
    respond(std::move(r));
  });
  if (!asked) respond(to_response(too_many_forwards(place)));
}

// On a thread of its own, which so may wait for a slow reader.
void cluster_door::state::pass_on(const partition_place& place, const api_request& request, const line_sink& sink) {
  const auto over = [&] { return stopping || !is_led_by(place); };
  http_client client(remote_node{.address = place.address, .token = options.token});
  const auto on_line = [&](std::string_view line) {
    if (line.empty()) return true;
    auto answer = sink(line);
    while (answer == line_answer::full && !over()) {
      std::this_thread::sleep_for(full_pause);
      answer = sink("");
    }
    return answer == line_answer::more;
  };
  static_cast<void>(client.stream(request, on_line, [&] { return over() || sink("") == line_answer::gone; }));
}

// ---- all partitions

void cluster_door::state::list_part(std::int32_t partition, const api_request& request,
                                    const std::function<void(part)>& then) {
  const auto place = options.places.place(partition);
  auto r = request;
  r.headers[partition_header] = std::to_string(partition);
  auto on_answer = [partition, then](const api_response& a) { then(to_part(partition, a)); };
  if (place.here) return here(partition, std::move(r), on_answer);
  if (place.address.empty()) return then({.partition = partition, .status = 503});
  forward(place, std::move(r), on_answer);
}

void cluster_door::state::list(api_request request, respond_function respond) {
  if (const auto one = request.headers.find(partition_header);
      one != request.headers.end() && request.headers.contains(forwarded_header)) {
    std::int32_t partition = -1;
    std::from_chars(one->second.data(), one->second.data() + one->second.size(), partition);
    if (partition >= 0 && partition < options.places.partitions() && options.places.place(partition).here)
      return here(partition, std::move(request), std::move(respond));
    return respond(to_response(unavailable("this node does not lead partition " + one->second)));
  }
  const auto count = static_cast<std::size_t>(options.places.partitions());
  std::vector<std::int64_t> from(count, 0);
  if (const auto cursor = take_parameter(request.query, "cursor")) {
    std::string text;
    const auto read = percent_decode(*cursor, true, text) ? read_cursor(text, count) : std::nullopt;
    if (!read)
      return respond(to_response({.status = 400,
                                  .code = "bad_request",
                                  .detail = "the cursor is none of this namespace",
                                  .mend = "take the one that the page before says in `next`"}));
    from = *read;
  }
  std::size_t limit = 100;
  const auto given = parameter(request.query, "limit");
  std::from_chars(given.data(), given.data() + given.size(), limit);
  auto all = std::make_shared<gathered>();
  all->missing = static_cast<std::size_t>(std::count_if(from.begin(), from.end(), [](auto k) { return k >= 0; }));
  all->then = [respond = std::move(respond), from, limit](std::vector<part> parts) {
    for (const auto& p : parts)
      if (!p.refusal.empty())
        return respond({.status = p.status, .content_type = "application/problem+json", .body = p.refusal});
    struct row {
      std::string started;
      std::size_t part;
      std::size_t index;
    };
    std::vector<row> rows;
    json missing = json::array();
    for (std::size_t k = 0; k < parts.size(); ++k) {
      if (parts[k].status != 200) missing.push_back(parts[k].partition);
      for (std::size_t i = 0; i < parts[k].rows.size(); ++i)
        rows.push_back({text_at(parts[k].rows[i], "started_at"), k, i});
    }
    std::sort(rows.begin(), rows.end(), [](const row& a, const row& b) {
      return std::tie(b.started, a.part, a.index) < std::tie(a.started, b.part, b.index);
    });
    // Of one partition the rows come in its own order, whatever their times.
    std::vector<std::size_t> taken(parts.size(), 0);
    json list = json::array();
    for (const auto& r : rows) {
      if (list.size() >= limit) break;
      auto& p = parts[r.part];
      list.push_back(p.rows[taken[r.part]++]);
    }
    auto next = from;
    bool more = false;
    for (std::size_t k = 0; k < parts.size(); ++k) {
      auto& at = next[static_cast<std::size_t>(parts[k].partition)];
      if (taken[k] > 0) at = parts[k].keys[taken[k] - 1];
      if (parts[k].status == 200 && taken[k] == parts[k].rows.size() && !parts[k].more) at = -1;
      if (parts[k].status == 200 && at != -1) more = true;
    }
    std::string cursor;
    for (const auto key : next)
      cursor += (cursor.empty() ? "" : ".") + (key < 0 ? std::string("-") : std::to_string(key));
    respond({.status = 200,
             .body = to_text({{"workflows", std::move(list)},
                              {"next", more ? json(cursor) : json(nullptr)},
                              {"missing_partitions", std::move(missing)}}) +
                     "\n"});
  };
  if (all->missing == 0) return all->then({});
  for (std::size_t p = 0; p < count; ++p) {
    if (from[p] < 0) continue;
    auto r = request;
    if (from[p] > 0) r.query += (r.query.empty() ? "" : "&") + std::string("cursor=") + std::to_string(from[p]);
    list_part(static_cast<std::int32_t>(p), r, [all](part got) { all->put(std::move(got)); });
  }
}

api_response cluster_door::state::partitions_document() const {
  auto rows = json::array();
  const auto lag = [](std::int64_t n) { return n < 0 ? json(nullptr) : json(n); };
  for (const auto& r : options.places.partition_rows())
    rows.push_back({{"partition", r.place.partition},
                    {"leader", r.place.node},
                    {"leader_name", r.place.name},
                    {"address", r.place.address},
                    {"here", r.place.here},
                    {"state", r.state},
                    {"since_ms", r.since.count()},
                    {"epoch", r.epoch},
                    {"standbys", r.standbys},
                    {"journal_end", lag(r.journal_end)},
                    {"command_lag", lag(r.command_lag)},
                    {"view_lag", lag(r.view_lag)},
                    {"feed_lag", lag(r.feed_lag)}});
  return {.status = 200, .body = to_text({{"partitions", std::move(rows)}}) + "\n"};
}

api_response cluster_door::state::nodes_document() const {
  auto rows = json::array();
  for (const auto& r : options.places.node_rows())
    rows.push_back({{"id", r.id},
                    {"name", r.name},
                    {"address", r.address},
                    {"incarnation", r.incarnation},
                    {"health", r.health},
                    {"self", r.self},
                    {"silent_ms", r.silent.count()},
                    {"clock_offset_ms", r.clock_offset.count()},
                    {"clock", r.clock},
                    {"leads", r.leads},
                    {"stands_by", r.stands_by},
                    {"types", r.types},
                    {"reads_format", r.reads_format}});
  return {.status = 200, .body = to_text({{"nodes", std::move(rows)}}) + "\n"};
}

// ---- the door

cluster_door::cluster_door(cluster_door_options o) : state_(std::make_shared<state>(std::move(o))) {}
cluster_door::~cluster_door() { stop(); }

bool cluster_door::take(api_request& request, std::function<void(api_response)>& respond) {
  auto& s = *state_;
  const bool ours = request.path == "/v1/partitions" || request.path == "/v1/nodes" || request.path == workflows_path ||
                    id_in(request.path).has_value();
  if (!ours) return false;
  // What is dropped on the way, as a stop does with what waits for a thread, is answered all the same.
  respond = [owed = std::make_shared<owed_answer>(std::move(respond))](api_response r) { owed->send(std::move(r)); };
  const bool get = request.method == "GET";
  if (get && request.path == "/v1/partitions") return respond(s.partitions_document()), true;
  if (get && request.path == "/v1/nodes") return respond(s.nodes_document()), true;
  if (request.path == workflows_path && (get || request.method == "POST")) {
    if (s.stopping) return respond(to_response(stopping_problem())), true;
    if (get)
      s.list(std::move(request), std::move(respond));
    else
      s.start(std::move(request), std::move(respond));
    return true;
  }
  const auto id = id_in(request.path);
  if (!id) {
    respond(
        to_response({.status = 405, .code = "method_not_allowed", .detail = request.method + " is not for this path"}));
    return true;
  }
  if (s.stopping) return respond(to_response(stopping_problem())), true;
  s.for_workflow(*id, std::move(request), std::move(respond));
  return true;
}

void cluster_door::stop() {
  auto& s = *state_;
  if (s.stopping.exchange(true)) return;
  {
    const std::lock_guard lock(s.mutex);
    for (auto& one : s.apis)
      if (one.of) one.of->stop();
  }
  s.forwarder.stop();
  s.follows.stop();
}

}  // namespace pawl::node
