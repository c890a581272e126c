#include "node/http_client.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <optional>
#include <system_error>

#include "node/socket_path.hpp"

namespace pawl::node {

namespace {

constexpr std::size_t longest_answer = std::size_t{256} << 20;
constexpr std::chrono::milliseconds connect_timeout{5'000};
constexpr int poll_ms = 100;

/// What comes back, whole or line by line.
struct incoming {
  CURL* handle = nullptr;
  api_response response;
  const std::function<bool(std::string_view)>* on_line = nullptr;
  std::string line;
  bool stopped = false;
  bool too_large = false;

  bool streams() const {
    long status = 0;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
    return on_line != nullptr && status == 200;
  }

  bool take(std::string_view bytes) {
    auto& whole = streams() ? line : response.body;
    if (whole.size() + bytes.size() > longest_answer) {
      too_large = true;
      return false;
    }
    whole += bytes;
    if (!streams()) return true;
    std::size_t from = 0;
    for (auto at = line.find('\n'); at != std::string::npos; at = line.find('\n', from)) {
      if (!(*on_line)(std::string_view(line).substr(from, at - from))) {
        stopped = true;
        return false;
      }
      from = at + 1;
    }
    line.erase(0, from);
    return true;
  }
};

std::size_t on_body(char* data, std::size_t one, std::size_t size, void* to) {
  auto& in = *static_cast<incoming*>(to);
  return in.take({data, one * size}) ? one * size : 0;
}

std::size_t on_header(char* data, std::size_t one, std::size_t size, void* to) {
  auto& in = *static_cast<incoming*>(to);
  std::string_view text(data, one * size);
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.remove_suffix(1);
  if (text.starts_with("HTTP/")) in.response.headers.clear();  // the final one, after a 100
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) return one * size;
  std::string name(text.substr(0, colon));
  for (auto& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  auto value = text.substr(colon + 1);
  while (value.starts_with(' ')) value.remove_prefix(1);
  if (name == "content-type") in.response.content_type = std::string(value);
  in.response.headers[std::move(name)] = std::string(value);
  return one * size;
}

struct header_list {
  curl_slist* list = nullptr;
  void add(const std::string& line) { list = curl_slist_append(list, line.c_str()); }
  ~header_list() { curl_slist_free_all(list); }
  header_list() = default;
  header_list(const header_list&) = delete;
  header_list& operator=(const header_list&) = delete;
};

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
  explicit state(std::string socket) : path(std::move(socket)) {
    name.emplace(path);
    open();
  }
  explicit state(remote_node n) : path(std::move(n.address)), token(std::move(n.token)) { open(); }
  void open() {
    static std::once_flag once;
    std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
    handle = curl_easy_init();
    multi = curl_multi_init();
  }
  ~state() {
    curl_easy_cleanup(handle);
    curl_multi_cleanup(multi);
  }
  state(const state&) = delete;
  state& operator=(const state&) = delete;

  void prepare(const api_request& r, incoming& in, header_list& headers);
  CURLcode run(incoming& in, const std::function<bool()>& stop);
  config::outcome<api_response, transport_error> outcome(CURLcode code, incoming& in) const;

  const std::string path;  // of the socket, or host and port
  std::optional<socket_path> name;  // none: over TCP
  const access_token token{};
  CURL* handle = nullptr;
  CURLM* multi = nullptr;
};

void http_client::state::prepare(const api_request& r, incoming& in, header_list& headers) {
  curl_easy_reset(handle);
  in.handle = handle;
  const auto url = "http://" + (name ? "node" : path) + r.path + (r.query.empty() ? "" : "?" + r.query);
  const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(handle, option, value); };
  if (name) set(CURLOPT_UNIX_SOCKET_PATH, name->short_name().c_str());
  if (!token.empty()) headers.add("Authorization: " + token.authorization());
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_PATH_AS_IS, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http");
  set(CURLOPT_PROXY, "");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(connect_timeout.count()));
  set(CURLOPT_WRITEFUNCTION, &on_body);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&in));
  set(CURLOPT_HEADERFUNCTION, &on_header);
  set(CURLOPT_HEADERDATA, static_cast<void*>(&in));
  headers.add("Expect:");  // no round trip before a large body
  if (r.method != "GET") {
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(r.body.size()));
    set(CURLOPT_COPYPOSTFIELDS, r.body.c_str());
    set(CURLOPT_CUSTOMREQUEST, r.method.c_str());
    headers.add("Content-Type: application/json");
  }
  for (const auto& [header, value] : r.headers) {
    auto line = header + ": " + value;
    std::replace_if(
        line.begin(), line.end(), [](unsigned char c) { return c < 0x20; }, '?');  // no second header inside
    headers.add(line);
  }
  set(CURLOPT_HTTPHEADER, headers.list);
}

