#include "node/http_client.hpp"

#include "node/http_exchange.hpp"

namespace pawl::node {

namespace {

constexpr int poll_ms = 100;

}  // namespace

std::string percent_encode(std::string_view text) {
  static constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  // "." and ".." alone would be taken for steps through the path.
  const bool dots = text == "." || text == "..";
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '_' || c == '~' || (c == '.' && !dots);
    if (plain) {
      out += c;
    } else {
      out += '%';
      out += digits[static_cast<unsigned char>(c) >> 4];
      out += digits[static_cast<unsigned char>(c) & 0x0f];
    }
  }
  return out;
}

struct http_client::state {
  explicit state(std::string socket) : exchange(std::move(socket)) {}
  explicit state(remote_node n) : exchange(std::move(n)) {}
  ~state() { curl_multi_cleanup(multi); }
  state(const state&) = delete;
  state& operator=(const state&) = delete;

  CURLcode run(const std::function<bool()>& stop);

  http_exchange exchange;
  CURLM* multi = curl_multi_init();
};

/// Runs the prepared request, asking `stop` meanwhile.
CURLcode http_client::state::run(const std::function<bool()>& stop) {
  curl_multi_add_handle(multi, exchange.handle());
  auto code = CURLE_OK;
  int running = 1;
  while (running > 0) {
    if (curl_multi_perform(multi, &running) != CURLM_OK || (stop && stop())) {
      exchange.stop();
      break;
    }
    if (running > 0) curl_multi_poll(multi, nullptr, 0, poll_ms, nullptr);
  }
  int left = 0;
  while (const auto* m = curl_multi_info_read(multi, &left))
    if (m->msg == CURLMSG_DONE) code = m->data.result;
  curl_multi_remove_handle(multi, exchange.handle());
  return code;
}

http_client::http_client(std::string socket_path) : state_(std::make_unique<state>(std::move(socket_path))) {}
http_client::http_client(remote_node node) : state_(std::make_unique<state>(std::move(node))) {}
http_client::~http_client() = default;
http_client::http_client(http_client&&) noexcept = default;
http_client& http_client::operator=(http_client&&) noexcept = default;

config::outcome<api_response, transport_error> http_client::call(const api_request& request,
                                                                 std::chrono::milliseconds timeout) {
  auto& e = state_->exchange;
  if (auto nobody = e.unreachable()) return std::move(*nobody);
  e.prepare(request, timeout);
  return e.outcome(curl_easy_perform(e.handle()));
}

config::outcome<api_response, transport_error> http_client::stream(
    const api_request& request, const std::function<bool(std::string_view line)>& on_line,
    const std::function<bool()>& stop) {
  auto& e = state_->exchange;
  if (auto nobody = e.unreachable()) return std::move(*nobody);
  e.prepare(request, std::chrono::milliseconds(0), &on_line);
  return e.outcome(state_->run(stop));
}

}  // namespace pawl::node
