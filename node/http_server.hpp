// The node's door: HTTP/1.1 on a Unix socket (and, where asked for, on TCP), one io thread for all connections. A
// connection that waits for an answer costs a socket and a few kilobytes, no thread.
//
// Everything is bounded: connections, header, body, the time to send either, the time to take an answer, and what is
// kept for a slow reader of a stream. Who exceeds a bound is told where that is possible, and dropped.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "node/access_token.hpp"
#include "node/api.hpp"

namespace pawl::node {

struct http_options {
  std::size_t max_connections = 16'384;  ///< lowered to what the process may have open; beyond it: 503
  std::size_t max_header = 32 * 1024;
  std::size_t max_body = std::size_t{3} << 20;
  std::size_t stream_buffer = 256 * 1024;          ///< lines of a stream that wait for their reader
  std::chrono::milliseconds header_timeout{10'000};  ///< from the first byte of a request to the end of its header
  std::chrono::milliseconds body_timeout{30'000};
  std::chrono::milliseconds write_timeout{30'000};  ///< one answer, or one piece of a stream
  std::chrono::milliseconds idle_timeout{60'000};   ///< between requests
  access_token token{};  ///< what requests over TCP have to show; empty: nothing, and only loopback is listened on
};

struct http_stats {
  std::size_t connections = 0;
  std::size_t waiting = 0;  ///< of them, with a request that has no answer yet
  std::uint64_t requests = 0;
  std::uint64_t refused_connections = 0;
  std::uint64_t dropped_slow = 0;  ///< clients that did not send or take in time
};

/// All members are thread-safe.
class http_server {
 public:
  /// Starts the io thread. `a` must outlive the server.
  explicit http_server(api& a, http_options options = {});
  /// Stops without patience.
  ~http_server();
  http_server(const http_server&) = delete;
  http_server& operator=(const http_server&) = delete;

  /// Listens on a socket at `path`, mode 0600; a socket left there by a dead node is replaced, so hold the lock of the
  /// data directory. Paths longer than the kernel's 107 bytes are fine. Returns an empty string, or what is wrong and
  /// what to do.
  std::string listen_unix(const std::string& path);
  /// Listens on "127.0.0.1:7300", "[::1]:7300" or "localhost:7300"; port 0 picks one (port()). An address that is not
  /// loopback is refused without a token.
  std::string listen_tcp(const std::string& address);
  std::uint16_t port() const;
  /// Where listen_tcp() listens, with its port: "127.0.0.1:40123"; empty before.
  std::string address() const;

  http_stats stats() const;

  /// Takes no more connections, lets answers that are due go out for at most `patience`, closes everything, removes the
  /// Unix socket, ends the thread. Stop the api first, so that waiting requests are answered.
  void stop(std::chrono::milliseconds patience = std::chrono::milliseconds(500));

 private:
  struct state;
  std::shared_ptr<state> state_;
};

}  // namespace pawl::node
