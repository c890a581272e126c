// The HTTP client of the examples against a server that plays a script: what it says, what it takes for an answer, and
// that it never sends a request twice.
#include "examples/order/http_client.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <cstring>
#include <ctime>
#include <functional>
#include <mutex>
#include <thread>

#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;
using order_http::failure;

constexpr auto deadline = 20s;

/// Listens on a free port and hands one connection after the other to `script`, with its number from 1.
class scripted_server {
 public:
  using script = std::function<void(scripted_server&, int fd, int number)>;

  explicit scripted_server(script play) : play_(std::move(play)) {
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof(address);
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 16) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
      throw std::runtime_error(std::strerror(errno));
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this](std::stop_token stop) { serve(stop); });
  }
  ~scripted_server() {
    thread_.request_stop();
    ::shutdown(listener_, SHUT_RDWR);
    {
      // The client keeps connections open; the script may be waiting for more from one.
      std::lock_guard lock(mutex_);
      if (current_ >= 0) ::shutdown(current_, SHUT_RDWR);
    }
    thread_.join();
    ::close(listener_);
  }
  scripted_server(const scripted_server&) = delete;
  scripted_server& operator=(const scripted_server&) = delete;

  std::string url(const std::string& path) const { return "http://127.0.0.1:" + std::to_string(port_) + path; }

  /// Reads one whole request and counts it; empty when the client is gone.
  std::string read(int fd) {
    std::string text;
    char chunk[4096];
    while (!whole(text)) {
      const auto got = ::recv(fd, chunk, sizeof(chunk), 0);
      if (got <= 0) return {};
      text.append(chunk, static_cast<std::size_t>(got));
    }
    std::lock_guard lock(mutex_);
    ++requests_;
    changed_.notify_all();
    return text;
  }
  static void send(int fd, const std::string& text) { ::send(fd, text.data(), text.size(), MSG_NOSIGNAL); }
  static void answer(int fd, const std::string& status, const std::string& header, const std::string& body) {
    send(fd,
         "HTTP/1.1 " + status + "\r\n" + header + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  }

  int requests() const {
    std::lock_guard lock(mutex_);
    return requests_;
  }
  bool wait_for_requests(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, deadline, [&] { return requests_ >= count; });
  }

 private:
  static sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }
  static bool whole(const std::string& text) {
    const auto end = text.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    const auto length = text.find("Content-Length: ");
    return length == std::string::npos || text.size() - end - 4 >= std::stoul(text.substr(length + 16));
  }
  void set_current(int fd) {
    std::lock_guard lock(mutex_);
    current_ = fd;
  }
  void serve(const std::stop_token& stop) {
    for (int number = 1; !stop.stop_requested(); ++number) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      set_current(fd);
      if (!stop.stop_requested()) play_(*this, fd, number);
      set_current(-1);
      ::close(fd);
    }
  }

  script play_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int requests_ = 0;
  int listener_ = -1;
  int current_ = -1;
  std::uint16_t port_ = 0;
  std::jthread thread_;
};

failure failure_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const order_http::transport_error& e) {
    EXPECT_NE(std::string(e.what()).find("http"), std::string::npos) << e.what();
    return e.why();
  }
  throw std::logic_error("no transport_error was thrown");
}

TEST(http_client, posts_and_reads) {
  std::string seen;
  scripted_server server([&](auto& self, int fd, int) {
    seen = self.read(fd);
    self.answer(fd, "201 Created", "", "{\"a\":1}");
    self.read(fd);
  });
  const auto got = order_http::post_json(server.url("/charges"), "{\"b\":2}", {{"Idempotency-Key", "k 1"}}, deadline);
  EXPECT_EQ(got.status, 201);
  EXPECT_EQ(got.body, "{\"a\":1}");
  EXPECT_EQ(got.retry_after, std::nullopt);
  for (const char* part : {"POST /charges HTTP/1.1\r\n", "Content-Type: application/json\r\n",
                           "Idempotency-Key: k 1\r\n", "\r\n\r\n{\"b\":2}"})
    EXPECT_NE(seen.find(part), std::string::npos) << part << "is not in:\n" << seen;
  EXPECT_EQ(seen.find("Expect:"), std::string::npos);
}

TEST(http_client, keeps_its_connection_open) {
  int connections = 0;
  scripted_server server([&](auto& self, int fd, int number) {
    connections = number;
    while (!self.read(fd).empty()) self.answer(fd, "200 OK", "", "x");
  });
  std::thread([&] {  // ends its connection with the thread
    for (int i = 0; i < 5; ++i) EXPECT_EQ(order_http::get(server.url("/"), deadline).body, "x");
  })
      .join();
  EXPECT_EQ(connections, 1);
  EXPECT_EQ(server.requests(), 5);
}

