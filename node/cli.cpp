#include "node/cli.hpp"

#include "config/setting.hpp"
#include "node/answer.hpp"
#include "node/cli_config.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>

namespace pawl::node {
namespace {

bool is_set(const char* variable) {
  const auto* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

std::size_t columns_of(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  const std::string_view told = is_set("COLUMNS") ? std::getenv("COLUMNS") : "";
  std::size_t columns = 0;
  if (std::from_chars(told.data(), told.data() + told.size(), columns).ec == std::errc() && columns > 0)
    return std::min<std::size_t>(columns, 1000);
  return 100;
}

canvas screen_of(int fd, bool no_color) {
  canvas c;
  const bool terminal = ::isatty(fd) == 1;
  c.width = columns_of(fd);
  c.cut = terminal;
  const auto* term = std::getenv("TERM");
  c.colors = terminal && !no_color && !is_set("NO_COLOR") && term != nullptr && std::strcmp(term, "dumb") != 0;
  return c;
}

void tell(const cli_error& e, const global_args& global) {
  std::string text;
  if (global.output == output_format::json) {
    json document = e.json.empty() ? json::object() : json::parse(e.json, nullptr, false);
    if (!document.is_object()) document = json::object();
    document["exit_code"] = static_cast<int>(e.code);
    if (!document.contains("code")) document["code"] = std::string(to_text(e.code));
    document["detail"] = e.what;
    if (!e.mend.empty()) document["mend"] = e.mend;
    text = to_text(document) + "\n";
  } else {
    text = e.text(global.program);
  }
  std::fwrite(text.data(), 1, text.size(), stderr);
}

struct dispatcher {
  const cli_context& c;
  command_result operator()(const node_args&) const { return run_node(c); }
  command_result operator()(const start_args& a) const {
    return a.in_process ? run_in_process(c, a) : start_workflow(c, a);
  }
  command_result operator()(const list_args& a) const { return show_list(c, a); }
  command_result operator()(const show_args& a) const { return show_run(c, a); }
  command_result operator()(const history_args& a) const {
    return a.export_to.empty() ? show_history(c, a) : export_history(c, a);
  }
  command_result operator()(const replay_args& a) const { return replay_histories(c, a); }
  command_result operator()(const result_args& a) const { return show_result(c, a); }
  command_result operator()(const command_args& a) const { return send_command(c, a); }
  command_result operator()(const branch_args& a) const { return send_branch(c, a); }
  command_result operator()(const update_args& a) const { return send_update(c, a); }
  command_result operator()(const query_args& a) const { return ask_query(c, a); }
  command_result operator()(const status_args&) const { return show_status(c); }
  command_result operator()(const cluster_args& a) const { return show_cluster(c, a); }
  command_result operator()(const types_args& a) const {
    return a.what == types_args::action::use ? use_version(c, a) : show_types(c, a);
  }
  command_result operator()(const verify_args&) const { return verify_data(c); }
  command_result operator()(const config_args& a) const { return show_config(c, a); }
  command_result operator()(const topics_args& a) const { return care_for_topics(c, a); }
  command_result operator()(const dlq_args& a) const { return care_for_dead_letters(c, a); }
  command_result operator()(const journal_args& a) const { return read_journal(c, a); }
  command_result operator()(const version_args&) const { return show_version(c); }
  command_result operator()(const completion_args& a) const { return show_completion(c, a); }
  command_result operator()(const names_args& a) const { return show_names(c, a); }
};

/// These say the same whatever the configuration is, and must work beside a wrong one.
bool needs_configuration(const command_choice& command) {
  const auto* config = std::get_if<config_args>(&command);
  return !std::holds_alternative<version_args>(command) && !std::holds_alternative<completion_args>(command) &&
         !(config != nullptr && config->what == config_args::action::sample);
}

bool asks_a_node(const command_choice& command) {
  const auto* start = std::get_if<start_args>(&command);
  return needs_configuration(command) && !std::holds_alternative<node_args>(command) &&
         !std::holds_alternative<verify_args>(command) && !std::holds_alternative<topics_args>(command) &&
         !std::holds_alternative<dlq_args>(command) && !(start != nullptr && start->in_process);
}

command_result execute(const command_line& line, const registry& types) {
  config::loaded configuration;
  if (needs_configuration(line.command)) {
    auto read = load_configuration(line.global);
    if (!read) return std::move(read).error();
    configuration = std::move(read).value();
  }
  std::optional<remote_node> remote;
  if (asks_a_node(line.command)) {
    auto found = find_remote_node(line.global, configuration.values, config::process_environment());
    if (!found) return std::move(found).error();
    remote = std::move(found).value();
  }
  const cli_context c{types, line.global, std::move(configuration), screen_of(STDOUT_FILENO, line.global.no_color),
                      std::move(remote)};
  return std::visit(dispatcher{c}, line.command);
}

/// -o json is obeyed in errors about the command line too.
global_args guessed_globals(int argc, char** argv) {
  global_args g;
  if (argc > 0 && argv[0] != nullptr) g.program = std::string(argv[0]).substr(std::string(argv[0]).rfind('/') + 1);
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i], next = i + 1 < argc ? argv[i + 1] : "";
    if (word == "--output=json" || word == "-ojson" || ((word == "-o" || word == "--output") && next == "json"))
      g.output = output_format::json;
  }
  return g;
}

int finish(exit_code code, const global_args& global) {
  // A full disk or a reader that has gone shows here; an answer that did not arrive is no success.
  const bool written = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
  if (!written && errno != EPIPE) {
    tell({exit_code::failed,
          std::string("standard output cannot be written: ") + std::strerror(errno),
          "Make room there, or write elsewhere",
          {}},
         global);
    if (code == exit_code::ok) code = exit_code::failed;
  }
  return static_cast<int>(code);
}

int run_parsed(int argc, char** argv, const registry& types, global_args& global) {
  const auto parsed = parse_command_line(argc, argv);
  if (!parsed) {
    tell(parsed.error(), global);
    return static_cast<int>(parsed.error().code);
  }
  if (const auto* help = std::get_if<help_text>(&parsed.value())) {
    say(help->text);
    return finish(exit_code::ok, global);
  }
  const auto& line = std::get<command_line>(parsed.value());
  global = line.global;
  const auto done = execute(line, types);
  if (!done) tell(done.error(), global);
  return finish(done ? done.value() : done.error().code, global);
}

}  // namespace

