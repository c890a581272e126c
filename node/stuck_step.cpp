#include "node/stuck_step.hpp"

#include <map>

#include "workflow/instance.hpp"

namespace pawl::node {

namespace {

/// The oldest open step of one run, if it is older than `best`.
void consider(const store::run_row& row, const store::stored_history& history, const registry& types,
              std::optional<stuck_step>& best) {
  const auto i = engine::make_instance(types.find(row.header.type, row.header.version));
  std::map<std::uint32_t, std::string> names;
  for (const auto& e : history.events) {
    engine::evolve(*i, e);
    if (e.step != engine::no_step && !e.name.empty()) names[e.step] = e.name;
  }
  const auto is_older = [&best](engine::time_point t) { return !best || t < best->since; };
  for (const auto& s : i->steps)
    if (!engine::is_closed(s.status) && is_older(s.first_scheduled))
      best = stuck_step{.workflow_id = row.header.workflow_id,
                        .run = row.header.run,
                        .step = names[s.step],
                        .undo = s.undo,
                        .status = std::string(to_text(s.status)),
                        .attempt = s.attempt,
                        .since = s.first_scheduled,
                        .last_error = s.last_error};
  if (i->lacks_code && is_older(i->last_time))
    best = stuck_step{.workflow_id = row.header.workflow_id,
                      .run = row.header.run,
                      .status = "waiting_for_code",
                      .since = i->last_time};
}

}  // namespace

stuck_look find_oldest_step(store::view& view, const std::vector<engine::run_key>& open, const registry& types) {
  stuck_look out;
  std::size_t runs = 0;
  std::uint64_t events = 0;
  for (const auto key : open) {
    const auto row = view.get(key);
    if (!row || row->summary.closed_at != 0) continue;
    // No step is older than its run, and keys are given out in the order of starts.
    if (out.oldest && engine::from_micros(row->header.started_at) >= out.oldest->since) return out;
    events += row->last_seq;
    if (++runs > most_runs_looked_at || events > most_events_looked_at) return out.complete = false, out;
    consider(*row, view.history(row->key), types, out.oldest);
  }
  return out;
}

}  // namespace pawl::node
