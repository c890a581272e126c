// The command line of every binary that is made with pawl: one function a command, in cli_*.cpp.
#pragma once

#include <pawl/registry.hpp>

#include "config/load.hpp"
#include "node/cli_options.hpp"
#include "node/cli_target.hpp"
#include "node/render_text.hpp"

#include <string>
#include <string_view>

namespace pawl::node {

/// What every command may use.
struct cli_context {
  const registry& types;
  global_args global;
  config::loaded configuration;
  canvas screen;  ///< of standard output
  std::optional<remote_node> remote{};  ///< the node that is asked over TCP; none: the one on the data directory

  const config::settings& settings() const { return configuration.values; }
  bool wants_json() const { return global.output == output_format::json; }
  bool wide() const { return global.output == output_format::wide; }
  cli_result<std::unique_ptr<cli_target>> target(bool needs_node) const;
  http_client client() const;
};

/// To standard output; whether that worked is seen at the end of the program.
void say(std::string_view text);
/// One JSON document, indented, for programs.
void say_json(const json& document);
/// To standard error, for people: progress, and what happened beside the answer.
void note(const cli_context& c, std::string_view text);

/// Of an answer that may be stale: says so, to people and, in `body`, to programs.
void note_age(const cli_context& c, const std::optional<std::chrono::milliseconds>& stale, json& body);

/// A cluster is between two leaders for a moment: what is waited for or followed is asked for again so long.
inline constexpr std::chrono::milliseconds leader_change_patience{60'000};
inline constexpr std::chrono::milliseconds leader_change_pause{250};
/// Whether asking again may help: a node of a cluster has answered that it cannot say now.
bool is_leader_change(const cli_context& c, const cli_error& e);

/// To standard error: the error, as the output format says. Returns its code.
exit_code tell_error(const cli_context& c, const cli_error& e);

/// Reads, does and answers; what main returns. Throws nothing.
int run_command_line(int argc, char** argv, const registry& types);

using command_result = cli_result<exit_code>;

command_result run_node(const cli_context& c);
command_result run_in_process(const cli_context& c, const start_args& args);
command_result start_workflow(const cli_context& c, const start_args& args);
command_result send_command(const cli_context& c, const command_args& args);
command_result send_branch(const cli_context& c, const branch_args& args);
command_result send_update(const cli_context& c, const update_args& args);
command_result ask_query(const cli_context& c, const query_args& args);
command_result show_list(const cli_context& c, const list_args& args);
command_result show_run(const cli_context& c, const show_args& args);
command_result show_history(const cli_context& c, const history_args& args);
command_result export_history(const cli_context& c, const history_args& args);
command_result replay_histories(const cli_context& c, const replay_args& args);
command_result show_result(const cli_context& c, const result_args& args);
command_result show_status(const cli_context& c);
command_result show_types(const cli_context& c, const types_args& args);
command_result use_version(const cli_context& c, const types_args& args);
command_result verify_data(const cli_context& c);
command_result show_config(const cli_context& c, const config_args& args);
command_result care_for_topics(const cli_context& c, const topics_args& args);
command_result show_cluster(const cli_context& c, const cluster_args& args);
command_result read_journal(const cli_context& c, const journal_args& args);
command_result care_for_dead_letters(const cli_context& c, const dlq_args& args);
command_result show_version(const cli_context& c);
command_result show_completion(const cli_context& c, const completion_args& args);
command_result show_names(const cli_context& c, const names_args& args);

/// What a start asks for, in the shape of the api. Reads the input, which may be standard input: once a command line.
cli_result<question> start_question(const cli_context& c, const start_args& args);
/// Asks that, waits where `args` say so, and prints what came of it.
command_result start_on(const cli_context& c, cli_target& target, const start_args& args, const question& q);
/// Prints how a run ended, and says whether it ended well. `answer` is that of the api's result.
exit_code say_result(const cli_context& c, const std::string& id, const json& answer);

}  // namespace pawl::node
