// What a run's actor does about commands: those that it knows, those that it decides, and what is recorded of them.
#include "actors/workflow_actor.hpp"

namespace pawl::actors {

namespace {

/// Where the workflow's present run has ended.
bool begins_run(const engine::command& c) {
  return std::holds_alternative<engine::start_command>(c.body) || std::holds_alternative<engine::reset_command>(c.body);
}

}  // namespace

command_reply workflow_state::answer_to(const engine::outcome& o) const {
  command_reply r;
  r.outcome = o;
  r.message = o.message;
  r.run = instance_->facts.run;
  r.run_uid = to_text(instance_->facts.uid);
  r.version = instance_->facts.version;
  return r;
}

// A start or a reset that may become the next run of a workflow id whose present run has ended; anything that is for
// the run which goes on with what this one has continued as new.
bool workflow_state::must_bounce(const command_request& r) const {
  if (instance_->phase == engine::phase::continued) return instance_->applied_at(r.command.id) == 0;
  return begins_run(r.command) && is_closed(instance_->phase) && instance_->applied_at(r.command.id) == 0;
}

void workflow_state::on_deliver(std::shared_ptr<command_request>& r) {
  if (!instance_ && !unloaded_) {
    const auto& start = std::get<engine::start_command>(r->command.body);
    instance_ = engine::make_instance(node_.types.find(start.facts.type, start.facts.version));
    return decide(r->command, std::move(r->reply));
  }
  if (unloaded_) on_tick();
  // Sent before the partition heard of the end, which it has by the time that this is back: it answers from disk.
  if (announced_end_) return self_->send(partition_, request{std::move(r)});
  if (!instance_->broken.empty()) {
    command_reply refusal;
    refusal.state = command_reply::status::invalid;
    refusal.message = "workflow '" + r->workflow_id + "' cannot be restored: " + instance_->broken;
    r->reply.answer(refusal);
    if (in_flight_ == 0) settle_down();
    return;
  }
  if (auto known = known_outcome(*r)) {
    auto d = record_of({});
    d->answer = std::move(*known);
    d->reply = std::move(r->reply);
    return hand_in(std::move(d));
  }
  const auto* start = std::get_if<engine::start_command>(&r->command.body);
  const bool joins = start && start->signal && !is_closed(instance_->phase);  // its signal is for this run
  if (r->on_result && (joins || instance_->applied_at(r->command.id) != 0)) wait_for_result_too(*r);
  if (must_bounce(*r)) return bounced_.push_back(std::move(r));
  const bool again = instance_->applied_at(r->command.id) != 0;
  if (std::holds_alternative<engine::reset_command>(r->command.body) && !again) return on_reset(std::move(r));
  decide(r->command, std::move(r->reply));
}

// What the command came to when it was sent before and caused no event of this run: a repeat must not be decided anew.
std::optional<command_reply> workflow_state::known_outcome(const command_request& r) const {
  const auto& id = r.command.id;
  if (id.empty() || instance_->applied_at(id) != 0) return std::nullopt;
  if (const auto it = refused_.find(id); it != refused_.end()) return answer_to(it->second);
  command_reply answer;
  try {
    auto view = node_.views.borrow();
    const auto known = view->outcome(r.workflow_id, id);
    if (known && known->outcome.result != engine::command_result::applied) return answer_to(known->outcome);
    std::optional<store::run_row> run;
    if (begins_run(r.command)) run = started_before(*view, r.workflow_id, id, instance_->facts.run);
    if (!known && !run) return std::nullopt;
    answer.outcome = {.result = engine::command_result::duplicate,
                      .seq = run ? 1 : known->outcome.seq,
                      .message = run ? "the command started an earlier run of the workflow"
                                     : "the command has been applied to an earlier run"};
    answer.message = answer.outcome.message;
    if (run) {
      answer.run = run->header.run;
      answer.run_uid = to_text(run->header.uid);
      answer.version = run->header.version;
    }
  } catch (const store::view_error& e) {
    answer.state = command_reply::status::unavailable;
    answer.message = e.what();
  }
  return answer;
}

// Who repeats the start of this run waits for its result like the first who asked.
void workflow_state::wait_for_result_too(command_request& r) {
  auto waiter = std::make_shared<result_request>(result_request{
      .workflow_id = r.workflow_id, .run = instance_->facts.run, .on_result = std::exchange(r.on_result, nullptr)});
  r.reply = owed_reply([partition = partition_, waiter,
                        reply = std::make_shared<owed_reply>(std::move(r.reply))](const command_reply& a) {
    reply->answer(a);
    const auto result = a.outcome.result;
    const bool taken = result == engine::command_result::applied || result == engine::command_result::duplicate;
    if (a.state == command_reply::status::recorded && taken) caf::anon_send(partition, await_result{waiter});
  });
}

// Of an applied command too, although its event says it: a repeat may come when that run is over and the next one
// lives. What started a run is said by the run's line.
void workflow_state::record_outcome(const engine::command& c, const engine::outcome& o, decided& d) {
  const bool applied = o.result == engine::command_result::applied;
  if (applied && std::holds_alternative<engine::call_ended>(c.body)) return;  // the call's number tells a repeat
  const auto* start = std::get_if<engine::start_command>(&c.body);
  // A start that comes late finds a run, and is a conflict; a reset would be done again.
  const bool began = applied && o.seq == 1 && start && start->kept.empty();
  if (c.id.empty() || o.result == engine::command_result::duplicate || began) return;
  d.outcomes.push_back({.command_id = c.id,
                        .workflow_id = instance_->facts.workflow_id,
                        .outcome = o,
                        .at = engine::to_micros(node_.time.now())});
  if (applied) return;
  d.refused = c.id;
  refused_[c.id] = o;
}

}  // namespace pawl::actors
