// What a command line asks for, as values. The declaration for CLI11 is in cli_app.cpp; nothing else knows CLI11 but it
// and the completions that are made from it.
#pragma once

#include "node/cli_error.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace pawl::node {

enum class output_format : std::uint8_t { table, json, wide };

struct global_args {
  std::string program = "pawl";  ///< how this binary was called; mends name it
  std::optional<std::string> config_file{};
  std::optional<std::string> data_dir{};
  std::vector<std::string> set{};  ///< "section.key=value"
  std::optional<std::string> node{};  ///< "host:port" of the node that is asked, instead of the one on the data
  std::optional<std::string> token_file{};
  output_format output = output_format::table;
  bool no_color = false;
};

struct node_args {};

/// `start` and `run`.
struct start_args {
  bool in_process = false;
  std::string type{};
  std::optional<std::uint32_t> version{};
  std::string id{};
  std::string input{};  ///< JSON, @file or -
  bool has_input = false;
  bool wait = false;
  std::optional<std::chrono::milliseconds> delay{};
  std::optional<std::chrono::milliseconds> deadline{};
  std::string closed_id{};
  std::string command_id{};
};

struct list_args {
  std::string type{};
  std::string prefix{};
  std::string state{};
  std::uint32_t limit = 50;
  std::string cursor{};
  bool stale_ok = false;  ///< what the node that is asked knows by itself, with how old that is
};

struct show_args {
  std::string id{};
  std::uint32_t run = 0;  ///< 0: the newest
  bool stale_ok = false;
};

struct history_args {
  std::string id{};
  std::uint32_t run = 0;
  bool follow = false;
  std::uint64_t from = 1;
  std::uint32_t limit = 0;  ///< 0: all
  bool stale_ok = false;
  std::string export_to{};  ///< a file, to be replayed elsewhere
};

/// Histories, from files or of workflows, given to the code of this binary.
struct replay_args {
  std::vector<std::string> what{};
  std::uint32_t run = 0;
};

struct result_args {
  std::string id{};
  std::uint32_t run = 0;
  bool wait = false;
  bool stale_ok = false;
};

/// cancel, kill, pause, resume, skip and signal.
struct command_args {
  std::string verb{};
  std::string id{};
  std::string reason{};
  std::string step{};
  std::string result{};  ///< JSON, @file or -; of a signal, its input
  bool has_result = false;
  bool undo = false;
  std::string signal{};  ///< its name
  std::string command_id{};
};

/// reset and fork: a run that begins with events of another one.
struct branch_args {
  bool forks = false;
  std::string id{};
  std::string new_id{};  ///< of a fork
  std::uint64_t to = 0;  ///< the last event to keep
  std::uint32_t run = 0;
  std::uint32_t version = 0;
  bool drop_signals = false;
  std::string reason{};
  std::string command_id{};
};

/// What durable code answers.
struct update_args {
  std::string id{};
  std::string name{};
  std::string input{};  ///< JSON, @file or -
  bool has_input = false;
  std::string command_id{};
  std::optional<std::chrono::milliseconds> within{};  ///< how long it is waited for the answer; none: until it comes
};
struct query_args {
  std::string id{};
  std::string name{};
  std::string input{};
  bool has_input = false;
};

struct status_args {};
/// What a cluster says of itself.
struct cluster_args {
  enum class action : std::uint8_t { nodes, partitions, resync } what = action::nodes;
  std::int32_t from = 0;  ///< of a resync
  std::int32_t to = 0;
};
struct types_args {
  enum class action : std::uint8_t { list, use } what = action::list;
  std::string type{};
  std::uint32_t version = 0;  ///< use: 0 takes the mark away
  bool force = false;
  std::string command_id{};
};
struct verify_args {};
struct config_args {
  enum class action : std::uint8_t { show, sample } what = action::show;
  bool of_node = false;  ///< of the node that runs
};
struct topics_args {
  enum class action : std::uint8_t { create, check } what = action::check;
};
/// The dead letters of a namespace.
struct dlq_args {
  enum class action : std::uint8_t { list, show, replay, drop } what = action::list;
  std::uint32_t limit = 50;
  bool all = false;  ///< list: also those that are done with; replay: all that are open
  std::vector<std::int64_t> offsets{};
  std::int64_t upto = -1;
};
/// The journal of one partition, from the topic itself.
struct journal_args {
  enum class action : std::uint8_t { dump, check } what = action::dump;
  std::int32_t partition = 0;
  std::int64_t from = 0;
  std::uint64_t limit = 0;  ///< 0: all
};
struct version_args {};
struct completion_args {
  std::string shell{};
};
/// For the completion scripts: one name a line, no error ever.
struct names_args {
  std::string what{};
};

using command_choice =
    std::variant<node_args, start_args, list_args, show_args, history_args, replay_args, result_args, command_args,
                 branch_args, update_args, query_args, status_args, cluster_args, types_args, verify_args, config_args,
                 topics_args, dlq_args, journal_args, version_args, completion_args, names_args>;

struct command_line {
  global_args global;
  command_choice command;
};

/// Asked for with --help: what to print, and that is all.
struct help_text {
  std::string text;
};

/// Reads argv. Unknown commands and flags are refused with the nearest known name. Reads no file and no environment.
cli_result<std::variant<command_line, help_text>> parse_command_line(int argc, const char* const* argv);

/// The script that a shell sources, for a binary of that name. Shells: bash, zsh.
cli_result<std::string> completion_script(const std::string& shell, const std::string& program);

}  // namespace pawl::node
