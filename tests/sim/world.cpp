// Time, clients, and the life of the process.
#include "tests/sim/world.hpp"

#include <algorithm>

namespace pawl::sim {

namespace {

constexpr std::uint64_t most_steps = 20'000;  // several times what the longest healthy world takes

}  // namespace

std::string to_text(const attempt_id& id) {
  return "run " + std::to_string(id.key) + (id.undo ? " undo of step " : " step ") + std::to_string(id.step) +
         " attempt " + std::to_string(id.attempt);
}

run_spec graph_run(definition_ptr definition, engine::start_facts facts) {
  run_spec s;
  s.facts = std::move(facts);
  s.definition = definition;
  s.make = [right = definition, other = changed(definition)](code c) {
    return engine::make_instance(c == code::right ? right : c == code::changed ? other : nullptr);
  };
  return s;
}

world::world(world_options options, script& functions)
    : options_(options),
      functions_(functions),
      random_(options.seed),
      now_(engine::from_micros(1'700'000'000'000'000)),
      next_incarnation_(options.incarnation) {
  start_process();
}

world::~world() = default;

run_key world::add(run_spec spec) {
  const auto key = static_cast<run_key>(runs_.size() + 1);
  runs_.emplace(key, std::move(spec));
  return key;
}

void world::put_on_record(run_key key, const std::vector<engine::event>& events) {
  journal_.append({.key = key, .events = events});
  if (!events.empty()) now_ = std::max(now_, events.back().at);
}

void world::recover_all() {
  for (const auto& [key, spec] : runs_)
    if (journal_.newest(key)) load(key);
  append();
  if (on_progress_) on_progress_();
}

void world::at(time_point when, std::function<void()> what) {
  queue_.push({.when = std::max(when, now_), .order = ++order_, .what = std::move(what)});
}

void world::step() {
  require(!queue_.empty(), "everything that can finish does: nothing is left to happen");
  counts_["longest world"] = ++steps_;
  require(steps_ < most_steps, "everything that can finish does: the world does not come to rest");
  auto next = queue_.top();
  queue_.pop();
  now_ = next.when;
  next.what();
  append();
}

void world::run_until(const std::function<bool()>& done) {
  const auto at_rest = [&] { return !partition_.in_flight && partition_.gathered.empty(); };
  while (!done() || !at_rest()) step();
}

bool world::all_closed() const {
  return std::all_of(runs_.begin(), runs_.end(), [&](const auto& r) {
    const auto newest = journal_.newest(r.first);
    return newest && is_terminal(*newest);
  });
}

bool world::all_answered() const {
  return std::all_of(requests_.begin(), requests_.end(), [](const request& r) { return r.answers.size() >= r.wanted; });
}

const engine::instance* world::committed_state(run_key key) const {
  const auto it = partition_.live.find(key);
  return it == partition_.live.end() || it->second.uncommitted > 0 ? nullptr : it->second.state.get();
}

// --- clients ---------------------------------------------------------------------------------------------------------

engine::command world::start_of(run_key key) const {
  const auto& s = runs_.at(key);
  return {.id = "start-" + std::to_string(key), .body = engine::start_command{.facts = s.facts, .input = s.input}};
}

void world::send(run_key key, engine::command command) {
  requests_.push_back({.key = key, .command = std::move(command)});
  deliver(requests_.size() - 1);
}

// The answer comes later, when it is committed; if the node loses the request, the client asks again.
void world::deliver(std::size_t n) {
  if (process_ && !process_->draining) return intake(n);
  after(milliseconds(random_.between(20, 400)), [this, n] { deliver(n); });
}

void world::answer(std::size_t n, const engine::outcome& o) {
  auto& r = requests_[n];
  r.answers.push_back(o);
  count("answers");
  if (!calm_ && r.wanted < 3 && random_.chance(20)) {
    ++r.wanted;
    count("repeated commands");
    after(milliseconds(random_.between(0, 5'000)), [this, n] { deliver(n); });
  }
}

// --- the process
// -------------------------------------------------------------------------------------------------------

code world::code_of(run_key key) const {
  const auto it = process_->has.find(key);
  return it == process_->has.end() ? code::right : it->second;
}

void world::start_process() {
  process_.emplace(next_incarnation_++);
  for (const auto& [key, spec] : runs_) {
    auto c = code::right;
    if (!calm_ && random_.chance(options_.faults.other_code)) c = random_.chance(50) ? code::missing : code::changed;
    if (const auto it = next_code_.find(key); it != next_code_.end()) c = it->second;
    if (c != code::right) count(c == code::missing ? "code missing" : "code changed");
    process_->has[key] = c;
  }
}

// Everything in memory that is not durable is gone, and clients whose answers were owed hear nothing.
void world::forget_partition() {
  ++generation_;
  std::vector<std::size_t> owed;
  if (partition_.in_flight)
    for (const auto& p : *partition_.in_flight)
      if (p.owed) owed.push_back(*p.owed);
  for (const auto& p : partition_.gathered)
    if (p.owed) owed.push_back(*p.owed);
  partition_ = {};
  for (const auto n : owed) after(milliseconds(random_.between(10, 1'000)), [this, n] { deliver(n); });
}

void world::crash(bool in_flight_is_written) {
  if (!process_) return;
  count("crashes");
  if (partition_.in_flight) {
    count(in_flight_is_written ? "crashes after the append" : "crashes before the append");
    if (in_flight_is_written)
      for (const auto& p : *partition_.in_flight) journal_.append(p.entry);
  }
  for (auto& c : calls_)
    if (c.incarnation == process_->incarnation) c.returned = true;
  process_.reset();
  forget_partition();
  after(options_.restart, [this] {
    start_process();
    recover_all();
  });
}

// Attempts under way are interrupted, those without a thread have not begun; then the process ends.
void world::drain() {
  if (!process_ || process_->draining) return;
  count("drains");
  process_->draining = true;
  std::vector<attempt_id> open;
  for (const auto& [id, e] : process_->table)
    if (!e.end) open.push_back(id);
  for (const auto& id : open) {
    const auto it = process_->table.find(id);
    if (it == process_->table.end() || it->second.end) continue;
    end(id, {.end = it->second.call ? engine::attempt_end::interrupted : engine::attempt_end::not_begun,
             .error = engine::failure{.code = "interrupted", .message = "the node stopped"}});
  }
  finish_drain();
}

void world::finish_drain() {
  const auto in = process_->incarnation;
  after(milliseconds(5), [this, in] {
    if (!process_ || process_->incarnation != in) return;
    const bool open =
        std::any_of(process_->table.begin(), process_->table.end(), [](const auto& e) { return !e.second.end; });
    if (open || partition_.in_flight || !partition_.gathered.empty()) return finish_drain();
    crash(false);
    --counts_["crashes"];
  });
}

void world::calm_down() {
  calm_ = true;
  options_.faults = {};
  next_code_.clear();
  const bool wrong = process_ && std::any_of(process_->has.begin(), process_->has.end(),
                                             [](const auto& c) { return c.second != code::right; });
  if (wrong) crash(true);
}

}  // namespace pawl::sim
