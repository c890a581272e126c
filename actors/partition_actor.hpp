// One partition: knows which runs are in memory, brings them there when they are due or asked for, and lets idle ones
// leave. It decides nothing about a run; it only routes, loads, evicts and supervises.
#pragma once

#include <chrono>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "actors/due_backlog.hpp"
#include "actors/messages.hpp"
#include "actors/node_context.hpp"
#include "actors/workflow_actor.hpp"
#include "store/journal.hpp"

namespace pawl::actors {

class partition_state {
 public:
  partition_state(caf::event_based_actor* self, node_context& node, store::journal& journal);
  caf::behavior behavior();
  /// Ends every actor of a run.
  void leave_all();

 private:
  struct live_run {
    caf::actor actor;
    std::string workflow_id;
    std::uint64_t life = 0;  // names the actor
    std::uint64_t sent = 0;  // commands and ticks
    std::int64_t wake_at = store::wake_never;
    bool resting = false;
    bool fetched = false;  // because it was due, and has not said yet what it waits for next
    std::list<engine::run_key>::iterator place{};  // in resting_, while resting
    std::chrono::steady_clock::time_point since{};
  };
  using run_map = std::unordered_map<engine::run_key, live_run>;

  // requests
  void on_request(std::shared_ptr<command_request>& r);
  void refuse(command_request& r, command_reply::status state, std::string why, std::chrono::milliseconds retry_after);
  std::string door_check(const command_request& r) const;
  bool full() const;
  void begin_run(std::shared_ptr<command_request>& r, std::uint32_t run);
  void forward(live_run& run, std::shared_ptr<command_request>& r);
  void on_known(std::shared_ptr<command_request>& r, const store::run_row& row);
  void answer_closed(std::shared_ptr<command_request>& r, const store::run_row& row);
  void reset_closed(std::shared_ptr<command_request>& r, const store::run_row& newest);
  void answer(std::shared_ptr<command_request>& r, engine::outcome outcome, const store::run_row* row,
              bool fresh = true);
  void answer_again(std::shared_ptr<command_request>& r, engine::outcome known, const store::run_row& newest);
  std::optional<engine::outcome> outcome_in_flight(const command_request& r) const;
  std::optional<engine::outcome> known_outcome(const command_request& r);
  void note_answering(const std::string& workflow_id, const std::string& command_id, const std::shared_ptr<decided>& d);
  void on_await(std::shared_ptr<result_request>& r);
  void on_query(const ask_query& m);
  void on_await_answer(std::shared_ptr<answer_request>& r);
  void on_answered(const answered& m);
  void on_describe(const describe_run& m);
  void on_ended_elsewhere(ended_elsewhere& m);
  void on_nodes_changed();
  run_result result_of(const store::run_row& row);
  void tell_end(store::run_row row, result_function f);

  // which versions new runs get
  void on_use_version(std::shared_ptr<use_request>& r);
  std::optional<engine::outcome> known_use(const std::string& command_id) const;
  void record_mark(const use_request& r, decided& d);
  void read_marks();

  // who waits for answers to updates
  using answer_waiters = std::vector<std::shared_ptr<answer_request>>;
  void sweep_answers();
  void end_answers(engine::run_key key, update_answer::status how, engine::phase phase);
  void look_for_answers();

  // lives of runs
  live_run& spawn(workflow_origin origin, std::string workflow_id);
  live_run* load(engine::run_key key, std::string workflow_id, std::unique_ptr<store::stored_history> history = {});
  void mark_fetched(live_run& run);
  void settled(live_run& run);
  void tick_run(engine::run_key key, live_run& run);
  void wake(live_run& run);
  void on_resting(const resting& m);
  void on_tick_wanted(const tick_wanted& m);
  void on_closed(const closed& m);
  void forget(run_map::iterator it);
  void evict();
  void on_down(const caf::down_msg& m);
  void reload_later(engine::run_key key, std::chrono::milliseconds pause);
  void on_reload(const reload& m);
  void resolve(engine::run_key key, const run_result& result);
  void go_on(const run_result& before, std::vector<result_function> waiting);

  // time
  void pump();
  void load_due();
  bool has_room() const;
  void load_some();
  void scan();
  void arm();

  void on_generation_over(const generation_over& m);
  void on_generation_healed(const generation_healed& m);
  void reclaim_attempts();
  partition_status status() const;
  template <class Handler>
  void guard(Handler handler);

  // How long nothing is read from disk after the view could not be read.
  static constexpr std::chrono::milliseconds ailing_pause{500};

  caf::event_based_actor* self_;
  node_context& node_;
  store::journal& journal_;
  run_map live_;
  std::unordered_map<std::string, engine::run_key> by_id_;
  std::list<engine::run_key> resting_;  // longest first
  std::unordered_map<engine::run_key, std::vector<result_function>> waiters_;
  std::unordered_map<engine::run_key, answer_waiters> answer_waiters_;
  std::size_t waiting_ = 0;  // for results and for answers
  // Outcomes that are being recorded, by workflow id and command id; some are done, and swept now and then.
  std::map<std::pair<std::string, std::string>, std::weak_ptr<decided>> answering_;
  std::size_t swept_at_ = 1024;
  std::map<std::string, std::uint64_t> marking_;  // by type: the newest revision that was given
  bool marks_unread_ = false;  // the view could not be read
  std::set<std::pair<std::int64_t, engine::run_key>> timers_;
  due_backlog backlog_;
  std::size_t fetched_ = 0;
  // Open runs up to here, in the order of their wake times, are in memory, in timers_ or in backlog_.
  store::view::due_cursor scanned_;
  bool more_to_scan_ = true;
  std::chrono::steady_clock::time_point next_scan_{};
  std::chrono::steady_clock::time_point ailing_until_{};  // the view could not be read
  clock::timer_id armed_{};
  std::int64_t armed_for_ = store::wake_never;
  std::uint64_t lives_ = 0;
  std::uint64_t generation_;
  bool away_ = false;
  bool broken_ = false;  // and it will not come back
  struct death_record {
    std::deque<std::chrono::steady_clock::time_point> times;
    std::string cause;  // of the newest
  };
  std::map<engine::run_key, death_record> deaths_;  // of runs whose actors died
  std::map<engine::run_key, std::string> to_reload_;  // workflow ids of runs whose actors died
  partition_status counts_;
  std::string trouble_;
};

caf::actor spawn_partition(caf::actor_system& system, node_context& node, store::journal& journal);

}  // namespace pawl::actors
