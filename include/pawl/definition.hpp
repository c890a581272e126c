// What a registered workflow is to the engine: untyped, and the same for every way to define one. Users do not write
// these; `pawl::workflow<In>` builds them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <pawl/options.hpp>

namespace pawl {

class step_context;
class workflow_context;
struct type_descriptor;  // pawl/schema.hpp

namespace detail {

/// One value in msgpack.
using bytes = std::string;
using byte_views = std::span<const std::string_view>;

/// Where an argument comes from: the run's input, or the result of the step with that index.
struct source {
  static constexpr std::uint32_t input_index = 0xffffffffU;
  std::uint32_t step = input_index;
  bool is_input() const { return step == input_index; }
  bool operator==(const source&) const = default;
};

/// The function of a step with its arguments decoded and its result encoded. May throw whatever the user's code throws,
/// and codec_error. Called on any thread, several at once.
using invoke_function = std::function<bytes(step_context&, byte_views arguments)>;
/// The undo of a step: the step's result follows the arguments; nullopt when no attempt is known to have completed.
using undo_function = std::function<void(step_context&, byte_views arguments, std::optional<std::string_view> result)>;

struct step_definition {
  std::string name;
  std::vector<source> arguments;
  std::vector<std::uint32_t> after;  ///< steps that come first without handing data over
  step_options options;
  invoke_function invoke;
  undo_function undo;  ///< empty: nothing to undo
  std::vector<source> undo_arguments;
  step_options undo_options;
  const type_descriptor* result = nullptr;  ///< nullptr: void
};

struct graph_definition;
struct code_definition;

/// What is registered under a type and version, whichever way it is defined.
struct workflow_definition {
  std::string type;
  workflow_options options;
  const type_descriptor* input = nullptr;
  /// Tells that a recorded run was made by this definition. Of a graph: over names, edges and type names; of code,
  /// whose body nobody can hash: over the names of its types. Options are not in it.
  std::uint64_t digest = 0;

  workflow_definition() = default;
  workflow_definition(const workflow_definition&) = default;
  workflow_definition& operator=(const workflow_definition&) = default;
  virtual ~workflow_definition() = default;
  virtual const graph_definition* as_graph() const { return nullptr; }
  virtual const code_definition* as_code() const { return nullptr; }
};

struct graph_definition final : workflow_definition {
  const graph_definition* as_graph() const override { return this; }

  std::vector<step_definition> steps;  ///< in the order of definition: an argument's source has a lower index
  std::optional<source> returns;  ///< nothing: the run's result is nil
  /// Filled in by engine::plan_graph when the graph is registered: the steps that wait for step k, and for how many
  /// distinct steps k waits.
  std::vector<std::vector<std::uint32_t>> successors;
  std::vector<std::uint32_t> waits;
};

/// A coroutine that has been called and not begun: the frame, and what it comes to. pawl/task.hpp makes them.
class root_task;

struct code_definition final : workflow_definition {
  const code_definition* as_code() const override { return this; }

  const type_descriptor* result = nullptr;  ///< nullptr: void
  /// Decodes the input and calls the coroutine. Throws codec_error, or what the parameters' constructors throw.
  std::function<std::unique_ptr<root_task>(workflow_context&, std::string_view input)> call;
};

/// The definition as what it is; null when it is of the other kind.
std::shared_ptr<const graph_definition> as_graph(const std::shared_ptr<const workflow_definition>& d);
std::shared_ptr<const code_definition> as_code(const std::shared_ptr<const workflow_definition>& d);

}  // namespace detail
}  // namespace pawl
