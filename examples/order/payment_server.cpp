#include "examples/order/payment_server.hpp"

#include <array>
#include <chrono>
#include <optional>
#include <string>

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

namespace payment {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using error_code = boost::system::error_code;

namespace {

constexpr std::size_t most_sessions = 4096;
constexpr std::uint32_t longest_header = 16 * 1024;
constexpr std::uint64_t longest_body = 64 * 1024;
constexpr std::chrono::seconds idle_limit{60};
constexpr std::chrono::seconds linger_limit{2};
constexpr std::chrono::milliseconds accept_pause{50};

http::response<http::string_body> to_http(const answer& from, unsigned version, bool keep_alive) {
  http::response<http::string_body> out{static_cast<http::status>(from.status), version};
  out.set(http::field::content_type, from.status < 400 ? "application/json" : "application/problem+json");
  if (from.retry_after) out.set(http::field::retry_after, std::to_string(from.retry_after->count()));
  if (!from.allow.empty()) out.set(http::field::allow, from.allow);
  if (from.replayed) out.set("Idempotent-Replayed", "true");
  // Texts of the request may come back in `detail`, valid UTF-8 or not.
  out.body() = from.body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  out.keep_alive(keep_alive);
  out.prepare_payload();
  return out;
}

}  // namespace

// One connection:
//
//   read -> answer -> write -> read ...      kept alive, at most idle_limit between requests
//             |         '-> linger           the client wants no more, or sent what cannot be read
//             |-> hang -> closed             after hang_seconds, or when the client leaves
//             '-> closed                     drop
class session : public std::enable_shared_from_this<session> {
 public:
  session(tcp::socket socket, payment_server& server)
      : server_(server),
        alive_(server.self_),
        stream_(std::move(socket)),
        hang_(server.io_) {
    error_code ignored;
    stream_.socket().set_option(tcp::no_delay(true), ignored);
  }
  ~session() {
    if (auto server = alive_.lock()) (*server)->session_ended();
  }

  void read() {
    parser_.emplace();
    parser_->header_limit(longest_header);
    parser_->body_limit(longest_body);
    stream_.expires_after(idle_limit);
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](error_code ec, std::size_t) { self->on_read(ec); });
  }

 private:
  void on_read(error_code ec) {
    if (!ec) return respond();
    if (ec == http::error::body_limit) return write(problem(413, "too_large", "a body is at most 64 KiB"), false);
    if (ec == http::error::header_limit) return write(problem(431, "too_large", "the header is too large"), false);
    if (ec == http::error::end_of_stream || ec == http::error::partial_message) return;
    if (ec.category() == http::make_error_code(http::error::bad_method).category())
      write(problem(400, "bad_http", "not HTTP: " + ec.message()), false);
  }

  void respond() {
    const auto& asked = parser_->get();
    const auto method = asked.method_string();
    const auto target = asked.target();
    request plain{{method.data(), method.size()}, {target.data(), target.size()}, std::nullopt, asked.body()};
    if (auto key = asked.find("Idempotency-Key"); key != asked.end()) plain.idempotency_key = std::string(key->value());
    const answer out = server_.api_.handle(plain);
    switch (out.how) {
      case answer::way::reply:
        return write(out, asked.keep_alive());
      case answer::way::hang:
        return hang();
      case answer::way::drop:
        return close();
    }
  }

  void write(const answer& from, bool keep_alive) {
    response_.emplace(to_http(from, parser_->get().version() == 10 ? 10 : 11, keep_alive));
    stream_.expires_after(idle_limit);
    http::async_write(stream_, *response_, [self = shared_from_this(), keep_alive](error_code ec, std::size_t) {
      if (ec) return;
      if (keep_alive) return self->read();
      error_code ignored;
      self->stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
      self->stream_.expires_after(linger_limit);
      self->linger();
    });
  }

  // Reads and forgets what the client still sends: closing with unread bytes would reset the connection, and the
  // client could lose the answer.
  void linger() {
    stream_.async_read_some(asio::buffer(scratch_), [self = shared_from_this()](error_code ec, std::size_t) {
      if (!ec) self->linger();
    });
  }

  void hang() {
    stream_.expires_never();
    hang_.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(
        std::chrono::duration<double>(server_.faults_.hang_seconds)));
    hang_.async_wait([self = shared_from_this()](error_code) { self->close(); });
    stream_.socket().async_wait(tcp::socket::wait_read,
                                [self = shared_from_this()](error_code) { self->hang_.cancel(); });
  }

  void close() {
    error_code ignored;
    stream_.socket().close(ignored);
  }

  payment_server& server_;
  std::weak_ptr<payment_server*> alive_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  asio::steady_timer hang_;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::optional<http::response<http::string_body>> response_;
  std::array<char, 4096> scratch_{};
};

payment_server::payment_server(asio::io_context& io, payment_api& api, const fault_plan& faults, std::uint16_t port)
    : io_(io),
      api_(api),
      faults_(faults),
      acceptor_(io, tcp::endpoint(asio::ip::address_v4::loopback(), port)),
      pause_(io),
      port_(acceptor_.local_endpoint().port()) {}

void payment_server::accept() {
  accepting_ = true;
  acceptor_.async_accept([this](error_code ec, tcp::socket socket) {
    accepting_ = false;
    if (ec == asio::error::operation_aborted) return;
    if (ec) {
      // Out of file descriptors, most likely: some connections must end first.
      accepting_ = true;
      pause_.expires_after(accept_pause);
      pause_.async_wait([this](error_code stopped) {
        if (!stopped) accept();
      });
      return;
    }
    ++sessions_;
    std::make_shared<session>(std::move(socket), *this)->read();
    if (sessions_ < most_sessions) accept();
  });
}

void payment_server::session_ended() {
  --sessions_;
  if (!accepting_ && acceptor_.is_open()) accept();
}

}  // namespace payment
