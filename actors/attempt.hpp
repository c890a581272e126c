// One attempt of one step: what its function needs, and how it ended. And the node's table of them.
//
// The table belongs to the node, not to any actor: an attempt is entered before its function starts and leaves when the
// batch that records its end is committed, so a result outlives a failed batch or a dead actor and is handed in again.
//
//     entered --execute()--> running --function returns--> [settle] ended, heard by the listener --commit--> left
//                              |---- overdue, given up --> ended, the function lingers until it returns ----|
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <pawl/definition.hpp>
#include <pawl/step_context.hpp>

#include "actors/blocking_pool.hpp"
#include "actors/slots.hpp"
#include "workflow/command.hpp"

namespace pawl::actors {

struct attempt_id {
  engine::run_key key = 0;
  engine::run_uid uid{};  ///< of the run: after a log has lost its tail another one may have the key
  std::uint32_t step = engine::no_step;
  bool undo = false;
  std::uint32_t attempt = 0;
  bool operator==(const attempt_id&) const = default;
};

/// Everything that a function is called with.
struct attempt_call {
  std::shared_ptr<const pawl::detail::workflow_definition> definition;
  std::shared_ptr<const pawl::detail::invoke_function> invoke;  ///< of a step
  std::shared_ptr<const pawl::detail::undo_function> undo;  ///< of an undo
  pawl::detail::attempt_facts facts;
  std::vector<std::string> arguments;
  std::optional<std::string> result;  ///< of the step, for its undo
  std::vector<engine::event> history;  ///< only for code in a child process, which finds its functions by it
};

/// What a function did, as a value.
struct call_result {
  bool ok = false;
  std::string result;
  engine::failure error;
};

/// Calls the user's function; whatever it throws becomes a failure. Any thread.
call_result run_function(const attempt_call& c, step_context& context) noexcept;

/// Hears of an attempt, on any thread. Must not block.
class attempt_listener {
 public:
  virtual ~attempt_listener() = default;
  virtual void ended(const engine::attempt_ended& end) = 0;
  /// Details that are due to be recorded.
  virtual void heartbeat(std::uint32_t step, bool undo, std::string details) = 0;
  /// The function of an attempt that had been given up has returned.
  virtual void returned() = 0;
  /// Of the state that it speaks for: once another generation has begun, the table takes nothing from it.
  virtual std::uint64_t generation() const = 0;
};

class attempt_table;

/// The end of an attempt of a partition that this node does not lead any more: it is for the node that does.
struct orphan_end {
  std::int32_t partition = 0;
  attempt_id id;
  std::string workflow_id;
  engine::attempt_ended end;
  std::optional<std::string> details{};  ///< of its newest heartbeat, where nobody has recorded them
};
/// Called on any thread. Must not block.
using orphan_function = std::function<void(const orphan_end&)>;

/// Ends exactly once: by its function, by the clock, or by whoever gives it up.
class attempt final : public pool_task, public pawl::detail::attempt_port {
 public:
  struct watch {
    std::chrono::milliseconds timeout{};
    std::optional<std::chrono::milliseconds> heartbeat{};
  };
  attempt(attempt_id id, attempt_call call, watch w, bool in_child, slot s, std::shared_ptr<attempt_table> table);

  /// Calls the function on this thread. A result that comes too late is counted and dropped.
  void execute() noexcept override;
  void overdue(overdue_kind kind) noexcept override;
  void heartbeat(std::optional<std::string> details) override;
  void log(log_level level, std::string_view text) override;

  /// Called, on any thread, when settle() may have something to do; at once if it has ended already. Set once, before
  /// its function starts.
  void on_signal(std::function<void()> signal);

  enum class settled : std::uint8_t { no, ended, timed_out, before };
  /// Ends it if its function has returned or its time is over. timed_out: this call did, and its thread may hang. Any
  /// thread.
  settled settle();
  /// Ends it and asks the function to stop. False: it had ended before.
  bool give_up(engine::attempt_end how, engine::failure error);
  /// What a child process reported; then settle().
  void report(call_result r);
  void request_stop() { stop_.request_stop(); }
  std::stop_token stop_token() const { return stop_.get_token(); }
  void release_slot();
  bool has_ended() const { return ended_.load(); }
  /// It has ended, but its function is still inside this process.
  bool lingers() const { return ended_.load() && began_.load() && !returned_.load(); }

  const attempt_id id;
  const attempt_call call;
  const watch limits;
  const bool in_child;

 private:
  bool end(engine::attempt_ended e);
  void put_on_record(engine::attempt_ended e);
  void signal();

  // A function that never returns keeps its thread after the node has gone, so it keeps what it touches as well.
  const std::shared_ptr<attempt_table> table_;
  std::stop_source stop_;
  std::function<void()> signal_;
  std::atomic<bool> hooked_{false};  // signal_ is set and stays
  std::atomic<bool> began_{false};
  std::atomic<bool> ended_{false};
  std::atomic<bool> returned_{false};
  std::atomic<std::uint8_t> overdue_{0};  // overdue_kind + 1
  std::mutex mutex_;  // guards what follows
  slot slot_;
  call_result result_;
  std::chrono::steady_clock::time_point details_sent_{};
  std::optional<std::string> unsent_details_;

