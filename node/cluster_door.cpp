#include "node/cluster_door.hpp"

#include <algorithm>
#include <charconv>
#include <thread>

#include "broker/command_codec.hpp"
#include "node/answer.hpp"
#include "node/api_call.hpp"
#include "node/cluster_door_state.hpp"
#include "node/http_client.hpp"
#include "node/random_id.hpp"

namespace pawl::node {

problem unavailable(std::string detail, std::string mend) {
  return {.status = 503,
          .code = "unavailable",
          .detail = std::move(detail),
          .mend = std::move(mend),
          .retry_after = milliseconds(500)};
}

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

namespace {

constexpr std::string_view workflows_path = "/v1/workflows";
/// What another node gets on top of the request's own wait_ms.
constexpr milliseconds forward_patience{30'000};
/// For a reader of a followed history that does not keep up.
constexpr milliseconds full_pause{10};
/// Larger bodies take milliseconds to read: not on the thread that serves all connections.
constexpr std::size_t short_body = 32 * 1024;

milliseconds wait_of(const api_request& r) {
  const auto text = parameter(r.query, "wait_ms");
  std::int64_t ms = 0;
  std::from_chars(text.data(), text.data() + text.size(), ms);
  return std::clamp(milliseconds(ms), milliseconds(0), longest_wait);
}

/// What changes nothing: it is answered behind a barrier, and may be asked again.
bool only_reads(const api_request& r) {
  return r.method == "GET" || (r.method == "POST" && r.path.starts_with(workflows_path) && r.path.ends_with("/query"));
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

}  // namespace

std::shared_ptr<api> cluster_door::state::api_of(std::int32_t partition) {
  const auto life = options.places.view_life(partition);
  std::unique_lock lock(mutex);
  auto& one = apis.at(static_cast<std::size_t>(partition));
  if (one.of && one.life == life) return one.of;
  auto over = std::move(one.of);
  const auto open_view = [places = &options.places, partition] {
    auto v = places->open_view(partition);
    if (!v) throw store::view_error("this node holds no view of partition " + std::to_string(partition));
    return v;
  };
  auto of_partition = options.api;
  of_partition.leads = [places = &options.places, partition] { return places->place(partition).here; };
  of_partition.views_ready = [system = &options.system, partition] { system->await_views(partition); };
  of_partition.prove = [system = &options.system, partition](std::function<void(bool)> done) {
    system->barrier(partition, std::move(done));
  };
  of_partition.begin_elsewhere = [door = weak_from_this()](api_request r, respond_function respond) {
    if (const auto self = door.lock()) return self->start_checked_anywhere(std::move(r), std::move(respond));
    respond(to_response(stopping_problem()));
  };
  one = {std::make_shared<api>(options.types, &options.system, open_view, std::move(of_partition)), life};
  auto made = one.of;
  lock.unlock();
  // Its end waits for those who still read there, and they may wait for the view, which the thread that calls may
  // write.
  if (over) static_cast<void>(readers.post([ends = std::move(over)] {}, api_readers::room::reserved));
  return made;
}

// Behind a barrier what is read is what is so: a leader that was deposed does not get through it.
void cluster_door::state::here(std::int32_t partition, api_request request, respond_function respond) {
  if (!only_reads(request)) return api_of(partition)->handle(std::move(request), std::move(respond));
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
    r.headers[stale_header] = std::to_string(age->count());
    respond(std::move(r));
  });
}

void cluster_door::state::for_workflow(const std::string& id, api_request request, respond_function respond) {
  const auto partition = options.places.partition_of(id);
  const bool stale_ok = request.method == "GET" && parameter(request.query, "stale_ok") == "true";
  if (stale_ok) return stale(partition, std::move(request), std::move(respond));
  for_partition(partition, " of workflow '" + id + "'", std::move(request), std::move(respond));
}

void cluster_door::state::for_partition(std::int32_t partition, const std::string& of_what, api_request request,
                                        respond_function respond) {
  const auto place = options.places.place(partition);
  if (place.here) return here(partition, std::move(request), std::move(respond));
  const auto number = std::to_string(partition);
  if (place.node.empty())
    return respond(to_response(unavailable("no node leads partition " + number + of_what + " now")));
  if (request.headers.contains(forwarded_header))
    return respond(to_response(unavailable("this node does not lead partition " + number + "; it takes node " +
                                           place.node + " for its leader")));
  if (place.address.empty())
    return respond(to_response(unavailable(
        "node " + place.node + " leads partition " + number + " and says no address at which it can be asked",
        "set http.listen or http.advertise there")));
  forward(place, std::move(request), std::move(respond));
}

// ---- other nodes

namespace {

// What the caller is told instead of the leader's answer.
problem no_answer(const partition_place& place, const api_request& request, const transport_error& wrong) {
  const auto what = place.partition < 0 ? std::string("was asked to check the start")
                                        : "leads partition " + std::to_string(place.partition);
  const auto where = "node " + place.node + " at " + place.address + ", which " + what + ", ";
  if (wrong.what == transport_error::kind::no_node) return unavailable(where + "is not there");
  if (only_reads(request)) return unavailable(where + "gave no answer: " + wrong.message);
  problem p{.status = 503,
            .code = "unknown",
            .detail = where + "gave no answer: " + wrong.message + "; the command may be on record or not",
            .mend = "send it again under the same command id to learn",
            .retry_after = milliseconds(500)};
  if (const auto id = request.headers.find("idempotency-key"); id != request.headers.end()) p.command_id = id->second;
  return p;
}

problem left_behind(const partition_place& place) {
  return {.status = 503,
          .code = "not_leader",
          .detail = "node " + place.node + " is no longer the leader of partition " + std::to_string(place.partition) +
                    ", or does not answer",
          .mend = "follow again from the event behind the last one that came",
          .retry_after = milliseconds(500)};
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
  if (place.partition < 0) return true;  // it is asked for something else
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
  decltype(request.headers) kept;
  // Whoever checks a start may still have to pass it on.
  if (!request.headers.contains(check_header) || request.headers.contains(checked_key_header))
    kept[forwarded_header] = "1";
  else
    kept[check_header] = "1";
  for (const char* name : {"idempotency-key", partition_header, checked_key_header})
    if (const auto it = request.headers.find(name); it != request.headers.end()) kept.insert(*it);
  if (request.headers.contains(checked_key_header)) kept["content-type"] = std::string(broker::msgpack_type);
  // So that it can be named when its outcome is not known.
  if (request.method == "POST" && !only_reads(request)) kept.try_emplace("idempotency-key", random_id());
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
      if (begun == api_readers::posted::yes) return;
      sink(last_line(too_many_forwards(place)));
      end();
    };
    respond(std::move(r));
  });
  if (!asked) respond(to_response(too_many_forwards(place)));
}

