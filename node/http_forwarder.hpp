// Asks other nodes, many requests at once on one thread, over connections that are kept open.
//
// What waits at another node costs a connection, no thread; one node that does not answer holds up nobody else.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "node/http_client.hpp"

namespace pawl::node {

/// Thread-safe.
class http_forwarder {
 public:
  struct request {
    remote_node node;
    api_request what;
    std::chrono::milliseconds timeout{0};  ///< of the whole exchange; 0: none
    /// Asked several times a second; true: there is no use in waiting any longer. The forwarder's thread.
    std::function<bool()> give_up{};
    /// Once, on the forwarder's thread; must not block. Of what was given up: `broken`.
    std::function<void(config::outcome<api_response, transport_error>)> done;
  };

  /// At most so many under way; beyond it ask() is refused.
  explicit http_forwarder(std::size_t most);
  /// Stops.
  ~http_forwarder();
  http_forwarder(const http_forwarder&) = delete;
  http_forwarder& operator=(const http_forwarder&) = delete;

  /// False: too many are under way, or it has stopped; nothing is called then.
  bool ask(request r);
  /// Gives up all that is under way, at once.
  void stop();

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace pawl::node
