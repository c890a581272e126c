// The ordered durable record of one partition, as the actors see it. The embedded form is one SQLite file that is
// journal and view at once; the Kafka form (broker/) writes the same records to a topic.
//
// One thread appends. A record is atomic: all of it is durable, or none.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "workflow/command.hpp"
#include "workflow/event.hpp"
#include "workflow/instance.hpp"
#include "workflow/version_choice.hpp"

namespace pawl::store {

/// When a run has to be in memory: at once, at a time, or only when somebody asks.
inline constexpr std::int64_t wake_now = 0;
inline constexpr std::int64_t wake_never = INT64_MAX;

/// One event, ready to be bound: its body is encoded by the actor that decided it, not by the thread that writes.
struct event_row {
  std::uint64_t seq = 0;
  std::int64_t at = 0;  ///< microseconds since the epoch
  engine::event_kind kind{};
  std::uint32_t attempt = 0;
  std::string step;  ///< name; empty: not of a step
  std::string body;  ///< engine::encode_body
  bool undo = false; ///< of the step's undo; for people who read the tables: the body says it too
};
event_row to_row(const engine::event& e);

/// A run's line in the list of runs, apart from what never changes.
struct run_summary {
  engine::phase phase = engine::phase::running;
  bool paused = false;
  std::int64_t wake_at = wake_now;  ///< microseconds since the epoch; meaningless once closed
  std::int64_t closed_at = 0;       ///< 0: open
  bool operator==(const run_summary&) const = default;
};

/// What never changes about a run.
struct run_header {
  std::string workflow_id;
  std::uint32_t run = 1;
  engine::run_uid uid;
  std::string type;
  std::uint32_t version = 1;
  std::int64_t started_at = 0;
  std::string start_command;
};

/// What one batch adds to one run.
struct run_change {
  engine::run_key key = 0;
  std::optional<run_header> created{};    ///< the run's first batch
  std::vector<event_row> events;          ///< contiguous
  std::optional<run_summary> summary{};   ///< when it differs from what was last written, or `created`
  std::uint64_t last_seq = 0;             ///< after this change
};

/// The newest heartbeat details of a running attempt; the newest wins, and they go when the run closes.
struct heartbeat_row {
  engine::run_key key = 0;
  std::uint32_t step = 0;
  bool undo = false;
  std::string details;
};

/// The outcome of a command that caused no event.
struct outcome_row {
  std::string command_id;
  std::string workflow_id;
  engine::outcome outcome;
  std::int64_t at = 0;
};

/// Where in a log behind it the view stands: its last record, by which it is found again, and how far the fence has
/// come.
struct log_point {
  std::int64_t offset = -1;  ///< of the last record; -1: none
  std::uint64_t epoch = 0;
  engine::reign reign;
  std::uint64_t seq = 0;
  bool released = false;  ///< the leader of `epoch` has given the partition up
  bool operator==(const log_point&) const = default;
};
struct log_position {
  log_point at;
  std::uint32_t crc = 0;       ///< of the record there
  std::int64_t commands = -1;  ///< offset of the topic of commands below which all are dealt with; -1: none was
  log_point feed;              ///< the events up to there are published
  bool operator==(const log_position&) const = default;
};

/// A message to another partition, which waits here until it is acknowledged. Its bytes are the broker's affair.
struct outbox_row {
  std::int32_t to = 0;
  std::uint64_t number = 0;  ///< 1, 2, … for each `to`; 0: the journal gives it one
  engine::reign reign{};     ///< of the record that caused it; the journal fills it in
  std::string message{};
  bool operator==(const outbox_row&) const = default;
};
/// All messages to `to` below that number are acknowledged, and forgotten.
struct outbox_ack {
  std::int32_t to = 0;
  std::uint64_t below = 1;
  bool operator==(const outbox_ack&) const = default;
};
/// What was applied of another partition's messages: up to `number`, the last of them caused under `reign`. A record
/// has one for each stretch of one reign, in order, so that who folds them knows under which reign each number was
/// applied.
struct receive_mark {
  std::int32_t from = 0;
  std::uint64_t number = 0;  ///< 0: none was
  engine::reign reign{};
  enum class state : std::uint8_t {
    in_order,
    diverged,  ///< a number came again under another reign: nothing more is applied
    any,       ///< the next is taken whatever its number
  };
  state what = state::in_order;
  bool operator==(const receive_mark&) const = default;
};
/// Of so many stretches the store knows where each begins; of older numbers the reign is forgotten.
inline constexpr std::size_t most_stretches = 16;
struct receive_stretch {
  std::uint64_t first = 1;
  std::uint64_t last = 0;
  engine::reign reign{};
  bool operator==(const receive_stretch&) const = default;
};
/// All that is kept of one other partition's messages; the oldest stretch first.
struct receive_state {
  std::int32_t from = 0;
  receive_mark::state what = receive_mark::state::in_order;
  std::vector<receive_stretch> stretches{};
  std::uint64_t number() const { return stretches.empty() ? 0 : stretches.back().last; }
  bool operator==(const receive_state&) const = default;

