// What a step's function is told about its attempt, and how it speaks to the engine while it runs.
#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include <pawl/codec.hpp>

namespace pawl {

enum class log_level : std::uint8_t { debug, info, warn, error };

namespace detail {

/// The engine's side of a running attempt. Implementations are thread-safe.
class attempt_port {
 public:
  virtual ~attempt_port() = default;
  virtual void heartbeat(std::optional<std::string> details) = 0;
  virtual void log(log_level level, std::string_view text) = 0;
};

struct attempt_facts {
  std::string workflow_id;
  std::uint32_t run = 1;
  std::string run_uid;
  std::string step;
  std::uint32_t attempt = 1;
  std::string idempotency_key;
  std::uint64_t fencing_token = 0;
  std::optional<std::string> details;  // of the last heartbeat of an earlier attempt, msgpack
  bool is_undo = false;
  bool outcome_unknown = false;
  bool may_still_run = false;
};

}  // namespace detail

/// Handed to every step function. Valid only during the call; its const members and heartbeat() may be used from
/// several threads. Nothing here blocks.
class step_context {
 public:
  step_context(const detail::attempt_facts& facts, detail::attempt_port& port, std::stop_token stop)
      : facts_(facts),
        port_(port),
        stop_(std::move(stop)) {}
  step_context(const step_context&) = delete;
  step_context& operator=(const step_context&) = delete;

  const std::string& workflow_id() const { return facts_.workflow_id; }
  /// 1, 2, ...: how often this workflow id has been started.
  std::uint32_t run() const { return facts_.run; }
  /// Unique for ever, over copies of the data directory too.
  const std::string& run_uid() const { return facts_.run_uid; }
  const std::string& step() const { return facts_.step; }
  /// 1, 2, ... over the life of the run.
  std::uint32_t attempt() const { return facts_.attempt; }
  /// The same for every attempt of this step of this run; an undo has one of its own. Send it with every outside
  /// effect.
  const std::string& idempotency_key() const { return facts_.idempotency_key; }
  /// Rises from attempt to attempt: an outside store that keeps the highest one can refuse a late writer.
  std::uint64_t fencing_token() const { return facts_.fencing_token; }
  /// Requested when the attempt has timed out, the run is cancelled or the node stops. Return soon after.
  std::stop_token stop_token() const { return stop_; }
  /// In an undo: no attempt of the step is known to have completed, but one may have taken effect.
  bool outcome_unknown() const { return facts_.outcome_unknown; }
  /// In an undo: a function of the step that timed out may still be running in this process.
  bool may_still_run() const { return facts_.may_still_run; }

  /// Says that the attempt is alive; needed at least once per `heartbeat` of its options. Costs an atomic store.
  void heartbeat() { port_.heartbeat(std::nullopt); }
  /// ... and leaves details for the next attempt, should this one fail. The newest is recorded at most once a
  /// max(1 s, timeout / 3).
  template <class T>
  void heartbeat(const T& details) {
    port_.heartbeat(encode(details));
  }
  /// What the last heartbeat of an earlier attempt left. Throws codec_error when it was of another type.
  template <class T>
  std::optional<T> last_details() const {
    if (!facts_.details) return std::nullopt;
    return decode<T>(*facts_.details);
  }

  /// A line in the node's log, with workflow id, run, step and attempt.
  void log(log_level level, std::string_view text) { port_.log(level, text); }

 private:
  const detail::attempt_facts& facts_;
  detail::attempt_port& port_;
  std::stop_token stop_;
};

}  // namespace pawl
