// A list at the door of a cluster: of every partition what its leader says, put together.
#include <algorithm>
#include <charconv>
#include <mutex>
#include <tuple>

#include "node/answer.hpp"
#include "node/api_call.hpp"
#include "node/cluster_door_state.hpp"

namespace pawl::node {

namespace {

/// Answers when the last of the parts is there.
struct gathered {
  std::mutex mutex;
  std::vector<list_page> parts;
  std::size_t missing = 0;
  std::function<void(std::vector<list_page>)> then;
  void put(list_page p) {
    std::vector<list_page> all;
    {
      const std::lock_guard lock(mutex);
      parts.push_back(std::move(p));
      if (--missing > 0) return;
      all = std::move(parts);
    }
    then(std::move(all));
  }
};

list_page to_part(std::int32_t partition, const api_response& r) {
  list_page p{.partition = partition, .status = r.status};
  const auto body = json::parse(r.body, nullptr, false);
  if (r.status >= 400 && r.status < 500 && r.status != 429) p.refusal = r.body;
  if (r.status != 200 || !body.is_object()) return p;
  p.rows = body.value("workflows", json::array());
  p.more = body.contains("next") && !body["next"].is_null();
  for (const auto& [name, value] : r.headers) {
    if (name == stale_header) p.stale_ms = std::strtoll(value.c_str(), nullptr, 10);
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

void cluster_door::state::list_part(std::int32_t partition, const api_request& request,
                                    const std::function<void(list_page)>& then) {
  const auto place = options.places.place(partition);
  auto r = request;
  r.headers[partition_header] = std::to_string(partition);
  auto on_answer = [partition, then](const api_response& a) { then(to_part(partition, a)); };
  if (parameter(request.query, "stale_ok") == "true" && options.places.staleness(partition))
    return stale(partition, std::move(r), on_answer);
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
  all->then = [respond = std::move(respond), from, limit](std::vector<list_page> parts) {
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
    api_response r{.status = 200,
                   .body = to_text({{"workflows", std::move(list)},
                                    {"next", more ? json(cursor) : json(nullptr)},
                                    {"missing_partitions", std::move(missing)}}) +
                           "\n"};
    std::optional<std::int64_t> stale_ms;
    for (const auto& p : parts)
      if (p.stale_ms) stale_ms = std::max(stale_ms.value_or(0), *p.stale_ms);
    if (stale_ms) r.headers[stale_header] = std::to_string(*stale_ms);
    respond(std::move(r));
  };
  if (all->missing == 0) return all->then({});
  for (std::size_t p = 0; p < count; ++p) {
    if (from[p] < 0) continue;
    auto r = request;
    if (from[p] > 0) r.query += (r.query.empty() ? "" : "&") + std::string("cursor=") + std::to_string(from[p]);
    list_part(static_cast<std::int32_t>(p), r, [all](list_page got) { all->put(std::move(got)); });
  }
}

}  // namespace pawl::node
