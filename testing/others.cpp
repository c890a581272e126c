// What runs ask of each other in an environment: children, signals, the next run of who continues as new. It stands in
// for the outbox: what is on record is delivered, at once, and once.
#include <utility>

#include "testing/world.hpp"

namespace pawl::testing::detail {

using engine::call_end;
using engine::event;
using engine::event_kind;
using engine::return_address;

namespace {

call_end end_of(engine::phase p) {
  switch (p) {
    case engine::phase::completed:
      return call_end::completed;
    case engine::phase::cancelled:
      return call_end::cancelled;
    case engine::phase::killed:
      return call_end::killed;
    default:
      return call_end::failed;
  }
}

std::string name_of(const return_address& call) { return to_text(call.uid) + "/" + std::to_string(call.number); }

}  // namespace

// What an event that is on record has others do.
void world::reach_out(life& r, const event& e) {
  hear(r, e);
  const return_address call{.workflow_id = r.id, .uid = r.state->facts.uid, .number = e.number};
  const auto soon = [&](std::function<void()> f) { agenda.emplace(now, std::move(f)); };
  if (e.kind == event_kind::child_asked && e.child->version != 0) soon([this, call, e] { start_child(call, e); });
  if (e.kind == event_kind::child_dropped && e.cause != to_text(engine::child_policy::abandon))
    soon([this, call, e] { drop_child(call, e); });
  if (e.kind == event_kind::signal_sent && !e.cause.empty()) soon([this, call, e] { tell_other(call, e); });
  const auto& parent = r.state->facts.parent;
  if (is_terminal(e.kind) && !is_handed_on(e.kind) && parent)
    soon([this, to = *parent, how = end_of(r.state->phase), e] { answer(to, how, e.payload, e.error); });
}

void world::answer(const return_address& to, call_end how, std::string payload, std::optional<engine::failure> error) {
  const auto asker = runs.find(to.workflow_id);
  if (asker == runs.end() || is_closed(asker->second->state->phase)) return;
  engine::call_ended end{.run = to.uid, .number = to.number, .end = how};
  if (how == call_end::completed) end.payload = std::move(payload);
  end.error = std::move(error);
  // Sent again after a crash: the number of the call tells a repeat.
  const engine::command c{.id = {}, .body = std::move(end)};
  asker->second->sent.push_back(c);
  say(*asker->second, c);
}

void world::start_child(const return_address& call, const event& e) {
  const auto& c = *e.child;
  const auto refuse = [&](std::string code, std::string message) {
    answer(call, call_end::refused, {},
           engine::failure{.code = std::move(code), .message = std::move(message), .permanent = true});
  };
  if (const auto known = runs.find(c.workflow_id); known != runs.end())
    return refuse("conflict", "there is a run with the id '" + c.workflow_id + "' already");
  const auto definition = types.find(e.name, c.version);
  if (!definition) return refuse("no_such_type", "there is no workflow type '" + e.name + "' in the registry");
  engine::start_command s;
  if (!c.detached) s.facts.parent = call;
  s.facts.deadline = c.deadline;
  s.input = e.payload;
  enter(definition, c.workflow_id, std::move(s));
  if (c.detached) answer(call, call_end::accepted, {}, std::nullopt);
}

void world::drop_child(const return_address& call, const event& e) {
  const auto child = runs.find(e.target);
  if (child == runs.end() || is_closed(child->second->state->phase)) return;
  engine::command c{.id = name_of(call) + "/drop", .body = engine::cancel_command{"its parent does not wait for it"}};
  if (e.cause == to_text(engine::child_policy::kill)) c.body = engine::kill_command{"its parent does not wait for it"};
  c.only_child_of = call;
  child->second->sent.push_back(c);
  say(*child->second, c);
}

void world::tell_other(const return_address& call, const event& e) {
  const auto refuse = [&](std::string code, std::string message) {
    answer(call, call_end::refused, {},
           engine::failure{.code = std::move(code), .message = std::move(message), .permanent = true});
  };
  const auto other = runs.find(e.target);
  if (other == runs.end()) return refuse("not_found", "there is no workflow '" + e.target + "'");
  engine::command c{.id = name_of(call), .body = engine::signal_command{.name = e.name, .payload = e.payload}};
  if (e.cause == engine::sent_cancel) c.body = engine::cancel_command{decode<std::string>(e.payload)};
  auto& r = *other->second;
  const auto process = r.process;
  r.sent.push_back(c);
  const auto outcome = say(r, c);
  using result = engine::command_result;
  const bool taken = outcome.result == result::applied || outcome.result == result::duplicate || process != r.process;
  if (taken) return answer(call, call_end::accepted, {}, std::nullopt);
  std::erase_if(r.sent, [&](const auto& s) { return s.id == c.id; });
  refuse(std::string(to_text(outcome.result)), outcome.message);
}

// The next run takes the place of the one that continues as new; who waits for its end goes on waiting.
void world::renew(life& r, const engine::allowance& a) {
  auto next = engine::next_run(*r.state, a, {.reign = {given.seed, 0}, .serial = ++serial});
  const auto& f = *next.front().start;
  r.definition = types.find(f.type, f.version);
  r.history = std::move(next);
  counts.events += r.history.size();
  ++r.process;
  for (auto n = r.under_way.rbegin(); n != r.under_way.rend(); ++n) give_back(**n);
  r.under_way.clear();
  r.details.clear();
  r.crashes.clear();
  r.replayed_at = 0;
  fold(r);
  std::erase_if(r.sent, [&](const auto& c) { return r.state->applied_at(c.id) == 0; });
  say(r, {});
}

}  // namespace pawl::testing::detail
