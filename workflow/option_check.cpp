#include "workflow/option_check.hpp"

#include <cmath>

#include <pawl/registry.hpp>

namespace pawl::detail {

using std::chrono::milliseconds;

void option_checker::check_type(const workflow_definition& d) {
  const auto& type = d.type;
  const bool plain =
      type.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == std::string::npos;
  if (type.empty() || type.size() > max_name_length || !plain) {
    problem("the type's name is not 1 to 128 of A-Z a-z 0-9 . _ -: rename it");
  }
  if (d.options.version == 0) problem("versions count from 1: set .version");
  check_positive("options", "deadline", d.options.deadline);
}

void option_checker::check_name(const std::string& where, const std::string& name) {
  if (name.empty()) problem(where + ": the name is empty: give it one");
  if (name.size() > max_name_length) problem(where + ": the name is longer than 128 bytes: shorten it");
  for (const char c : name) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      problem(where + ": the name has a control character: take it out");
      return;
    }
  }
}

void option_checker::check_positive(const std::string& where, const char* option,
                                    const std::optional<milliseconds>& duration) {
  if (!duration) return;
  if (*duration <= milliseconds::zero()) problem(where + ": ." + option + " must be more than zero");
  if (*duration > max_option_duration) problem(where + ": ." + option + " must not be more than ten years");
}

void option_checker::check_options(const std::string& where, const step_options& options) {
  check_positive(where, "timeout", options.timeout);
  check_positive(where, "deadline", options.deadline);
  check_positive(where, "heartbeat", options.heartbeat);
  if (options.timeout && options.deadline && *options.deadline < *options.timeout) {
    problem(where +
            ": .deadline, which is of all attempts together, is shorter than .timeout, which is of one: raise it");
  }
  if (options.timeout && options.heartbeat && *options.heartbeat > *options.timeout) {
    problem(where + ": .heartbeat is longer than .timeout, so that it could never be missed: shorten it");
  }
  if (options.where > run_on::in_place) problem(where + ": .where is none of run_on");
  if (options.exhausted > when_exhausted::pause) problem(where + ": .exhausted is none of when_exhausted");
  if (options.undo > undo_when::completed) problem(where + ": .undo is none of undo_when");
  check_retry(where, options.retry);
}

void option_checker::check_retry(const std::string& where, const retry_options& retry) {
  if (retry.max_attempts && *retry.max_attempts < 1) problem(where + ": .retry.max_attempts must be at least 1");
  check_positive(where, "retry.first_delay", retry.first_delay);
  check_positive(where, "retry.max_delay", retry.max_delay);
  if (retry.first_delay && retry.max_delay && *retry.max_delay < *retry.first_delay) {
    problem(where + ": .retry.max_delay is shorter than .retry.first_delay: raise it");
  }
  if (retry.factor && !(std::isfinite(*retry.factor) && *retry.factor >= 1)) {
    problem(where + ": .retry.factor must be a number of at least 1");
  }
}

std::vector<std::string> check_head(const workflow_definition& d) {
  option_checker c;
  c.check_type(d);
  return std::move(c).take();
}

}  // namespace pawl::detail