// On a thread of its own, which so may wait for a slow reader. What ends before the run is told with a last line.
void cluster_door::state::pass_on(const partition_place& place, const api_request& request, const line_sink& sink) {
  const auto over = [&] { return stopping || !is_led_by(place); };
  http_client client(remote_node{.address = place.address, .token = options.token});
  bool reader_left = false;
  std::optional<std::string> last;  // of the leader, who does not go on
  const auto put = [&](std::string_view line) {
    auto answer = sink(line);
    while (answer == line_answer::full && !over()) {
      std::this_thread::sleep_for(full_pause);
      answer = sink("");
    }
    reader_left = reader_left || answer == line_answer::gone;
    return answer == line_answer::more;
  };
  const auto on_line = [&](std::string_view line) {
    if (line.empty()) return true;
    if (!is_last_line(line)) return put(line);
    last = line;
    return false;
  };
  const auto done = client.stream(request, on_line, [&] {
    reader_left = reader_left || sink("") == line_answer::gone;
    return reader_left || over();
  });
  if (reader_left) return;
  if (stopping) return void(sink(last_line(stopping_problem())));
  const bool ended = done && done.value().status == 200 && !last && !over();
  if (!ended) sink(last_line(left_behind(place)));
}

// ---- what the cluster says of itself

void cluster_door::state::partitions_document(const api_request& request, respond_function respond) {
  const auto scope = parameter(request.query, "scope");
  if (!scope.empty() && scope != "node" && scope != "cluster")
    return respond(to_response({.status = 400,
                                .code = "bad_request",
                                .detail = "the parameter 'scope' is '" + scope.substr(0, 80) + "'",
                                .mend = "give node or cluster"}));
  auto tell = [respond](json rows) {
    respond({.status = 200, .body = to_text({{"partitions", std::move(rows)}}) + "\n"});
  };
  post(respond, [self = shared_from_this(), own = scope == "node", tell = std::move(tell)] {
    if (own) return tell(self->report.own_rows());
    self->report.all_rows(tell);
  });
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
                    {"reads_format", r.reads_format},
                    {"reads_commands", r.reads_commands},
                    {"reads_snapshots", r.reads_snapshots}});
  return {.status = 200, .body = to_text({{"nodes", std::move(rows)}}) + "\n"};
}

