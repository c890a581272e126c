// What the compiler could not see about a graph. Each problem says where and how to mend it.
#include <pawl/registry.hpp>

#include <cmath>
#include <unordered_set>

namespace pawl::detail {
namespace {

using std::chrono::milliseconds;

class graph_checker {
 public:
  explicit graph_checker(const graph_definition& graph) : graph_(graph) {}
  std::vector<std::string> check() &&;

 private:
  void problem(std::string text) { problems_.push_back(std::move(text)); }
  void check_type();
  void check_step(std::uint32_t index);
  void check_name(const std::string& where, const std::string& name);
  void check_options(const std::string& where, const step_options& options);
  void check_positive(const std::string& where, const char* option, const std::optional<milliseconds>& duration);
  void check_retry(const std::string& where, const retry_options& retry);
  void check_undo(const std::string& where, std::uint32_t index);
  bool comes_before(std::uint32_t first, std::uint32_t second) const;

  const graph_definition& graph_;
  std::vector<std::string> problems_;
};

std::vector<std::string> graph_checker::check() && {
  check_type();
  if (graph_.steps.empty()) problem("has no step: add one with step()");
  if (graph_.steps.size() > max_steps) {
    problem("has " + std::to_string(graph_.steps.size()) + " steps and may have " + std::to_string(max_steps) +
            ": split it into several workflows");
    return std::move(problems_);
  }
  std::unordered_set<std::string_view> names;
  for (std::uint32_t i = 0; i < graph_.steps.size(); ++i) {
    const auto& name = graph_.steps[i].name;
    if (!names.insert(name).second) problem("step '" + name + "': there are two of that name: rename one");
    check_step(i);
  }
  if (graph_.returns && (graph_.returns->is_input() || graph_.returns->step >= graph_.steps.size())) {
    problem("returns() does not name a step of this workflow: give it what step() returned");
  }
  return std::move(problems_);
}

void graph_checker::check_type() {
  const auto& type = graph_.type;
  const bool plain =
      type.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == std::string::npos;
  if (type.empty() || type.size() > max_name_length || !plain) {
    problem("the type's name is not 1 to 128 of A-Z a-z 0-9 . _ -: rename it");
  }
  if (graph_.options.version == 0) problem("versions count from 1: set .version");
  check_positive("options", "deadline", graph_.options.deadline);
}

void graph_checker::check_name(const std::string& where, const std::string& name) {
  if (name.empty()) problem(where + ": the name is empty: give it one");
  if (name.size() > max_name_length) problem(where + ": the name is longer than 128 bytes: shorten it");
  for (const char c : name) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      problem(where + ": the name has a control character: take it out");
      return;
    }
  }
}

void graph_checker::check_step(std::uint32_t index) {
  const auto& step = graph_.steps[index];
  const auto where = "step '" + step.name + "'";
  check_name(where, step.name);
  if (!step.invoke) problem(where + ": has no function: give it one that is not null");
  for (const auto& argument : step.arguments) {
    if (!argument.is_input() && argument.step >= index) {
      problem(where + ": takes the result of a step that is not defined before it: define that one first");
    }
  }
  for (const auto before : step.after) {
    if (before >= index) problem(where + ": .after names a step that is not defined before it: define that one first");
  }
  check_options(where, step.options);
  if (step.undo) check_undo(where, index);
}

void graph_checker::check_positive(const std::string& where, const char* option,
                                   const std::optional<milliseconds>& duration) {
  if (!duration) return;
  if (*duration <= milliseconds::zero()) problem(where + ": ." + option + " must be more than zero");
  if (*duration > max_option_duration) problem(where + ": ." + option + " must not be more than ten years");
}

void graph_checker::check_options(const std::string& where, const step_options& options) {
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

void graph_checker::check_retry(const std::string& where, const retry_options& retry) {
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

void graph_checker::check_undo(const std::string& where, std::uint32_t index) {
  const auto& step = graph_.steps[index];
  check_options(where + ": undo", step.undo_options);
  if (step.undo_options.after.begin() != step.undo_options.after.end()) {
    problem(where + ": undo: has an .after, but undos run in the reverse order of their steps: take it out");
  }
  for (const auto& argument : step.undo_arguments) {
    if (argument.is_input()) continue;
    if (argument.step == index) {
      problem(where +
              ": undo: takes the result of its own step as an argument, but that is given by itself, as the last "
              "parameter: take it out");
    } else if (argument.step >= graph_.steps.size() || !comes_before(argument.step, index)) {
      const auto name = argument.step < graph_.steps.size() ? graph_.steps[argument.step].name : std::string("?");
      problem(where + ": undo: takes the result of step '" + name +
              "', which need not be there yet: only steps that must come before '" + step.name + "' will do");
    }
  }
}

/// `second` cannot start before `first` has completed.
bool graph_checker::comes_before(std::uint32_t first, std::uint32_t second) const {
  if (first >= second) return false;
  std::vector<bool> seen(second + 1);
  std::vector<std::uint32_t> open{second};
  while (!open.empty()) {
    const auto& step = graph_.steps[open.back()];
    open.pop_back();
    auto look_at = [&](std::uint32_t before) {
      // An index not below its step's is reported by check_step; here it must only not be followed.
      if (before < first || before > second || seen[before]) return;
      seen[before] = true;
      open.push_back(before);
    };
    for (const auto& argument : step.arguments) look_at(argument.step);
    for (const auto before : step.after) look_at(before);
  }
  return seen[first];
}

}  // namespace

std::vector<std::string> check_graph(const graph_definition& graph) { return graph_checker(graph).check(); }

}  // namespace pawl::detail
