// What a workflow definition is to the engine: something that folds events and says what it wants next. Attempts,
// retries, time-outs, compensation and limits are the engine's; a program only sees steps end.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "workflow/event.hpp"

namespace pawl::engine {

enum class want_kind : std::uint8_t { step, finish, fail, broken };

/// What a program needs next. Order matters: earlier wants are served first.
struct want {
  want_kind kind = want_kind::step;
  std::uint32_t step = no_step;
  std::string_view result{};   ///< finish: msgpack, owned by the program; empty is nil
  std::string_view message{};  ///< fail, broken: what happened; owned by the program
};

class program {
 public:
  virtual ~program() = default;
  /// Called by evolve alone, once per event, in order.
  virtual void on(const event& e) noexcept = 0;
  /// Valid until the next on(). A program that cannot follow its history returns the single want `broken`.
  virtual std::span<const want> wants() const = 0;
  /// msgpack of the n-th argument's source; the program keeps what its steps returned.
  virtual std::string_view value_of(std::uint32_t step) const = 0;
};

}  // namespace pawl::engine
