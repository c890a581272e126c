// Answers to updates, and those who wait for them; and queries on their way to the code.
//
// Whoever waits is put on the list before the history is searched: what is answered before that is found, and what is
// answered later is told by the run's actor. A run needs not be in memory for it.
#include "actors/partition_actor.hpp"

namespace pawl::actors {

namespace {

constexpr std::size_t events_at_once = 256;
/// Runs of one id that are searched for the one that an update was applied to.
constexpr std::uint32_t most_runs_searched = 1'000;

update_answer of_event(const answer_request& r, std::uint32_t run, const engine::event& e) {
  return {.state = update_answer::status::answered,
          .workflow_id = r.workflow_id,
          .run = run,
          .seq = e.seq,
          .value = e.payload,
          .error = e.error};
}

std::optional<update_answer> find_answer(store::view& view, const store::run_row& row, const answer_request& r) {
  for (auto from = r.seq + 1; from <= row.last_seq;) {
    const auto part = view.history(row.key, from, events_at_once);
    if (part.events.empty()) break;
    for (const auto& e : part.events)
      if (e.kind == engine::event_kind::update_answered && e.answers == r.seq) return of_event(r, row.header.run, e);
    from = part.events.back().seq + 1;
  }
  return std::nullopt;
}

/// The run that the update was applied to.
std::optional<store::run_row> find_run(store::view& view, const answer_request& r) {
  if (r.run != 0) return view.find(r.workflow_id, r.run);
  auto row = view.find(r.workflow_id);
  for (std::uint32_t n = 0; row && n < most_runs_searched; ++n) {
    const auto event = view.history(row->key, r.seq, 1).events;
    if (!event.empty() && event.front().command_id == r.command_id) return row;
    if (row->header.run <= 1) break;
    row = view.find(r.workflow_id, row->header.run - 1);
  }
  return std::nullopt;
}

}  // namespace

void partition_state::on_await_answer(std::shared_ptr<answer_request>& r) {
  update_answer answer{.workflow_id = r->workflow_id, .run = r->run};
  if (away_) return r->on_answer(answer);
  try {
    auto view = node_.views.borrow();
    const auto row = find_run(*view, *r);
    if (!row) {
      answer.state = update_answer::status::not_found;
      return r->on_answer(answer);
    }
    if (auto found = find_answer(*view, *row, *r)) return r->on_answer(*found);
    if (row->summary.closed_at != 0) {
      answer.state = update_answer::status::ended;
      answer.run = row->header.run;
      answer.phase = row->summary.phase;
      return r->on_answer(answer);
    }
    if (waiting_ >= node_.partition.waiters) sweep_answers();
    if (waiting_ >= node_.partition.waiters) {
      answer.state = update_answer::status::busy;
      return r->on_answer(answer);
    }
    r->run = row->header.run;
    answer_waiters_[row->key].push_back(std::move(r));
    ++waiting_;
  } catch (const store::view_error&) {
    r->on_answer(answer);
  }
}

void partition_state::on_answered(const answered& m) {
  const auto it = answer_waiters_.find(m.key);
  if (it == answer_waiters_.end()) return;
  for (const auto& e : m.events)
    waiting_ -= std::erase_if(it->second, [&](const auto& w) {
      if (w->seq != e->answers) return false;
      w->on_answer(of_event(*w, w->run, *e));
      return true;
    });
  if (it->second.empty()) answer_waiters_.erase(it);
}

void partition_state::sweep_answers() {
  for (auto& waiters : answer_waiters_)
    waiting_ -= std::erase_if(waiters.second, [](const auto& w) { return w->wanted && !w->wanted(); });
  std::erase_if(answer_waiters_, [](const auto& w) { return w.second.empty(); });
}

void partition_state::end_answers(engine::run_key key, update_answer::status how, engine::phase phase) {
  const auto it = answer_waiters_.find(key);
  if (it == answer_waiters_.end()) return;
  const auto waiters = std::move(it->second);
  answer_waiters_.erase(it);
  waiting_ -= waiters.size();
  for (const auto& w : waiters)
    w->on_answer({.state = how, .workflow_id = w->workflow_id, .run = w->run, .phase = phase});
}

// The journal is open again: what was in flight is on record after all, or never was.
void partition_state::look_for_answers() {
  auto waiters = std::move(answer_waiters_);
  answer_waiters_.clear();
  for (auto& [key, list] : waiters) {
    waiting_ -= list.size();
    for (auto& w : list) on_await_answer(w);
  }
}

void partition_state::on_query(const ask_query& m) {
  const auto refuse = [&](query_reply::status state, std::string why) {
    m.body->on_reply({.state = state, .message = std::move(why)});
  };
  const auto& id = m.body->workflow_id;
  if (away_ || node_.draining)
    return refuse(query_reply::status::unavailable,
                  node_.draining ? "the node is stopping" : "the journal is away: " + trouble_);
  const auto pass_on = [&](live_run& run) {
    wake(run);
    ++run.sent;
    self_->send(run.actor, m);
  };
  if (const auto known = by_id_.find(id); known != by_id_.end())
    if (const auto run = live_.find(known->second); run != live_.end()) return pass_on(run->second);
  try {
    std::optional<store::run_row> row;
    if (node_.may_exist(id)) row = node_.views.borrow()->find(id);
    if (!row) return refuse(query_reply::status::not_found, "there is no workflow '" + id + "'");
    if (row->summary.closed_at != 0)
      return refuse(query_reply::status::conflict, "workflow '" + id + "' is " +
                                                       std::string(to_text(row->summary.phase)) +
                                                       ": its code has ended, and answers no queries any more");
    auto* run = load(row->key, id);
    if (run) return pass_on(*run);
    refuse(query_reply::status::busy, "workflow '" + id + "' is being restarted; try again later");
  } catch (const store::view_error& e) {
    refuse(query_reply::status::unavailable, e.what());
  }
}

}  // namespace pawl::actors
