#include "node/http_session.hpp"

#include <poll.h>

#include <algorithm>

#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>

namespace pawl::node {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

namespace {

constexpr std::chrono::seconds linger_limit{2};

problem too_large_body(std::size_t limit) {
  return {.status = 413,
          .code = "too_large",
          .detail = "the body is larger than " + std::to_string(limit) + " bytes, which follows from limits.payload",
          .mend = "put what is large elsewhere and give its address",
          .setting = "limits.payload"};
}

/// Whether a Host header names this machine; with a port or without.
bool is_loopback_name(std::string_view host) {
  if (host.starts_with('[')) return host.substr(0, host.find(']') + 1) == "[::1]";
  host = host.substr(0, host.find(':'));
  return host == "localhost" || host == "127.0.0.1";
}

http::response<http::string_body> to_http(const api_response& r, bool old_version, bool head_only) {
  http::response<http::string_body> out{static_cast<http::status>(r.status), old_version ? 10U : 11U};
  out.set(http::field::content_type, r.content_type);
  for (const auto& [name, value] : r.headers) out.set(name, value);
  out.content_length(r.body.size());
  if (!head_only) out.body() = r.body;
  return out;
}

}  // namespace

void http_hub::post(std::function<void()> f) {
  const std::lock_guard lock(mutex_);
  if (!shut_) asio::post(io, std::move(f));
}

void http_hub::shut() {
  const std::lock_guard lock(mutex_);
  shut_ = true;
}

// ---- a stream's lines, between whoever makes them and the io thread

/// Chunks that wait to be written. Its sink may outlive the connection.
class http_session::outlet {
 public:
  outlet(std::weak_ptr<http_session> session, std::shared_ptr<http_hub> hub, bool chunked)
      : session_(std::move(session)),
        hub_(std::move(hub)),
        chunked_(chunked) {}

  line_answer put(std::string_view line) {
    const std::lock_guard lock(mutex_);
    if (gone_) return line_answer::gone;
    if (!line.empty()) {
      append(line);
      wake();
    }
    return waiting_.size() >= hub_->options.stream_buffer ? line_answer::full : line_answer::more;
  }
  void end() {
    const std::lock_guard lock(mutex_);
    if (gone_ || ended_) return;
    ended_ = true;
    if (chunked_) waiting_ += "0\r\n\r\n";
    wake();
  }
  void drop() {
    const std::lock_guard lock(mutex_);
    gone_ = true;
    waiting_ = {};
  }

  /// On the io thread: what is to be written next. Nothing: nothing now (somebody will wake the session), or, if `over`
  /// is set, for ever.
  std::string take(bool& over) {
    const std::lock_guard lock(mutex_);
    over = waiting_.empty() && ended_;
    writing_ = !waiting_.empty();
    return std::exchange(waiting_, {});
  }

 private:
  void append(std::string_view line) {
    if (chunked_) {
      std::array<char, 24> head{};
      const int size = std::snprintf(head.data(), head.size(), "%zx\r\n", line.size() + 1);
      waiting_.append(head.data(), static_cast<std::size_t>(size));
    }
    waiting_ += line;
    waiting_ += chunked_ ? "\n\r\n" : "\n";
  }
  void wake() {
    if (std::exchange(writing_, true)) return;
    hub_->post([weak = session_] {
      if (const auto s = weak.lock()) s->pump();
    });
  }

  const std::weak_ptr<http_session> session_;
  const std::shared_ptr<http_hub> hub_;
  const bool chunked_;
  std::mutex mutex_;
  std::string waiting_;
  bool writing_ = true;  // until the head of the answer is out
  bool ended_ = false;
  bool gone_ = false;
};

// ---- the connection

http_session::http_session(byte_socket socket, std::shared_ptr<http_hub> hub, bool local)
    : hub_(std::move(hub)),
      local_(local),
      stream_(std::move(socket)) {
  ++hub_->connections;
  hub_->sessions.insert(this);
}

http_session::~http_session() {
  close();
  hub_->sessions.erase(this);
  --hub_->connections;
  if (hub_->on_room) hub_->on_room();
}

void http_session::start() { await_request(); }

void http_session::close() {
  if (std::exchange(closed_, true)) return;
  set_waiting(false);
  if (outlet_) outlet_->drop();
  error_code ignored;
  stream_.socket().shutdown(byte_socket::shutdown_both, ignored);
  stream_.close();
}

void http_session::stop() {
  if (!waiting_) close();
}

void http_session::set_waiting(bool waiting) {
  if (waiting == waiting_) return;
  waiting_ = waiting;
  waiting ? ++hub_->waiting : --hub_->waiting;
  // Nothing that is under way holds a connection that waits.
  self_ = waiting ? shared_from_this() : nullptr;
}

void http_session::fail(error_code ec) {
  if (ec == beast::error::timeout) ++hub_->slow;
  close();
}

void http_session::await_request() {
  if (closed_) return;
  if (hub_->stopping) return close();
  parser_.reset();
  outlet_.reset();
  if (buffer_.size() > 0) return read_header();
  buffer_.shrink_to_fit();
  stream_.expires_after(hub_->options.idle_timeout);
  stream_.async_read_some(asio::buffer(scratch_), [self = shared_from_this()](error_code ec, std::size_t n) {
    if (ec || self->closed_) return self->close();
    self->buffer_.commit(asio::buffer_copy(self->buffer_.prepare(n), asio::buffer(self->scratch_, n)));
    self->read_header();
  });
}

void http_session::read_header() {
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(hub_->options.max_header));
  parser_->body_limit(hub_->options.max_body);
  stream_.expires_after(hub_->options.header_timeout);
  http::async_read_header(stream_, buffer_, *parser_,
                          [self = shared_from_this()](error_code ec, std::size_t) { self->on_header(ec); });
}

