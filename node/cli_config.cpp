#include "node/cli_config.hpp"

#include "broker/kafka_client.hpp"

#include <array>
#include <string_view>

namespace pawl::node {
namespace {

// Not settings: they belong to the project's own build and test scripts, which run this binary.
constexpr std::array<std::string_view, 5> names_of_scripts{"PAWL_BUILD", "PAWL_SOURCE", "PAWL_PRESET", "PAWL_SEED",
                                                           "PAWL_KILLS"};
constexpr std::array<std::string_view, 3> prefixes_of_scripts{"PAWL_SIM_", "PAWL_TEST_", "PAWL_BENCH_"};

bool is_of_scripts(std::string_view name) {
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

// There is no listener on TCP that asks for a token yet, so there is none at all.
std::optional<cli_error> check_listen(const config::loaded& c) {
  if (c.values.http.listen.empty()) return std::nullopt;
  const config::problem p{config::problem_code::bad_value, c.source_of("http.listen").text(), "http.listen",
                          "this version listens on the Unix socket in data.dir only", "Leave http.listen empty"};
  return to_error({p});
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

cli_result<config::loaded> load_configuration(const global_args& args,
                                              std::vector<std::pair<std::string, std::string>> environment) {
  config::load_request r;
  r.path = args.config_file.value_or("pawl.toml");
  r.path_must_exist = args.config_file.has_value();
  for (const auto& [name, value] : environment)
    if (is_of_scripts(name)) r.other_variables.push_back(name);
  r.environment = std::move(environment);
  r.flags = args.set;
  if (args.data_dir) r.flags.push_back("data.dir=" + *args.data_dir);
  auto loaded = config::load(r);
  if (!loaded) return to_error(loaded.error());
  if (auto wrong = check_listen(loaded.value())) return std::move(*wrong);
  if (auto wrong = check_kafka(loaded.value())) return std::move(*wrong);
  return std::move(loaded).value();
}

}  // namespace pawl::node
