// Requests that wait for the end of a run: a callback and a timer each. The node is asked once for a run, however many
// wait for it and however often they come back, because it cannot forget who asked. Private to the api.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "actors/clock.hpp"
#include "actors/node_system.hpp"

namespace pawl::node {

/// Thread-safe.
class result_waiters {
 public:
  explicit result_waiters(std::size_t most) : most_(most) {}
  ~result_waiters() { stop(); }
  result_waiters(const result_waiters&) = delete;
  result_waiters& operator=(const result_waiters&) = delete;

  /// Null: not within the time, or the api stops. Called once, on a thread of the node or of the clock.
  using callback = std::function<void(const actors::run_result*)>;
  class wait {
   public:
    explicit wait(callback f) : f_(std::move(f)) {}
    /// False: it was over already.
    bool finish(const actors::run_result* r);

   private:
    std::mutex mutex_;
    callback f_;
  };

  /// Null: too many wait already, or the api stops; the callback is not called then.
  std::shared_ptr<wait> begin(std::chrono::milliseconds within, callback f);
  /// Lets `w` end with the run. `run` 0: the newest.
  void attach(actors::node_system& system, const std::string& workflow_id, std::uint32_t run, std::shared_ptr<wait> w);
  std::size_t waiting() const;
  /// Ends all waits and begins no other.
  void stop();

 private:
  using run_name = std::pair<std::string, std::uint32_t>;
  struct hash {
    std::size_t operator()(const run_name& n) const { return std::hash<std::string>()(n.first) + n.second; }
  };
  struct waiting_run {
    std::vector<std::shared_ptr<wait>> waits;
    std::size_t sweep_at = 64;
  };
  struct table {
    std::mutex mutex;
    std::unordered_map<run_name, waiting_run, hash> runs;
    void resolve(const run_name& name, const actors::run_result& r);
  };
  class asked;

  void leave(std::uint64_t number);

  const std::size_t most_;
  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::shared_ptr<wait>> open_;
  std::uint64_t last_number_ = 0;
  bool stopping_ = false;
  std::unique_ptr<actors::clock> clock_;                        // made with the first wait
  const std::shared_ptr<table> table_ = std::make_shared<table>();  // the node may hold it longer than we live
};

}  // namespace pawl::node
