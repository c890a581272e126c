// Everything that an instance holds, as text: two instances are the same state when their dumps are equal. Header only:
// tests/workflow uses it too.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>
#include <string>

#include "workflow/instance.hpp"

namespace pawl::sim {

namespace detail {

inline void put(std::ostream& out, const std::optional<engine::failure>& f) {
  if (!f) return void(out << " error=-");
  out << " error=" << f->code << '|' << f->message << '|' << f->permanent << '|'
      << (f->retry_in ? f->retry_in->count() : -1);
}

inline void put(std::ostream& out, const engine::policy& p) {
  out << " policy=" << p.timeout.count() << ',' << p.heartbeat.count() << ',' << p.deadline.count() << ','
      << p.max_attempts << ',' << p.first_delay.count() << ',' << p.factor << ',' << p.max_delay.count() << ','
      << static_cast<int>(p.exhausted) << ',' << static_cast<int>(p.undo);
}

inline void put(std::ostream& out, const engine::start_facts& f) {
  out << " facts=" << f.workflow_id << ',' << f.type << ',' << f.version << ',' << f.digest << ',' << f.run << ','
      << to_text(f.uid) << ',' << (f.start_at ? engine::to_micros(*f.start_at) : -1) << ',' << f.deadline.count();
}

inline void put(std::ostream& out, const engine::step_state& s) {
  out << "\n step " << s.step << (s.undo ? " undo" : "") << " status=" << static_cast<int>(s.status)
      << " unknown=" << s.outcome_unknown << " suspect=" << s.suspect << " child=" << s.in_child
      << " abandoned=" << s.abandoned << " deaths=" << static_cast<int>(s.child_deaths) << " attempt=" << s.attempt
      << " counted=" << s.counted << " token=" << s.token << " closed=" << s.closed_seq << " ended_seq=" << s.ended_seq
      << " incarnation=" << s.incarnation << " scheduled=" << engine::to_micros(s.first_scheduled)
      << " began=" << engine::to_micros(s.began) << " ended=" << engine::to_micros(s.ended)
      << " due=" << engine::to_micros(s.due) << " details=" << s.details;
  put(out, s.policy);
  put(out, s.last_error);
}

inline void put(std::ostream& out, const engine::program& p, std::size_t steps) {
  for (const auto& w : p.wants())
    out << "\n want " << static_cast<int>(w.kind) << ' ' << w.step << ' ' << w.number << ' ' << engine::to_micros(w.due)
        << ' ' << w.text << ' ' << w.seq << ' ' << (w.error ? w.error->message : "");
  for (std::uint32_t k = 0; k < steps; ++k) out << "\n value " << k << ' ' << p.value_of(k);
}

}  // namespace detail

inline std::string dump(const engine::instance& i) {
  std::ostringstream out;
  detail::put(out, i.facts);
  out << "\n input=" << i.input << " start=" << i.start_command << " phase=" << to_text(i.phase)
      << " seq=" << i.last_seq << " bytes=" << i.history_bytes << " time=" << engine::to_micros(i.last_time)
      << " started=" << engine::to_micros(i.started) << " running=" << i.running_attempts << " paused=" << i.paused
      << ' ' << i.pause_cause << ' ' << i.pause_step << ' ' << i.pause_undo << " lacks=" << i.lacks_code
      << " warned=" << i.warned << " broken=" << i.broken << " first_open=" << i.first_open
      << " last_timer=" << i.last_timer << " status=" << i.status;
  for (const auto& t : i.timers) out << "\n timer " << t.number << " due=" << engine::to_micros(t.due);
  for (const auto& u : i.updates) out << "\n update " << u.seq << ' ' << u.name;
  if (i.stop) {
    out << " stop=" << i.stop->cancelled;
    detail::put(out, i.stop->error);
  }
  for (const auto k : i.undo_order) out << " undo " << k;
  if (i.command_ids)
    for (const auto& [id, seq] : std::map<std::string, std::uint64_t>(i.command_ids->begin(), i.command_ids->end()))
      out << "\n command " << id << " -> " << seq;
  for (const auto& s : i.steps) detail::put(out, s);
  for (std::size_t n = 0; n < i.step_index.size(); ++n)
    if (i.step_index[n] >= 0) out << "\n index " << n << ' ' << i.step_index[n];
  if (i.program && same_definition(i) && i.phase != engine::phase::none)
    detail::put(out, *i.program, i.step_index.size() / 2 + 1);
  return out.str();
}

inline std::string dump(const engine::event& e) {
  std::ostringstream out;
  out << e.seq << ' ' << engine::to_micros(e.at) << ' ' << to_text(e.kind);
  if (e.step != engine::no_step)
    out << (e.undo ? " undo of " : " step ") << e.step << " '" << e.name << "' #" << e.attempt;
  if (e.number != 0) out << " number " << e.number << " '" << e.name << '\'';
  if (!e.command_id.empty()) out << " by " << e.command_id;
  if (!e.cause.empty()) out << " because " << e.cause;
  if (!e.payload.empty()) out << " payload " << e.payload;
  if (e.error) detail::put(out, e.error);
  if (e.due) out << " due " << engine::to_micros(*e.due);
  if (e.begun)
    out << " in " << e.begun->incarnation << (e.begun->in_child ? " child" : "")
        << (e.begun->may_still_run ? " may-still-run" : "");
  for (const auto k : e.order) out << " <" << k;
  return out.str();
}

}  // namespace pawl::sim