cli_result<std::unique_ptr<cli_target>> cli_context::target(bool needs_node) const {
  return cli_target::open(types, global, configuration, needs_node, remote);
}

http_client cli_context::client() const { return remote ? http_client(*remote) : http_client(socket_path(settings())); }

void say(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void say_json(const json& document) {
  say(document.dump(2, ' ', false, json::error_handler_t::replace));
  say("\n");
}

void note(const cli_context& c, std::string_view text) {
  const auto line = c.global.program + ": " + std::string(text) + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

void note_age(const cli_context& c, const std::optional<std::chrono::milliseconds>& stale, json& body) {
  if (!stale) return;
  if (body.is_object()) body["stale_ms"] = stale->count();
  if (!c.wants_json())
    note(c, "as of " + elapsed_text(*stale) + " ago, as the node that was asked knows it by itself (--stale-ok)");
}

bool is_leader_change(const cli_context& c, const cli_error& e) {
  if ((c.settings().kafka.brokers.empty() && !c.remote) || e.code != exit_code::unavailable) return false;
  const auto code = text_at(json::parse(e.json, nullptr, false), "code");
  return code == "not_leader" || code == "unavailable";
}

exit_code tell_error(const cli_context& c, const cli_error& e) {
  tell(e, c.global);
  return e.code;
}

int run_command_line(int argc, char** argv, const registry& types) {
  auto global = guessed_globals(argc, argv);
  try {
    return run_parsed(argc, argv, types, global);
  } catch (const std::exception& e) {
    // Memory, or a mistake of ours: what is expected to go wrong is a value.
    tell({exit_code::failed,
          "unexpected: " + config::printable(e.what(), 500),
          "Please report this, with the command line",
          {}},
         global);
    return static_cast<int>(exit_code::failed);
  }
}

}  // namespace pawl::node
