#include "node/cli_target.hpp"

#include "config/listing.hpp"
#include "config/setting.hpp"
#include "config/setting_table.hpp"
#include "node/answer.hpp"
#include "node/settings_map.hpp"
#include "store/data_directory.hpp"
#include "store/view.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <future>
#include <optional>

namespace pawl::node {
namespace {

exit_code to_exit_code(int status) {
  switch (status) {
    case 400:
    case 401:
    case 403:
    case 405:
    case 413:
    case 415:
    case 422:
    case 431:
      return exit_code::usage;
    case 404:
      return exit_code::not_found;
    case 409:
      return exit_code::conflict;
    case 408:
    case 429:
    case 502:
    case 503:
    case 504:
      return exit_code::unavailable;
    default:
      return exit_code::failed;
  }
}

api_request to_request(const question& q) {
  api_request r;
  r.method = q.method;
  r.path = "/v1";
  for (const auto& segment : q.path) r.path += "/" + percent_encode(segment);
  for (const auto& [name, value] : q.query)
    if (!value.empty()) r.query += (r.query.empty() ? "" : "&") + name + "=" + percent_encode(value);
  if (!q.body.is_null()) {
    r.body = to_text(q.body);
    r.headers["content-type"] = "application/json";
  }
  if (!q.command_id.empty()) r.headers["idempotency-key"] = q.command_id;
  return r;
}

std::optional<std::chrono::milliseconds> stale_of(const api_response& r) {
  for (const auto* name : {"pawl-stale-ms", "Pawl-Stale-Ms"})  // over a connection, and in this process
    if (const auto it = r.headers.find(name); it != r.headers.end())
      return std::chrono::milliseconds(std::strtoll(it->second.c_str(), nullptr, 10));
  return std::nullopt;
}

/// A word that a shell takes as one.
std::string shell_word(const std::string& text) {
  if (!text.empty() &&
      text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@%+=-") ==
          std::string::npos)
    return text;
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

}  // namespace

std::string socket_path(const config::settings& s) { return s.data.dir + "/pawl.sock"; }

namespace {

/// "section.key=value", the value of a secret masked.
std::string shown_setting(const std::string& given) {
  const auto at = given.find('=');
  const auto* row = at == std::string::npos ? nullptr : config::pawl_settings().find(given.substr(0, at));
  return row == nullptr ? given : given.substr(0, at + 1) + config::mask(*row, given.substr(at + 1));
}

}  // namespace

std::string how_to_start(const global_args& global, const config::settings& s) {
  std::string out = shell_word(global.program) + " node";
  if (global.config_file) out += " --config " + shell_word(*global.config_file);
  for (const auto& given : global.set) out += " --set " + shell_word(shown_setting(given));
  if (global.data_dir || s.data.dir != config::settings{}.data.dir) out += " --data " + shell_word(s.data.dir);
  return out;
}

namespace {

/// Why the directory, or the socket if there is one, cannot be opened. A directory that is not there is no matter here.
std::optional<cli_error> check_openable(const config::settings& s) {
  struct stat found{};
  if (::stat(s.data.dir.c_str(), &found) == 0 && !S_ISDIR(found.st_mode))
    return cli_error{exit_code::failed,
                     "data.dir: " + config::in_quotes(s.data.dir) + " is not a directory",
                     "Name a directory with --data",
                     {}};
  for (const auto& [path, wanted] : {std::pair{s.data.dir, R_OK | X_OK}, std::pair{socket_path(s), R_OK | W_OK}})
    if (::access(path.c_str(), wanted) != 0 && errno == EACCES)
      return cli_error{exit_code::failed,
                       config::in_quotes(path) + " cannot be opened: " + std::strerror(EACCES),
                       "Run this as the user that the node runs as",
                       {}};
  return std::nullopt;
}

}  // namespace

std::optional<cli_error> check_readable(const global_args& global, const config::settings& s) {
  if (auto wrong = check_openable(s)) return wrong;
  struct stat found{};
  const auto shown = config::in_quotes(s.data.dir);
  if (::stat(s.data.dir.c_str(), &found) != 0) {
    if (errno == ENOENT)
      return cli_error{exit_code::unavailable,
                       "there is no data directory " + shown + ", and no node runs on it",
                       "Name another with --data, or start a node, which makes it: `" + how_to_start(global, s) + "`",
                       {}};
    return cli_error{exit_code::failed,
                     "data.dir: " + shown + " cannot be read: " + std::strerror(errno),
                     "Run this as the user that the node runs as",
                     {}};
  }
  if (::stat((s.data.dir + "/pawl.db").c_str(), &found) != 0 && errno == ENOENT)
    return cli_error{exit_code::unavailable,
                     "the directory " + shown + " holds no data of pawl, and no node runs on it",
                     "Name another with --data, or start a node: `" + how_to_start(global, s) + "`",
                     {}};
  return std::nullopt;
}

cli_error to_cli_error(const api_response& refusal, const std::string& workflow_id) {
  cli_error e;
  e.code = to_exit_code(refusal.status);
  const auto body = json::parse(refusal.body, nullptr, false);
  if (!body.is_object()) {
    e.what = "the node answered " + std::to_string(refusal.status) + " with what this binary does not understand";
    e.mend = "Use a binary of the node's own version";
    return e;
  }
  auto detail = text_at(body, "detail");
  if (detail.empty()) detail = text_at(body, "title");
  // The id that was asked for is named even where the node did not.
  const auto id = text_at(body, "workflow_id").empty() ? workflow_id : text_at(body, "workflow_id");
  const auto shown = config::printable(id, 80);
  e.what =
      (shown.empty() || detail.find(shown) != std::string::npos ? "" : "workflow " + config::in_quotes(id) + ": ") +
      config::printable(detail);
  e.mend = config::printable(text_at(body, "mend"));
  if (!e.mend.empty() && e.mend[0] >= 'a' && e.mend[0] <= 'z') e.mend[0] = static_cast<char>(e.mend[0] - 'a' + 'A');
  auto document = body;
  if (!workflow_id.empty() && !document.contains("workflow_id")) document["workflow_id"] = workflow_id;
  e.json = to_text(document);
  return e;
}

struct cli_target::state {
  state(const global_args& g, const config::loaded& c, const std::optional<remote_node>& r = {})
      : global(g),
        configuration(c),
        remote(r ? r->address : ""),
        client(r ? http_client(*r) : http_client(socket_path(c.values))) {}

