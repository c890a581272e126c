// Asks a running node, on its Unix socket or over TCP.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "config/result.hpp"
#include "node/access_token.hpp"
#include "node/api.hpp"

namespace pawl::node {

/// Why there is no answer.
struct transport_error {
  enum class kind : std::uint8_t {
    no_node,  ///< nobody listens there: no node runs on this data directory
    timeout,
    broken,   ///< the connection broke, or what came is not HTTP: the request may have been carried out or not
  };
  kind what = kind::broken;
  std::string message;  ///< for people
};

/// A node that is asked over TCP.
struct remote_node {
  std::string address;  ///< "host:port"
  access_token token{};
};

/// One connection, kept open between calls. Thread-compatible. Blocks. Paths of sockets may be of any length.
class http_client {
 public:
  explicit http_client(std::string socket_path);
  explicit http_client(remote_node node);
  ~http_client();
  http_client(http_client&&) noexcept;
  http_client& operator=(http_client&&) noexcept;

  /// `timeout` is for the whole exchange, so longer than the request's wait_ms; 0: none.
  config::outcome<api_response, transport_error> call(const api_request& request, std::chrono::milliseconds timeout);

  /// Hands over a streamed answer line by line, until it ends or `on_line` returns false. The answer's body holds what
  /// was sent instead of a stream when its status is not 200. `stop` is asked several times a second; true ends it as a
  /// returned false does.
  config::outcome<api_response, transport_error> stream(const api_request& request,
                                                        const std::function<bool(std::string_view line)>& on_line,
                                                        const std::function<bool()>& stop = {});

 private:
  struct state;
  std::unique_ptr<state> state_;
};

/// Percent-encodes all but letters, digits and "-._~", for a segment of a path or a value of a query.
std::string percent_encode(std::string_view text);

}  // namespace pawl::node
