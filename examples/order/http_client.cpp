#include "examples/order/http_client.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <limits>
#include <memory>
#include <string_view>

namespace order_http {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t longest_answer = 1024 * 1024;

struct exchange {
  std::string body;
  std::array<char, CURL_ERROR_SIZE> error{};
  bool sent = false;
  bool too_large = false;
};

struct free_list {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using header_list = std::unique_ptr<curl_slist, free_list>;

std::size_t on_data(char* data, std::size_t size, std::size_t count, void* user) {
  auto& x = *static_cast<exchange*>(user);
  if (x.body.size() + size * count > longest_answer) {
    x.too_large = true;
    return 0;
  }
  x.body.append(data, size * count);
  return size * count;
}

// Called before a request goes out on a connection. curl sends a request a second time, unasked, when a connection that
// was kept open breaks before the answer; here that is the caller's to decide, so the second time is refused.
int on_request(void* user, char*, char*, int, int) {
  auto& x = *static_cast<exchange*>(user);
  return std::exchange(x.sent, true) ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

// One a thread. The multi handle owns the open connections, and is what another thread can wake up when the stop_token
// fires: curl_easy_perform would notice only once a second.
class handle {
 public:
  handle() {
    static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (ready == CURLE_OK) {
      easy_ = curl_easy_init();
      multi_ = curl_multi_init();
    }
    if (easy_ && multi_) return;
    close();
    throw transport_error(failure::not_sent, "curl cannot be initialised");
  }
  ~handle() { close(); }
  handle(const handle&) = delete;
  handle& operator=(const handle&) = delete;

  CURL* easy() const { return easy_; }

  /// nullopt: stopped.
  std::optional<CURLcode> run(const std::stop_token& stop) {
    std::stop_callback wake(stop, [this] { curl_multi_wakeup(multi_); });
    curl_multi_add_handle(multi_, easy_);
    const auto result = wait(stop);
    curl_multi_remove_handle(multi_, easy_);  // closes the connection of an unfinished request
    return result;
  }

 private:
  std::optional<CURLcode> wait(const std::stop_token& stop) {
    for (int running = 1; running != 0;) {
      if (stop.stop_requested()) return std::nullopt;
      if (curl_multi_perform(multi_, &running) != CURLM_OK) return CURLE_FAILED_INIT;
      if (running != 0 && curl_multi_poll(multi_, nullptr, 0, 1000, nullptr) != CURLM_OK) return CURLE_FAILED_INIT;
    }
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &left))
      if (message->msg == CURLMSG_DONE && message->easy_handle == easy_) return message->data.result;
    return CURLE_FAILED_INIT;
  }

  void close() {
    if (easy_) curl_easy_cleanup(easy_);
    if (multi_) curl_multi_cleanup(multi_);
  }

  CURL* easy_ = nullptr;
  CURLM* multi_ = nullptr;
};

void add_header(header_list& list, const std::string& line) {
  if (line.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos)
    throw std::invalid_argument("a header must not contain a line break");
  curl_slist* longer = curl_slist_append(list.get(), line.c_str());
  if (!longer) throw std::bad_alloc();
  (void)list.release();
  list.reset(longer);
}

std::optional<std::chrono::seconds> retry_after(CURL* easy) {
  curl_header* found = nullptr;
  if (curl_easy_header(easy, "Retry-After", 0, CURLH_HEADER, -1, &found) != CURLHE_OK) return std::nullopt;
  const std::string_view text = found->value;
  std::int64_t seconds = 0;
  if (auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), seconds);
      ec == std::errc() && end == text.data() + text.size() && seconds >= 0)
    return std::chrono::seconds(seconds);
  const auto date = curl_getdate(found->value, nullptr);
  if (date < 0) return std::nullopt;
  return std::chrono::seconds(std::max<std::int64_t>(0, date - std::time(nullptr)));
}

[[noreturn]] void fail(CURLcode code, const std::string& url, const exchange& x, milliseconds timeout) {
  if (x.too_large) throw transport_error(failure::no_answer, url + ": the answer is larger than 1 MiB");
  if (code == CURLE_OPERATION_TIMEDOUT)
    throw transport_error(failure::timed_out, url + ": no answer within " + std::to_string(timeout.count()) + " ms");
  if (code == CURLE_ABORTED_BY_CALLBACK)
    throw transport_error(failure::no_answer, url + ": the connection was closed before an answer came");
  const std::string cause = x.error[0] ? x.error.data() : curl_easy_strerror(code);
  throw transport_error(x.sent ? failure::no_answer : failure::not_sent, url + ": " + cause);
}

void set_common(CURL* easy, const std::string& url, milliseconds timeout, exchange& x) {
  curl_easy_reset(easy);
  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);  // resolver time-outs must not use SIGALRM in a threaded process
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
                   static_cast<long>(std::min<std::int64_t>(timeout.count(), std::numeric_limits<int>::max())));
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, x.error.data());
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &on_data);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &x);
  curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, &on_request);
  curl_easy_setopt(easy, CURLOPT_PREREQDATA, &x);
}

response perform(const std::string& url, const std::string* body, const headers& extra, milliseconds timeout,
                 const std::stop_token& stop) {
  if (timeout <= milliseconds::zero()) throw std::invalid_argument("the timeout must be positive");
  header_list list;
  add_header(list, "Expect:");  // no "100 Continue" round trip
  if (body) add_header(list, "Content-Type: application/json");
  for (const auto& [name, value] : extra) add_header(list, name + ": " + value);

  thread_local handle h;
  exchange x;
  set_common(h.easy(), url, timeout, x);
  curl_easy_setopt(h.easy(), CURLOPT_HTTPHEADER, list.get());
  if (body) {
    curl_easy_setopt(h.easy(), CURLOPT_POSTFIELDS, body->data());
    curl_easy_setopt(h.easy(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body->size()));
  }
  const auto code = h.run(stop);
  response out;
  if (code == CURLE_OK) {
    curl_easy_getinfo(h.easy(), CURLINFO_RESPONSE_CODE, &out.status);
    out.retry_after = retry_after(h.easy());
    out.body = std::move(x.body);
  }
  curl_easy_reset(h.easy());  // it points to what ends here
  if (!code) throw transport_error(failure::stopped, url + ": stopped while waiting for the answer");
  if (*code != CURLE_OK) fail(*code, url, x, timeout);
  return out;
}

}  // namespace

response post_json(const std::string& url, const std::string& body, const headers& extra, milliseconds timeout,
                   std::stop_token stop) {
  return perform(url, &body, extra, timeout, stop);
}

response get(const std::string& url, milliseconds timeout, std::stop_token stop) {
  return perform(url, nullptr, {}, timeout, stop);
}

}  // namespace order_http
