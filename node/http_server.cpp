#include "node/http_server.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <condition_variable>
#include <cstring>
#include <list>
#include <system_error>
#include <thread>
#include <vector>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include "node/http_session.hpp"
#include "node/socket_path.hpp"

namespace pawl::node {

namespace asio = boost::asio;
using error_code = boost::system::error_code;

namespace {

constexpr int backlog = 4096;
constexpr std::size_t refusals = 64;  // connections beyond the limit that are being told so
constexpr std::size_t descriptors_kept = 512;  // for the database, logs and what users' steps open
constexpr std::chrono::milliseconds accept_pause{50};
constexpr std::chrono::milliseconds closing_turn{5};

std::string why(const std::string& what, const std::string& mend) {
  return what + ": " + std::error_code(errno, std::generic_category()).message() + ". " + mend;
}

/// Raises what this process may have open to what it is allowed, and fits the limit on connections to it.
http_options fitted(http_options o) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return o;
  if (limit.rlim_cur < limit.rlim_max) {
    auto raised = limit;
    raised.rlim_cur = limit.rlim_max;
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  const auto open = static_cast<std::size_t>(limit.rlim_cur);
  const auto room = open > 2 * descriptors_kept ? open - descriptors_kept : open / 2;
  o.max_connections = std::min(o.max_connections, room);
  return o;
}

bool set_address(sockaddr_un& address, const std::string& path) {
  address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, path.data(), path.size());
  return true;
}

}  // namespace

/// One listening socket. On the io thread.
class http_listener {
 public:
  http_listener(std::shared_ptr<http_hub> hub, int fd, int family, bool local)
      : hub_(std::move(hub)),
        local_(local),
        acceptor_(hub_->io),
        pause_(hub_->io) {
    acceptor_.assign(asio::generic::stream_protocol(family, 0), fd);
  }

  void accept() {
    if (accepting_ || closed_ || hub_->connections >= hub_->options.max_connections + refusals) return;
    accepting_ = true;
    acceptor_.async_accept([this](error_code ec, byte_socket socket) {
      accepting_ = false;
      if (closed_ || ec == asio::error::operation_aborted) return;
      if (ec) return accept_later();  // out of file descriptors, most likely: some connections must end first
      const bool full = hub_->connections >= hub_->options.max_connections;
      error_code ignored;
      if (!local_) static_cast<void>(socket.set_option(asio::ip::tcp::no_delay(true), ignored));
      const auto session = std::make_shared<http_session>(std::move(socket), hub_, local_);
      if (full) {
        ++hub_->refused;
        session->refuse({.status = 503,
                         .code = "unavailable",
                         .detail = "the node has " + std::to_string(hub_->options.max_connections) +
                                   " connections, as many as it may",
                         .mend = "try again later",
                         .retry_after = std::chrono::seconds(1)});
      } else {
        session->start();
      }
      accept();
    });
  }

  void close() {
    closed_ = true;
    error_code ignored;
    acceptor_.close(ignored);
    pause_.cancel();
  }

 private:
  void accept_later() {
    pause_.expires_after(accept_pause);
    pause_.async_wait([this](error_code stopped) {
      if (!stopped) accept();
    });
  }

  const std::shared_ptr<http_hub> hub_;
  const bool local_;
  asio::basic_socket_acceptor<asio::generic::stream_protocol> acceptor_;
  asio::steady_timer pause_;
  bool accepting_ = false;
  bool closed_ = false;
};

struct http_server::state {
  state(api& a, http_options o)
      : hub(std::make_shared<http_hub>(a, fitted(std::move(o)))),
        work(asio::make_work_guard(hub->io)) {
    hub->on_room = [this] {
      for (auto& l : listeners) l.accept();
    };
    thread = std::thread([h = hub] { h->io.run(); });
  }

  void add(int fd, int family, bool local) {
    asio::post(hub->io, [this, fd, family, local] {
      if (hub->stopping) {
        ::close(fd);
        return;
      }
      listeners.emplace_back(hub, fd, family, local);
      listeners.back().accept();
    });
  }

  void begin_stop(std::chrono::steady_clock::time_point deadline);
  void wait_for_sessions(std::chrono::steady_clock::time_point deadline);

  const std::shared_ptr<http_hub> hub;
  asio::executor_work_guard<asio::io_context::executor_type> work;
  std::list<http_listener> listeners;  // io thread only
  std::unique_ptr<socket_path> unix_path;
  std::string unix_file;
  std::atomic<std::uint16_t> port{0};
  std::thread thread;
  std::mutex stop_mutex;
  bool stopped = false;
  std::string address;  // under it
};

// On the io thread.
void http_server::state::begin_stop(std::chrono::steady_clock::time_point deadline) {
  hub->stopping = true;
  hub->on_room = nullptr;
  for (auto& l : listeners) l.close();
  std::vector<std::shared_ptr<http_session>> sessions;
  for (auto* s : hub->sessions) sessions.push_back(s->shared_from_this());
  for (const auto& s : sessions) s->stop();
  sessions.clear();
  wait_for_sessions(deadline);
}

