// Errors that user code throws and meets.
#pragma once

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace pawl {

/// Throw it from a step to say how the failure is to be treated. Any other exception is a failure that is retried, with
/// code "error" and its what().
class step_error : public std::runtime_error {
 public:
  /// `code` is a short word for programs, kept in the history; `retry_in` overrides the policy's delay (Retry-After).
  explicit step_error(const std::string& message, std::string code = "error",
                      std::optional<std::chrono::milliseconds> retry_in = std::nullopt)
      : std::runtime_error(message),
        code_(std::move(code)),
        retry_in_(retry_in) {}
  const std::string& code() const noexcept { return code_; }
  std::optional<std::chrono::milliseconds> retry_in() const noexcept { return retry_in_; }

 private:
  std::string code_;
  std::optional<std::chrono::milliseconds> retry_in_;
};

/// Ends the step at once: no attempt will do better.
class permanent_error : public step_error {
 public:
  explicit permanent_error(const std::string& message, std::string code = "permanent")
      : step_error(message, std::move(code)) {}
};

/// A definition that cannot be registered: names the workflow, the step and the mend.
class definition_error : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

/// Bytes that do not decode into the type that was asked for; says where in the value and why.
class codec_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace pawl
