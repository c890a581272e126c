#include "workflow/watched.hpp"

#include <exception>
#include <utility>

#include <pawl/unchecked.hpp>

namespace pawl {
namespace engine {

namespace {

constinit thread_local watched* innermost = nullptr;
constinit thread_local unsigned unwatched = 0;

}  // namespace

watched::watched() noexcept : outer_(std::exchange(innermost, this)) {}

watched::~watched() { innermost = outer_; }

bool watched::here() noexcept { return innermost && unwatched == 0 && !innermost->seen_; }

void watched::tell(misdeed (*describe)(const void*), const void* about) noexcept {
  if (!here()) return;
  ++unwatched;
  try {
    innermost->seen_ = describe(about);
  } catch (const std::exception&) {
    innermost->seen_.emplace();  // no memory for the words
  }
  --unwatched;
}

}  // namespace engine

namespace detail {

unchecked_scope::unchecked_scope() noexcept { ++engine::unwatched; }
unchecked_scope::~unchecked_scope() { --engine::unwatched; }

}  // namespace detail
}  // namespace pawl