void http_server::state::wait_for_sessions(std::chrono::steady_clock::time_point deadline) {
  if (std::chrono::steady_clock::now() >= deadline) {
    std::vector<std::shared_ptr<http_session>> sessions;
    for (auto* s : hub->sessions) sessions.push_back(s->shared_from_this());
    for (const auto& s : sessions) s->close();
  }
  // What was cancelled ends within the next turns; then nothing is left to run, and the thread ends.
  if (hub->sessions.empty()) return work.reset();
  auto timer = std::make_shared<asio::steady_timer>(hub->io, closing_turn);
  timer->async_wait([this, timer, deadline](error_code) { wait_for_sessions(deadline); });
}

http_server::http_server(api& a, http_options options) : state_(std::make_shared<state>(a, std::move(options))) {}

http_server::~http_server() { stop(std::chrono::milliseconds(0)); }

std::string http_server::listen_unix(const std::string& path) {
  auto& s = *state_;
  auto name = std::make_unique<socket_path>(path);
  sockaddr_un address{};
  if (!set_address(address, name->short_name())) return why("cannot open the directory of " + path, "Check data.dir");
  struct stat there{};
  if (::lstat(path.c_str(), &there) == 0) {
    if (!S_ISSOCK(there.st_mode)) return path + " is in the way: it is not a socket. Move it elsewhere";
    if (::unlink(path.c_str()) != 0) return why("cannot remove the old socket " + path, "Check the rights on data.dir");
  }
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return why("cannot make a socket", "Check the limit on open files (ulimit -n)");
  // The file gets the mode of the socket, so that it is never open to others, not even for a moment.
  const auto* at = reinterpret_cast<const sockaddr*>(&address);
  if (::fchmod(fd, 0600) != 0 || ::bind(fd, at, sizeof address) != 0 || ::chmod(path.c_str(), 0600) != 0 ||
      ::listen(fd, backlog) != 0) {
    const auto wrong =
        why("cannot listen on " + path, "The directory must be writable and on a file system with sockets");
    ::close(fd);
    return wrong;
  }
  s.unix_path = std::move(name);
  s.unix_file = path;
  s.add(fd, AF_UNIX, true);
  return {};
}

std::string http_server::listen_tcp(const std::string& address) {
  const std::string mend = "http.listen is an address and a port, as in 127.0.0.1:7300";
  const auto colon = address.rfind(':');
  if (colon == std::string::npos) return "'" + address + "' has no port: " + mend;
  auto host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  std::uint16_t port = 0;
  const char* last = address.data() + address.size();
  const auto [end, wrong] = std::from_chars(address.data() + colon + 1, last, port);
  if (wrong != std::errc() || end != last) return "'" + address + "' has no port: " + mend;
  error_code ec;
  const auto ip = asio::ip::make_address(host == "localhost" ? "127.0.0.1" : host, ec);
  if (ec) return "'" + host + "' is not an IP address: " + mend;
  if (!ip.is_loopback() && state_->hub->options.token.empty())
    return "http.listen is " + address +
           ", which others can reach, and there is no token. Set http.token or http.token_file, or listen on 127.0.0.1";
  const asio::ip::tcp::endpoint endpoint(ip, port);
  const int family = endpoint.protocol().family();
  const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return why("cannot make a socket", "Check the limit on open files (ulimit -n)");
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  auto* at = reinterpret_cast<sockaddr*>(&bound);
  if (::bind(fd, endpoint.data(), static_cast<socklen_t>(endpoint.size())) != 0 || ::listen(fd, backlog) != 0 ||
      ::getsockname(fd, at, &size) != 0) {
    const auto failed = why("cannot listen on " + address, "Another process may have the port");
    ::close(fd);
    return failed;
  }
  state_->port = ntohs(family == AF_INET ? reinterpret_cast<sockaddr_in*>(at)->sin_port
                                         : reinterpret_cast<sockaddr_in6*>(at)->sin6_port);
  {
    const std::lock_guard lock(state_->stop_mutex);
    const auto text = ip.to_string();
    state_->address = (ip.is_v6() ? "[" + text + "]" : text) + ":" + std::to_string(state_->port);
  }
  state_->add(fd, family, false);
  return {};
}

std::uint16_t http_server::port() const { return state_->port; }

std::string http_server::address() const {
  const std::lock_guard lock(state_->stop_mutex);
  return state_->address;
}

http_stats http_server::stats() const {
  const auto& h = *state_->hub;
  return {.connections = h.connections,
          .waiting = h.waiting,
          .requests = h.requests,
          .refused_connections = h.refused,
          .dropped_slow = h.slow};
}

void http_server::stop(std::chrono::milliseconds patience) {
  auto& s = *state_;
  const std::lock_guard lock(s.stop_mutex);
  if (std::exchange(s.stopped, true)) return;
  const auto deadline = std::chrono::steady_clock::now() + patience;
  asio::post(s.hub->io, [&s, deadline] { s.begin_stop(deadline); });
  s.thread.join();
  s.hub->shut();
  // What was posted since holds sessions, which hold the hub: it is run here, and does nothing.
  s.hub->io.restart();
  s.hub->io.poll();
  s.listeners.clear();
  if (!s.unix_file.empty()) ::unlink(s.unix_file.c_str());
}

}  // namespace pawl::node