  cli_error to_error(const transport_error& wrong, const question& q) const {
    cli_error e{exit_code::unavailable, {}, {}, {}};
    const std::string about = q.workflow_id.empty() ? "" : "workflow " + config::in_quotes(q.workflow_id) + ": ";
    switch (wrong.what) {
      case transport_error::kind::no_node:
        e.what = about + (remote.empty() ? "the node has stopped" : wrong.message);
        if (!remote.empty()) {
          e.mend = "Look whether a node listens there (http.listen), or name another one with --node";
          break;
        }
        e.mend = "Nothing that it acknowledged is lost, and what is open goes on with the next one: `" +
                 how_to_start(global, configuration.values) + "`";
        break;
      case transport_error::kind::timeout:
        e.what = about + "the node does not answer: " + wrong.message;
        e.mend = "Look at its log, and try again";
        break;
      case transport_error::kind::broken:
        e.what = about + "the connection to the node broke: " + wrong.message;
        e.mend = "Try again";
        break;
    }
    if (!q.command_id.empty())
      e.mend += ". It is not known whether the command was recorded: sent again with --command-id " +
                shell_word(q.command_id) + " it is never done twice";
    return e;
  }

  config::outcome<api_response, transport_error> call(const api_request& r, std::chrono::milliseconds patience) {
    if (door == nullptr) return client.call(r, patience);
    auto promise = std::make_shared<std::promise<api_response>>();
    auto answered = promise->get_future();
    door->handle(r, [promise](api_response a) { promise->set_value(std::move(a)); });
    if (answered.wait_for(patience) != std::future_status::ready)
      return transport_error{transport_error::kind::timeout, "reading the data takes too long"};
    return answered.get();
  }

