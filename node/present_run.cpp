// One run, folded from its history: what it waits for, and what every attempt did when.
#include <deque>
#include <map>
#include <tuple>

#include "node/present.hpp"
#include "workflow/instance.hpp"

namespace pawl::node {

namespace {

using engine::event_kind;

constexpr std::size_t longest_timeline = 10'000;

/// Names of steps as the history has them.
class step_names {
 public:
  void add(const engine::event& e) {
    if (e.step != engine::no_step && !e.name.empty()) names_[e.step] = e.name;
  }
  std::string of(std::uint32_t step) const {
    const auto it = names_.find(step);
    return it == names_.end() ? "#" + std::to_string(step) : it->second;
  }

 private:
  std::map<std::uint32_t, std::string> names_;
};

const char* outcome_of(event_kind k) {
  switch (k) {
    case event_kind::attempt_completed:
      return "completed";
    case event_kind::attempt_failed:
      return "failed";
    case event_kind::attempt_timed_out:
      return "timed_out";
    case event_kind::attempt_lost:
      return "lost";
    case event_kind::attempt_interrupted:
      return "interrupted";
    case event_kind::attempt_not_begun:
      return "not_begun";
    default:
      return nullptr;
  }
}

/// The bars of the run: one entry an attempt, in the order of their starts.
class timeline {
 public:
  void add(const engine::event& e) {
    const std::tuple attempt{e.step, e.undo, e.attempt};
    if (e.kind == event_kind::attempt_started) {
      entries_.push_back(entry(e, "running"));
      if (e.begun && e.begun->in_child) entries_.back()["in_child"] = true;
      running_[attempt] = begun_++;
    } else if (e.kind == event_kind::step_skipped) {
      entries_.push_back(entry(e, "skipped"));
      entries_.back()["ended_at"] = time_to_text(e.at);
      ++begun_;
    } else if (const auto* outcome = outcome_of(e.kind)) {
      end(attempt, e, outcome);
    }
    while (entries_.size() > longest_timeline) entries_.pop_front();
  }
  json take() {
    auto out = json::array();
    for (auto& e : entries_) out.push_back(std::move(e));
    return out;
  }

 private:
  static json entry(const engine::event& e, const char* outcome) {
    return {{"step", e.name.empty() ? "#" + std::to_string(e.step) : e.name},
            {"undo", e.undo},
            {"attempt", e.attempt},
            {"started_at", time_to_text(e.at)},
            {"ended_at", nullptr},
            {"outcome", outcome}};
  }
  void end(const std::tuple<std::uint32_t, bool, std::uint32_t>& attempt, const engine::event& e, const char* outcome) {
    const auto it = running_.find(attempt);
    if (it == running_.end()) return;
    const auto first = begun_ - entries_.size();
    if (it->second >= first) {
      auto& of = entries_[it->second - first];
      of["ended_at"] = time_to_text(e.at);
      of["outcome"] = outcome;
      if (e.error) of["error"] = present_failure(*e.error);
    }
    running_.erase(it);
  }

  std::deque<json> entries_;
  std::map<std::tuple<std::uint32_t, bool, std::uint32_t>, std::size_t> running_;  // the how manyeth entry
  std::size_t begun_ = 0;
};

json present_pending(const engine::instance& i, const step_names& names) {
  auto out = json::array();
  if (engine::is_closed(i.phase)) return out;
  for (const auto& s : i.steps) {
    if (is_over(i, s)) continue;
    json p{{"step", names.of(s.step)}, {"undo", s.undo},       {"status", to_text(s.status)},
           {"attempt", s.attempt},     {"counted", s.counted}, {"max_attempts", s.policy.max_attempts}};
    p["next_retry_at"] = s.status == engine::step_status::waiting ? json(time_to_text(s.due)) : json(nullptr);
    p["last_error"] = s.last_error ? present_failure(*s.last_error) : json(nullptr);
    p["suspect"] = s.suspect;
    if (!s.details.empty()) p["heartbeat"] = to_json(s.details);
    out.push_back(std::move(p));
  }
  return out;
}

json present_pause(const engine::instance& i, const engine::event* paused, const step_names& names) {
  if (!i.paused || paused == nullptr) return nullptr;
  json out{{"cause", i.pause_cause}};
  if (i.pause_step != engine::no_step) {
    out["step"] = names.of(i.pause_step);
    out["undo"] = i.pause_undo;
  }
  out["error"] = paused->error ? present_failure(*paused->error) : json(nullptr);
  out["at"] = time_to_text(paused->at);
  return out;
}

const char* code_state(const engine::instance& i) {
  if (!i.definition) return "missing";
  return engine::same_definition(i) ? "here" : "changed";
}

void add_times(json& out, const engine::instance& i) {
  const auto& f = i.facts;
  out["start_at"] = f.start_at ? json(time_to_text(*f.start_at)) : json(nullptr);
  out["deadline_at"] =
      f.deadline.count() > 0 ? json(time_to_text(f.start_at.value_or(i.started) + f.deadline)) : json(nullptr);
}

}  // namespace

json present_run(const store::run_row& row, const store::stored_history& history, const registry& types) {
  const auto i = engine::make_onlooker(types.find(row.header.type, row.header.version));
  timeline bars;
  step_names names;
  const engine::event* paused = nullptr;
  for (const auto& e : history.events) {
    engine::evolve(*i, e);
    bars.add(e);
    names.add(e);
    if (e.kind == event_kind::run_paused) paused = &e;
  }
  for (const auto& h : history.heartbeats)
    if (auto* s = i->find(h.step, h.undo)) s->details = h.details;

  auto out = present_row(row);
  out["pause"] = present_pause(*i, paused, names);
  out["code"] = code_state(*i);
  add_times(out, *i);
  const auto& broken = history.error.empty() ? i->broken : history.error;
  if (!broken.empty()) out["broken"] = broken;
  out["input"] = to_json(i->input);
  if (!history.events.empty() && engine::is_terminal(history.events.back().kind))
    add_end(out, i->phase, history.events.back().payload, history.events.back().error);
  if (i->stop && !engine::is_closed(i->phase))
    out["stopping"] = {{"cancelled", i->stop->cancelled}, {"error", present_failure(i->stop->error)}};
  out["pending"] = present_pending(*i, names);
  out["timers"] = json::array();
  if (!engine::is_closed(i->phase))
    for (const auto& t : i->timers) out["timers"].push_back({{"timer", t.number}, {"due_at", time_to_text(t.due)}});
  out["calls"] = json::array();
  if (!engine::is_closed(i->phase))
    for (const auto& c : i->calls)
      out["calls"].push_back({{"call", c.number},
                              {"what", c.is_message ? "signal"
                                       : c.is_child ? "child"
                                                    : "start"},
                              {"workflow_id", c.workflow_id}});
  if (const auto& parent = i->facts.parent)
    out["parent"] = {{"workflow_id", parent->workflow_id}, {"run_uid", to_text(parent->uid)}, {"call", parent->number}};
  if (const auto& from = i->facts.origin; from && from->kind != engine::origin_kind::continued)
    out["origin"] = {{"kind", to_text(from->kind)},
                     {"workflow_id", from->workflow_id},
                     {"run", from->run},
                     {"run_uid", to_text(from->uid)},
                     {"seq", from->seq}};
  if (!i->status.empty()) out["status"] = to_json(i->status);
  out["timeline"] = bars.take();
  return out;
}

}  // namespace pawl::node
