// Who answers a command: the node that the command line names, or the one that runs on the data directory or, where
// none runs, this process, which opens the data itself to read. All go through the same api and give the same answers.
#pragma once

#include "config/load.hpp"
#include "node/api.hpp"
#include "node/cli_options.hpp"
#include "node/http_client.hpp"
#include "node/json_codec.hpp"

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pawl::node {

struct question {
  std::string method = "GET";
  std::vector<std::string> path{};  ///< segments as they are: {"workflows", id} asks for /v1/workflows/<id>
  std::vector<std::pair<std::string, std::string>> query{};  ///< an empty value leaves the name out
  json body = nullptr;                                       ///< null: none
  std::string command_id{};                                  ///< of a command: makes it safe to send again
  std::string workflow_id{};                                 ///< for errors
  std::chrono::milliseconds patience{30'000};                ///< for the answer, the question's own wait included
};

class cli_target {
 public:
  /// `needs_node`: without a node it is an error that says how to start one. `remote`: that node, and nothing else.
  /// `types` must outlive the target.
  static cli_result<std::unique_ptr<cli_target>> open(const registry& types, const global_args& global,
                                                      const config::loaded& configuration, bool needs_node,
                                                      const std::optional<remote_node>& remote = {});
  /// Asks that api, of a node in this process. It must outlive the target.
  static std::unique_ptr<cli_target> over(api& door, const global_args& global, const config::loaded& configuration);
  ~cli_target();
  cli_target(const cli_target&) = delete;
  cli_target& operator=(const cli_target&) = delete;

  bool has_node() const;

  struct answer {
    int status = 200;
    json body;
    std::optional<std::chrono::milliseconds> stale{};  ///< how old it may be; none: it is current
  };
  /// What was answered; refusals are errors. A command whose connection broke is sent once more under its command_id.
  cli_result<answer> ask(const question& q);
  /// Line by line until the stream ends or `on_line` returns false.
  cli_result<done> follow(const question& q, const std::function<bool(std::string_view line)>& on_line);

 private:
  struct state;
  explicit cli_target(std::unique_ptr<state> s);
  std::unique_ptr<state> state_;
};

/// For every binary that talks to a node: <data>/pawl.sock.
std::string socket_path(const config::settings& s);

/// "start one with `pawl node --data DIR`", spelt so that it can be pasted.
std::string how_to_start(const global_args& global, const config::settings& s);

/// Why there is no data to read: no such directory, nothing in it, not readable.
std::optional<cli_error> check_readable(const global_args& global, const config::settings& s);

/// What a refusal of the api means on the command line.
cli_error to_cli_error(const api_response& refusal, const std::string& workflow_id);

}  // namespace pawl::node