  global_args global;
  config::loaded configuration;
  const std::string remote;  // host and port of the node that was named; empty: none was
  http_client client;
  std::unique_ptr<api> reader;  // where no node runs
  api* door = nullptr;  // that, or the api of a node in this process; null: the node on the socket is asked
};

cli_target::cli_target(std::unique_ptr<state> s) : state_(std::move(s)) {}
cli_target::~cli_target() = default;
bool cli_target::has_node() const { return state_->reader == nullptr; }

std::unique_ptr<cli_target> cli_target::over(api& door, const global_args& global,
                                             const config::loaded& configuration) {
  auto s = std::make_unique<state>(global, configuration);
  s->door = &door;
  return std::unique_ptr<cli_target>(new cli_target(std::move(s)));
}

cli_result<std::unique_ptr<cli_target>> cli_target::open(const registry& types, const global_args& global,
                                                         const config::loaded& configuration, bool needs_node,
                                                         const std::optional<remote_node>& remote) {
  auto s = std::make_unique<state>(global, configuration, remote);
  const auto& settings = configuration.values;
  if (remote) {  // what it cannot do it says when it is asked
    const auto there = s->client.call(to_request({.path = {"types"}}), std::chrono::seconds(30));
    if (!there) return s->to_error(there.error(), {});
    if (there.value().status >= 400) return to_cli_error(there.value(), {});
    return std::unique_ptr<cli_target>(new cli_target(std::move(s)));
  }
  if (auto wrong = check_openable(settings)) return std::move(*wrong);
  const auto found =
      s->client.call(to_request({.path = {"status"}, .query = {{"scope", "node"}}}), std::chrono::seconds(30));
  if (!found && found.error().what != transport_error::kind::no_node) return s->to_error(found.error(), {});
  if (!found) {
    if (const auto pid = needs_node ? store::data_directory::holder(settings.data.dir) : std::nullopt)
      return cli_error{exit_code::unavailable,
                       "the node on the data directory " + config::in_quotes(settings.data.dir) + ", pid " +
                           std::to_string(*pid) + ", does not listen: it is starting or stopping",
                       "Try again in a moment",
                       {}};
    if (needs_node)
      return cli_error{exit_code::unavailable,
                       "no node runs on the data directory " + config::in_quotes(settings.data.dir),
                       "Start one: `" + how_to_start(global, settings) + "`",
                       {}};
    if (auto wrong = check_readable(global, settings)) return std::move(*wrong);
    api_options o;
    o.version = PAWL_VERSION;
    o.data_dir = settings.data.dir;
    o.configuration = config::list(configuration);
    o.limits = to_limits(settings);
    o.outcome_age = settings.limits.outcome_age;
    o.readers = 0;
    s->reader = std::make_unique<api>(
        types, nullptr, [dir = settings.data.dir] { return store::open_view(dir); }, std::move(o));
    s->door = s->reader.get();
  }
  return std::unique_ptr<cli_target>(new cli_target(std::move(s)));
}

cli_result<cli_target::answer> cli_target::ask(const question& q) {
  const auto request = to_request(q);
  auto got = state_->call(request, q.patience);
  if (!got && !q.command_id.empty() && got.error().what == transport_error::kind::broken)
    got = state_->call(request, q.patience);
  if (!got) return state_->to_error(got.error(), q);
  const auto& response = got.value();
  if (response.status >= 400) return to_cli_error(response, q.workflow_id);
  auto body = json::parse(response.body, nullptr, false);
  if (body.is_discarded())
    return cli_error{exit_code::failed, "the node's answer is not JSON", "Use a binary of the node's own version", {}};
  return answer{response.status, std::move(body), stale_of(response)};
}

cli_result<done> cli_target::follow(const question& q, const std::function<bool(std::string_view)>& on_line) {
  const auto request = to_request(q);
  if (state_->door != nullptr) {
    auto got = state_->call(request, q.patience);
    if (!got) return state_->to_error(got.error(), q);
    auto& response = got.value();
    if (response.status >= 400) return to_cli_error(response, q.workflow_id);
    const auto ended = std::make_shared<std::promise<void>>();
    const auto once = std::make_shared<std::atomic<bool>>(false);
    const auto end = [ended, once] {
      if (!once->exchange(true)) ended->set_value();
    };
    response.stream(
        [&on_line, end](std::string_view line) {
          if (line.empty() || on_line(line)) return line_answer::more;
          end();
          return line_answer::gone;
        },
        end);
    ended->get_future().wait();
    return done{};
  }
  bool stopped = false;
  const auto got = state_->client.stream(
      request, [&](std::string_view line) { return !(stopped = !line.empty() && !on_line(line)); });
  if (stopped) return done{};
  if (!got) return state_->to_error(got.error(), q);
  if (got.value().status >= 400) return to_cli_error(got.value(), q.workflow_id);
  return done{};
}

}  // namespace pawl::node
