// One request to a node and its answer, on a handle of libcurl. Private to those who ask: http_client waits for it,
// http_forwarder has many under way.
#pragma once

#include <curl/curl.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "node/http_client.hpp"
#include "node/socket_path.hpp"

namespace pawl::node {

/// Bytes of an answer, or of a line of one.
inline constexpr std::size_t longest_answer = std::size_t{256} << 20;

/// Thread-compatible. Not movable: libcurl has its address.
class http_exchange {
 public:
  explicit http_exchange(std::string socket_path);
  explicit http_exchange(remote_node node);
  ~http_exchange();
  http_exchange(const http_exchange&) = delete;
  http_exchange& operator=(const http_exchange&) = delete;

  using line_function = std::function<bool(std::string_view line)>;
  /// Sets the handle up. `timeout` 0: none. `on_line`: what it gets are the lines of an answer of 200; false ends it.
  void prepare(const api_request& r, std::chrono::milliseconds timeout, const line_function* on_line = nullptr);
  /// Empty, or why nobody can be there.
  std::optional<transport_error> unreachable() const;
  CURL* handle() const { return handle_; }
  void stop() { stopped_ = true; }
  /// What came of it, once libcurl is done with the handle.
  config::outcome<api_response, transport_error> outcome(CURLcode code);

 private:
  static std::size_t on_body(char* data, std::size_t one, std::size_t size, void* to);
  static std::size_t on_header(char* data, std::size_t one, std::size_t size, void* to);
  bool streams() const;
  bool take(std::string_view bytes);
  void add_header(const std::string& line);

  const std::string path_;  // of the socket, or host and port
  std::optional<socket_path> name_;  // none: over TCP
  const access_token token_{};
  CURL* handle_ = nullptr;
  curl_slist* headers_ = nullptr;
  api_response response_;
  const line_function* on_line_ = nullptr;
  std::string line_;
  bool stopped_ = false;
  bool too_large_ = false;
};

}  // namespace pawl::node