// ---- the door

cluster_door::cluster_door(cluster_door_options o) : state_(std::make_shared<state>(std::move(o))) {}
cluster_door::~cluster_door() { stop(); }

bool cluster_door::take(api_request& request, std::function<void(api_response)>& respond) {
  auto& s = *state_;
  const bool get = request.method == "GET";
  const auto marked = request.method == "POST" ? type_to_use(request.path) : std::nullopt;
  const bool ours = request.path == "/v1/partitions" || request.path == "/v1/nodes" || request.path == workflows_path ||
                    (get && request.path == "/v1/types" && request.query.empty()) || marked ||
                    id_in(request.path).has_value();
  if (!ours) return false;
  // What is dropped on the way, as a stop does with what waits for a thread, is answered all the same.
  respond = [owed = std::make_shared<owed_answer>(std::move(respond))](api_response r) { owed->send(std::move(r)); };
  if (get && request.path == "/v1/partitions") return s.partitions_document(request, std::move(respond)), true;
  if (get && request.path == "/v1/nodes") return respond(s.nodes_document()), true;
  if (s.stopping && (marked || request.path == "/v1/types")) return respond(to_response(stopping_problem())), true;
  if (get && request.path == "/v1/types") return s.types_document(std::move(request), std::move(respond)), true;
  if (marked) return s.use_version(*marked, std::move(request), std::move(respond)), true;
  if (request.path == workflows_path && (get || request.method == "POST")) {
    if (s.stopping) return respond(to_response(stopping_problem())), true;
    if (get) {
      s.list(std::move(request), std::move(respond));
    } else if (request.body.size() <= short_body) {
      s.start(std::move(request), std::move(respond));
    } else {
      auto task = [self = state_, r = std::move(request), respond]() mutable {
        self->start(std::move(r), std::move(respond));
      };
      s.post(respond, std::move(task));
    }
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

void cluster_door::count(bool whole, std::function<void(const cluster_counts&)> then) const {
  const auto& report = state_->report;
  auto tell = [self = state_, then = std::move(then)](const json& rows) {
    auto c = cluster_report::count(rows);
    c.trouble = self->options.places.trouble();
    then(c);
  };
  if (whole) return report.all_rows(std::move(tell));
  tell(report.own_rows());
}

void cluster_door::stop() {
  auto& s = *state_;
  if (s.stopping.exchange(true)) return;
  // Outside of the lock: who reads there may wait for the view, and so for a thread that is on its way to an api.
  std::vector<std::shared_ptr<api>> all;
  {
    const std::lock_guard lock(s.mutex);
    for (auto& one : s.apis)
      if (one.of) all.push_back(one.of);
  }
  for (auto& one : all) one->stop();
  s.forwarder.stop();
  s.follows.stop();
  s.readers.stop();
}

}  // namespace pawl::node
