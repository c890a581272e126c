// The command line as CLI11 sees it. For cli_app.cpp and cli_completion.cpp only: CLI11 costs 3 s a translation unit.
#pragma once

#include "node/cli_options.hpp"

#include <CLI/CLI.hpp>

#include <string>

namespace pawl::node {

/// The parser, and where it puts what it reads.
struct cli_app {
  explicit cli_app(std::string program);
  cli_app(const cli_app&) = delete;
  cli_app& operator=(const cli_app&) = delete;

  CLI::App app;
  global_args global;
  std::string output = "table";
  std::string data_dir, config_file, node, token_file;

  start_args start, run;
  std::string start_delay, start_deadline, run_delay, run_deadline;
  list_args list;
  show_args show;
  history_args history;
  replay_args replay;
  result_args result;
  cluster_args cluster;
  command_args cancel, kill, pause, resume, skip, signal;
  branch_args reset, fork;
  update_args update;
  std::string update_within;
  query_args query;
  types_args types;
  std::string types_version;
  bool types_clear = false;
  config_args config;
  dlq_args dlq;
  journal_args journal;
  completion_args completion;
  names_args names;
};

}  // namespace pawl::node
