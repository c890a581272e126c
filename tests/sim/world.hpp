// One simulated node with one partition, under a virtual clock and one seed.
//
//   clients --commands--> partition (decides on instances in memory) --batches--> fake_journal
//                               ^                                                      |
//                               +--- ends of attempts --- workers <--- effects --------+   only after the commit
//
// What survives what:
//   a failed or unknown append   the journal, the process: its table of attempts and the functions that run in it.
//                                Instances, the batch in flight and what was decided on top of it are gone.
//   the death of the process     the journal alone. The next process has another incarnation.
//
// The harness plays partition, node and workers as design §5 and §6 describe them; what is under test is workflow/. It
// knows nothing of graphs: a run is made by the factory in its run_spec, so other kinds of programs can be put into it.
// Whatever breaks a law throws law_broken.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/fake_journal.hpp"
#include "tests/sim/hand_built_graph.hpp"
#include "tests/sim/rng.hpp"
#include "workflow/decide.hpp"

namespace pawl::sim {

using engine::run_key;
using engine::time_point;
using std::chrono::milliseconds;

/// Which attempt of which run.
struct attempt_id {
  run_key key = 0;
  std::uint32_t step = engine::no_step;
  bool undo = false;
  std::uint32_t attempt = 0;
  auto operator<=>(const attempt_id&) const = default;
};
std::string to_text(const attempt_id& id);

/// What one call of a function does.
struct call_plan {
  enum class ending : std::uint8_t { succeeds, fails, never_returns, kills_process };
  ending ends = ending::succeeds;
  milliseconds takes{5};
  std::string result{};
  engine::failure error{};
  bool heeds_stop = true;
  std::optional<std::string> details{};  ///< of a heartbeat half-way
};

/// What a call may make its plan from.
struct call_facts {
  attempt_id id;
  std::uint32_t counted = 0;  ///< failures and time-outs of the step so far
  bool in_child = false;
  bool calm = false;  ///< faults have stopped
};

/// Says what functions do.
class script {
 public:
  virtual ~script() = default;
  virtual call_plan plan(const call_facts& call) = 0;
  /// How long the attempt waits for a thread.
  virtual milliseconds queued(const attempt_id& id) = 0;
};

/// One call of a function, and what became of it.
struct call {
  attempt_id id;
  call_plan plan;
  engine::incarnation incarnation = 0;
  bool in_child = false;
  bool may_still_run = false;
  bool returned = false;  ///< or its process is dead
  bool succeeded = false;
  time_point began{};
};

/// What this process has of a run's type.
enum class code : std::uint8_t { right, missing, changed };

struct run_spec {
  engine::start_facts facts;
  std::string input = "in";
  definition_ptr definition;  ///< for the laws; what runs is made by `make`
  std::function<std::unique_ptr<engine::instance>(code)> make;
};
/// A run of a graph.
run_spec graph_run(definition_ptr definition, engine::start_facts facts);

/// Ways to build the harness wrong, each of which breaks a law that the simulation must notice.
enum class mutant : std::uint8_t {
  none,
  lost_is_ignored,  ///< an attempt whose process is gone is left alone
  lost_is_restarted,  ///< ... is started again under its number
  effects_before_commit,  ///< functions start when they are decided
  answers_before_commit,  ///< clients are answered when it is decided
  replay_skips_an_event,  ///< the fold leaves one out and renumbers the rest
  undo_in_closing_order,  ///< compensation runs oldest first
  speculation_survives,  ///< a failed append leaves the instances as they are
  table_dies_with_batch,  ///< a failed append clears the node's table of attempts
  result_leaves_early,  ///< an attempt leaves the table when it ends, not when that is committed
  still_running_is_ignored,  ///< an undo starts beside its step's function
  late_results_count,  ///< a result of an old attempt is taken for the present one's
  command_ids_are_lost,  ///< the fold forgets which commands were applied
  suspects_run_in_process,  ///< lost attempts are repeated outside of a child
  retries_are_early,  ///< a retry does not wait for its time
};

/// In percent, where it does not say otherwise.
struct fault_rates {
  std::uint32_t refused = 0;  ///< an append: known not to be written
  std::uint32_t lost = 0;  ///< unknown, and not written
  std::uint32_t unknown_written = 0;  ///< unknown, and written
  std::uint32_t crash_before = 0;  ///< the process dies before the append is written
  std::uint32_t crash_after = 0;  ///< ... after
  std::uint32_t no_slot = 0;  ///< a slot is refused although there is one
  std::uint32_t evicted = 0;  ///< an idle instance leaves memory after a commit
  std::uint32_t late_result = 0;  ///< the result of a function that outlived its attempt is handed in all the same
  std::uint32_t other_code = 0;  ///< a new process lacks the code of a run, or has another
};

struct world_options {
  std::uint64_t seed = 1;
  fault_rates faults{};
  engine::limits limits{};
  std::uint32_t slots = 4;
  engine::incarnation incarnation = 1;  ///< of the first process
  mutant wrong = mutant::none;
  milliseconds restart{50};  ///< how long the next process takes to come
};

class world {
 public:
  world(world_options options, script& functions);
  ~world();

  run_key add(run_spec spec);
  /// Puts events on record as if an earlier process had written them. Before anything runs.
  void put_on_record(run_key key, const std::vector<engine::event>& events);

