// How a run ends with the next one of its workflow: it continues as new, or is reset. Both are one record.
#include "actors/branch_source.hpp"
#include "actors/workflow_actor.hpp"

namespace pawl::actors {

// The next run is on record with the end of this one; the partition loads it when that is durable.
void workflow_state::begin_successor(const engine::allowance& a, const std::string& command_id, decided& d) {
  successor_ = node_.next_key++;
  const engine::run_uid uid{node_.reign(), node_.next_serial++};
  auto events = std::exchange(kept_, {});
  if (events.empty()) {
    events = engine::next_run(*instance_, a, uid);
  } else {
    auto& f = *events.front().start;
    f.run = instance_->facts.run + 1;
    f.uid = uid;
    f.parent = instance_->facts.parent;
    events.front().command_id = command_id;
    d.answer.outcome.seq = events.front().seq;
    d.answer.run = f.run;
    d.answer.run_uid = to_text(uid);
  }
  auto& next = d.successor.emplace();
  next.key = successor_;
  for (const auto& e : events) {
    next.events.push_back(store::to_row(e));
    d.bytes += next.events.back().body.size() + 64;
  }
  next.last_seq = events.back().seq;
  const auto& f = *events.front().start;
  next.created = store::run_header{.workflow_id = f.workflow_id,
                                   .run = f.run,
                                   .uid = f.uid,
                                   .type = f.type,
                                   .version = f.version,
                                   .started_at = engine::to_micros(events.front().at),
                                   .start_command = events.front().command_id};
  const auto fold = engine::make_instance(nullptr);
  for (const auto& e : events) engine::evolve(*fold, e);
  next.summary = store::run_summary{.phase = fold->phase, .paused = fold->paused};
}

// What the next run begins with is read from the view, so nothing of this one may be on its way there.
void workflow_state::on_reset(std::shared_ptr<command_request> r) {
  resets_.push_back(std::move(r));
  if (in_flight_ == 0) settle_down();
}

void workflow_state::reset_now() {
  while (!resets_.empty() && in_flight_ == 0) {
    auto r = std::move(resets_.front());
    resets_.pop_front();
    if (is_closed(instance_->phase))
      bounced_.push_back(std::move(r));
    else
      reset(*r);
  }
}

void workflow_state::reset(command_request& r) {
  auto& b = std::get<engine::reset_command>(r.command.body);
  sourced_branch found;
  try {
    found = source_branch(*node_.views.borrow(), node_.types,
                          {.workflow_id = instance_->facts.workflow_id,
                           .run = b.run == 0 ? instance_->facts.run : b.run,
                           .version = b.version,
                           .cut = {.seq = b.seq, .signals = b.signals}},
                          node_.limits, node_.time.now());
  } catch (const store::view_error& e) {
    command_reply refusal;
    refusal.state = command_reply::status::unavailable;
    refusal.message = e.what();
    return r.reply.answer(refusal);
  }
  b.run = found.run;
  kept_ = std::move(found.branch.events);
  if (!kept_.empty()) {
    decide(r.command, std::move(r.reply));
    return kept_.clear();
  }
  auto d = record_of({});
  d->answer = answer_to(found.branch.refusal);
  record_outcome(r.command, found.branch.refusal, *d);
  d->reply = std::move(r.reply);
  hand_in(std::move(d));
}

}  // namespace pawl::actors
