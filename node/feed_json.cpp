#include "node/feed_json.hpp"

#include "node/present.hpp"

namespace pawl::node {

broker::feed_message present_for_feed(const broker::feed_event& e, const registry& types) {
  const auto& run = e.run;
  json out{{"workflow_id", run.workflow_id},
           {"run", run.run},
           {"run_uid", to_text(run.uid)},
           {"type", run.type},
           {"version", run.version}};
  const auto graph =
      e.event.kind == engine::event_kind::compensation_started ? types.find(run.type, run.version) : nullptr;
  if (e.without_payload) {
    auto event = e.event;
    event.payload.clear();
    auto shown = present_event(event, graph.get());
    for (const char* name : {"input", "result", "details", "payload"}) shown.erase(name);
    out.update(shown);
    out["payload_left_out"] = true;
  } else {
    out.update(present_event(e.event, graph.get()));
  }
  return {.value = to_text(out), .time = time_to_text(e.event.at)};
}

}  // namespace pawl::node