  void at(time_point when, std::function<void()> what);
  void after(milliseconds wait, std::function<void()> what) { at(now_ + wait, std::move(what)); }
  /// A client asks, and asks again under the same id until it has an answer.
  void send(run_key key, engine::command command);
  engine::command start_of(run_key key) const;
  void crash(bool in_flight_is_written);
  void drain();
  /// The next process has this of the run's code.
  void set_code(run_key key, code c) { next_code_[key] = c; }
  code code_of(run_key key) const;
  /// From now on nothing fails, and a new process with the right code runs everything.
  void calm_down();
  /// Called after every commit and every recovery.
  void on_progress(std::function<void()> f) { on_progress_ = std::move(f); }

  /// Runs until `done` holds and nothing is in flight. Throws law_broken after too many steps.
  void run_until(const std::function<bool()>& done);
  bool all_closed() const;
  bool all_answered() const;
  /// Loads every run: recovery after put_on_record.
  void recover_all();

  time_point now() const { return now_; }
  rng& random() { return random_; }
  const fake_journal& journal() const { return journal_; }
  const std::vector<call>& calls() const { return calls_; }
  const run_spec& spec(run_key key) const { return runs_.at(key); }
  std::size_t runs() const { return runs_.size(); }
  /// The instance in memory; null when there is none, or it holds what is not committed.
  const engine::instance* committed_state(run_key key) const;
  /// From the journal; not faithfully: as the mutant has it.
  std::unique_ptr<engine::instance> fold(run_key key, bool faithfully = true) const;
  const std::map<std::string, std::uint64_t>& counts() const { return counts_; }

  struct request {
    run_key key = 0;
    engine::command command;
    std::vector<engine::outcome> answers{};
    std::uint32_t wanted = 1;  ///< how many answers the client waits for
  };
  const std::vector<request>& requests() const { return requests_; }

 private:
  class grant;
  struct live_run {
    std::unique_ptr<engine::instance> state;
    std::uint32_t uncommitted = 0;
  };
  struct part {
    journal_entry entry;
    std::optional<std::size_t> owed{};  // number of the request that is answered with `outcome`
    engine::outcome outcome{};
    std::optional<attempt_id> late{};
  };
  struct reservation {
    attempt_id id;
    bool in_child = false;
  };
  struct partition {
    std::map<run_key, live_run> live;
    std::optional<std::vector<part>> in_flight;
    std::vector<part> gathered;
    std::map<std::string, engine::outcome> pending;  // refusals that are not committed yet
    std::set<run_key> want_slots;
    std::vector<reservation> reserved;
  };
  struct table_entry {
    bool in_child = false;
    std::optional<std::size_t> call{};  // begun
    std::optional<engine::attempt_ended> end{};
  };
  struct process {
    explicit process(engine::incarnation i) : incarnation(i) {}
    engine::incarnation incarnation;
    std::map<attempt_id, table_entry> table;
    std::set<std::size_t> lingering;  // calls whose attempts have ended
    std::map<run_key, code> has;
    bool draining = false;
  };

  // world.cpp: time, clients, the life of the process
  void step();
  void deliver(std::size_t request);
  void answer(std::size_t request, const engine::outcome& o);
  void forget_partition();
  void start_process();
  void finish_drain();
  void count(const std::string& what) { ++counts_[what]; }

  // world_partition.cpp: decisions and commits
  live_run& load(run_key key);
  void recover(run_key key);
  void deal_with(const attempt_id& id, engine::incarnation of);
  void intake(std::size_t request);
  void decide(run_key key, const engine::command& c, std::optional<std::size_t> request);
  engine::carried carry_out(engine::instance& i, const engine::command& c, engine::allowance& a);
  void follow_up(run_key key, bool more);
  void wake(run_key key);
  void append();
  void finish_append(std::uint64_t generation);
  void release(std::vector<part>& batch);
  void release(const attempt_id& id, const engine::event& e);
  void append_failed();
  void check_replay(run_key key) const;

  // world_workers.cpp: the node's table and the functions
  void enter(const attempt_id& id);
  void begin(const attempt_id& id, engine::incarnation in);
  void check_begin(const call& c) const;
  void arrange(std::size_t n);
  void function_returns(std::size_t n, bool stopped);
  void time_out(std::size_t n);
  void kill_process(std::size_t n);
  void end(const attempt_id& id, engine::attempt_ended e);
  void leave(const attempt_id& id);
  void tell_to_stop(run_key key);
  void disown(run_key key);
  void slot_is_free();
  std::uint32_t slots_taken(bool children_only) const;
  std::uint32_t taken_of(const engine::instance& run, std::uint32_t step, bool undo) const;
  bool lingers(run_key key, std::uint32_t step) const;

  struct item {
    time_point when{};
    std::uint64_t order = 0;
    std::function<void()> what;
    bool operator<(const item& other) const { return when != other.when ? when > other.when : order > other.order; }
  };

  world_options options_;
  script& functions_;
  rng random_;
  time_point now_;
  std::priority_queue<item> queue_;
  std::uint64_t order_ = 0;
  std::uint64_t steps_ = 0;
  bool calm_ = false;
  std::map<run_key, run_spec> runs_;
  std::map<run_key, code> next_code_;
  fake_journal journal_;
  std::vector<call> calls_;
  std::vector<request> requests_;
  std::map<std::string, std::uint64_t> counts_;
  std::function<void()> on_progress_;

  engine::incarnation next_incarnation_;
  std::uint64_t generation_ = 0;
  std::optional<process> process_;
  partition partition_;
};

}  // namespace pawl::sim
