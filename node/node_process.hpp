// A node in this process: the data directory and its lock, the journal, the engine, and the door on the Unix socket.
#pragma once

#include <pawl/registry.hpp>

#include "config/load.hpp"
#include "node/api.hpp"
#include "node/cli_error.hpp"
#include "node/logging.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace pawl::node {

struct node_process_options {
  const registry& types;
  const config::loaded& configuration;
  node_log log{};
  std::string program = "pawl";       ///< what its child processes are called
  std::function<void()> on_broken{};  ///< any thread, once: the journal is broken and the node must end; see broken()
};

/// Thread-safe but for stop() and the destructor.
class node_process {
 public:
  /// Takes the directory, recovers, listens. Blocks for as long as that takes. An error names the directory, the file
  /// or the setting; a directory that another node has is a conflict, with the pid of that node.
  static cli_result<std::unique_ptr<node_process>> start(node_process_options options);
  /// Stops without patience.
  ~node_process();
  node_process(const node_process&) = delete;
  node_process& operator=(const node_process&) = delete;

  api& door();
  std::size_t running_attempts() const;
  /// Why the journal cannot be written any more and what to do; empty while it can.
  std::string broken() const;
  const std::string& directory() const;  ///< absolute
  std::string socket() const;
  /// Where other nodes reach this one: http.advertise, or what it listens on; empty: on the Unix socket only.
  std::string address() const;

  struct stopped {
    std::size_t interrupted = 0;  ///< attempts that did not end within the grace; they are recorded as interrupted
    std::size_t hung = 0;  ///< functions still inside the process: it must end by std::_Exit
  };
  /// Refuses what is new, waits `grace` for attempts, records the rest as interrupted, closes everything. `hurry` cuts
  /// the grace short when it turns true. What has been acknowledged is on disk whatever happens here.
  stopped stop(std::chrono::milliseconds grace, const std::function<bool()>& hurry = {});

 private:
  struct state;
  explicit node_process(std::unique_ptr<state> s);
  std::unique_ptr<state> state_;
};

}  // namespace pawl::node
