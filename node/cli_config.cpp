#include "node/cli_config.hpp"

#include "broker/kafka_client.hpp"
#include "config/setting.hpp"

#include <array>
#include <charconv>
#include <cstdint>
#include <string_view>

namespace pawl::node {
namespace {

// Not settings: they belong to the project's own build and test scripts, which run this binary.
constexpr std::array<std::string_view, 5> names_of_scripts{"PAWL_BUILD", "PAWL_SOURCE", "PAWL_PRESET", "PAWL_SEED",
                                                           "PAWL_KILLS"};
// Nor are these: they say whom a command line asks.
constexpr std::string_view node_variable = "PAWL_NODE";
constexpr std::string_view token_variable = "PAWL_TOKEN";
constexpr std::array<std::string_view, 3> prefixes_of_scripts{"PAWL_SIM_", "PAWL_TEST_", "PAWL_BENCH_"};

bool is_no_setting(std::string_view name) {
  if (name == node_variable || name == token_variable) return true;
  for (const auto n : names_of_scripts)
    if (name == n) return true;
  for (const auto p : prefixes_of_scripts)
    if (name.starts_with(p)) return true;
  return false;
}

cli_error to_error(const config::problems& wrong) {
  cli_error e{exit_code::usage, {}, {}, {}};
  for (const auto& p : wrong) e.what += (e.what.empty() ? "" : "\n") + p.text();
  return e;
}

std::string value_of(const environment_variables& environment, std::string_view name) {
  for (const auto& [n, value] : environment)
    if (n == name) return value;
  return {};
}

bool is_host_and_port(const std::string& text) {
  const auto colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return false;
  std::uint16_t port = 0;
  const char* last = text.data() + text.size();
  const auto [end, wrong] = std::from_chars(text.data() + colon + 1, last, port);
  return wrong == std::errc() && end == last && port != 0 && text.find_first_of("/@ ?#") == std::string::npos;
}

std::optional<cli_error> check_kafka(const config::loaded& c) {
  config::problems found;
  for (const auto& wrong : broker::check_properties(c.values.kafka.properties)) {
    const auto name = "kafka.properties." + wrong.name;
    found.push_back({config::problem_code::bad_value, c.source_of(name).text(), name, wrong.what, wrong.mend});
  }
  return found.empty() ? std::nullopt : std::optional(to_error(found));
}

}  // namespace

cli_result<config::loaded> load_configuration(const global_args& args) {
  return load_configuration(args, config::process_environment());
}

cli_result<config::loaded> load_configuration(const global_args& args, environment_variables environment) {
  config::load_request r;
  r.path = args.config_file.value_or("pawl.toml");
  r.path_must_exist = args.config_file.has_value();
  for (const auto& [name, value] : environment)
    if (is_no_setting(name)) r.other_variables.push_back(name);
  r.environment = std::move(environment);
  r.flags = args.set;
  if (args.data_dir) r.flags.push_back("data.dir=" + *args.data_dir);
  auto loaded = config::load(r);
  if (!loaded) return to_error(loaded.error());
  if (auto wrong = check_kafka(loaded.value())) return std::move(*wrong);
  return std::move(loaded).value();
}

cli_result<std::optional<remote_node>> find_remote_node(const global_args& args, const config::settings& s,
                                                        const environment_variables& environment) {
  using found = std::optional<remote_node>;
  const auto told = value_of(environment, node_variable);
  const auto address = args.node.value_or(told);
  if (address.empty() && !args.node) {
    if (args.token_file)
      return usage_error("--token-file is for a node that is asked over TCP, and none is named", "Name it with --node");
    return found();
  }
  if (!is_host_and_port(address))
    return usage_error(std::string(args.node ? "--node" : node_variable) + ": " + config::in_quotes(address) +
                           " is not a host and a port",
                       "Write HOST:PORT, such as 127.0.0.1:7300");
  auto secret = value_of(environment, token_variable);
  auto token = args.token_file   ? read_token_file("--token-file", *args.token_file)
               : !secret.empty() ? check_access_token(std::string(token_variable), std::move(secret))
                                 : read_access_token(s.http);
  if (!token) return std::move(token).error();
  return found(remote_node{address, std::move(token).value()});
}

}  // namespace pawl::node
