// What a checked build shall let pass (docs/durable-code.md, "Checking code").
#pragma once

#include <utility>

namespace pawl {

namespace detail {

class unchecked_scope {
 public:
  unchecked_scope() noexcept;
  ~unchecked_scope();
  unchecked_scope(const unchecked_scope&) = delete;
  unchecked_scope& operator=(const unchecked_scope&) = delete;
};

}  // namespace detail

/// Calls f and gives what it returns. What f does on its thread passes a checked build, although code of a workflow
/// must not do it: for what is the same on every node and in every replay all the same, as rules that the process has
/// read from a file once. f is a function, not a coroutine: nothing is awaited in it. Throws what f throws; costs
/// nothing to speak of.
///
///     const auto* zone = pawl::unchecked([&] { return date::locate_zone(customer.zone); });
template <class F>
decltype(auto) unchecked(F&& f) {
  const detail::unchecked_scope scope;
  return std::forward<F>(f)();
}

}  // namespace pawl
