// One connection of the http_server. Lives on the server's io thread; only what says so is called from elsewhere.
//
//     idle -> header -> body -> [api] -> write -> idle ...       kept alive
//               |         |       |        '-> linger            the client wants no more, or sent what cannot be read
//               |         |       '-> stream -> idle | closed
//               '---------'-> closed                             too slow, or gone
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_set>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "node/http_server.hpp"
#include "node/problem.hpp"

namespace pawl::node {

class http_session;

/// What sessions share with their server.
struct http_hub {
  http_hub(api& a, http_options o) : asked(a), options(std::move(o)) {}

  api& asked;
  const http_options options;
  boost::asio::io_context io{1};
  std::unordered_set<http_session*> sessions;  // io thread only
  bool stopping = false;                       // io thread only
  std::function<void()> on_room;               // io thread only: a connection has ended

  std::atomic<std::size_t> connections{0};
  std::atomic<std::size_t> waiting{0};
  std::atomic<std::uint64_t> requests{0};
  std::atomic<std::uint64_t> refused{0};
  std::atomic<std::uint64_t> slow{0};

  /// Any thread. Once the server has stopped the function is dropped.
  void post(std::function<void()> f);
  void shut();

 private:
  std::mutex mutex_;
  bool shut_ = false;
};

using byte_socket = boost::asio::generic::stream_protocol::socket;

class http_session : public std::enable_shared_from_this<http_session> {
 public:
  /// `local`: on a Unix socket, where only our user can be.
  http_session(byte_socket socket, std::shared_ptr<http_hub> hub, bool local);
  ~http_session();
  http_session(const http_session&) = delete;
  http_session& operator=(const http_session&) = delete;

  // Whoever calls one of these holds the session.
  void start();
  /// Answers without reading, and closes.
  void refuse(const problem& p);
  /// The server stops: closes unless an answer is owed.
  void stop();
  void close();

 private:
  using error_code = boost::system::error_code;
  using parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  class outlet;

  void await_request();
  void read_header();
  void on_header(error_code ec);
  void read_body();
  void on_body(error_code ec);
  void on_unreadable(error_code ec);
  std::optional<problem> not_allowed() const;
  void ask();
  void on_answer(api_response r);
  void write(const api_response& r, bool keep_alive);
  void after_write(error_code ec, bool keep_alive);
  void linger();
  void watch(std::uint64_t request);
  void begin_stream(api_response r);
  void pump();
  void set_waiting(bool waiting);
  void fail(error_code ec);

  const std::shared_ptr<http_hub> hub_;
  const bool local_;
  boost::beast::basic_stream<boost::asio::generic::stream_protocol> stream_;
  boost::beast::flat_buffer buffer_;
  std::optional<parser> parser_;
  std::uint64_t request_ = 0;  // counts them, so that what was meant for one never touches the next
  bool waiting_ = false;
  bool closed_ = false;
  bool keep_alive_ = false;
  bool head_only_ = false;
  bool old_version_ = false;  // HTTP/1.0: no chunks
  std::shared_ptr<outlet> outlet_;
  std::shared_ptr<http_session> self_;
  std::string piece_;  // being written
  std::array<char, 1024> scratch_{};
};

}  // namespace pawl::node
