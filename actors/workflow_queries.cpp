// What a run's actor does about queries: they look at a state whose every event is committed. While one waits for what
// is in flight nothing new is decided, so that a busy run is asked too.
#include "actors/workflow_actor.hpp"

namespace pawl::actors {

namespace {

query_reply::status status_of(engine::query_answer::status s) {
  switch (s) {
    case engine::query_answer::status::answered:
      return query_reply::status::answered;
    case engine::query_answer::status::failed:
      return query_reply::status::failed;
    default:
      return query_reply::status::invalid;
  }
}

/// Why the code of a run cannot be asked; empty: it can.
std::string obstacle(const engine::instance& i) {
  const auto what = "workflow '" + i.facts.workflow_id + "'";
  if (!i.broken.empty()) return what + " cannot be restored: " + i.broken;
  if (!i.definition || !i.program)
    return what + " waits for its code: this node does not have type " + i.facts.type + " version " +
           std::to_string(i.facts.version);
  if (!same_definition(i))
    return what + " is paused (" + i.pause_cause + "): this node has other code under its type and version";
  if (is_broken(i)) {
    const auto* error = i.program->wants().front().error;
    return what + " is paused (" + std::string(engine::paused_diverged) + "): " + (error ? error->message : "");
  }
  if (is_closed(i.phase) || i.phase == engine::phase::compensating || i.program->has_ended())
    return what + " is " + std::string(to_text(i.phase)) + ": its code has ended, and answers no queries any more";
  return {};
}

}  // namespace

void workflow_state::on_query(std::shared_ptr<query_request>& r) {
  if (unloaded_) on_tick();
  queries_.push_back(std::move(r));
  if (in_flight_ == 0) settle_down();
}

void workflow_state::answer_queries() {
  for (auto& r : std::exchange(queries_, {})) reply_to(std::move(r));
}

void workflow_state::reply_to(std::shared_ptr<query_request> asked) {
  auto& i = *instance_;
  // The partition hears of that with what is behind this, and knows then which run goes on.
  if (i.phase == engine::phase::continued) return self_->send(partition_, ask_query{std::move(asked)});
  const auto& r = *asked;
  query_reply out{.run = i.facts.run, .run_uid = to_text(i.facts.uid), .seq = i.last_seq};
  if (i.paused) out.pause_cause = i.pause_cause;
  out.message = obstacle(i);
  if (!out.message.empty()) {
    out.state = query_reply::status::conflict;
  } else if (!i.facts.code) {
    out.state = query_reply::status::invalid;
    out.message = "the workflow is a graph of steps, which answers no queries; `show` tells what it does";
  } else {
    const auto began = std::chrono::steady_clock::now();
    auto answer = i.program->query(r.name, r.input);
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
    if (took > node_.partition.advance)
      node_.log(log_level::warn,
                "a query handler is too slow, and holds up other runs workflow_id=" + i.facts.workflow_id +
                    " query=" + r.name + " took_ms=" + std::to_string(took.count()));
    out.state = status_of(answer.state);
    out.value = std::move(answer.value);
    out.code = std::move(answer.code);
    out.message = std::move(answer.message);
    if (answer.state == engine::query_answer::status::unknown)
      out.message = "there is no query '" + r.name + "': " + out.message;
    if (out.value.size() > node_.limits.payload) {
      out.state = query_reply::status::too_large;
      out.message = "the answer has " + std::to_string(out.value.size()) + " bytes, limits.payload is " +
                    std::to_string(node_.limits.payload);
      out.value.clear();
    }
  }
  r.on_reply(out);
}

// Runs `what` now, or behind the queries and resets that wait.
void workflow_state::after_queries(std::function<void()> what) {
  if (queries_.empty() && resets_.empty() && held_.empty()) return what();
  held_.push_back(std::move(what));
}

void workflow_state::run_held() {
  while (!held_.empty() && queries_.empty() && resets_.empty()) {
    const auto next = std::move(held_.front());
    held_.pop_front();
    next();
  }
}

}  // namespace pawl::actors