void http_session::on_header(error_code ec) {
  if (ec) return on_unreadable(ec);
  const auto& head = parser_->get();
  old_version_ = head.version() < 11;
  keep_alive_ = head.keep_alive();
  head_only_ = head.method() == http::verb::head;
  if (parser_->content_length() && *parser_->content_length() > hub_->options.max_body)
    return on_unreadable(http::error::body_limit);
  if (!beast::iequals(head[http::field::expect], "100-continue")) return read_body();
  stream_.expires_after(hub_->options.write_timeout);
  piece_ = "HTTP/1.1 100 Continue\r\n\r\n";
  asio::async_write(stream_, asio::buffer(piece_), [self = shared_from_this()](error_code failed, std::size_t) {
    if (failed) return self->fail(failed);
    self->read_body();
  });
}

void http_session::read_body() {
  stream_.expires_after(hub_->options.body_timeout);
  http::async_read(stream_, buffer_, *parser_,
                   [self = shared_from_this()](error_code ec, std::size_t) { self->on_body(ec); });
}

void http_session::on_body(error_code ec) {
  if (ec) return on_unreadable(ec);
  stream_.expires_never();
  ask();
}

void http_session::on_unreadable(error_code ec) {
  keep_alive_ = false;
  if (ec == http::error::body_limit || ec == http::error::buffer_overflow)
    return refuse(too_large_body(hub_->options.max_body));
  if (ec == http::error::header_limit)
    return refuse({.status = 431,
                   .code = "header_too_large",
                   .detail = "the header is larger than " + std::to_string(hub_->options.max_header) + " bytes"});
  const bool left = ec == http::error::end_of_stream || ec == http::error::partial_message;
  static const auto& of_http = error_code(http::error::bad_method).category();
  if (!left && ec.category() == of_http)
    return refuse({.status = 400, .code = "bad_request", .detail = "this is not HTTP/1.1: " + ec.message()});
  fail(ec);
}

// Without a token: a page in a browser on this machine may send requests to loopback addresses. It cannot forge these
// headers; nor can it know a token.
std::optional<problem> http_session::not_allowed() const {
  if (local_) return std::nullopt;
  const auto& head = parser_->get();
  if (const auto& token = hub_->options.token; !token.empty()) {
    const auto shown = std::string_view(head[http::field::authorization]);
    if (token.shown_by(shown)) return std::nullopt;
    return problem{.status = 401,
                   .code = "unauthorized",
                   .detail = shown.empty() ? "requests to this address have to show the node's token"
                                           : "the token that was shown is not the node's",
                   .mend = "send the header Authorization: Bearer with what http.token holds"};
  }
  const auto host = std::string_view(head[http::field::host]);
  const auto origin = std::string_view(head[http::field::origin]);
  if (is_loopback_name(host) && (origin.empty() || origin == "http://" + std::string(host))) return std::nullopt;
  return problem{.status = 403,
                 .code = "forbidden",
                 .detail = "requests come from this machine, and from no other site's pages",
                 .mend = "use the address that http.listen names"};
}

