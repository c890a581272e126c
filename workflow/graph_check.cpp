// What the compiler could not see about a graph. Each problem says where and how to mend it.
#include <pawl/registry.hpp>

#include <unordered_set>

#include "workflow/option_check.hpp"

namespace pawl::detail {
namespace {

class graph_checker : private option_checker {
 public:
  explicit graph_checker(const graph_definition& graph) : graph_(graph) {}
  std::vector<std::string> check() &&;

 private:
  void check_step(std::uint32_t index);
  void check_undo(const std::string& where, std::uint32_t index);
  bool comes_before(std::uint32_t first, std::uint32_t second) const;

  const graph_definition& graph_;
};

std::vector<std::string> graph_checker::check() && {
  check_type(graph_);
  if (graph_.steps.empty()) problem("has no step: add one with step()");
  if (graph_.steps.size() > max_steps) {
    problem("has " + std::to_string(graph_.steps.size()) + " steps and may have " + std::to_string(max_steps) +
            ": split it into several workflows");
    return std::move(*this).take();
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
  return std::move(*this).take();
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
