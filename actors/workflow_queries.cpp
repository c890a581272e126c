// What a run's actor does about queries: they look at a state whose every event is committed. While one waits for what
// is in flight nothing new is decided, so that a busy run is asked too.
#include "actors/workflow_actor.hpp"

#include "actors/turn.hpp"
#include "workflow/queries.hpp"

namespace pawl::actors {

namespace {

query_reply::status status_of(engine::query_answer::status s) {
  switch (s) {
    case engine::query_answer::status::answered:
      return query_reply::status::answered;
    case engine::query_answer::status::failed:
      return query_reply::status::failed;
    case engine::query_answer::status::conflict:
      return query_reply::status::conflict;
    case engine::query_answer::status::too_large:
      return query_reply::status::too_large;
    default:
      return query_reply::status::invalid;
  }
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
  const auto began = std::chrono::steady_clock::now();
  turn::may_last();
  auto answer = engine::ask(i, r.name, r.input, node_.limits);
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
  if (took > node_.partition.advance)
    node_.log(log_level::warn,
              "a query handler is too slow, and holds up other runs workflow_id=" + i.facts.workflow_id +
                  " query=" + r.name + " took_ms=" + std::to_string(took.count()));
  out.state = status_of(answer.state);
  out.value = std::move(answer.value);
  out.code = std::move(answer.code);
  out.message = std::move(answer.message);
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
