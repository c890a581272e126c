// The untyped half of pawl::workflow. It never throws: what is wrong is gathered, so that the registry can name all of
// it.
#include <pawl/workflow.hpp>

#include <algorithm>
#include <atomic>

namespace pawl::detail {
namespace {

std::uint32_t next_graph_id() {
  static std::atomic<std::uint32_t> last{0};
  return ++last;
}

std::string in_quotes(std::string_view name) { return "'" + std::string(name) + "'"; }

}  // namespace

graph_builder::graph_builder(std::string_view type, const workflow_options& options, const type_descriptor& input)
    : id_(next_graph_id()) {
  graph_.type = type;
  graph_.options = options;
  graph_.input = &input;
}

std::vector<source> graph_builder::sources(const std::string& of, std::span<const step_handle> arguments) {
  std::vector<source> out;
  out.reserve(arguments.size());
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i].graph() != id_) {
      problems_.push_back(of + ": argument " + std::to_string(i + 1) +
                          " is a handle of another workflow: use what input() and step() of this one returned");
      out.push_back({});
      continue;
    }
    out.push_back({arguments[i].index()});
  }
  return out;
}

bool graph_builder::is_own_step(const std::string& what, step_handle step) {
  if (step.graph() != id_) {
    problems_.push_back(what + " is given a handle of another workflow: use what step() of this one returned");
    return false;
  }
  if (step.index() == source::input_index) {
    problems_.push_back(what + " is given the input: give it what step() returned");
    return false;
  }
  return true;
}

step_handle graph_builder::step(std::string_view name, const step_options& options,
                                std::span<const step_handle> arguments, invoke_function invoke,
                                const type_descriptor* result) {
  const auto where = "step " + in_quotes(name);
  step_definition step;
  step.name = name;
  step.options = options;
  step.arguments = sources(where, arguments);
  step.invoke = std::move(invoke);
  step.result = result;
  for (const auto& before : options.after) {
    if (is_own_step(where + ": .after", before)) step.after.push_back(before.index());
  }
  std::sort(step.after.begin(), step.after.end());
  step.after.erase(std::unique(step.after.begin(), step.after.end()), step.after.end());
  graph_.steps.push_back(std::move(step));
  return step_handle(static_cast<std::uint32_t>(graph_.steps.size() - 1), id_);
}

void graph_builder::undo(step_handle step, const step_options& options, std::span<const step_handle> arguments,
                         undo_function undo) {
  if (!is_own_step("undo()", step)) return;
  auto& of = graph_.steps[step.index()];
  const auto where = "step " + in_quotes(of.name);
  if (of.undo) {
    problems_.push_back(where + ": has two undos: register one, which does all");
    return;
  }
  if (!undo) problems_.push_back(where + ": its undo has no function: give it one that is not null");
  of.undo_arguments = sources(where + ": undo", arguments);
  of.undo_options = options;
  of.undo = std::move(undo);
}

void graph_builder::returns(step_handle step) {
  if (!is_own_step("returns()", step)) return;
  if (graph_.returns) {
    problems_.push_back("returns() is called twice: a run has one result");
    return;
  }
  graph_.returns = source{step.index()};
}

void wrong_argument_count(std::size_t expected, std::size_t given) {
  throw codec_error("the step takes " + std::to_string(expected) + " arguments and was given " + std::to_string(given));
}

}  // namespace pawl::detail
