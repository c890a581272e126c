#include "node/http_exchange.hpp"

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <system_error>

namespace pawl::node {

namespace {

constexpr std::chrono::milliseconds connect_timeout{5'000};

CURL* new_handle() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  return curl_easy_init();
}

}  // namespace

http_exchange::http_exchange(std::string socket_path) : path_(std::move(socket_path)), handle_(new_handle()) {
  name_.emplace(path_);
}
http_exchange::http_exchange(remote_node n)
    : path_(std::move(n.address)),
      token_(std::move(n.token)),
      handle_(new_handle()) {}

http_exchange::~http_exchange() {
  curl_easy_cleanup(handle_);
  curl_slist_free_all(headers_);
}

std::optional<transport_error> http_exchange::unreachable() const {
  if (!name_ || !name_->short_name().empty()) return std::nullopt;
  return transport_error{transport_error::kind::no_node, "there is no directory for " + path_};
}

bool http_exchange::streams() const {
  long status = 0;
  curl_easy_getinfo(handle_, CURLINFO_RESPONSE_CODE, &status);
  return on_line_ != nullptr && status == 200;
}

bool http_exchange::take(std::string_view bytes) {
  auto& whole = streams() ? line_ : response_.body;
  if (whole.size() + bytes.size() > longest_answer) {
    too_large_ = true;
    return false;
  }
  whole += bytes;
  if (!streams()) return true;
  std::size_t from = 0;
  for (auto at = line_.find('\n'); at != std::string::npos; at = line_.find('\n', from)) {
    if (!(*on_line_)(std::string_view(line_).substr(from, at - from))) {
      stopped_ = true;
      return false;
    }
    from = at + 1;
  }
  line_.erase(0, from);
  return true;
}

std::size_t http_exchange::on_body(char* data, std::size_t one, std::size_t size, void* to) {
  return static_cast<http_exchange*>(to)->take({data, one * size}) ? one * size : 0;
}

std::size_t http_exchange::on_header(char* data, std::size_t one, std::size_t size, void* to) {
  auto& response = static_cast<http_exchange*>(to)->response_;
  std::string_view text(data, one * size);
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.remove_suffix(1);
  if (text.starts_with("HTTP/")) response.headers.clear();  // the final one, after a 100
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) return one * size;
  std::string name(text.substr(0, colon));
  for (auto& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  auto value = text.substr(colon + 1);
  while (value.starts_with(' ')) value.remove_prefix(1);
  if (name == "content-type") response.content_type = std::string(value);
  response.headers[std::move(name)] = std::string(value);
  return one * size;
}

void http_exchange::add_header(const std::string& line) { headers_ = curl_slist_append(headers_, line.c_str()); }

void http_exchange::prepare(const api_request& r, std::chrono::milliseconds timeout, const line_function* on_line) {
  curl_easy_reset(handle_);
  curl_slist_free_all(headers_);
  headers_ = nullptr;
  response_ = {};
  line_.clear();
  on_line_ = on_line;
  stopped_ = too_large_ = false;
  const auto url = "http://" + (name_ ? "node" : path_) + r.path + (r.query.empty() ? "" : "?" + r.query);
  const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(handle_, option, value); };
  if (name_) set(CURLOPT_UNIX_SOCKET_PATH, name_->short_name().c_str());
  if (!token_.empty()) add_header("Authorization: " + token_.authorization());
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_PATH_AS_IS, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http");
  set(CURLOPT_PROXY, "");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(timeout.count()));
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(connect_timeout.count()));
  set(CURLOPT_WRITEFUNCTION, &on_body);
  set(CURLOPT_WRITEDATA, static_cast<void*>(this));
  set(CURLOPT_HEADERFUNCTION, &on_header);
  set(CURLOPT_HEADERDATA, static_cast<void*>(this));
  add_header("Expect:");  // no round trip before a large body
  if (r.method != "GET") {
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(r.body.size()));
    set(CURLOPT_COPYPOSTFIELDS, r.body.c_str());
    set(CURLOPT_CUSTOMREQUEST, r.method.c_str());
    if (!r.headers.contains("content-type")) add_header("Content-Type: application/json");
  }
  for (const auto& [header, value] : r.headers) {
    auto line = header + ": " + value;
    std::replace_if(
        line.begin(), line.end(), [](unsigned char c) { return c < 0x20; }, '?');  // no second header inside
    add_header(line);
  }
  set(CURLOPT_HTTPHEADER, headers_);
}

config::outcome<api_response, transport_error> http_exchange::outcome(CURLcode code) {
  using kind = transport_error::kind;
  if (code == CURLE_OK || stopped_) {
    long status = 0;
    curl_easy_getinfo(handle_, CURLINFO_RESPONSE_CODE, &status);
    response_.status = static_cast<int>(status);
    return std::move(response_);
  }
  long error = 0;
  curl_easy_getinfo(handle_, CURLINFO_OS_ERRNO, &error);
  const auto reason = error != 0 ? std::error_code(static_cast<int>(error), std::generic_category()).message()
                                 : std::string(curl_easy_strerror(code));
  if (too_large_)
    return transport_error{kind::broken, "the answer is larger than " + std::to_string(longest_answer) + " bytes"};
  if (code == CURLE_OPERATION_TIMEDOUT)
    return transport_error{kind::timeout, "the node did not answer in time on " + path_};
  if (code == CURLE_COULDNT_RESOLVE_HOST)
    return transport_error{kind::no_node, "the host of " + path_ + " is not known: " + reason};
  if (code != CURLE_COULDNT_CONNECT)
    return transport_error{kind::broken, "the connection to " + path_ + " broke: " + reason};
  if (error == EACCES || error == EPERM)
    return transport_error{kind::broken, "cannot open " + path_ + ": " + reason + "; the node belongs to another user"};
  return transport_error{kind::no_node, "no node listens on " + path_ + " (" + reason + ")"};
}

}  // namespace pawl::node
