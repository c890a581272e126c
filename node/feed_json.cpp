#include "node/feed_json.hpp"

#include "node/json_writer.hpp"
#include "node/present.hpp"

namespace pawl::node {

broker::feed_message present_for_feed(const broker::feed_event& e, const registry& types) {
  constexpr std::size_t usual_size = 512;
  const auto& run = e.run;
  const auto definition =
      e.event.kind == engine::event_kind::compensation_started ? types.find(run.type, run.version) : nullptr;
  broker::feed_message m{.value = {}, .time = time_to_text(e.event.at)};
  m.value.reserve(usual_size + (e.without_payload ? 0 : e.event.payload.size()));
  json_text_writer out(m.value);
  out.begin_object();
  out.member("workflow_id", run.workflow_id);
  out.member("run", run.run);
  out.member("run_uid", plain_text{e.run_uid});
  out.member("type", run.type);
  out.member("version", run.version);
  write_event(e.event, m.time, definition.get(), !e.without_payload, out);
  if (e.without_payload) out.member("payload_left_out", true);
  out.end_object();
  out.finish();
  return m;
}

}  // namespace pawl::node
