#include "testing/world.hpp"

#include <algorithm>

#include "workflow/ids.hpp"

namespace pawl::testing::detail {

using engine::attempt_end;
using engine::command;
using engine::event;
using engine::event_kind;
using engine::instance;
using engine::step_status;

namespace {

/// A run that is told in vain that it is time, so often: a mistake in the engine, told instead of hanging the test.
constexpr int idle_wakes = 1'000;

constexpr std::uint64_t incarnation_of_tests = 1;

bool same_wants(const instance& a, const instance& b) {
  const auto x = a.program->wants(), y = b.program->wants();
  return std::equal(x.begin(), x.end(), y.begin(), y.end(), [](const engine::want& m, const engine::want& n) {
    return m.kind == n.kind && m.step == n.step && m.number == n.number && m.due == n.due && m.text == n.text;
  });
}

}  // namespace

/// Slots for one decision.
class world::granted final : public engine::allowance {
 public:
  explicit granted(const world& w) : types_(w.types), left_(w.given.slots) {
    for (const auto& r : w.runs) {
      const auto taken = r.second->state ? r.second->state->running_attempts : 0;
      left_ -= std::min(left_, taken);
    }
    incarnation = incarnation_of_tests;
    limits.history_events = w.given.history_events;
    children = false;
  }
  bool take_slot(const engine::slot_request&) override {
    if (left_ == 0) return false;
    --left_;
    return true;
  }
  bool still_running(const instance&, std::uint32_t) const override { return false; }
  std::optional<engine::child_type> find_type(std::string_view type, std::uint32_t version) const override {
    const auto d = version == 0 ? types_.latest(type) : types_.find(type, version);
    if (!d) return std::nullopt;
    return engine::child_type{.version = d->options.version, .digest = d->digest, .code = d->as_code() != nullptr};
  }
  std::uint32_t left() const { return left_; }