/// Runs the prepared request, asking `stop` meanwhile.
CURLcode http_client::state::run(incoming& in, const std::function<bool()>& stop) {
  curl_multi_add_handle(multi, handle);
  auto code = CURLE_OK;
  int running = 1;
  while (running > 0) {
    if (curl_multi_perform(multi, &running) != CURLM_OK || (stop && stop())) {
      in.stopped = true;
      break;
    }
    if (running > 0) curl_multi_poll(multi, nullptr, 0, poll_ms, nullptr);
  }
  int left = 0;
  while (const auto* m = curl_multi_info_read(multi, &left))
    if (m->msg == CURLMSG_DONE) code = m->data.result;
  curl_multi_remove_handle(multi, handle);
  return code;
}

config::outcome<api_response, transport_error> http_client::state::outcome(CURLcode code, incoming& in) const {
  using kind = transport_error::kind;
  if (code == CURLE_OK || in.stopped) {
    long status = 0;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
    in.response.status = static_cast<int>(status);
    return std::move(in.response);
  }
  long error = 0;
  curl_easy_getinfo(handle, CURLINFO_OS_ERRNO, &error);
  const auto reason = error != 0 ? std::error_code(static_cast<int>(error), std::generic_category()).message()
                                 : std::string(curl_easy_strerror(code));
  if (in.too_large)
    return transport_error{kind::broken, "the answer is larger than " + std::to_string(longest_answer) + " bytes"};
  if (code == CURLE_OPERATION_TIMEDOUT)
    return transport_error{kind::timeout, "the node did not answer in time on " + path};
  if (code == CURLE_COULDNT_RESOLVE_HOST)
    return transport_error{kind::no_node, "the host of " + path + " is not known: " + reason};
  if (code != CURLE_COULDNT_CONNECT)
    return transport_error{kind::broken, "the connection to " + path + " broke: " + reason};
  if (error == EACCES || error == EPERM)
    return transport_error{kind::broken, "cannot open " + path + ": " + reason + "; the node belongs to another user"};
  return transport_error{kind::no_node, "no node listens on " + path + " (" + reason + ")"};
}

http_client::http_client(std::string socket_path) : state_(std::make_unique<state>(std::move(socket_path))) {}
http_client::http_client(remote_node node) : state_(std::make_unique<state>(std::move(node))) {}
http_client::~http_client() = default;
http_client::http_client(http_client&&) noexcept = default;
http_client& http_client::operator=(http_client&&) noexcept = default;

config::outcome<api_response, transport_error> http_client::call(const api_request& request,
                                                                 std::chrono::milliseconds timeout) {
  if (state_->name && state_->name->short_name().empty())
    return transport_error{transport_error::kind::no_node, "there is no directory for " + state_->path};
  incoming in;
  header_list headers;
  state_->prepare(request, in, headers);
  curl_easy_setopt(state_->handle, CURLOPT_TIMEOUT_MS, static_cast<long>(timeout.count()));
  const auto code = curl_easy_perform(state_->handle);
  return state_->outcome(code, in);
}

config::outcome<api_response, transport_error> http_client::stream(
    const api_request& request, const std::function<bool(std::string_view line)>& on_line,
    const std::function<bool()>& stop) {
  if (state_->name && state_->name->short_name().empty())
    return transport_error{transport_error::kind::no_node, "there is no directory for " + state_->path};
  incoming in;
  in.on_line = &on_line;
  header_list headers;
  state_->prepare(request, in, headers);
  const auto code = state_->run(in, stop);
  return state_->outcome(code, in);
}

}  // namespace pawl::node
