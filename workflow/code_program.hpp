// Code as a program: a coroutine (pawl/task.hpp) that is given what the history holds, and whose awaits are the wants.
//
// The frames are a cache of the history: they are made by giving the code the events one after the other, and destroyed
// when the instance is. on() delivers an event to whoever awaits it, then resumes what is ready, one coroutine after
// the other, until all wait; so all user code runs inside of on(), and only there.
//
// Steps and timers are numbered in the order in which the code asks for them. An event that names another step than the
// code asked for under that number, or something that it has not asked for, means that the code is not what the history
// was written with: the program is broken, and says at which event and what it waits for instead.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <pawl/definition.hpp>
#include <pawl/operation.hpp>
#include <pawl/workflow_context.hpp>

#include "workflow/code_queries.hpp"
#include "workflow/code_updates.hpp"
#include "workflow/program.hpp"

namespace pawl::engine {

class code_program final : public program, private pawl::detail::code_port, private pawl::detail::observer {
 public:
  explicit code_program(std::shared_ptr<const pawl::detail::code_definition> definition);
  ~code_program() override;

  void on(const event& e) noexcept override;
  std::span<const want> wants() const override;
  step_info step(std::uint32_t step) const override;
  std::optional<std::uint32_t> step_named(std::string_view name) const override;
  step_call call(std::uint32_t step, bool undo, const std::string& input) const override;
  std::string_view value_of(std::uint32_t step) const override;
  bool catches() const override { return true; }
  bool has_ended() const override { return ended_ && !broken_; }
  std::string refusal_of_signal(std::string_view name, std::string_view payload) const override;
  std::vector<event> unread() const override;
  std::string refusal_of_result(std::uint32_t step, std::string_view payload) const override;
  std::string refusal_of_update(std::string_view name, std::string_view payload) const override {
    return updates_.refusal_of(name, payload);
  }
  query_answer query(std::string_view name, std::string_view input) override { return queries_.ask(name, input); }
  void go_live() override { live_ = true; }
  std::vector<log_line> take_log() override;

 private:
  struct step_record {
    std::shared_ptr<const pawl::detail::code_step> call;  // null: over, and nothing to undo
    pawl::detail::leaf* waiter = nullptr;
    std::unique_ptr<std::string> result;  // kept for its undo
    bool on_record = false;
    bool over = false;  // completed, skipped, failed or abandoned, and that is on record
    bool dropped = false;  // nobody waits for it any more
  };
  struct timer_record {
    std::uint32_t number = 0;
    time_point due{};
    std::string name;
    pawl::detail::leaf* waiter = nullptr;
    bool on_record = false;
    bool dropped = false;
  };
  struct signal_waiter {
    std::string name;
    pawl::detail::leaf* waiter = nullptr;
    std::string (*check)(std::string_view) = nullptr;
  };
  struct buffered_signal {
    std::string name;
    std::string payload;
    std::string command_id;
  };
  struct call_record {
    std::uint32_t number = 0;
    bool is_child = false;  // whose end is waited for
    bool is_named_by_run = false;
    std::string name;
    call_request request;
    pawl::detail::leaf* waiter = nullptr;
    bool on_record = false;
    bool dropped = false;
  };

  /// What the code is told about its run while it deals with events before `below`.
  struct run_names {
    std::uint64_t below = UINT64_MAX;
    std::string workflow_id{};
    std::uint32_t run = 0;
    std::string uid{};
  };
  const run_names& names() const;

  struct change_waiter {
    std::string id;
    pawl::detail::leaf* waiter = nullptr;
  };

  // events
  void give(const event& e);
  void give_held();
  void follow(const event& e);
  void on_started(const event& e);
  void on_step_seen(const event& e);
  void on_step_done(const event& e);
  void on_step_failed(const event& e);
  void on_step_abandoned(const event& e);
  void on_timer(const event& e);
  void on_signal(const event& e);
  void on_call(const event& e);
  void on_call_answered(const event& e);
  void on_stop(const event& e);
  void on_change(const event& e);
  void answer_changes(const event& e);
  void answer_change(const std::string& id, bool answer);
  step_record* record_of(const event& e);
  void close(std::uint32_t step);
  void begin_code();
  void run_ready();
  void end_code(std::exception_ptr error);
  void tear_down() noexcept;
  void diverged(const event& e);
  std::string asked() const;