 private:
  const registry& types_;
  std::uint32_t left_;
};

life& world::find(const std::string& id) { return *runs.at(id); }

script* world::find_script(const std::string& step, bool undo) {
  const auto at = scripts.find({step, undo});
  return at == scripts.end() ? nullptr : &at->second;
}

std::string world::story() const {
  std::string out;
  if (given.faults) out = "seed " + std::to_string(given.seed) + " (PAWL_TEST_SEED=" + std::to_string(given.seed) + ")";
  const auto add = [&](const std::string& where, const std::string& variable, std::uint64_t event) {
    if (event == 0) return;
    const auto number = std::to_string(event);
    out += (out.empty() ? "" : ", ") + ("crash " + where) + " event " + number + " (" + variable + "=" + number + ")";
  };
  add("after", "PAWL_TEST_CRASH_AFTER", given.crash_after);
  add("before", "PAWL_TEST_CRASH_BEFORE", given.crash_before);
  return out;
}

std::string world::context_of(const life& r) const {
  const auto told = story();
  return (told.empty() ? "" : "\n" + told) + "\nhistory of '" + r.id + "':\n" + history_text(r.history);
}

double world::drawn(std::string_view what, std::uint64_t a, std::uint64_t b) const {
  const auto seed = engine::stable_hash(what, given.seed * 0x9e3779b97f4a7c15ULL + a * 1'000'003 + b);
  return static_cast<double>(seed >> 11) / static_cast<double>(std::uint64_t{1} << 53);
}

// --- runs ------------------------------------------------------------------------------------------------------------

life& world::begin(std::string_view type, std::string input, const type_descriptor* input_type,
                   const start_options& o) {
  auto definition = o.version == 0 ? types.latest(type) : types.find(type, o.version);
  if (!definition)
    throw std::invalid_argument("there is no workflow type '" + std::string(type) + "'" +
                                (o.version == 0 ? "" : " version " + std::to_string(o.version)) + " in the registry");
  if (input_type && definition->input && input_type->name != definition->input->name)
    throw std::invalid_argument("workflow type '" + std::string(type) + "' takes " + definition->input->name +
                                ", and is started with " + input_type->name);
  const auto id = o.id.empty() ? std::string(type) + "-" + std::to_string(serial + 1) : o.id;
  if (runs.contains(id)) throw std::invalid_argument("there is a run with the id '" + id + "' already");
  engine::start_command s;
  s.facts.deadline = o.deadline.value_or(engine::milliseconds{0});
  if (o.delay) s.facts.start_at = now + *o.delay;
  s.input = std::move(input);
  return enter(std::move(definition), id, std::move(s));
}

// What a partition does about a start.
life& world::enter(std::shared_ptr<const pawl::detail::workflow_definition> definition, const std::string& id,
                   engine::start_command s) {
  auto r = std::make_unique<life>();
  r->id = id;
  r->definition = definition;
  r->state = engine::make_instance(definition);
  s.facts.workflow_id = id;
  s.facts.type = definition->type;
  s.facts.version = definition->options.version;
  s.facts.digest = definition->digest;
  s.facts.code = definition->as_code() != nullptr;
  s.facts.uid = {.reign = {given.seed, 0}, .serial = ++serial};
  if (s.facts.deadline.count() == 0) s.facts.deadline = definition->options.deadline.value_or(engine::milliseconds{0});
  auto& begun = *runs.emplace(id, std::move(r)).first->second;
  ask(begun, std::move(s));
  return begun;
}

void world::ask(life& r, decltype(command::body) body) {
  const command c{.id = "command-" + std::to_string(++r.commands), .body = std::move(body)};
  const auto process = r.process;
  r.sent.push_back(c);
  const auto outcome = say(r, c);
  using result = engine::command_result;
  if (outcome.result == result::applied || outcome.result == result::duplicate || process != r.process) return;
  std::erase_if(r.sent, [&](const auto& s) { return s.id == c.id; });
  throw mismatch("the command is refused, " + std::string(to_text(outcome.result)) + ": " + outcome.message +
                 context_of(r));
}

// One decision, and what follows from it.
engine::outcome world::say(life& r, const command& c) {
  if (given.faults && !r.history.empty() &&
      drawn("evict " + r.id, r.history.size(), counts.evictions) < given.faults->evicts) {
    ++counts.evictions;
    fold(r);
  }
  granted a(*this);
  auto out = engine::carry_out(*r.state, c, a, now);
  if (!r.state->broken.empty())
    throw mismatch("the engine has decided what cannot follow: " + r.state->broken + context_of(r));
  const auto process = r.process;
  const bool died = keep(r, std::move(out.events));
  if (!died && process == r.process && r.state->phase == engine::phase::continued)
    renew(r, a);
  else if (!died && process == r.process && out.more)
    say(r, {});
  return out.outcome;
}

// Puts events on record; true: the node has died meanwhile.
bool world::keep(life& r, std::vector<event> events) {
  const auto before = r.history.size();
  counts.events += events.size();
  for (auto& e : events) r.history.push_back(std::move(e));
  if (const auto at = crash_among(r, before, r.history.size())) {
    // What they have others do is delivered once it is on record, whoever delivers it.
    for (auto n = before; n < *at; ++n) reach_out(r, r.history[n]);
    crash(r, *at);
    return true;
  }
  check_replay(r);
  const auto process = r.process;
  for (auto n = before; n < r.history.size() && process == r.process; ++n) {
    reach_out(r, r.history[n]);
    if (r.history[n].kind == event_kind::attempt_started) launch(r, r.history[n]);
  }
  return false;
}

// How much is on record when the node dies on its way through these events; nothing: it does not.
std::optional<std::uint64_t> world::crash_among(life& r, std::uint64_t before, std::uint64_t after) {
  const auto strikes = [&](std::string_view what, std::uint64_t seq, std::uint64_t asked) {
    const bool drawn_now = given.faults && drawn(what, seq, engine::stable_hash(r.id)) < given.faults->crashes / 2;
    return (seq == asked || drawn_now) && r.crashes.insert({seq, what == "before"}).second;
  };
  for (auto seq = before + 1; seq <= after; ++seq) {
    if (seq > 1 && strikes("before", seq, given.crash_before)) return seq - 1;
    if (is_terminal(r.history[seq - 1].kind)) return std::nullopt;
    if (strikes("after", seq, given.crash_after)) return seq;
  }
  return std::nullopt;
}

void world::crash(life& r, std::uint64_t after) {
  ++counts.crashes;
  counts.events -= r.history.size() - after;
  r.history.resize(after);
  ++r.process;
  // What was to become of attempts that nobody hears of any more comes to the next ones.
  for (auto a = r.under_way.rbegin(); a != r.under_way.rend(); ++a) give_back(**a);
  r.under_way.clear();
  fold(r);
  const auto mine = r.process;
  std::vector<engine::attempt_ended> lost;
  for (const auto& s : r.state->steps)
    if (s.status == step_status::running)
      lost.push_back({.step = s.step, .undo = s.undo, .attempt = s.attempt, .end = attempt_end::lost});
  for (auto& end : lost) {
    if (r.process != mine) return;
    say(r, {.id = {}, .body = std::move(end)});
  }
  for (const auto& c : std::vector<command>(r.sent)) {
    if (r.process != mine) return;
    send_again(r, c);
  }
  if (r.process == mine) say(r, {});
}

// Frames are made anew from the history.
std::unique_ptr<instance> world::replayed(const life& r) const {
  auto fresh = engine::make_instance(r.definition);
  for (const auto& e : r.history) engine::evolve(*fresh, e);
  if (engine::is_broken(*fresh))
    throw mismatch("the code does something else when it is replayed: " +
                   fresh->program->wants().front().error->message + context_of(r));
  for (const auto& [key, text] : r.details)
    if (auto* s = fresh->find(key.first, key.second)) s->details = text;
  return fresh;
}

// Code that is not the same in every replay shows here, at the event where it differs.
void world::check_replay(life& r) {
  const auto events = r.history.size();
  const bool due = events <= replayed_always || events * 10 >= r.replayed_at * 11 || is_closed(r.state->phase);
  if (!due || events == r.replayed_at || !r.state->program) return;
  r.replayed_at = events;
  auto fresh = replayed(r);
  if (!same_wants(*r.state, *fresh))
    throw mismatch("the code does something else when it is replayed: it asked for " + in_words(wants_text(*r.state)) +
                   ", and in the replay for " + in_words(wants_text(*fresh)) +
                   ". It may read a clock, random numbers, a global or the environment" + context_of(r));
  // Its log lines are told once; the frames made first are as good as these.
  r.state = std::move(fresh);
}

// --- time ------------------------------------------------------------------------------------------------------------

bool world::step_until(engine::time_point until) {
  const granted a(*this);
  life* next = nullptr;
  std::optional<engine::time_point> wake;
  for (const auto& entry : runs) {
    auto& r = *entry.second;
    if (is_closed(r.state->phase)) continue;
    const auto work = engine::outstanding(*r.state, a, now);
    if (work.wants_slot && a.left() > 0) {
      const auto before = r.history.size();
      say(r, {});
      if (r.history.size() != before) return true;
    }
    if (work.wake_at && (!wake || *work.wake_at < *wake)) {
      wake = work.wake_at;
      next = &r;
    }
  }
  const bool planned = !agenda.empty() && (!wake || agenda.begin()->first <= *wake);
  if (!planned && !wake) return false;
  const auto at = planned ? agenda.begin()->first : *wake;
  if (at > until) return false;
  now = std::max(now, at);
  if (planned) {
    const auto f = std::move(agenda.begin()->second);
    agenda.erase(agenda.begin());
    f();
    woken_in_vain = 0;
    return true;
  }
  const auto before = next->history.size();
  say(*next, {});
  woken_in_vain = next->history.size() == before ? woken_in_vain + 1 : 0;
  if (woken_in_vain > idle_wakes) throw mismatch("the run wakes up and does nothing, for ever" + context_of(*next));
  return true;
}

}  // namespace pawl::testing::detail