TEST(http_client, reads_retry_after) {
  char date[64];
  const std::time_t then = std::time(nullptr) + 100;
  std::tm parts{};
  ::gmtime_r(&then, &parts);
  std::strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  const std::vector<std::string> values = {"7", "0", "Wed, 21 Oct 2015 07:28:00 GMT", "soon", "-3", date};
  scripted_server server([&](auto& self, int fd, int number) {
    self.read(fd);
    self.answer(fd, "503 Service Unavailable",
                "Connection: close\r\nRetry-After: " + values[static_cast<std::size_t>(number - 1)] + "\r\n", "");
  });
  const auto next = [&] {
    const auto got = order_http::get(server.url("/"), deadline);
    EXPECT_EQ(got.status, 503);
    return got.retry_after;
  };
  EXPECT_EQ(next(), 7s);
  EXPECT_EQ(next(), 0s);
  EXPECT_EQ(next(), 0s);
  EXPECT_EQ(next(), std::nullopt);
  EXPECT_EQ(next(), std::nullopt);
  const auto until = next();
  ASSERT_TRUE(until);
  EXPECT_GT(*until, 70s);
  EXPECT_LE(*until, 100s);
}

TEST(http_client, a_refused_connection_was_not_sent) {
  std::string url;
  {
    url = scripted_server([](auto&, int, int) {}).url("/");
  }
  EXPECT_EQ(failure_of([&] { order_http::get(url, deadline); }), failure::not_sent);
}

TEST(http_client, never_sends_twice) {
  // The second request goes over the kept connection, which dies without an answer: where curl would send it again.
  scripted_server server([](auto& self, int fd, int number) {
    if (number > 1) return self.answer(fd, "200 OK", "", "sent again");
    self.read(fd);
    self.answer(fd, "200 OK", "", "");
    self.read(fd);
  });
  order_http::post_json(server.url("/"), "{}", {}, deadline);
  EXPECT_EQ(failure_of([&] { order_http::post_json(server.url("/"), "{}", {}, deadline); }), failure::no_answer);
  EXPECT_EQ(server.requests(), 2);
}

TEST(http_client, a_lost_answer_is_no_answer) {
  scripted_server server([](auto& self, int fd, int number) {
    self.read(fd);
    if (number == 2) self.send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
  });
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(failure_of([&] { order_http::post_json(server.url("/"), "{}", {}, deadline); }), failure::no_answer);
}

TEST(http_client, times_out) {
  scripted_server server([](auto& self, int fd, int) {
    self.read(fd);
    self.read(fd);  // returns when the client is gone
  });
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(failure_of([&] { order_http::post_json(server.url("/"), "{}", {}, 200ms); }), failure::timed_out);
  EXPECT_GE(std::chrono::steady_clock::now() - began, 190ms);
}

TEST(http_client, stops_promptly) {
  scripted_server server([](auto& self, int fd, int) {
    self.read(fd);
    self.read(fd);
  });
  auto quickest = std::chrono::steady_clock::duration::max();
  for (int i = 1; i <= 5; ++i) {
    std::chrono::steady_clock::time_point ended;
    std::jthread caller([&](std::stop_token stop) {
      EXPECT_EQ(failure_of([&] { order_http::post_json(server.url("/"), "{}", {}, 60s, stop); }), failure::stopped);
      ended = std::chrono::steady_clock::now();
    });
    EXPECT_TRUE(server.wait_for_requests(i));
    const auto began = std::chrono::steady_clock::now();
    caller.request_stop();
    caller.join();
    quickest = std::min(quickest, ended - began);
  }
  EXPECT_LT(quickest, 200ms);  // the best of five: a busy machine may hold up any one of them
}

TEST(http_client, stopped_before_it_began_sends_nothing) {
  scripted_server server([](auto& self, int fd, int) { self.read(fd); });
  std::stop_source source;
  source.request_stop();
  EXPECT_EQ(failure_of([&] { order_http::get(server.url("/"), deadline, source.get_token()); }), failure::stopped);
  EXPECT_EQ(server.requests(), 0);
}

TEST(http_client, refuses_what_is_wrong_or_too_large) {
  scripted_server server([](auto& self, int fd, int) {
    self.read(fd);
    self.answer(fd, "200 OK", "", std::string(1024 * 1024 + 1, 'x'));
  });
  EXPECT_EQ(failure_of([&] { order_http::get(server.url("/"), deadline); }), failure::no_answer);
  EXPECT_THROW(order_http::post_json(server.url("/"), "{}", {{"A", "b\r\nC: d"}}, deadline), std::invalid_argument);
  EXPECT_THROW(order_http::get(server.url("/"), 0ms), std::invalid_argument);
  EXPECT_EQ(failure_of([&] { order_http::get("nonsense://http", deadline); }), failure::not_sent);
}

}  // namespace