void http_session::ask() {
  ++hub_->requests;
  ++request_;
  if (const auto p = not_allowed()) return write(to_response(*p), keep_alive_);
  auto& message = parser_->get();
  api_request r;
  r.method = std::string(message.method_string());
  std::string_view target(message.target());
  // The absolute form, as for a proxy: what counts is the path.
  if (const auto scheme = target.find("://"); !target.starts_with('/') && scheme != std::string_view::npos) {
    const auto path = target.find('/', scheme + 3);
    target = path == std::string_view::npos ? "/" : target.substr(path);
  }
  const auto mark = target.find('?');
  r.path = std::string(target.substr(0, mark));
  if (mark != std::string_view::npos) r.query = std::string(target.substr(mark + 1));
  for (const auto& field : message) {
    std::string name(field.name_string());
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    if (name != "authorization") r.headers.emplace(std::move(name), std::string(field.value()));
  }
  r.body = std::move(message.body());
  parser_.reset();  // a waiting connection keeps nothing that it does not need
  set_waiting(true);
  const auto number = request_;
  hub_->asked.handle(std::move(r), [weak = weak_from_this(), hub = hub_, number](api_response answer) {
    // Nobody to answer: the client has gone.
    hub->post([weak, number, answer = std::make_shared<api_response>(std::move(answer))] {
      if (const auto self = weak.lock(); self && self->request_ == number && self->waiting_)
        self->on_answer(std::move(*answer));
    });
  });
  watch(number);
}

// While an answer is owed nothing is read, so only this notices that the client has gone.
void http_session::watch(std::uint64_t request) {
  stream_.socket().async_wait(byte_socket::wait_read, [weak = weak_from_this(), request](error_code ec) {
    const auto self = weak.lock();
    if (ec || !self || self->closed_ || self->request_ != request) return;
    // Something has come: either the next request already, or the end of what the client sends, which may still read.
    pollfd p{.fd = self->stream_.socket().native_handle(), .events = 0, .revents = 0};
    if (::poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0) self->close();
  });
}

void http_session::on_answer(api_response r) {
  if (closed_) return;
  if (r.stream && !head_only_) return begin_stream(std::move(r));
  write(r, keep_alive_ && !hub_->stopping);
}

void http_session::refuse(const problem& p) { write(to_response(p), false); }

void http_session::write(const api_response& r, bool keep_alive) {
  auto message = std::make_shared<http::response<http::string_body>>(to_http(r, old_version_, head_only_));
  message->keep_alive(keep_alive);
  stream_.expires_after(hub_->options.write_timeout);
  http::async_write(stream_, *message, [self = shared_from_this(), message, keep_alive](error_code ec, std::size_t) {
    self->after_write(ec, keep_alive);
  });
}

void http_session::after_write(error_code ec, bool keep_alive) {
  set_waiting(false);
  if (closed_) return;
  if (ec) return fail(ec);
  if (keep_alive) return await_request();
  error_code ignored;
  stream_.socket().shutdown(byte_socket::shutdown_send, ignored);
  stream_.expires_after(linger_limit);
  linger();
}

// Reads and forgets what the client still sends: closing with unread bytes resets the connection, and the client could
// lose the answer.
void http_session::linger() {
  stream_.async_read_some(asio::buffer(scratch_), [self = shared_from_this()](error_code ec, std::size_t) {
    if (ec || self->closed_) return self->close();
    self->linger();
  });
}

// ---- streams

void http_session::begin_stream(api_response r) {
  outlet_ = std::make_shared<outlet>(weak_from_this(), hub_, !old_version_);
  keep_alive_ = keep_alive_ && !old_version_;
  piece_ = "HTTP/1." + std::string(old_version_ ? "0" : "1") + " 200 OK\r\nContent-Type: " + r.content_type + "\r\n";
  for (const auto& [name, value] : r.headers) piece_ += name + ": " + value + "\r\n";
  if (!old_version_) piece_ += "Transfer-Encoding: chunked\r\n";
  if (!keep_alive_) piece_ += "Connection: close\r\n";
  piece_ += "\r\n";
  r.stream([o = outlet_](std::string_view line) { return o->put(line); }, [o = outlet_] { o->end(); });
  stream_.expires_after(hub_->options.write_timeout);
  asio::async_write(stream_, asio::buffer(piece_), [self = shared_from_this()](error_code ec, std::size_t) {
    if (ec) return self->fail(ec);
    self->pump();
  });
}

// Writes what has gathered; the outlet wakes it when it has run dry.
void http_session::pump() {
  if (closed_ || !outlet_) return;
  bool over = false;
  piece_ = outlet_->take(over);
  if (over) return after_write({}, keep_alive_ && !hub_->stopping);
  if (piece_.empty()) {
    stream_.expires_never();
    return;
  }
  stream_.expires_after(hub_->options.write_timeout);
  asio::async_write(stream_, asio::buffer(piece_), [self = shared_from_this()](error_code ec, std::size_t) {
    if (ec) return self->fail(ec);
    self->pump();
  });
}

}  // namespace pawl::node
