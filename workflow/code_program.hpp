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

#include "workflow/code_calls.hpp"
#include "workflow/code_changes.hpp"
#include "workflow/code_queries.hpp"
#include "workflow/code_signals.hpp"
#include "workflow/code_status.hpp"
#include "workflow/code_steps.hpp"
#include "workflow/code_updates.hpp"
#include "workflow/program.hpp"

namespace pawl::engine {

struct misdeed;

class code_program final : public program, private pawl::detail::code_port, private pawl::detail::observer {
 public:
  explicit code_program(std::shared_ptr<const pawl::detail::code_definition> definition);
  ~code_program() override;

  void on(const event& e) noexcept override;
  std::span<const want> wants() const override;
  step_info step(std::uint32_t step) const override { return steps_.info(step); }
  std::optional<std::uint32_t> step_named(std::string_view name) const override { return steps_.named(name); }
  step_call call(std::uint32_t step, bool undo, const std::string&) const override { return steps_.call(step, undo); }
  std::string_view value_of(std::uint32_t step) const override { return steps_.value_of(step); }
  bool catches() const override { return true; }
  bool has_ended() const override { return ended_ && !broken_; }
  std::string refusal_of_signal(std::string_view name, std::string_view payload) const override {
    return signals_.refusal_of(name, payload);
  }
  std::vector<event> unread() const override { return signals_.unread(); }
  std::string refusal_of_result(std::uint32_t step, std::string_view payload) const override {
    return steps_.refusal_of_result(step, payload);
  }
  std::string refusal_of_update(std::string_view name, std::string_view payload) const override {
    return updates_.refusal_of(name, payload);
  }
  query_answer query(std::string_view name, std::string_view input) override { return queries_.ask(name, input); }
  void go_live() override { live_ = true; }
  std::vector<log_line> take_log() override;

 private:
  struct timer_record {
    std::uint32_t number = 0;
    time_point due{};
    std::string name;
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
  /// Whether the run has that event from another one.
  bool is_kept(std::uint64_t seq) const { return names_.size() > 1 && seq <= names_[names_.size() - 2].below; }

  // events
  void take(const event& e) noexcept;
  void give(const event& e);
  void give_held();
  void follow(const event& e);
  bool is_asked(const event& e);
  void on_started(const event& e);
  void on_timer(const event& e);
  void on_stop(const event& e);
  void answer_changes(const event& e);
  void begin_code();
  void run_ready();
  void end_code(std::exception_ptr error);
  void tear_down() noexcept;
  void diverged(const event& e);
  void misbehaved(const event& e, const misdeed& m);
  std::string asked() const;

  // from the code
  std::uint32_t begin_step(pawl::detail::leaf& who, std::shared_ptr<const pawl::detail::code_step> call) override;
  std::uint32_t begin_timer(pawl::detail::leaf& who, pawl::detail::code_time due, std::string_view name) override;
  std::uint32_t begin_signal(pawl::detail::leaf& who, std::string_view name,
                             std::string (*check)(std::string_view)) override;
  std::uint32_t begin_call(pawl::detail::leaf& who, pawl::detail::code_call call) override;
  std::uint32_t begin_renewal(pawl::detail::leaf& who, std::string input_msgpack) override;
  std::uint32_t begin_change(pawl::detail::leaf& who, std::string_view id) override;
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

  code_steps steps_;
  std::vector<timer_record> timers_;  // open
  std::uint32_t timers_made_ = 0;
  std::uint32_t start_timer_ = 0;  // the one that begins the code of a run with a later start
  code_signals signals_;
  std::uint32_t signals_asked_ = 0;
  code_calls calls_;
  std::optional<std::string> renewal_;  // the code continues as new, with this
  code_changes changes_;
  std::uint32_t changes_asked_ = 0;
  std::vector<event> held_;  // signals and updates that came while the code waits at a changed place
  code_updates updates_;
  std::uint32_t updates_asked_ = 0;
  code_queries queries_;
  code_status status_;

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
