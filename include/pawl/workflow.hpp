// A workflow declared as a graph of steps, wired by typed handles:
//
//   pawl::workflow<order> g{"fulfil-order", {.version = 1}};
//   auto in   = g.input();                                         // value<order>
//   auto h    = g.step("reserve", reserve, {.timeout = 2s}, in);   // value<hold>
//   g.undo(h, release, in);
//   auto paid = g.step("charge", charge, {}, in, h);
//   g.returns(paid);
//
// A step starts when all that it takes, and all in `.after`, is there. A handle exists only once its step does, so a
// cycle cannot be written; a wrong type does not compile. What only shows at run time (a name given twice, a handle of
// another workflow) is gathered, and pawl::registry::add throws it as definition_error.
//
// Functions: `R f(pawl::step_context&, A...)`, each parameter `const T&` or `T` of exactly the handle's type, R void or
// storable. A free function, lambda or function object; it is copied, and called by several threads at once.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <pawl/codec.hpp>
#include <pawl/definition.hpp>
#include <pawl/errors.hpp>
#include <pawl/schema.hpp>
#include <pawl/step_context.hpp>
#include <pawl/wiring.hpp>

namespace pawl {

class registry;

/// The input of a workflow, or the result of a step: what steps are wired with. Only `workflow` makes them.
template <class T>
class value {
 public:
  using type = T;
  /// For `.after`.
  operator step_handle() const { return handle_; }

 private:
  template <class>
  friend class workflow;
  explicit value(step_handle handle) : handle_(handle) {}
  step_handle handle_;
};

namespace detail {

/// The untyped half of `workflow`: gathers the graph, and what is wrong with it.
class graph_builder {
 public:
  graph_builder(std::string_view type, const workflow_options& options, const type_descriptor& input);
  step_handle input() const { return step_handle(source::input_index, id_); }
  step_handle step(std::string_view name, const step_options& options, std::span<const step_handle> arguments,
                   invoke_function invoke, const type_descriptor* result);
  void undo(step_handle step, const step_options& options, std::span<const step_handle> arguments, undo_function undo);
  void returns(step_handle step);

  const graph_definition& graph() const { return graph_; }
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  std::vector<source> sources(const std::string& of, std::span<const step_handle> arguments);
  bool is_own_step(const std::string& what, step_handle step);

  std::uint32_t id_;
  graph_definition graph_;
  std::vector<std::string> problems_;
};

}  // namespace detail

/// Builds a graph; nothing runs until it is in a registry. Not thread-safe. Move-only, since its handles are its own.
template <class In>
class workflow {
 public:
  /// `type`: 1 to 128 of A-Z a-z 0-9 . _ -
  explicit workflow(std::string_view type, const workflow_options& options = {})
      : builder_(type, options, descriptor_of<In>()) {
    static_assert(std::is_void_v<In> || storable<In>,
                  "the input of a workflow must be storable: give the struct PAWL_FIELDS, or specialise pawl::codec");
    static_assert(std::is_same_v<In, std::remove_cvref_t<In>>, "the input of a workflow is a plain type");
  }
  workflow(const workflow&) = delete;
  workflow& operator=(const workflow&) = delete;
  workflow(workflow&&) = default;
  workflow& operator=(workflow&&) = default;
  ~workflow() = default;

  value<In> input() const { return value<In>(builder_.input()); }

  /// `name`: 1 to 128 characters, unique in the workflow; history and metrics show it.
  template <class F, class... A>
  value<detail::step_result<F, A...>> step(std::string_view name, F f, const step_options& options,
                                           value<A>... arguments) {
    using result = detail::step_result<F, A...>;
    const step_handle handles[] = {arguments..., step_handle()};
    const std::span given(handles, sizeof...(A));
    if constexpr (detail::check_step<F, A...>()) {
      const type_descriptor* type = nullptr;
      if constexpr (!std::is_void_v<result>) type = &descriptor_of<result>();
      return value<result>(
          builder_.step(name, options, given, detail::make_invoke<result, F, A...>(std::move(f)), type));
    } else {
      return value<result>(builder_.step(name, options, given, {}, nullptr));
    }
  }
  template <class F, class... A>
  value<detail::step_result<F, A...>> step(std::string_view name, F f, value<A>... arguments) {
    return step(name, std::move(f), step_options{}, arguments...);
  }
  template <class F, class... X>
    requires(!detail::is_handle<X> || ...)
  value<detail::unknown> step(std::string_view, F, const step_options&, const X&...) {
    static_assert((detail::is_handle<X> && ...),
                  "a step is wired with handles, which input() and step() return: put a constant into the function");
    return value<detail::unknown>(step_handle());
  }

  /// How to take a step back: `void f(step_context&, A..., const std::optional<R>& result)`, with R the result of the
  /// step (left out where that is void). No result: the step may have taken effect, but nobody knows. Its arguments are
  /// the input and results of steps that come before the step. Once a step.
  template <class R, class F, class... A>
  void undo(value<R> step, F f, const step_options& options, value<A>... arguments) {
    const step_handle handles[] = {arguments..., step_handle()};
    const std::span given(handles, sizeof...(A));
    if constexpr (detail::check_undo<R, F, A...>()) {
      builder_.undo(step, options, given, detail::make_undo<R, F, A...>(std::move(f)));
    }
  }
  template <class R, class F, class... A>
  void undo(value<R> step, F f, value<A>... arguments) {
    undo(step, std::move(f), step_options{}, arguments...);
  }

  /// The result of the run; nil without. Once.
  template <class R>
  void returns(value<R> result) {
    builder_.returns(result);
  }

 private:
  friend class registry;
  detail::graph_builder builder_;
};

}  // namespace pawl