 public:
  /// The newest heartbeat details that have not been handed to the listener.
  std::optional<std::string> take_details();
};

/// Thread-safe.
class attempt_table {
 public:
  using log_function = std::function<void(log_level, const pawl::detail::attempt_facts&, std::string_view)>;
  attempt_table(std::shared_ptr<slot_ledger> slots, log_function log)
      : slots_(std::move(slots)),
        log_(std::move(log)) {}

  /// False: it is there already, or the listener's generation is over, so it must not be started by the caller.
  bool enter(std::shared_ptr<attempt> a, std::shared_ptr<attempt_listener> listener);
  std::shared_ptr<attempt> find(const attempt_id& id) const;
  /// From now on `listener` hears of it; if it has ended already, at once. False: it is not in the table, or the
  /// listener's generation is over.
  bool adopt(const attempt_id& id, std::shared_ptr<attempt_listener> listener);
  /// The run of `listener` has been folded again: it hears when a function that was given up returns, and of its
  /// attempts only those for which `under_way` holds stay; the ends of the others are on record.
  void take_over(engine::run_key key, const std::shared_ptr<attempt_listener>& listener,
                 const std::function<bool(const attempt_id&)>& under_way);
  /// The run has ended without them: its attempts are told to stop, leave when they end, and nobody hears of them.
  void disown(engine::run_key key);
  /// Tells the attempts of a run to stop, those that undo excepted.
  void stop_steps(engine::run_key key);
  /// The batch that records its end is committed.
  void leave(const attempt_id& id);
  /// From now on what comes from listeners of earlier generations is refused.
  void begin_generation(std::uint64_t generation);
  /// The partition was left, and a generation begun that has no listeners: what somebody waited for goes to `tell` when
  /// it ends, or now. It stays until it is delivered, or adopted by a later generation of this node.
  void orphan(std::int32_t partition, const orphan_function& tell);
  /// The end of an orphan is where whoever leads will find it. The table keeps in mind that it was here, lest this
  /// node, when it leads again before that end is on record, takes the attempt for one that never began.
  void delivered(const attempt_id& id);
  bool was_delivered(const attempt_id& id) const;
  /// More were delivered than are kept in mind: whether an attempt that is not here was ever here is not known.
  bool has_forgotten() const { return forgotten_.load(); }
  /// What is in the table, and what was delivered.
  std::vector<attempt_id> held() const;
  /// Whether a function of the step is inside this process although its attempt has ended.
  bool lingers(engine::run_key key, std::uint32_t step) const;
  bool lingers(engine::run_key key) const;
  std::vector<std::shared_ptr<attempt>> of(engine::run_key key) const;
  std::vector<std::shared_ptr<attempt>> all() const;
  std::size_t size() const;
  std::size_t lingering() const;
  /// Empties it: nobody hears of anything any more, not even of what functions log. For the end of the node.
  void silence();
  std::uint64_t late_results() const { return late_results_.load(); }

 private:
  friend class attempt;
  struct hash {
    std::size_t operator()(const attempt_id& i) const {
      return static_cast<std::size_t>(i.key) * 0x9e3779b97f4a7c15ULL + i.step * 8U + i.attempt * 2U +
             (i.undo ? 1U : 0U);
    }
  };
  struct entry {
    std::shared_ptr<actors::attempt> attempt;
    std::shared_ptr<attempt_listener> listener;
    std::optional<engine::attempt_ended> end{};
  };
  struct shard {
    mutable std::mutex mutex;
    std::unordered_map<attempt_id, entry, hash> entries;
    // Functions that outlived their attempts, with whom to tell when they return.
    std::unordered_map<attempt_id, std::shared_ptr<attempt_listener>, hash> lingering;
    std::unordered_set<attempt_id, hash> delivered;
    std::uint64_t generation = 0;
  };
  class orphan_listener;
  static constexpr std::size_t shard_count = 16;
  static constexpr std::size_t most_delivered = 100'000 / shard_count;  // of a shard
  shard& shard_of(engine::run_key key) const { return shards_[static_cast<std::size_t>(key) % shard_count]; }

  void on_end(const actors::attempt& a, const engine::attempt_ended& end);
  void on_returned(const actors::attempt& a);
  void on_heartbeat(const actors::attempt& a, std::string details);
  void log(log_level level, const pawl::detail::attempt_facts& facts, std::string_view text) const;

  mutable std::array<shard, shard_count> shards_;
  const std::shared_ptr<slot_ledger> slots_;  // outlives the slots that attempts hold
  const log_function log_;
  std::atomic<std::uint64_t> late_results_{0};
  std::atomic<bool> silent_{false};
  std::atomic<bool> any_delivered_{false};
  std::atomic<bool> forgotten_{false};
};

}  // namespace pawl::actors