  // from the code
  std::uint32_t begin_step(pawl::detail::leaf& who, std::shared_ptr<const pawl::detail::code_step> call) override;
  std::uint32_t begin_timer(pawl::detail::leaf& who, pawl::detail::code_time due, std::string_view name) override;
  std::uint32_t begin_signal(pawl::detail::leaf& who, std::string_view name,
                             std::string (*check)(std::string_view)) override;
  std::uint32_t begin_call(pawl::detail::leaf& who, pawl::detail::code_call call) override;
  std::uint32_t begin_renewal(pawl::detail::leaf& who, std::string input_msgpack) override;
  std::uint32_t begin_change(pawl::detail::leaf& who, std::string_view id) override;
  void drop_calls() noexcept;
  std::uint32_t begin_update(pawl::detail::leaf& who, std::string_view name,
                             std::string (*check)(std::string_view)) override;
  void let_go(pawl::detail::leaf& who) noexcept override;
  void answer_update(std::uint64_t seq, std::string value) override;
  void refuse_update(std::uint64_t seq, std::string code, std::string message) override;
  void drop_update(std::uint64_t seq) noexcept override;
  std::uint64_t add_query(std::shared_ptr<const pawl::detail::query_handler> handler) override;
  void drop_query(std::uint64_t number) noexcept override { queries_.drop(number); }
  void resume_soon(std::coroutine_handle<> who) noexcept override;
  pawl::detail::code_time now() const override { return now_; }
  std::uint64_t draw() override;
  const std::string& workflow_id() const override { return names().workflow_id; }
  std::uint32_t run() const override { return names().run; }
  const std::string& run_uid() const override { return names().uid; }
  std::uint64_t history_length() const override { return seq_; }
  void log(log_level level, std::string_view text) override;
  void publish_status(std::string_view text) override;
  void publish_attribute(std::string_view name, std::string value_msgpack) override;
  void publish();
  void on_done(pawl::detail::operation&) noexcept override { root_done_ = true; }

  std::shared_ptr<const pawl::detail::code_definition> definition_;
  workflow_context context_;
  start_facts facts_;
  std::vector<run_names> names_{run_names{}};  // the run's own last; before it those of what it has from others
  std::string input_;  // until the code begins
  time_point now_{};
  std::uint64_t seq_ = 0;  // of the newest event
  std::uint64_t drawn_ = 0;

  std::unique_ptr<pawl::detail::root_task> root_;
  std::vector<std::coroutine_handle<>> ready_;
  std::size_t next_ready_ = 0;

  std::vector<step_record> steps_;
  std::vector<std::uint32_t> open_steps_;  // of `steps_`, those that are not over
  std::vector<timer_record> timers_;  // open
  std::uint32_t timers_made_ = 0;
  std::uint32_t start_timer_ = 0;  // the one that begins the code of a run with a later start
  std::vector<signal_waiter> signal_waiters_;
  std::uint32_t signals_asked_ = 0;
  std::vector<buffered_signal> signals_;  // that nobody has read, in the order of their coming

  std::vector<call_record> calls_;  // that are open, by number
  std::uint32_t calls_made_ = 0;
  std::optional<std::string> renewal_;  // the code continues as new, with this
  std::vector<change_waiter> change_waiters_;
  std::vector<event> held_;  // signals that came while the code waits at a changed place
  std::vector<std::pair<std::string, bool>> changes_;  // that this run has met, and which way it took
  std::uint32_t changes_asked_ = 0;
  code_updates updates_;
  std::uint32_t updates_asked_ = 0;
  code_queries queries_;

  std::string status_;
  std::vector<std::pair<std::string, std::string>> attributes_;  // name, msgpack
  std::string unpublished_;

  bool root_done_ = false;
  bool ended_ = false;
  bool tearing_down_ = false;
  bool live_ = false;
  std::string result_;
  std::unique_ptr<failure> failure_;
  std::unique_ptr<failure> broken_;
  std::vector<log_line> lines_;
  mutable std::vector<want> wants_;
  mutable bool wants_are_old_ = true;
};

}  // namespace pawl::engine
