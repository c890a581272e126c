// decide: what would happen; changes nothing. And `carry_out`, which alternates decide and evolve until nothing
// follows.
//
// A command gives the facts that it causes directly. What follows from a state (the next attempt, a pause,
// compensation, the end) is never part of a command's answer but always derived from the state by `advance`, so a
// history that is cut after ANY event goes on from there when it is folded and advanced.
#pragma once

#include <optional>
#include <vector>

#include "workflow/command.hpp"
#include "workflow/instance.hpp"
#include "workflow/limits.hpp"

namespace pawl::engine {

struct slot_request {
  const instance* run = nullptr;
  std::uint32_t step = no_step;
  bool undo = false;
  bool in_child = false;
  std::uint32_t max_concurrent = 0;
};

/// A type that a child can be started with.
struct child_type {
  std::uint32_t version = 0;
  std::uint64_t digest = 0;
  bool code = false;
  bool operator==(const child_type&) const = default;
};

/// What the partition grants a decision. Slots that are taken for a decision which is then dropped are given back by
/// whoever implements this.
class allowance {
 public:
  virtual ~allowance() = default;
  /// True: a slot is now this attempt's.
  virtual bool take_slot(const slot_request& request) = 0;
  /// Whether a function of that step is still inside a living process although its attempt has ended.
  virtual bool still_running(const instance& run, std::uint32_t step) const = 0;

  /// The type that new runs are of (`version` 0: the one for new runs). None: it is not known here.
  virtual std::optional<child_type> find_type(std::string_view, std::uint32_t) const { return std::nullopt; }

  engine::limits limits;
  policy_defaults defaults;
  engine::incarnation incarnation = 0;
  std::uint64_t epoch = 0;  ///< under which the partition is led; 0: nobody else ever leads it
  bool children = true;  ///< this process can run suspects in child processes
};

struct decision {
  std::vector<event> events;
  engine::outcome outcome;
};

/// The direct effect of `c`. Refusals (invalid, conflict, late, duplicate) have no events.
decision decide(const instance& i, const command& c, const allowance& a, time_point now);

/// The next facts that follow from the state alone; empty when there are none at `now` with these grants.
std::vector<event> advance(const instance& i, allowance& a, time_point now);

struct carried {
  std::vector<event> events;
  engine::outcome outcome;
  std::size_t kept =
      0;  ///< so many of the events, the first ones, are those of another run: nothing is to be done for them
  bool more = false;  ///< stopped at a limit of one decision: call again with `wake` after this is committed
};

/// decide and evolve `c`, then advance and evolve until nothing follows. Event times are max(now, the last event's).
carried carry_out(instance& i, const command& c, allowance& a, time_point now);

/// The first events of the run that goes on where `i` has continued as new: its start, under `uid`, and the signals
/// that nobody has read. `i` is what carry_out has just made of it, and `a` what that was given.
std::vector<event> next_run(const instance& i, const allowance& a, const run_uid& uid);

/// Code that has come to a changed place (wf.changed) behind which nothing is on record takes the new way: that is put
/// on record before anything else. Nothing when there is none.
std::optional<event> change_to_note(const instance& i, const limits& l);

/// Its program cannot follow its history.
bool is_broken(const instance& i);

/// Over its limits no step starts anew and no pause is accepted; what ends the run still is.
bool history_is_full(const instance& i, const limits& l);

/// A decision stops growing here: whatever comes on top of it, one payload each by the command and by the last step
/// that fitted, is within limits.decision.
inline std::size_t decision_bytes(const limits& l) { return l.decision / 4; }

/// What must stand outside of the instance right now.
struct outstanding_work {
  std::vector<const step_state*> attempts;  ///< on record and not ended
  std::optional<time_point> wake_at;        ///< when time alone makes something due
  bool wants_slot = false;                  ///< something is due that no slot was granted for
};
outstanding_work outstanding(const instance& i, const allowance& a, time_point now);

}  // namespace pawl::engine
