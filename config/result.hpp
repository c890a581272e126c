#pragma once

#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace pawl::config {

// What is wrong with a configuration, for programs.
enum class problem_code {
  unreadable_file,
  syntax,        // the file is not TOML
  unknown_name,  // no such section, setting or variable
  wrong_type,    // TOML of another type, a flag without "="
  bad_value,     // cannot be read as what the setting is
  out_of_range,
  conflict,  // two settings that contradict each other
};

// One mistake in a configuration. Never holds the value of a secret setting.
struct problem {
  problem_code code;
  std::string where;    // "pawl.toml:12", "env PAWL_POOL_THREADS", "flag"
  std::string setting;  // "pool.threads"; empty when the mistake is not in one setting
  std::string what;     // what happened
  std::string mend;     // what to do

  // One line for people: "pawl.toml:12: pool.threads: what happened. What to do."
  std::string text() const;
};

// Every mistake that one load found, those of the file first.
using problems = std::vector<problem>;

// Value or error; stands in for std::expected, which libstdc++ 12 has in C++23 only. Asking for the alternative that is
// not there throws std::bad_variant_access: a bug in the caller, not a failure to handle.
template <class T, class E = problems>
class [[nodiscard]] outcome {
  static_assert(!std::is_same_v<T, E>);

 public:
  outcome(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  outcome(E error) : state_(std::in_place_index<1>, std::move(error)) {}

  explicit operator bool() const noexcept { return state_.index() == 0; }

  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  const E& error() const& { return std::get<1>(state_); }
  E&& error() && { return std::get<1>(std::move(state_)); }

 private:
  std::variant<T, E> state_;
};

}  // namespace pawl::config
