// Options of workflows and steps. An option left unset takes the node's configured default ([step], [retry]) when the
// attempt is scheduled, so a policy can be changed without a new version of the workflow.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <stdexcept>

namespace pawl {

/// A step of a graph, without its type: what `.after` takes.
class step_handle {
 public:
  constexpr step_handle() = default;
  constexpr explicit step_handle(std::uint32_t index, std::uint32_t graph = 0) : index_(index), graph_(graph) {}
  constexpr std::uint32_t index() const { return index_; }
  /// Which workflow object it was taken from, so that a handle of another one is noticed.
  constexpr std::uint32_t graph() const { return graph_; }

 private:
  std::uint32_t index_ = 0;
  std::uint32_t graph_ = 0;
};

/// Steps that must have completed before this one starts, without handing data over. Holds at most `capacity` handles.
class after_list {
 public:
  static constexpr std::size_t capacity = 16;
  constexpr after_list() = default;
  /// Throws std::length_error when more than `capacity` handles are given.
  constexpr after_list(std::initializer_list<step_handle> steps) {
    if (steps.size() > capacity) throw std::length_error("step_options.after: more than 16 steps");
    for (auto s : steps) steps_[size_++] = s;
  }
  constexpr const step_handle* begin() const { return steps_.data(); }
  constexpr const step_handle* end() const { return steps_.data() + size_; }

 private:
  std::array<step_handle, capacity> steps_{};
  std::size_t size_ = 0;
};

/// How a step's failures are repeated: delay(n) = uniform(0, min(max_delay, first_delay * factor^(n-1))) (full jitter).
struct retry_options {
  std::optional<int> max_attempts{};  ///< failures and time-outs that count; default 10
  std::optional<std::chrono::milliseconds> first_delay{};  ///< default 500 ms
  std::optional<double> factor{};  ///< default 2
  std::optional<std::chrono::milliseconds> max_delay{};  ///< default 60 s
};

/// What happens when a step has no attempt left.
enum class when_exhausted : std::uint8_t {
  compensate,  ///< undo what was done, newest first, then the run fails
  pause,  ///< wait for a person: `resume` tries the step again, `skip` goes on with a given result
};

/// Which steps an undo is run for.
enum class undo_when : std::uint8_t {
  may_have_run,  ///< completed, or an attempt ended unknown (timed out, lost, interrupted, written off)
  completed,  ///< completed only
};

/// Where a step's function runs.
enum class run_on : std::uint8_t {
  pool,  ///< a thread of the node's pool of blocking threads
  in_place,  ///< the actor's own thread: only for functions that never block and take microseconds
};

/// Trivially destructible on purpose: it is built in braces inside `co_await` expressions.
struct step_options {
  std::optional<std::chrono::milliseconds> timeout{};  ///< of one attempt, from the start of the function; default 30 s
  std::optional<std::chrono::milliseconds> deadline{};  ///< of the step, from its first scheduling; default none
  std::optional<std::chrono::milliseconds> heartbeat{};  ///< longest silence between heartbeats; default none
  retry_options retry{};
  std::uint32_t max_concurrent = 0;  ///< attempts of this step at once on one node; 0 = as many as the pool has slots
  run_on where = run_on::pool;
  when_exhausted exhausted = when_exhausted::compensate;
  pawl::undo_when undo = pawl::undo_when::may_have_run;
  after_list after{};
};

struct workflow_options {
  std::uint32_t version = 1;  ///< a run is pinned to the version it started with
  std::optional<std::chrono::milliseconds> deadline{};  ///< of the whole run, from its start; over it the run fails
};

}  // namespace pawl
