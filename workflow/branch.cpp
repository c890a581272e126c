#include "workflow/branch.hpp"

#include <algorithm>

#include "workflow/instance.hpp"

namespace pawl::engine {

namespace {

branch refuse(command_result result, std::string message) {
  return {.events = {}, .refusal = {.result = result, .seq = 0, .message = std::move(message)}};
}

std::string event_text(const event& e) {
  return "event " + std::to_string(e.seq) + " (" + std::string(to_text(e.kind)) + ")";
}

std::string first_open_call(const instance& i, const std::vector<event>& history, std::uint64_t& asked) {
  const auto& call = i.calls.front();
  for (const auto& e : history)
    if (e.number == call.number && (e.kind == event_kind::child_asked || e.kind == event_kind::signal_sent))
      asked = e.seq;
  return (call.is_message ? "a message to" : "the start of") + (" workflow '" + call.workflow_id + "'");
}

/// Where a later event answers the call: from there on it can be kept.
std::string when_answered(const instance& i, const std::vector<event>& history, std::uint64_t asked) {
  const auto number = i.calls.front().number;
  for (const auto& e : history)
    if (e.seq > asked && e.number == number && e.kind > event_kind::child_asked &&
        e.kind <= event_kind::signal_answered && e.kind != event_kind::signal_sent)
      return ", or an event from " + std::to_string(e.seq) + " on";
  return {};
}

/// What the other run had from earlier ones, as far as it is kept, and then itself.
run_origin origin_of(const start_facts& from, const branch_request& asked) {
  run_origin out{
      .kind = asked.kind, .uid = from.uid, .seq = asked.seq, .workflow_id = from.workflow_id, .run = from.run};
  if (!from.origin || from.origin->kind == origin_kind::continued) return out;
  auto parts = from.origin->earlier;
  parts.push_back({.uid = from.origin->uid,
                   .seq = from.origin->seq,
                   .workflow_id = from.origin->workflow_id,
                   .run = from.origin->run});
  for (auto& part : parts) {
    part.seq = std::min(part.seq, asked.seq);
    if (out.earlier.empty() || part.seq > out.earlier.back().seq) out.earlier.push_back(part);
  }
  return out;
}

/// The deadline that was asked for, without what earlier resets have added.
milliseconds asked_deadline(const start_facts& f) {
  return f.deadline - (f.origin ? f.origin->longer : milliseconds{0});
}

// What was asked for counts from its start, or from the time for which that was asked; here, from now.
milliseconds gone_by(const event& start, time_point now) {
  const auto& f = *start.start;
  if (f.deadline.count() == 0) return milliseconds{0};
  const auto from = std::max(start.at, f.start_at.value_or(start.at));
  const auto gone = std::chrono::duration_cast<milliseconds>(now - from);
  return std::clamp(gone, milliseconds{0}, longest_duration - asked_deadline(f));
}

/// Whether event `e` can be of this graph, behind what is folded: its steps have these names, and begin when those
/// before them are closed.
std::string misfit_of_graph(const instance& i, const pawl::detail::graph_definition& graph, const event& e) {
  const auto not_of = [&](const std::string& what) {
    return event_text(e) + " is not of version " + std::to_string(i.facts.version) + ": " + what;
  };
  for (const auto k : e.order)
    if (k >= graph.steps.size() || !graph.steps[k].undo) return not_of("it has no undo for step #" + std::to_string(k));
  const bool of_step = e.kind >= event_kind::step_scheduled && e.kind <= event_kind::step_skipped;
  if (!of_step || e.step == no_step) return {};
  if (e.step >= graph.steps.size()) return not_of("it has no step #" + std::to_string(e.step));
  const auto& name = graph.steps[e.step].name;
  if (name != e.name && !e.name.empty())
    return not_of("its step #" + std::to_string(e.step) + " is '" + name + "', not '" + e.name + "'");
  const bool begins = e.kind == event_kind::step_scheduled || e.kind == event_kind::attempt_started;
  if (e.undo || !begins || !i.program) return {};
  for (const auto& w : i.program->wants())
    if (w.kind == want_kind::step && w.step == e.step) return {};
  return not_of("step '" + name + "' has steps before it that are not done");
}

void add(std::vector<event>& events, event e) {
  e.seq = events.back().seq + 1;
  e.at = std::max(e.at, events.back().at);
  events.push_back(std::move(e));
}

}  // namespace

branch branch_of(const std::vector<event>& history, const branch_request& asked, const limits& l, time_point now) {
  const auto n = static_cast<std::size_t>(asked.seq);
  if (history.empty() || asked.seq == 0 || n > history.size())
    return refuse(command_result::invalid, "the run has no event " + std::to_string(asked.seq) + "; it has 1 to " +
                                               std::to_string(history.size()));
  if (is_terminal(history[n - 1].kind))
    return refuse(command_result::invalid,
                  event_text(history[n - 1]) + " ends the run; the last that can be kept is " + std::to_string(n - 1));
  branch out;
  out.events.assign(history.begin(), history.begin() + static_cast<std::ptrdiff_t>(n));
  const auto fold = make_instance(nullptr);
  std::size_t bytes = 0;
  for (const auto& e : out.events) {
    evolve(*fold, e);
    bytes += size_of(e);
  }
  if (!fold->broken.empty())
    return refuse(command_result::conflict, "the history cannot be followed to there: " + fold->broken);
  if (!fold->calls.empty()) {
    std::uint64_t at = 0;
    const auto what = first_open_call(*fold, history, at);
    return refuse(command_result::conflict, "at event " + std::to_string(n) + " the run waits for the answer to " +
                                                what + " (event " + std::to_string(at) +
                                                "), which is for that run alone; choose an event before " +
                                                std::to_string(at) + when_answered(*fold, history, at));
  }
  auto& start = out.events.front();
  auto& facts = *start.start;
  const auto deadline = asked_deadline(facts);
  const auto longer = gone_by(start, now);
  facts.origin = origin_of(facts, asked);
  facts.origin->longer = longer;
  if (facts.origin->earlier.size() >= most_kept_parts)
    return refuse(command_result::too_large, "its history is pieced together from " + std::to_string(most_kept_parts) +
                                                 " runs already; choose an earlier event");
  facts.deadline = deadline + longer;
  start.command_id.clear();
  if (asked.type) {
    facts.version = asked.type->version;
    facts.digest = asked.type->digest;
    facts.code = asked.type->code;
  }
  for (const auto& s : fold->steps) {
    if (s.status != step_status::running) continue;
    event e;
    e.kind = event_kind::attempt_not_begun;
    e.step = s.step;
    e.undo = s.undo;
    e.attempt = s.attempt;
    for (const auto& k : out.events)
      if (k.kind == event_kind::attempt_started && k.step == s.step && k.undo == s.undo) e.name = k.name;
    bytes += size_of(e);
    add(out.events, std::move(e));
  }
  if (asked.signals && is_code_phase(*fold))
    for (auto k = n; k < history.size(); ++k)
      if (history[k].kind == event_kind::signal_received) {
        bytes += size_of(history[k]);
        add(out.events, history[k]);
      }
  if (bytes > l.decision)
    return refuse(command_result::too_large, "what is kept has " + std::to_string(bytes) +
                                                 " bytes, limits.decision is " + std::to_string(l.decision) +
                                                 "; choose an earlier event, or raise it");
  return out;
}

std::string misfit_of_kept(const start_command& s, const limits& l,
                           const std::shared_ptr<const pawl::detail::workflow_definition>& definition, time_point now) {
  if (s.kept.empty()) return {};
  if (s.kept.front().kind != event_kind::run_started) return "the events that are kept do not begin with a start";
  if (s.kept.back().at > now + most_kept_ahead)
    return "the last event that is kept is " +
           std::to_string(std::chrono::duration_cast<std::chrono::seconds>(s.kept.back().at - now).count()) +
           " s ahead of this node's clock";
  const auto* graph = definition && definition->digest == s.facts.digest ? definition->as_graph() : nullptr;
  const auto fold = make_instance(graph ? definition : nullptr);
  std::size_t bytes = 0;
  for (auto e : s.kept) {
    if (e.kind == event_kind::run_started) e.start = s.facts;
    if (graph)
      if (auto wrong = misfit_of_graph(*fold, *graph, e); !wrong.empty()) return wrong;
    evolve(*fold, e);
    bytes += size_of(e);
  }
  if (!fold->broken.empty()) return "the events that are kept cannot be followed: " + fold->broken;
  if (is_closed(fold->phase) || fold->running_attempts > 0 || !fold->calls.empty())
    return "the events that are kept end with something under way";
  if (bytes > l.decision)
    return "what is kept has " + std::to_string(bytes) + " bytes, limits.decision is " + std::to_string(l.decision);
  return {};
}

}  // namespace pawl::engine
