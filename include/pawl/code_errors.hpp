// What workflow code throws and catches. (pawl/errors.hpp has what steps throw.)
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace pawl {

/// Throw it from workflow code to end the run: what was done is undone, newest first, and the run fails with this code
/// and message. Any other exception that leaves the code does the same, with code "error" and its what().
class failure : public std::runtime_error {
 public:
  explicit failure(const std::string& message, std::string code = "failed")
      : std::runtime_error(message),
        code_(std::move(code)) {}
  /// A short word for programs, kept in the history.
  const std::string& code() const noexcept { return code_; }

 private:
  std::string code_;
};

/// Thrown at the await of a step that has no attempt left, or whose deadline has passed. Code may catch it and go on;
/// where it does not, the run fails with the step's error.
class step_failed : public failure {
 public:
  step_failed(std::string step, const std::string& message, std::string code)
      : failure(message, std::move(code)),
        step_(std::move(step)) {}
  const std::string& step() const noexcept { return step_; }

 private:
  std::string step_;
};

/// Thrown at the await of a child that was not started, or that ended without a result. `code()` is of its error, or
/// "cancelled", "killed"; of one that was refused what was wrong with the start ("conflict": there is a workflow of
/// that id already).
class child_failed : public failure {
 public:
  child_failed(std::string workflow_id, const std::string& message, std::string code)
      : failure(message, std::move(code)),
        workflow_id_(std::move(workflow_id)) {}
  /// Of the child.
  const std::string& workflow_id() const noexcept { return workflow_id_; }

 private:
  std::string workflow_id_;
};

/// Thrown at the await of something that was sent to another workflow, which did not take it: "not_found" where that
/// id never started, "conflict" where its run has ended, "invalid" where it takes no such signal.
class signal_failed : public failure {
 public:
  signal_failed(std::string workflow_id, const std::string& message, std::string code)
      : failure(message, std::move(code)),
        workflow_id_(std::move(workflow_id)) {}
  /// Of the one that it was sent to.
  const std::string& workflow_id() const noexcept { return workflow_id_; }

 private:
  std::string workflow_id_;
};

/// Thrown at the await that code is at when the run is cancelled, when its deadline passes, and in a task that has lost
/// a race. It is thrown again at every later await of the task, except inside of pawl::shield: clean up there and let
/// it pass. Not a std::exception on purpose, so that a handler for failures does not swallow it.
class cancelled {
 public:
  explicit cancelled(std::string reason = {}) : reason_(std::move(reason)) {}
  /// Of the person who cancelled; empty in a task that lost a race.
  const std::string& reason() const noexcept { return reason_; }

 private:
  std::string reason_;
};

}  // namespace pawl