  /// The mark comes next. True: a stretch has begun; false: the newest has grown, or the state has changed.
  bool fold(const receive_mark& m);
};
/// What a partition has to do with the others; empty where there are none.
struct outbox_changes {
  std::vector<outbox_row> messages;
  std::vector<outbox_ack> acknowledged;
  std::vector<receive_mark> received;
  bool empty() const { return messages.empty() && acknowledged.empty() && received.empty(); }
};

/// All of it, as it stands.
struct outbox_lane_row {
  std::int32_t to = 0;
  std::uint64_t given_below = 1;         ///< the next number
  std::uint64_t acknowledged_below = 1;  ///< messages from there on are kept
  bool operator==(const outbox_lane_row&) const = default;
};
struct outbox_state {
  std::vector<outbox_lane_row> lanes{};
  std::vector<receive_state> received{};
};

struct record {
  std::vector<run_change> runs;
  std::vector<heartbeat_row> heartbeats;
  std::vector<outcome_row> outcomes;
  outbox_changes outbox{};
  std::vector<engine::type_mark> marks{};  ///< which versions new runs get, from now on
  bool empty() const {
    return runs.empty() && heartbeats.empty() && outcomes.empty() && outbox.empty() && marks.empty();
  }
};

enum class append_status : std::uint8_t {
  committed,
  refused,  ///< nothing of it is durable and the journal is as it was (a conflict, a constraint): a bug or a race; see
            ///< message
  no_space,  ///< outcome unknown; reopen and fold; goes on when space returns
  unknown,  ///< an error of a write or a sync: outcome unknown; reopen and fold
  deposed,  ///< another node leads, or is to: never reopened by who appends
  broken,  ///< the disk fails (EIO) or the file is corrupt: the node must stop, and check the integrity at the next
           ///< start
};

struct append_result {
  append_status status = append_status::committed;
  std::string message;  ///< what happened, to which file, and what to do; empty when committed
};

class journal {
 public:
  virtual ~journal() = default;
  /// Blocks until `r` is durable or has failed. Never called again after anything but committed/refused until reopen().
  /// An empty record is a barrier: committed, it proves that this journal's owner led all the time since the call.
  /// Where there can be no other (the embedded form, whose directory is locked) it costs nothing.
  virtual append_result append(record r) = 0;
  /// As append(). `meanwhile`, which does not throw, is called once while the record is on its way, or before it is:
  /// what the thread has to do that does not rest on it. Not called where the record cannot be sent at all.
  virtual append_result append_beside(record r, const std::function<void()>& meanwhile) {
    meanwhile();
    return append(std::move(r));
  }
  /// What append() has left for when there is nothing to append: the appending thread has nothing else to do. Anything
  /// but committed is as if of an append.
  virtual append_result settle() { return {}; }
  /// Waits until views show all that append() has returned for, mostly as long as a write to the disk takes. Any
  /// thread, also the one that appends, between its appends. Not under a lock that this one takes in what it calls
  /// back. Throws view_error where they will not, or not within seconds.
  virtual void await_views() {}
  /// True: what views do not show yet may begin a run of that id. Any thread.
  virtual bool may_begin(std::string_view /*workflow_id*/) const { return false; }
  /// Closes and opens anew, under a new reign. committed: may be appended to again.
  virtual append_result reopen() = 0;
  /// Of the present opening.
  virtual engine::reign reign() const = 0;
  /// ... and under which epoch; 0: where there can be no other.
  virtual std::uint64_t epoch() const { return 0; }
  /// The first run key that has not been given out. Keys are given out by the caller, in order.
  virtual engine::run_key next_run_key() const = 0;
  /// Time of the newest event on record, 0 when there is none: event time never runs backwards.
  virtual std::int64_t last_event_time() const = 0;
};

}  // namespace pawl::store
