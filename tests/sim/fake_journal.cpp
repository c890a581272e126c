#include "tests/sim/fake_journal.hpp"

#include <algorithm>

#include "tests/sim/dump.hpp"
#include "workflow/event_codec.hpp"

namespace pawl::sim {

void require(bool holds, const std::string& law) {
  if (!holds) throw law_broken(law);
}

void fake_journal::append(run& r, const engine::event& e) {
  const auto last = r.rows.empty() ? 0 : r.rows.back().seq;
  require(e.seq == last + 1, "contiguous order: " + dump(e) + " is appended after event " + std::to_string(last));
  require(r.rows.empty() || e.at >= r.rows.back().at, "event time runs backwards at " + dump(e));
  if (!e.command_id.empty())
    require(r.commands.emplace(e.command_id, e.seq).second && !r.outcomes.contains(e.command_id),
            "one outcome a command: " + dump(e) + " has one already");
  if (e.kind == engine::event_kind::attempt_started) {
    r.starts[{e.step, e.undo, e.attempt}] = *e.begun;
    const auto d = r.details.find({e.step, e.undo});
    require(e.payload == (d == r.details.end() ? std::string{} : d->second), "the details on record go to " + dump(e));
  }
  row w{.seq = e.seq, .at = e.at, .kind = e.kind, .attempt = e.attempt, .name = e.name, .body = {}};
  engine::encode_body(e, w.body);
  r.rows.push_back(std::move(w));
  r.kinds.emplace_back(e.kind, e.step);
  ++kinds_[e.kind];
}

void fake_journal::append(const journal_entry& entry) {
  auto& r = runs_[entry.key];
  for (const auto& e : entry.events) append(r, e);
  if (entry.outcome) {
    const auto& id = entry.outcome->command_id;
    require(r.outcomes.emplace(id, entry.outcome->outcome).second && !r.commands.contains(id),
            "one outcome a command: " + id + " has one already");
  }
  if (entry.heartbeat) r.details[{entry.heartbeat->step, entry.heartbeat->undo}] = entry.heartbeat->details;
}

std::vector<engine::event> fake_journal::history(engine::run_key key) const {
  std::vector<engine::event> out;
  const auto it = runs_.find(key);
  if (it == runs_.end()) return out;
  for (const auto& w : it->second.rows) {
    engine::event e;
    e.kind = w.kind;
    e.seq = w.seq;
    e.at = w.at;
    e.attempt = w.attempt;
    e.name = w.name;
    const auto error = engine::decode_body(w.body, e);
    require(error.empty(), "event " + std::to_string(w.seq) + " does not decode: " + error);
    out.push_back(std::move(e));
  }
  return out;
}

std::vector<heartbeat_details> fake_journal::heartbeats(engine::run_key key) const {
  std::vector<heartbeat_details> out;
  if (const auto it = runs_.find(key); it != runs_.end())
    for (const auto& [of, details] : it->second.details) out.push_back({of.first, of.second, details});
  return out;
}

const engine::outcome* fake_journal::outcome_of(engine::run_key key, const std::string& command_id) const {
  const auto it = runs_.find(key);
  if (it == runs_.end()) return nullptr;
  const auto at = it->second.outcomes.find(command_id);
  return at == it->second.outcomes.end() ? nullptr : &at->second;
}

std::optional<engine::event_kind> fake_journal::newest(engine::run_key key) const {
  const auto it = runs_.find(key);
  if (it == runs_.end() || it->second.rows.empty()) return std::nullopt;
  return it->second.rows.back().kind;
}

const engine::attempt_facts* fake_journal::start_of(engine::run_key key, std::uint32_t step, bool undo,
                                                    std::uint32_t attempt) const {
  const auto it = runs_.find(key);
  if (it == runs_.end()) return nullptr;
  const auto at = it->second.starts.find({step, undo, attempt});
  return at == it->second.starts.end() ? nullptr : &at->second;
}

bool fake_journal::has_event(engine::run_key key, engine::event_kind kind, std::uint32_t step) const {
  const auto it = runs_.find(key);
  if (it == runs_.end()) return false;
  return std::any_of(it->second.kinds.begin(), it->second.kinds.end(),
                     [&](const auto& k) { return k.first == kind && (step == engine::no_step || k.second == step); });
}

bool fake_journal::has_command(engine::run_key key, const std::string& command_id) const {
  const auto it = runs_.find(key);
  return it != runs_.end() && (it->second.commands.contains(command_id) || it->second.outcomes.contains(command_id));
}

}  // namespace pawl::sim
