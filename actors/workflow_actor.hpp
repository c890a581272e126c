// One live run: owns its instance, decides what is asked of it, hands decisions to the commit queue, and lets effects
// and answers out only when what they rest on is committed.
//
//     loading --> working <--> resting --leave--> gone
//                    |--closed and committed--> sends stragglers back --leave--> gone
//
// While a batch is in flight the actor goes on deciding on top of it; batches come back in order.
//
// At rest it decides only what the partition sends: the partition may have let it leave already, and another actor may
// have the run. Whatever else comes in then makes it ask for a tick.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "actors/messages.hpp"
#include "actors/node_context.hpp"
#include "actors/thread_time.hpp"
#include "store/view.hpp"

namespace pawl::actors {

/// How an actor comes to its instance.
struct workflow_origin {
  engine::run_key key = 0;
  std::uint64_t generation = 0;
  std::uint64_t life = 0;  ///< tells the partition's messages of this actor from those of others of the same run
  bool load = false;   ///< from disk, on the first tick; else a fresh run, whose first message is its start
  std::unique_ptr<store::stored_history> history{};  ///< what it is loaded from, where that has been read
  std::string broken{};  ///< not empty: it cannot be restored, this is why; it is paused on record and left alone
};

class workflow_state {
 public:
  workflow_state(caf::event_based_actor* self, node_context& node, caf::actor partition, workflow_origin origin);
  ~workflow_state();
  caf::behavior behavior();

  static inline const char* name = "pawl.workflow";

 private:
  class actor_allowance;
  class listener;

  void on_tick();
  void load();
  void quarantine();
  attempt_id id_of(std::uint32_t step, bool undo, std::uint32_t attempt) const;
  void adopt_attempts();
  bool is_elsewhere(const engine::step_state& s) const;
  std::optional<engine::time_point> word_expected_by(const engine::step_state& s) const;
  void look_elsewhere();
  void on_ended_elsewhere(attempt_report& r);
  void on_deliver(std::shared_ptr<command_request>& r);
  bool must_bounce(const command_request& r) const;
  std::optional<command_reply> known_outcome(const command_request& r) const;
  void wait_for_result_too(command_request& r);
  void decide(const engine::command& c, owed_reply reply);
  void watch_code(const thread_time& began);
  void ask_for_slot(const slot_ask& ask);
  void record_outcome(const engine::command& c, const engine::outcome& o, decided& d);
  void post(const engine::outgoing& message, decided& d) const;
  void begin_successor(const engine::allowance& a, const std::string& command_id, decided& d);
  void on_reset(std::shared_ptr<command_request> r);
  void reset_now();
  void reset(command_request& r);
  std::shared_ptr<decided> record_of(const std::vector<engine::event>& events, std::size_t kept = 0);
  void hand_in(std::shared_ptr<decided> d);
  void on_committed(decided& d);
  slot slot_again(const engine::step_state& s) const;
  void start_attempt(launch& l);
  attempt_call call_for(const engine::step_state& s) const;
  void stop_attempts(const decided& d);
  void on_attempt_over(const engine::attempt_ended& end);
  void on_heartbeat(const attempt_heartbeat& h);
  void on_worker_down(const caf::down_msg& m);
  void on_query(std::shared_ptr<query_request>& r);
  void answer_queries();
  void reply_to(std::shared_ptr<query_request> r);
  void after_queries(std::function<void()> what);
  void run_held();
  void on_describe(const std::shared_ptr<describe_request>& r);
  void settle_down();
  void keep_end(const engine::event& e);
  void announce_end();
  std::int64_t wake_at() const;
  bool became_due() const;
  std::int64_t next_timer() const;
  store::run_summary summary() const;
  command_reply answer_to(const engine::outcome& o) const;
  run_description description() const;

  caf::event_based_actor* self_;
  node_context& node_;
  caf::actor partition_;
  const engine::run_key key_;
  const std::uint64_t generation_;
  const std::uint64_t life_;
  bool unloaded_;                   // the first tick loads it
  std::unique_ptr<store::stored_history> read_;  // from this
  std::string cannot_restore_;
  std::unique_ptr<engine::instance> instance_;
  std::shared_ptr<attempt_listener> listener_;
  store::run_summary written_;      // the summary in the newest batch handed in
  bool summary_written_ = false;
  bool created_ = false;            // the run's header has been handed in
  std::uint32_t in_flight_ = 0;
  std::uint64_t received_ = 0;      // commands and ticks from the partition
  std::int64_t told_wake_ = store::wake_never;
  std::vector<std::pair<slot_ask, slot_ledger::ticket>> asked_;  // slots that are on their way
  std::unordered_map<std::string, engine::outcome> refused_;  // outcomes in flight that are no events, by command id
  bool announced_end_ = false;
  bool resting_ = false;
  bool poked_ = false;  // has asked itself to decide again about what became due, since it last decided something
  engine::run_key successor_ = 0;  // of a run that has continued as new, or was reset
  std::vector<engine::event> kept_;  // what the next run begins with, while this one is being reset
  std::shared_ptr<run_result> end_;  // from the terminal event on
  std::shared_ptr<slot> granted_;
  std::vector<std::pair<caf::actor_addr, std::shared_ptr<attempt>>> workers_;
  std::vector<std::shared_ptr<describe_request>> descriptions_;  // answered when nothing is in flight
  std::vector<std::shared_ptr<query_request>> queries_;   // answered when nothing is in flight,
  std::deque<std::shared_ptr<command_request>> resets_;  // done then, behind those,
  std::deque<std::function<void()>> held_;               // and before this
  std::vector<std::shared_ptr<command_request>> bounced_;  // starts of the next run, until this one's end is durable
};

/// What the ledger is asked for on behalf of a step.
slot_ask ask_for(const engine::slot_request& r);

/// Whether a function of the step may still run on another node although its attempt has ended: that node alone knows.
bool may_run_elsewhere(const node_context& node, const engine::step_state* s);

/// Spawns the actor of a run.
caf::actor spawn_workflow(caf::event_based_actor* partition, node_context& node, workflow_origin origin);

}  // namespace pawl::actors
