// The durable part of a simulated world: what is here survives everything. Events are kept as the bytes that a real
// journal would keep.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "workflow/command.hpp"
#include "workflow/event.hpp"

namespace pawl::sim {

/// A law of the design does not hold, or the harness itself is wrong.
class law_broken : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
void require(bool holds, const std::string& law);

struct recorded_outcome {
  std::string command_id;
  engine::outcome outcome;
};

/// The newest details of a step's heartbeats; the newest wins.
struct heartbeat_details {
  std::uint32_t step = engine::no_step;
  bool undo = false;
  std::string details;
};

/// What one decision puts on record.
struct journal_entry {
  engine::run_key key = 0;
  std::vector<engine::event> events;
  std::optional<recorded_outcome> outcome{};
  std::optional<heartbeat_details> heartbeat{};
};

class fake_journal {
 public:
  /// Makes it durable. Throws law_broken when the events do not follow what is there.
  void append(const journal_entry& e);

  std::vector<engine::event> history(engine::run_key key) const;
  std::vector<heartbeat_details> heartbeats(engine::run_key key) const;
  const engine::outcome* outcome_of(engine::run_key key, const std::string& command_id) const;
  /// The newest event of a run; none when it has no history.
  std::optional<engine::event_kind> newest(engine::run_key key) const;
  /// The committed start of an attempt; null when there is none.
  const engine::attempt_facts* start_of(engine::run_key key, std::uint32_t step, bool undo,
                                        std::uint32_t attempt) const;
  bool has_event(engine::run_key key, engine::event_kind kind, std::uint32_t step = engine::no_step) const;
  bool has_command(engine::run_key key, const std::string& command_id) const;

  const std::map<engine::event_kind, std::uint64_t>& kinds_seen() const { return kinds_; }

 private:
  struct row {
    std::uint64_t seq = 0;
    engine::time_point at{};
    engine::event_kind kind{};
    std::uint32_t attempt = 0;
    std::string name;
    std::string body;
  };
  struct attempt_key {
    std::uint32_t step = 0;
    bool undo = false;
    std::uint32_t attempt = 0;
    auto operator<=>(const attempt_key&) const = default;
  };
  struct run {
    std::vector<row> rows;
    std::map<attempt_key, engine::attempt_facts> starts;
    std::map<std::pair<std::uint32_t, bool>, std::string> details;
    std::map<std::string, std::uint64_t> commands;
    std::map<std::string, engine::outcome> outcomes;
    std::vector<std::pair<engine::event_kind, std::uint32_t>> kinds;
  };
  void append(run& r, const engine::event& e);

  std::map<engine::run_key, run> runs_;
  std::map<engine::event_kind, std::uint64_t> kinds_;
};

}  // namespace pawl::sim
