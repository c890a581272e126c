// What the outside asks of a partition.
#include "actors/partition_actor.hpp"

#include "actors/branch_source.hpp"
#include "workflow/branch.hpp"

namespace pawl::actors {

namespace {

constexpr auto busy_retry = std::chrono::milliseconds(100);
constexpr auto unavailable_retry = std::chrono::milliseconds(1000);

}  // namespace

void partition_state::refuse(command_request& r, command_reply::status state, std::string why,
                             std::chrono::milliseconds retry_after) {
  if (state == command_reply::status::busy) ++counts_.refused_busy;
  command_reply reply;
  reply.state = state;
  reply.message = std::move(why);
  reply.retry_after = retry_after;
  r.reply.answer(reply);
}

// What is wrong with a request that no state could make right; such requests are not recorded.
std::string partition_state::door_check(const command_request& r) const {
  if (r.workflow_id.empty()) return "the workflow id is empty";
  const auto limit = node_.limits.id_length;
  if (r.workflow_id.size() > limit)
    return "the workflow id has " + std::to_string(r.workflow_id.size()) + " bytes, limits.id_length is " +
           std::to_string(limit);
  if (r.command.id.size() > limit)
    return "the command id has " + std::to_string(r.command.id.size()) + " bytes, limits.id_length is " +
           std::to_string(limit);
  const auto* start = std::get_if<engine::start_command>(&r.command.body);
  if (!start) return {};
  if (!start->kept.empty()) {
    const auto definition = node_.types.find(start->facts.type, start->facts.version);
    if (auto wrong = engine::misfit_of_kept(*start, node_.limits, definition, node_.time.now()); !wrong.empty())
      return wrong;
  }
  // One that another node has checked against the type waits for its code here.
  if (start->facts.digest == 0 && !node_.types.find(start->facts.type, start->facts.version))
    return "this node has no workflow type '" + start->facts.type + "' version " + std::to_string(start->facts.version);
  // What decide would refuse: a run whose start is refused would be in memory without being on record.
  if (start->facts.deadline < engine::milliseconds{0} || start->facts.deadline > engine::longest_duration)
    return "the deadline of a run is between 0 and 2,000 years";
  if (start->facts.start_at &&
      (engine::to_micros(*start->facts.start_at) < 0 || *start->facts.start_at > engine::latest_time))
    return "the time of a start is after 1970 and before the year 36000";
  if (start->input.size() > node_.limits.payload)
    return "the input has " + std::to_string(start->input.size()) + " bytes as msgpack, limits.payload is " +
           std::to_string(node_.limits.payload);
  return {};
}

bool partition_state::full() const {
  const auto active = live_.size() - resting_.size();
  // What is due already comes before what is new.
  return active >= (backlog_.empty() ? node_.partition.live : node_.partition.live / 2);
}

void partition_state::on_request(std::shared_ptr<command_request>& r) {
  if (away_ || node_.draining)
    return refuse(*r, command_reply::status::unavailable,
                  node_.draining ? "the node is stopping" : "the journal is away: " + trouble_, unavailable_retry);
  auto wrong = door_check(*r);
  // Whose sender is code hears of it, so it is on record.
  if (!wrong.empty() && r->command.back)
    return answer(r, {.result = engine::command_result::invalid, .message = std::move(wrong)}, nullptr);
  if (!wrong.empty()) return refuse(*r, command_reply::status::invalid, std::move(wrong), {});
  if (const auto id = by_id_.find(r->workflow_id); id != by_id_.end()) {
    if (const auto run = live_.find(id->second); run != live_.end()) return forward(run->second, r);
    return refuse(*r, command_reply::status::busy,
                  "workflow '" + r->workflow_id + "' is being restarted; try again later", busy_retry);
  }
  std::optional<store::run_row> row;
  std::optional<engine::outcome> before;
  const bool start = std::holds_alternative<engine::start_command>(r->command.body);
  try {
    if (node_.may_exist(r->workflow_id)) row = node_.views.borrow()->find(r->workflow_id);
    if (!row && !start) before = known_outcome(*r);
  } catch (const store::view_error& e) {
    return refuse(*r, command_reply::status::unavailable, e.what(), unavailable_retry);
  }
  if (row) return on_known(r, *row);
  if (start) return begin_run(r, 1);
  if (before && before->result == engine::command_result::applied) before->result = engine::command_result::duplicate;
  if (before) return answer(r, std::move(*before), nullptr, false);
  answer(r, {.result = engine::command_result::not_found, .message = "there is no workflow '" + r->workflow_id + "'"},
         nullptr);
}

void partition_state::begin_run(std::shared_ptr<command_request>& r, std::uint32_t run) {
  if (full())
    return refuse(*r, command_reply::status::busy,
                  "the node has limits.live_workflows runs under way (" + std::to_string(node_.partition.live) +
                      "); try again later",
                  busy_retry);
  if (r->on_result && waiting_ >= node_.partition.waiters)
    return refuse(
        *r, command_reply::status::busy,
        "limits.waiters callers wait for results (" + std::to_string(node_.partition.waiters) + "); try again later",
        busy_retry);
  auto& start = std::get<engine::start_command>(r->command.body);
  const auto definition = node_.types.find(start.facts.type, start.facts.version);
  start.facts.workflow_id = r->workflow_id;
  start.facts.run = run;
  start.facts.uid = {journal_.reign(), node_.next_serial++};
  if (definition && start.kept.empty()) {
    start.facts.digest = definition->digest;
    start.facts.code = definition->as_code() != nullptr;
    if (start.facts.deadline.count() == 0 && definition->options.deadline)
      start.facts.deadline = *definition->options.deadline;
  }
  const auto key = node_.next_key++;
  if (r->on_result) {
    waiters_[key].push_back(std::exchange(r->on_result, nullptr));
    ++waiting_;
  }
  auto& live = spawn({.key = key}, r->workflow_id);
  ++counts_.started;
  ++live.sent;
  self_->send(live.actor, deliver{std::move(r)});
}

void partition_state::forward(live_run& run, std::shared_ptr<command_request>& r) {
  // Its run knows what is on record, but not what is on its way there from here.
  if (auto known = outcome_in_flight(*r)) return answer(r, std::move(*known), nullptr, false);
  wake(run);
  ++run.sent;
  self_->send(run.actor, deliver{std::move(r)});
}

void partition_state::on_known(std::shared_ptr<command_request>& r, const store::run_row& row) {
  if (row.summary.closed_at != 0) return answer_closed(r, row);
  if (auto* run = load(row.key, row.header.workflow_id)) forward(*run, r);
}

// A command for a run that is closed: a repeat gets the answer it had, a start may begin the next run.
void partition_state::answer_closed(std::shared_ptr<command_request>& r, const store::run_row& row) {
  const auto& id = r->command.id;
  const bool start = std::holds_alternative<engine::start_command>(r->command.body);
  const bool resets = std::holds_alternative<engine::reset_command>(r->command.body);
  try {
    std::optional<store::run_row> started;
    if (!id.empty() && id == row.header.start_command) started = row;
    if ((start || resets) && !started)
      started = started_before(*node_.views.borrow(), r->workflow_id, id, row.header.run);
    if (started) {
      if (start && r->on_result) tell_end(*started, std::move(r->on_result));
      return answer(r,
                    {.result = engine::command_result::duplicate,
                     .seq = 1,
                     .message = "the workflow has been started by this command already"},
                    &*started);
    }
    if (auto known = known_outcome(*r)) return answer_again(r, std::move(*known), row);
    const bool failed = row.summary.phase != engine::phase::completed;
    if (start && (r->closed_id == engine::closed_id_policy::allow ||
                  (failed && r->closed_id == engine::closed_id_policy::allow_if_failed)))
      return begin_run(r, row.header.run + 1);
    if (resets) return reset_closed(r, row);
    if (!id.empty() && !start)
      for (const auto& e : node_.views.borrow()->history(row.key).events)
        if (e.command_id == id)
          return answer(r,
                        {.result = engine::command_result::duplicate,
                         .seq = e.seq,
                         .message = "the command has been applied already"},
                        &row);
  } catch (const store::view_error& e) {
    return refuse(*r, command_reply::status::unavailable, e.what(), unavailable_retry);
  }
  answer(r,
         {.result = engine::command_result::conflict,
          .message = "workflow '" + r->workflow_id + "' is " + std::string(to_text(row.summary.phase)) + " already"},
         &row);
}

// The next run begins with events of an earlier one. May throw store::view_error.
void partition_state::reset_closed(std::shared_ptr<command_request>& r, const store::run_row& newest) {
  const auto& asked = std::get<engine::reset_command>(r->command.body);
  auto found = source_branch(*node_.views.borrow(), node_.types,
                             {.workflow_id = r->workflow_id,
                              .run = asked.run,
                              .version = asked.version,
                              .cut = {.seq = asked.seq, .signals = asked.signals}},
                             node_.limits, node_.time.now());
  if (found.branch.events.empty()) return answer(r, std::move(found.branch.refusal), &newest);
  r->command.body = start_of(std::move(found.branch));
  if (auto wrong = door_check(*r); !wrong.empty())
    return answer(r, {.result = engine::command_result::invalid, .message = std::move(wrong)}, &newest);
  begin_run(r, newest.header.run + 1);
}

// An outcome that is on record. Of one that was applied only the seq is known, not of which run; reads one event.
void partition_state::answer_again(std::shared_ptr<command_request>& r, engine::outcome known,
                                   const store::run_row& newest) {
  if (known.result != engine::command_result::applied) return answer(r, std::move(known), &newest, false);
  const auto event = node_.views.borrow()->history(newest.key, known.seq, 1).events;
  const bool here = !event.empty() && event.front().command_id == r->command.id;
  known.result = engine::command_result::duplicate;
  known.message = here ? "the command has been applied already" : "the command has been applied to an earlier run";
  answer(r, std::move(known), here ? &newest : nullptr);
}

std::optional<engine::outcome> partition_state::outcome_in_flight(const command_request& r) const {
  if (answering_.empty() || r.command.id.empty()) return std::nullopt;
  const auto it = answering_.find({r.workflow_id, r.command.id});
  const auto in_flight = it == answering_.end() ? nullptr : it->second.lock();
  return in_flight ? std::optional(in_flight->answer.outcome) : std::nullopt;
}

// What the command came to when it was sent before and reached no run.
std::optional<engine::outcome> partition_state::known_outcome(const command_request& r) {
  if (r.command.id.empty()) return std::nullopt;
  if (auto known = outcome_in_flight(r)) return known;
  const auto row = node_.views.borrow()->outcome(r.workflow_id, r.command.id);
  return row ? std::optional(row->outcome) : std::nullopt;
}

// Answers a command that reaches no run, once its outcome is on record; `fresh`: it is not yet.
void partition_state::answer(std::shared_ptr<command_request>& r, engine::outcome outcome, const store::run_row* row,
                             bool fresh) {
  auto d = std::make_shared<decided>();
  d->generation = generation_;
  d->answer.outcome = std::move(outcome);
  d->answer.message = d->answer.outcome.message;
  if (row) {
    d->answer.run = row->header.run;
    d->answer.run_uid = to_text(row->header.uid);
    d->answer.version = row->header.version;
  }
  if (fresh && d->answer.outcome.result != engine::command_result::duplicate && !r->command.id.empty()) {
    d->outcomes.push_back({.command_id = r->command.id,
                           .workflow_id = r->workflow_id,
                           .outcome = d->answer.outcome,
                           .at = engine::to_micros(node_.time.now())});
    note_answering(r->workflow_id, r->command.id, d);
  }
  if (fresh && node_.pack)
    if (const auto told = engine::answer_to_caller(r->command, d->answer.outcome))
      d->messages.push_back(node_.pack(*told));
  d->reply = std::move(r->reply);
  d->committed = [](std::shared_ptr<decided> done) { done->reply.answer(done->answer); };
  node_.commits->submit(std::move(d));
}

// Its outcome is not on record yet: a repeat that comes meanwhile gets the same.
void partition_state::note_answering(const std::string& workflow_id, const std::string& command_id,
                                     const std::shared_ptr<decided>& d) {
  if (answering_.size() >= swept_at_) {
    std::erase_if(answering_, [](const auto& a) { return a.second.expired(); });
    swept_at_ = 2 * answering_.size() + 1024;
  }
  answering_[{workflow_id, command_id}] = d;
}

// Of the run that goes on with what `row` has continued as new, where it has.
void partition_state::tell_end(store::run_row row, result_function f) {
  row = newest_life(*node_.views.borrow(), std::move(row));
  if (row.summary.closed_at != 0) return f(result_of(row));
  if (waiting_ >= node_.partition.waiters)
    return f({.workflow_id = row.header.workflow_id, .run = row.header.run, .state = run_result::status::busy});
  waiters_[row.key].push_back(std::move(f));
  ++waiting_;
}

run_result partition_state::result_of(const store::run_row& row) {
  run_result out{.phase = row.summary.phase, .workflow_id = row.header.workflow_id, .run = row.header.run};
  const auto last = node_.views.borrow()->history(row.key, row.last_seq, 1);
  if (last.events.empty()) return out;
  out.payload = last.events.back().payload;
  out.error = last.events.back().error;
  return out;
}

void partition_state::on_await(std::shared_ptr<result_request>& r) {
  run_result answer{.workflow_id = r->workflow_id, .run = r->run};
  const auto id = by_id_.find(r->workflow_id);
  if (id != by_id_.end() && r->run == 0) {
    if (waiting_ >= node_.partition.waiters) {
      answer.state = run_result::status::busy;
      return r->on_result(answer);
    }
    waiters_[id->second].push_back(std::move(r->on_result));
    ++waiting_;
    return;
  }
  try {
    std::optional<store::run_row> row;
    {
      auto view = node_.views.borrow();
      row = r->run == 0 ? view->find(r->workflow_id) : view->find(r->workflow_id, r->run);
    }
    if (row && (row->summary.closed_at != 0 || !broken_)) return tell_end(std::move(*row), std::move(r->on_result));
    answer.state = away_ ? run_result::status::unavailable : run_result::status::not_found;
  } catch (const store::view_error&) {
    answer.state = run_result::status::unavailable;
  }
  r->on_result(answer);
}

void partition_state::on_describe(const describe_run& m) {
  const auto id = by_id_.find(m.body->workflow_id);
  const auto run = id == by_id_.end() ? live_.end() : live_.find(id->second);
  if (run == live_.end()) return m.body->on_description({});
  self_->send(run->second.actor, m);
}

// Runs with attempts elsewhere are never idle, so those that wait for one are in memory, or due to be.
void partition_state::on_ended_elsewhere(ended_elsewhere& m) {
  auto& r = *m.body;
  command_reply reply;
  if (away_ || to_reload_.contains(r.key)) {
    reply.state = command_reply::status::unavailable;
    return r.reply.answer(reply);
  }
  auto it = live_.find(r.key);
  if (it == live_.end()) {
    std::optional<store::run_row> row;
    try {
      row = node_.views.borrow()->get(r.key);
    } catch (const store::view_error&) {
      reply.state = command_reply::status::unavailable;
      return r.reply.answer(reply);
    }
    // Closed, or lost with the tail of a log: nobody waits for it.
    if (!row || row->summary.closed_at != 0 || row->header.uid != r.uid) return r.reply.answer(reply);
    load(r.key, row->header.workflow_id);
    it = live_.find(r.key);
  }
  wake(it->second);
  ++it->second.sent;
  self_->send(it->second.actor, std::move(m));
}

void partition_state::on_nodes_changed() {
  for (auto& run : live_) self_->send(run.second.actor, nodes_changed{});
}

}  // namespace pawl::actors
