// Types at the door of a cluster: what is marked is known by every partition; a mark is decided by the one of the
// type's name, and answered once the others have it too.
#include <algorithm>
#include <charconv>
#include <mutex>

#include "broker/command_codec.hpp"
#include "node/answer.hpp"
#include "node/api_call.hpp"
#include "node/cluster_door_state.hpp"
#include "node/http_client.hpp"
#include "node/present.hpp"

namespace pawl::node {

namespace {

constexpr std::string_view types_path = "/v1/types";
/// Of a question between nodes: has a partition that the asked one leads recorded that revision of a type's mark?
constexpr const char* revision_header = "pawl-revision";
constexpr const char* type_header = "pawl-type";
/// How long an answer waits for the partitions that have not heard of a mark yet.
constexpr milliseconds others_patience{5'000};

/// Answers when the last of the other partitions has the mark, or has not within that time.
struct heard_everywhere {
  std::mutex mutex;
  json answer;
  std::vector<std::int32_t> waiting;
  std::size_t missing = 0;
  respond_function respond;
  void put(std::int32_t partition, bool there) {
    {
      const std::lock_guard lock(mutex);
      if (!there) waiting.push_back(partition);
      if (--missing > 0) return;
    }
    std::sort(waiting.begin(), waiting.end());
    answer["waiting_partitions"] = waiting;
    respond({.status = 200, .body = to_text(answer) + "\n"});
  }
};

/// A follower's view tells what is so if it has been at the end of the journal within this time.
constexpr std::chrono::milliseconds close_behind{1000};

}  // namespace

std::optional<std::string> type_to_use(std::string_view path) {
  constexpr std::string_view end = "/use";
  if (!path.starts_with(types_path) || !path.ends_with(end) || path.size() <= types_path.size() + 1 + end.size() ||
      path[types_path.size()] != '/')
    return std::nullopt;
  path.remove_prefix(types_path.size() + 1);
  path.remove_suffix(end.size());
  std::string type;
  if (path.find('/') != std::string_view::npos || !percent_decode(path, false, type) || type.empty())
    return std::nullopt;
  return type;
}

// As the partitions know it that this node leads, or those that it follows closely; another node asks one that leads.
void cluster_door::state::types_document(api_request request, respond_function respond) {
  if (tell_heard(request, respond)) return;
  for (std::int32_t p = 0; p < options.places.partitions(); ++p)
    if (options.system.leads(p)) return tell_types(options.system.marks(), respond);
  auto task = [self = shared_from_this(), request = std::move(request), respond]() mutable {
    engine::type_marks marks;
    bool held = false;
    for (std::int32_t p = 0; p < self->options.places.partitions(); ++p)
      if (const auto age = self->options.places.staleness(p); age && *age <= close_behind)
        if (const auto view = self->options.places.open_view(p)) {
          held = true;
          for (auto& [type, mark] : view->type_marks()) engine::fold(marks, mark);
        }
    if (held) return self->tell_types(marks, respond);
    self->for_partition(0, "", std::move(request), std::move(respond));
  };
  post(respond, std::move(task));
}

void cluster_door::state::tell_types(const engine::type_marks& marks, const respond_function& respond) const {
  respond({.status = 200, .body = to_text(present_types(options.types, marks, *options.system.all_nodes())) + "\n"});
}

void cluster_door::state::use_version(const std::string& type, api_request request, respond_function respond) {
  if (options.places.commands_read() < broker::addressed_format)
    return respond(to_response(unavailable("there are nodes too old to hear which version of a type is marked",
                                           "go on with replacing the nodes")));
  const auto home = options.places.partition_of(type);
  if (!request.headers.contains(forwarded_header))
    respond = [self = shared_from_this(), type, home, respond = std::move(respond)](api_response r) {
      auto answer = r.status == 200 ? json::parse(r.body, nullptr, false) : json();
      if (!answer.is_object()) return respond(std::move(r));
      self->await_others(type, home, std::move(answer), respond);
    };
  for_partition(home, " of workflow type '" + type + "'", std::move(request), std::move(respond));
}

// So that a start which comes after the answer gets the version, wherever it goes.
void cluster_door::state::await_others(const std::string& type, std::int32_t home, json answer,
                                       const respond_function& respond) {
  const auto count = options.places.partitions();
  const auto revision = number_at(answer, "revision");
  const auto all = std::make_shared<heard_everywhere>();
  all->answer = std::move(answer);
  all->respond = respond;
  all->missing = static_cast<std::size_t>(count);
  for (std::int32_t p = 0; p < count; ++p) {
    const auto put = [all, p](bool there) { all->put(p, there); };
    const auto place = options.places.place(p);
    if (p == home || place.here) {
      if (p == home)
        put(true);
      else
        options.system.await_mark(p, type, revision, others_patience, put);
      continue;
    }
    api_request r{.path = std::string(types_path), .query = {}};
    r.headers = {{forwarded_header, "1"},
                 {partition_header, std::to_string(p)},
                 {type_header, percent_encode(type)},
                 {revision_header, std::to_string(revision)}};
    if (place.address.empty() || !ask(place, r, [put](const api_response& a) { put(a.status == 200); })) put(false);
  }
}

// Another node asks whether a partition that this one leads has heard of a mark.
bool cluster_door::state::tell_heard(const api_request& request, const respond_function& respond) {
  const auto asked = request.headers.find(revision_header);
  const auto of = request.headers.find(partition_header);
  const auto type = request.headers.find(type_header);
  if (asked == request.headers.end() || of == request.headers.end() || type == request.headers.end()) return false;
  const auto number = [](const std::string& text, auto& out) {
    std::from_chars(text.data(), text.data() + text.size(), out);
  };
  std::int32_t partition = -1;
  std::uint64_t revision = 0;
  std::string name;
  number(of->second, partition);
  number(asked->second, revision);
  if (!percent_decode(type->second, false, name) || partition < 0 || partition >= options.places.partitions())
    return false;
  options.system.await_mark(partition, name, revision, others_patience, [partition, respond](bool there) {
    if (there) return respond({.status = 200, .body = "{}\n"});
    respond(to_response(unavailable("partition " + std::to_string(partition) + " has not heard of it yet")));
  });
  return true;
}

}  // namespace pawl::node
