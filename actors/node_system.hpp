// The running engine of one node, for whoever composes a process: opens the data, recovers, takes commands, stops.
// Free of CAF, so that its users compile quickly.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include <pawl/registry.hpp>

#include "actors/node_context.hpp"
#include "actors/partition_api.hpp"
#include "store/journal.hpp"
#include "store/view.hpp"

namespace pawl::actors {

struct node_options {
  std::int32_t partitions = 1;
  /// Which one a workflow id is in; not needed where there is one.
  std::function<std::int32_t(std::string_view workflow_id)> partition_of;
  engine::incarnation incarnation = 0;  ///< of this process; 0: drawn
  engine::limits limits;
  engine::policy_defaults defaults;
  partition_limits partition;
  pool_options pool;
  std::size_t children = 0;  ///< child processes at once; 0: max(1, pool.max_threads / 4)
  std::size_t batch_bytes = std::size_t{4} << 20;
  std::size_t open_starts = 100'000;  ///< requests accepted and not yet answered; beyond it: busy
  child_runner run_in_child;          ///< empty: suspects run on the pool
  log_sink log;
  /// Told how attempts end whose partition this node has left; see delivered(). Empty: they wait for the next lead().
  orphan_function on_orphan;
};

/// A partition that this node begins to lead.
struct partition_options {
  std::int32_t number = 0;
  store::journal& journal;  ///< open; outlives leave(), as what the functions need does
  std::function<bool(std::string_view)> may_exist;  ///< false: no run of that id is on record
  view_pool::factory open_view;  ///< called on any thread; may throw store::view_error
  /// Processes that live beside this one. Attempts of all others are lost. None: nothing is known yet, see
  /// set_living().
  std::optional<std::vector<engine::incarnation>> living = std::vector<engine::incarnation>{};
  /// How a message to another workflow is kept until it is delivered. Empty: code of this partition starts no children
  /// and sends no signals.
  message_packer pack{};
  /// How a mark is kept until all other partitions have it. Empty: there is no other.
  mark_packer pack_mark{};
  /// On the journal's thread: it will not come back, why, and what to do. Nothing more is decided.
  std::function<void(const std::string&)> on_broken{};
  /// On the journal's thread: another node leads. Nothing more is decided; leave() is to be called, on another thread.
  std::function<void(const std::string&)> on_deposed{};
};

/// Of all partitions that this node leads, summed up where that makes sense.
struct node_status {
  partition_status partition;
  commit_stats commits;
  slot_stats slots;
  pool_stats pool;
  std::size_t attempts = 0;
  std::size_t lingering = 0;
  std::uint64_t attempts_started = 0;
  std::uint64_t attempts_timed_out = 0;
  std::uint64_t attempts_lost = 0;
  std::uint64_t late_results = 0;
  bool draining = false;
  bool journal_available = true;
  std::string incarnation;
};

/// All members are thread-safe. Answers come on threads of the node, which must not be blocked.
class node_system {
 public:
  /// A node that leads nothing yet. `types` must outlive it.
  node_system(const registry& types, node_options options);
  /// A node that leads its only partition from the beginning.
  node_system(const registry& types, node_options options, partition_options partition);
  ~node_system();
  node_system(const node_system&) = delete;
  node_system& operator=(const node_system&) = delete;

  /// Attaches the engine of a partition and begins to recover. Not while it is attached.
  void lead(partition_options o);
  /// Detaches it: its actors end, nothing more is appended, callers hear that it is unavailable or unknown. Blocks
  /// until nobody uses what lead() was given, whoever called it first, so not for who holds a view of it. Attempts stay
  /// in the node's table, for the next lead() or for on_orphan; their functions go on.
  void leave(std::int32_t partition);
  bool leads(std::int32_t partition) const;
  /// Waits until views of a partition that it leads show what it has recorded there. Throws store::view_error.
  void await_views(std::int32_t partition) const;

  /// Of a partition that it leads, what is known of other nodes: which processes live,
  void set_living(std::int32_t partition, std::vector<engine::incarnation> living);
  /// what one of them still holds that led it before,
  void take_held(std::int32_t partition, held_list list);
  /// and how an attempt ended there.
  void take_end(std::int32_t partition, attempt_report r);
  /// Of a partition that it has left: all attempts of it that this node holds, or has told the end of,
  std::vector<attempt_id> held(std::int32_t partition) const;
  /// and that the end that on_orphan was told is where whoever leads will find it.
  void delivered(std::int32_t partition, const attempt_id& id);
  /// Answers true once a record that began to be appended after this call is committed: then this node led all the time
  /// in between. Calls back on any thread.
  void barrier(std::int32_t partition, std::function<void(bool)> done);

  /// Asks something of a workflow. A start needs facts.type and facts.version (0: the one for new runs) and may leave
  /// the rest.
  void submit(command_request r);
  /// Which version new runs of a type get from now on; for who leads the partition of the type's name.
  void use_version(use_request r);
  /// ... which has told another partition, that this node leads.
  void take_mark(std::int32_t partition, engine::type_mark mark, owed_reply reply);
  /// Which versions are marked, as far as the partitions that it leads know: they hear it a moment apart.
  engine::type_marks marks() const;
  engine::type_marks marks(std::int32_t partition) const;
  /// Calls back with true once that revision of a type's mark is on record in a partition that this node leads; with
  /// false after `patience`, or where it leads it no more.
  void await_mark(std::int32_t partition, std::string type, std::uint64_t revision, std::chrono::milliseconds patience,
                  std::function<void(bool)> done);
  /// What the living nodes of the cluster run.
  void set_fleet(fleet::nodes nodes);
  std::shared_ptr<const fleet::nodes> all_nodes() const;
  /// The version that a start of that workflow gets which names none, if it is decided now.
  engine::version_choice choose_version(std::string_view workflow_id, std::string_view type) const;
  /// Calls back when the run is closed; at once if it is.
  void await_result(result_request r);
  /// Calls back when that update is answered; at once if it is.
  void await_answer(answer_request r);
  /// Asks the code of a run, which is brought into memory for it. Calls back when nothing of the run is in flight.
  void query(query_request r);
  /// What a run is doing now, from memory or, when it is asleep, from disk.
  void describe(describe_request r);
  void status(std::function<void(const node_status&)> f);
  /// A view to read with, of the partition of that workflow. Throws store::view_error, also where this node does not
  /// lead it.
  view_pool::lease borrow_view(std::string_view workflow_id = {});
  std::int32_t partition_of(std::string_view workflow_id) const;
  const registry& types() const;
  /// Of the partitions that it leads.
  std::size_t running_attempts() const;

  struct drained {
    std::size_t interrupted = 0;  ///< attempts that did not end within the grace
    std::size_t hung = 0;  ///< functions that have still not returned; the process must end for them to go
  };
  /// Refuses new work, lets attempts under way end for `grace`, records the rest as interrupted, commits, and stops
  /// everything. Blocks. `hurry` cuts the grace short when it turns true.
  drained drain(std::chrono::milliseconds grace, const std::function<bool()>& hurry = {});

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace pawl::actors
