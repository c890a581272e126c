#include "node/cluster_report.hpp"

#include <algorithm>
#include <map>
#include <mutex>

#include "node/answer.hpp"
#include "node/present.hpp"
#include "node/stuck_step.hpp"

namespace pawl::node {

namespace {

json lag(std::int64_t n) { return n < 0 ? json(nullptr) : json(n); }

json present_stuck(const stuck_look& look) {
  if (!look.oldest) return nullptr;
  const auto& s = *look.oldest;
  json out{{"workflow_id", s.workflow_id},
           {"run", s.run},
           {"step", s.step},
           {"undo", s.undo},
           {"status", s.status},
           {"attempt", s.attempt},
           {"since", time_to_text(s.since)},
           {"complete", look.complete}};
  const auto age = engine::time_point::clock::now() - s.since;
  out["age_ms"] = std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::milliseconds>(age).count());
  out["last_error"] = s.last_error ? present_failure(*s.last_error) : json(nullptr);
  return out;
}

store::view_counts counts_in(const json& runs) {
  return {.open = number_at(runs, "open"), .paused = number_at(runs, "paused"), .closed = number_at(runs, "closed")};
}

void add(store::view_counts& sum, const store::view_counts& c) {
  sum.open += c.open;
  sum.paused += c.paused;
  sum.closed += c.closed;
}

/// Answers when the last of the nodes has, or has not.
struct gathered_rows {
  std::mutex mutex;
  json rows;
  std::size_t missing = 0;
  std::function<void(json)> then;

  void put(const std::vector<std::int32_t>& asked_for, const json& answer) {
    json whole;
    {
      const std::lock_guard lock(mutex);
      for (const auto& theirs : part_at(answer, "partitions")) take(asked_for, theirs);
      if (--missing > 0) return;
      whole = std::move(rows);
    }
    then(std::move(whole));
  }

 private:
  // Only of what that node itself says that it leads: it may have lost it meanwhile.
  void take(const std::vector<std::int32_t>& asked_for, const json& theirs) {
    if (!flag_at(theirs, "here")) return;
    const auto p = static_cast<std::int32_t>(number_at(theirs, "partition"));
    if (std::find(asked_for.begin(), asked_for.end(), p) == asked_for.end()) return;
    auto& ours = rows.at(static_cast<std::size_t>(p));
    ours = theirs;
    ours["here"] = false;
    ours["answered"] = true;
  }
};

}  // namespace

json cluster_report::row(const partition_report_row& r) const {
  auto followers = json::array();
  for (const auto& f : r.followers)
    followers.push_back({{"node", f.node}, {"name", f.name}, {"state", f.state}, {"lag", lag(f.lag)}});
  json out{{"partition", r.place.partition},
           {"leader", r.place.node},
           {"leader_name", r.place.name},
           {"address", r.place.address},
           {"here", r.place.here},
           {"answered", r.place.here},
           {"state", r.state},
           {"since_ms", r.since.count()},
           {"epoch", r.epoch},
           {"standbys", r.standbys},
           {"followers", std::move(followers)},
           {"journal_end", lag(r.journal_end)},
           {"command_lag", lag(r.command_lag)},
           {"view_lag", lag(r.view_lag)},
           {"feed_lag", lag(r.feed_lag)},
           {"outbox_waiting", lag(r.outbox_waiting)},
           {"diverged_from", r.diverged_from},
           {"trouble", r.trouble},
           {"runs", nullptr},
           {"oldest_step", nullptr}};
  return out;
}

void cluster_report::add_own(json& row, std::int32_t partition) const {
  try {
    const auto view = places_.open_view(partition);
    if (!view) return;
    row["runs"] = present_counts(view->counts());
    const auto open = places_.oldest_open(partition, most_runs_looked_at + 1);
    row["oldest_step"] = present_stuck(find_oldest_step(*view, open, types_));
  } catch (const store::view_error& e) {
    row["trouble"] = e.what();
  }
}

json cluster_report::own_rows() const {
  auto rows = json::array();
  for (const auto& r : places_.partition_rows()) {
    rows.push_back(row(r));
    if (r.place.here) add_own(rows.back(), r.place.partition);
  }
  return rows;
}

void cluster_report::all_rows(std::function<void(json rows)> then) const {
  const auto all = std::make_shared<gathered_rows>();
  all->rows = own_rows();
  all->then = std::move(then);
  std::map<std::string, std::vector<std::int32_t>> leaders;
  for (const auto& r : all->rows)
    if (const auto address = text_at(r, "address"); !flag_at(r, "here") && !address.empty())
      leaders[address].push_back(static_cast<std::int32_t>(number_at(r, "partition")));
  if (leaders.empty()) return all->then(std::move(all->rows));
  all->missing = leaders.size();
  for (const auto& [address, partitions] : leaders) {
    auto done = [all, partitions](const config::outcome<api_response, transport_error>& got) {
      all->put(partitions, got && got.value().status == 200 ? json::parse(got.value().body, nullptr, false) : json());
    };
    const bool asked = forwarder_.ask({.node = {.address = address, .token = token_},
                                       .what = {.path = "/v1/partitions", .query = "scope=node"},
                                       .timeout = report_patience,
                                       .done = done});
    if (!asked) all->put(partitions, nullptr);
  }
}

cluster_counts cluster_report::count(const json& rows) {
  cluster_counts out;
  for (const auto& r : rows) {
    ++out.partitions;
    const auto& runs = part_at(r, "runs");
    if (!runs.is_object()) {
      out.missing.push_back(static_cast<std::int32_t>(number_at(r, "partition")));
      continue;
    }
    add(out.all, counts_in(runs));
    if (!flag_at(r, "here")) continue;
    ++out.led;
    add(out.own, counts_in(runs));
  }
  return out;
}

}  // namespace pawl::node
