// How the functions of this folder stand before those of the C library: a program that links pawl_checked calls them
// instead, wherever in the process the call comes from, and they call the real ones. On a thread that is in code of a
// workflow (workflow/watched.hpp) the first call is told of, with the place in the code that it came from.
#pragma once

#include <dlfcn.h>

#include <atomic>

#include "workflow/watched.hpp"

namespace pawl::checked {

/// What a function of the C library is to code.
struct kind {
  const char* does;     ///< "reads a clock"
  const char* instead;  ///< "use wf.now()"
};

inline constexpr kind clocks{"reads a clock", "use wf.now()"};
inline constexpr kind zones{"reads the time zone of the node", "use a zone by its name"};
inline constexpr kind chance{"draws random numbers", "use wf.random() or wf.new_id()"};
inline constexpr kind surroundings{"reads what this process and machine are like",
                                   "hand it over in the input, or read it in a step"};
inline constexpr kind waits{"blocks its thread", "use wf.sleep(), or let a step wait"};
inline constexpr kind threads{"starts a thread or process",
                              "use pawl::all or pawl::each; what computes belongs into a step"};
inline constexpr kind files{"reaches for files", "do it in a step"};
inline constexpr kind network{"reaches for the network", "do it in a step"};
inline constexpr kind output{"writes output", "use wf.log(), which is silent in replay"};

/// Tells of it where the thread is in code, unless the C library was called by an allocator, which has its own reasons.
/// `caller` is the return address.
void tell(const kind& what, const char* function, const void* caller) noexcept;

inline void see(const kind& what, const char* function, const void* caller) noexcept {
  if (engine::watched::here()) [[unlikely]]
    tell(what, function, caller);
}

/// The function of that name behind the one of this program.
template <class Function>
Function* next(std::atomic<Function*>& kept, Function* sanitizers, const char* name) noexcept {
  auto* real = kept.load(std::memory_order_relaxed);
  if (real) return real;
  real = sanitizers ? sanitizers : reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
  kept.store(real, std::memory_order_relaxed);
  return real;
}

}  // namespace pawl::checked

// Defines a function of the C library: its kind, what it returns, its name, its parameters, `noexcept` where the
// library declares it so, and the names of the parameters. A sanitizer stands before the C library as well, and has to
// stay there.
#define PAWL_BEFORE(kind, result, function, parameters, exceptions, arguments)        \
  extern "C" [[gnu::weak]] result __interceptor_##function parameters exceptions;     \
  extern "C" [[gnu::visibility("default")]] result function parameters exceptions {   \
    static constinit std::atomic<decltype(&__interceptor_##function)> kept{};         \
    pawl::checked::see(pawl::checked::kind, #function, __builtin_return_address(0));  \
    return pawl::checked::next(kept, &__interceptor_##function, #function) arguments; \
  }
