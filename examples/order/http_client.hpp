// A small blocking HTTP client for the steps of examples.
#pragma once

#include <chrono>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace order_http {

struct response {
  long status = 0;
  std::string body;
  std::optional<std::chrono::seconds> retry_after;  ///< from Retry-After, a number or a date; a past date is 0
};

enum class failure {
  not_sent,   ///< no connection: the server did not see the request
  no_answer,  ///< the connection broke: nobody knows whether the request was acted upon
  timed_out,  ///< likewise
  stopped,    ///< the stop_token fired; likewise
};

/// No HTTP answer came. what() names the address and the cause.
class transport_error : public std::runtime_error {
 public:
  transport_error(failure why, const std::string& what) : std::runtime_error(what), why_(why) {}
  failure why() const noexcept { return why_; }

 private:
  failure why_;
};

using headers = std::vector<std::pair<std::string, std::string>>;

/// Posts `body` as application/json and waits for the answer, whatever its status. The request is sent at most once
/// and redirects are not followed. Blocks for at most `timeout`; returns within milliseconds when `stop` fires.
/// Thread-safe: each thread has its own connections, which are kept open between calls. Always talks to the address
/// directly, never through a proxy. Answers over 1 MiB are refused (no_answer).
/// Throws transport_error, and std::invalid_argument for a header with a line break or a timeout that is not positive.
response post_json(const std::string& url, const std::string& body, const headers& extra,
                   std::chrono::milliseconds timeout, std::stop_token stop = {});

/// The same for GET.
response get(const std::string& url, std::chrono::milliseconds timeout, std::stop_token stop = {});

}  // namespace order_http
