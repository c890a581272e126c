#include "node/cli_app.hpp"

#include "config/nearest_name.hpp"
#include "config/quantity.hpp"
#include "config/setting.hpp"

#include <algorithm>
#include <charconv>

namespace pawl::node {
namespace {

constexpr auto exit_code_text =
    "With every command: --config FILE, --data DIR, --set SECTION.KEY=VALUE, -o table|wide|json, --no-color; with\n"
    "those that ask a node: --node HOST:PORT, --token-file FILE.\n"
    "Exit codes: 0 ok; 1 failed (the awaited workflow, or the node itself); 2 usage (command line, configuration,\n"
    "input); 3 not found; 4 conflict; 5 unavailable (no node runs, or it is busy: try again). See docs/cli.md.";

CLI::App* add_command(cli_app& c, const std::string& name, const std::string& about) {
  return c.app.add_subcommand(name, about)->fallthrough();
}

void add_id(CLI::App* command, std::string& id) {
  command->add_option("id", id, "The workflow's id")->required()->type_name("");
}

void add_run(CLI::App* command, std::uint32_t& run) {
  command->add_option("--run", run, "Which run of the workflow; without it the newest")->type_name("N");
}

void add_stale_ok(CLI::App* command, bool& stale_ok) {
  command->add_flag("--stale-ok", stale_ok,
                    "Of a cluster: take what the asked node knows by itself, leader or not; it says how old that is");
}

void add_start(cli_app& c, const std::string& name, const std::string& about, start_args& into, std::string& delay,
               std::string& deadline) {
  auto* s = add_command(c, name, about);
  s->add_option("type", into.type, "The workflow type; `types` lists them")->required()->type_name("");
  s->add_option("--id", into.id, "The workflow's id; without it one is made up and printed")->type_name("ID");
  s->add_option("--input", into.input, "The input: JSON, @FILE, or - for standard input")->type_name("JSON|@FILE|-");
  s->add_option("--version", into.version, "The version of the type; without it the one for new runs: see `types`")
      ->type_name("N");
  s->add_option("--delay", delay, "No step begins before this has passed, such as 30s")->type_name("DURATION");
  s->add_option("--deadline", deadline, "The workflow is failed when it is not done by then")->type_name("DURATION");
  s->add_option("--closed-id", into.closed_id,
                "When a closed run has the id: reject (the default), allow_if_failed, or allow a new run")
      ->type_name("POLICY");
  s->add_option("--command-id", into.command_id, "Names this very request: the same again does nothing twice")
      ->type_name("ID");
  if (name == "start") s->add_flag("--wait", into.wait, "Wait for the end; prints the result, exits 1 if it failed");
}

void add_verb(cli_app& c, const std::string& verb, const std::string& about, command_args& into) {
  auto* s = add_command(c, verb, about);
  into.verb = verb;
  add_id(s, into.id);
  if (verb == "cancel" || verb == "kill" || verb == "pause")
    s->add_option("--reason", into.reason, "Why, for the history")->type_name("TEXT");
  if (verb == "skip") {
    s->add_option("--step", into.step, "The step that has no attempt left")->required()->type_name("STEP");
    s->add_option("--result", into.result, "What it is taken to have returned: JSON, @FILE or -")
        ->type_name("JSON|@FILE|-");
    s->add_flag("--undo", into.undo, "Its undo is what has no attempt left");
  }
  if (verb == "signal") {
    s->add_option("NAME", into.signal, "The name that the workflow's code awaits")->required()->type_name("NAME");
    s->add_option("--input", into.result, "What it is told: JSON, @FILE or -")->type_name("JSON|@FILE|-");
  }
  s->add_option("--command-id", into.command_id, "Names this very request: the same again does nothing twice")
      ->type_name("ID");
}

void add_branch(cli_app& c, const std::string& verb, const std::string& about, branch_args& into) {
  auto* s = add_command(c, verb, about);
  add_id(s, into.id);
  into.forks = verb == "fork";
  if (into.forks) s->add_option("NEWID", into.new_id, "The id of the new workflow")->required()->type_name("NEWID");
  s->add_option("--to", into.to, "The last event to keep; `history` numbers them")->required()->type_name("SEQ");
  s->add_option("--run", into.run, "Of this run's history; without it of the newest's")->type_name("N");
  s->add_option("--version", into.version, "Go on as this version of the type; without it as the same")->type_name("N");
  s->add_flag("--drop-signals", into.drop_signals, "Do not give it the signals that came after SEQ");
  if (!into.forks) s->add_option("--reason", into.reason, "Why, for the history")->type_name("TEXT");
  s->add_option("--command-id", into.command_id, "Names this very request: the same again does nothing twice")
      ->type_name("ID");
}

void add_asking(cli_app& c) {
  auto* update = add_command(c, "update", "Ask a workflow of durable code to do something, and print its answer");
  add_id(update, c.update.id);
  update->add_option("NAME", c.update.name, "The name that the workflow's code awaits")->required()->type_name("NAME");
  update->add_option("--input", c.update.input, "What is asked: JSON, @FILE or -")->type_name("JSON|@FILE|-");
  update
      ->add_option("--within", c.update_within,
                   "Wait so long for the answer, such as 30s (0s: not at all); without it until it is there")
      ->type_name("DURATION");
  update
      ->add_option("--command-id", c.update.command_id,
                   "Names this very request: the same again does nothing twice, and gets the same answer")
      ->type_name("ID");
  auto* query = add_command(c, "query", "Ask the code of a workflow what it knows; changes nothing");
  add_id(query, c.query.id);
  query->add_option("NAME", c.query.name, "A query that the workflow's code answers")->required()->type_name("NAME");
  query->add_option("--input", c.query.input, "The query's input: JSON, @FILE or -")->type_name("JSON|@FILE|-");
}

void add_globals(cli_app& c) {
  auto& a = c.app;
  a.set_help_flag("-h,--help", "This text; `COMMAND --help` says what that command takes");
  a.add_option("--config", c.config_file, "The configuration file; without it ./pawl.toml, if there is one")
      ->type_name("FILE");
  a.add_option("--data", c.data_dir, "The data directory: the same as --set data.dir=DIR")->type_name("DIR");
  a.add_option("--set", c.global.set, "A setting, over file and environment; may be repeated")
      ->type_name("SECTION.KEY=VALUE")
      ->allow_extra_args(false);
  a.add_option("--node", c.node, "The node to ask, over TCP (so does the variable PAWL_NODE); else the one on the data")
      ->type_name("HOST:PORT");
  a.add_option("--token-file", c.token_file,
               "The file with that node's token (or the variable PAWL_TOKEN); else http.token or http.token_file")
      ->type_name("FILE");
  a.add_option("-o,--output", c.output, "table for people, wide for more of it, json for programs")
      ->type_name("FORMAT");
  a.add_flag("--no-color", c.global.no_color, "No colours on a terminal either (so does the variable NO_COLOR)");
}

void add_readers(cli_app& c) {
  auto* list = add_command(c, "list", "List workflows, the newest first");
  list->add_option("--type", c.list.type, "Only of this type")->type_name("TYPE");
  list->add_option("--prefix", c.list.prefix, "Only ids that begin like this")->type_name("TEXT");
  list->add_option("--state", c.list.state, "open, closed, paused, running, completed, failed, cancelled, ...")
      ->type_name("STATE");
  list->add_option("--limit", c.list.limit, "At most so many, 1 to 1000 (50)")->type_name("N");
  list->add_option("--cursor", c.list.cursor, "Where the page before said that the next begins")->type_name("CURSOR");
  add_stale_ok(list, c.list.stale_ok);

  auto* show = add_command(c, "show", "Show a workflow: its state, what it waits for, its steps as bars in time");
  add_id(show, c.show.id);
  add_run(show, c.show.run);
  add_stale_ok(show, c.show.stale_ok);

  auto* history = add_command(c, "history", "Print the events of a workflow");
  add_id(history, c.history.id);
  add_run(history, c.history.run);
  history->add_flag("--follow,-f", c.history.follow, "Go on with new events until the workflow ends");
  history->add_option("--from", c.history.from, "Begin at this event")->type_name("SEQ");
  history->add_option("--limit", c.history.limit, "At most so many")->type_name("N");
  add_stale_ok(history, c.history.stale_ok);
  history->add_option("--export", c.history.export_to, "Write it to this file, for `replay`; - for standard output")
      ->type_name("FILE");

  auto* replay = add_command(c, "replay", "Give histories to the code of this binary; exits 1 if one does not fit");
  replay->add_option("what", c.replay.what, "Files of `history --export`, and ids of workflows")
      ->required()
      ->type_name("");
  add_run(replay, c.replay.run);

  auto* result = add_command(c, "result", "Print the result of a workflow; exits 1 if it failed");
  add_id(result, c.result.id);
  add_run(result, c.result.run);
  result->add_flag("--wait", c.result.wait, "Wait for the end");
  add_stale_ok(result, c.result.stale_ok);
}

void add_types(cli_app& c) {
  auto* types = add_command(c, "types", "List workflow types, which version new runs get, their steps and inputs")
                    ->require_subcommand(0, 1);
  auto* list = types->add_subcommand("list", "The same, also for a type that is called as a command is")->fallthrough();
  for (auto* t : {types, list}) t->add_option("type", c.types.type, "Only this one, with all about it")->type_name("");
  auto* use = types->add_subcommand("use", "Say which version of a type new runs get that name none")->fallthrough();
  use->add_option("name", c.types.type, "The workflow type; `types` lists them")->required()->type_name("");
  use->add_option("version", c.types_version,
                  "The version, or latest: none is marked, and they get the highest that all nodes run")
      ->type_name("");
  use->add_flag("--clear", c.types_clear, "Take the mark away, as latest does");
  use->add_flag("--force", c.types.force, "Mark it although no living node runs it");
  use->add_option("--command-id", c.types.command_id, "Names this very request: the same again does nothing twice")
      ->type_name("ID");
}

void add_housekeeping(cli_app& c) {
  add_command(c, "status", "Show how the node is doing");
  add_command(c, "nodes", "The nodes of the cluster");
  auto* partitions =
      add_command(c, "partitions", "The partitions of the cluster: who leads each, and how far behind it is")
          ->require_subcommand(0, 1);
  auto* resync =
      partitions
          ->add_subcommand("resync", "Let partition TO take again what partition FROM sends, after outbox_diverged")
          ->fallthrough();
  resync->add_option("from", c.cluster.from, "The partition whose messages are not taken")->required()->type_name("");
  resync->add_option("to", c.cluster.to, "The partition that does not take them")->required()->type_name("");
  add_types(c);
  add_command(c, "verify", "Check the database and every history against the laws of the engine, beside a node too");
  auto* config = add_command(c, "config", "Settings")->require_subcommand(1, 1);
  auto* show = config->add_subcommand("show", "Every setting, its value and where that came from")->fallthrough();
  show->add_flag("--running", c.config.of_node, "Those of the node that runs, not those of this command line");
  config->add_subcommand("sample", "A configuration file with every setting at its default")->fallthrough();
  auto* topics = add_command(c, "topics", "The topics of a namespace in Kafka")->require_subcommand(1, 1);
  topics->add_subcommand("create", "Make those that are missing")->fallthrough();
  topics->add_subcommand("check", "Check that all are there and set up as they have to be; 1 when not")->fallthrough();
  auto* dlq = add_command(c, "dlq", "Messages from Kafka that could be no commands")->require_subcommand(1, 1);
  auto* letters = dlq->add_subcommand("list", "List them, the newest first")->fallthrough();
  letters->add_option("--limit", c.dlq.limit, "At most so many, 1 to 1000 (50)")->type_name("N");
  auto* letter = dlq->add_subcommand("show", "Show one with all that is known of it")->fallthrough();
  letter->add_option("offset", c.dlq.offsets, "Its offset; `dlq list` tells it")
      ->required()
      ->expected(1)
      ->type_name("");
  letters->add_flag("--all", c.dlq.all, "Those that were replayed or dropped too, while they are there");
  auto* again = dlq->add_subcommand("replay", "Send some to the commands again, as they were")->fallthrough();
  again->add_option("offset", c.dlq.offsets, "Their offsets; `dlq list` tells them")->type_name("");
  again->add_flag("--all", c.dlq.all, "All that are there and neither replayed nor dropped");
  auto* away = dlq->add_subcommand("drop", "Be done with some; Kafka deletes them from the oldest on")->fallthrough();
  away->add_option("offset", c.dlq.offsets, "Their offsets; `dlq list` tells them")->type_name("");
  away->add_option("--upto", c.dlq.upto, "All up to this offset, itself included")->type_name("OFFSET");
  auto* journal = add_command(c, "journal", "The journal in Kafka, read from its topic")->require_subcommand(1, 1);
  auto* dump = journal->add_subcommand("dump", "Each record, and whether it counts")->fallthrough();
  dump->add_option("--from", c.journal.from, "From this offset on")->type_name("OFFSET");
  dump->add_option("--limit", c.journal.limit, "At most so many; without it all")->type_name("N");
  auto* audit = journal->add_subcommand("check", "Whether the records hold together; 1 when not")->fallthrough();
  for (auto* j : {dump, audit})
    j->add_option("--partition", c.journal.partition, "Of this partition (0)")->type_name("N");
  add_command(c, "version", "Print the version");
  auto* completion = add_command(c, "completion", "Print the script that completes command lines in a shell");
  completion->add_option("shell", c.completion.shell, "bash or zsh")->required()->type_name("");
  auto* names = add_command(c, "__names", "")->group("");
  names->add_option("what", c.names.what, "")->required();
}

std::vector<std::string> visible_commands(const CLI::App& app) {
  std::vector<std::string> out;
  for (const auto* s : app.get_subcommands([](const CLI::App*) { return true; }))
    if (!s->get_group().empty()) out.push_back(s->get_name());
  return out;
}

std::vector<std::string> flags_of(const CLI::App& app) {
  std::vector<std::string> out;
  for (const auto* a = &app; a != nullptr; a = a->get_parent())
    for (const auto* o : a->get_options())
      for (const auto& name : o->get_lnames()) out.push_back("--" + name);
  return out;
}

/// The command that was recognised, or the whole when none was.
const CLI::App& chosen(const CLI::App& app) {
  const auto subs = app.get_subcommands();
  return subs.empty() ? app : chosen(*subs.front());
}

std::string path_of(const CLI::App& app) {
  return app.get_parent() ? path_of(*app.get_parent()) + " " + app.get_name() : app.get_name();
}

cli_error unexpected(const cli_app& c) {
  const auto& command = chosen(c.app);
  const auto rest = c.app.remaining(true);
  const auto first = rest.empty() ? std::string() : rest.front();
  const auto help = "`" + path_of(command) + " --help` says what there is";
  const auto mend = [&](const std::optional<std::string>& nearest) {
    return nearest ? "Did you mean " + *nearest + "?" : help;
  };
  if (first.starts_with('-')) {
    const auto name = first.substr(0, first.find('='));
    return usage_error("there is no flag " + config::in_quotes(name),
                       mend(config::nearest_name(name, flags_of(command))));
  }
  if (const auto known = visible_commands(command); !known.empty())
    return usage_error("there is no command " + config::in_quotes(first), mend(config::nearest_name(first, known)));
  return usage_error(config::in_quotes(first) + " is one argument too many for `" + path_of(command) + "`", help);
}

cli_error parse_failure(const cli_app& c, const CLI::ParseError& e) {
  const auto& command = chosen(c.app);
  const auto help = "`" + path_of(command) + " --help` says what there is";
  const auto* missing = dynamic_cast<const CLI::RequiredError*>(&e);
  // What was not expected says more than what is missing.
  if (dynamic_cast<const CLI::ExtrasError*>(&e) != nullptr || (missing != nullptr && !c.app.remaining(true).empty()))
    return unexpected(c);
  if (missing != nullptr && !visible_commands(command).empty()) return usage_error("a command is missing", help);
  auto what = std::string(e.what());
  what = config::printable(what.substr(0, what.find('\n')), 300);
  if (missing != nullptr) return usage_error("`" + path_of(command) + "`: " + what, help);
  if (constexpr std::string_view mark = "Could not convert: "; what.starts_with(mark))
    return usage_error(what.substr(mark.size()) + ": that is no whole number in range", help);
  return usage_error(what, help);
}

cli_result<output_format> to_format(const std::string& text) {
  if (text == "table") return output_format::table;
  if (text == "json") return output_format::json;
  if (text == "wide") return output_format::wide;
  return usage_error("-o: " + config::in_quotes(text) + " is no format", "Write table, json or wide");
}

cli_result<std::optional<std::chrono::milliseconds>> to_duration(const std::string& flag, const std::string& text) {
  if (text.empty()) return std::optional<std::chrono::milliseconds>();
  const auto parsed = config::parse_duration(text);
  if (!parsed)
    return usage_error(
        flag + ": " + config::in_quotes(text) +
            (parsed.error() == config::quantity_error::too_large ? " is too long" : " is not a duration"),
        "Write a whole number and a unit, such as 500ms, 30s, 5m, 48h or 7d");
  return std::optional(parsed.value());
}

cli_result<command_line> finish_start(cli_app& c, const CLI::App& command, start_args args, const std::string& delay,
                                      const std::string& deadline) {
  args.has_input = command.count("--input") > 0;
  if (command.count("--id") > 0 && args.id.empty())
    return usage_error("--id is empty", "Give an id, or leave --id out");
  auto d = to_duration("--delay", delay);
  if (!d) return std::move(d).error();
  auto until = to_duration("--deadline", deadline);
  if (!until) return std::move(until).error();
  args.delay = d.value();
  args.deadline = until.value();
  if (!args.closed_id.empty() && args.closed_id != "reject" && args.closed_id != "allow_if_failed" &&
      args.closed_id != "allow")
    return usage_error("--closed-id: " + config::in_quotes(args.closed_id) + " is no policy",
                       "Write reject, allow_if_failed or allow");
  return command_line{c.global, std::move(args)};
}

cli_result<command_line> finish_dlq(cli_app& c, const CLI::App& command) {
  auto& a = c.dlq;
  if (a.limit < 1 || a.limit > 1000) return usage_error("--limit is out of range", "Write a number from 1 to 1000");
  for (const auto offset : a.offsets)
    if (offset < 0) return usage_error("an offset is not below 0", "Write one that `dlq list` tells");
  const auto* chosen_one = command.get_subcommands().front();
  using action = dlq_args::action;
  const auto name = chosen_one->get_name();
  a.what = name == "list"     ? action::list
           : name == "show"   ? action::show
           : name == "replay" ? action::replay
                              : action::drop;
  const bool others =
      a.what == action::replay ? a.all : chosen_one->get_name() == "drop" && chosen_one->count("--upto") > 0;
  if (a.what == action::drop && others && a.upto < 0)
    return usage_error("--upto is below 0", "Write an offset that `dlq list` tells");
  if (a.what == action::replay || a.what == action::drop) {
    const std::string flag = a.what == action::replay ? "--all" : "--upto OFFSET";
    if (a.offsets.empty() && !others)
      return usage_error("which of them is not said", "Write offsets that `dlq list` tells, or " + flag);
    if (!a.offsets.empty() && others)
      return usage_error("offsets and " + flag + " are both there", "Write one of them");
  }
  return cli_result<command_line>(command_line{c.global, a});
}

cli_result<command_line> finish_types(cli_app& c, const CLI::App& command) {
  auto& a = c.types;
  if (!command.got_subcommand("use")) return cli_result<command_line>(command_line{c.global, a});
  a.what = types_args::action::use;
  const auto& version = c.types_version;
  if (version.empty() != c.types_clear)
    return usage_error(c.types_clear ? "a version and --clear are both there" : "which version is not said",
                       "Write a version that `types` lists, or latest");
  if (version.empty() || version == "latest") return cli_result<command_line>(command_line{c.global, a});
  const auto read = std::from_chars(version.data(), version.data() + version.size(), a.version);
  if (read.ec != std::errc{} || read.ptr != version.data() + version.size() || a.version == 0)
    return usage_error(config::in_quotes(version) + " is no version", "Write a whole number from 1 on, or latest");
  return cli_result<command_line>(command_line{c.global, a});
}

cli_result<command_line> finish(cli_app& c) {
  const auto format = to_format(c.output);
  if (!format) return format.error();
  c.global.output = format.value();
  if (c.app.count("--config") > 0) c.global.config_file = c.config_file;
  if (c.app.count("--data") > 0) c.global.data_dir = c.data_dir;
  const auto& command = *c.app.get_subcommands().front();
  const auto name = command.get_name();
  if (c.app.count("--node") > 0) {
    for (const auto* here : {"node", "run", "verify", "topics", "dlq", "completion", "version"})
      if (name == here) return usage_error("`" + name + "` asks no node, so --node is not for it", "Leave --node out");
    c.global.node = c.node;
  }
  if (c.app.count("--token-file") > 0) c.global.token_file = c.token_file;
  const auto as = [&](auto args) { return cli_result<command_line>(command_line{c.global, std::move(args)}); };
  if (name == "node") return as(node_args{});
  if (name == "start") return finish_start(c, command, c.start, c.start_delay, c.start_deadline);
  if (name == "run") return finish_start(c, command, c.run, c.run_delay, c.run_deadline);
  if (name == "list") {
    if (c.list.limit < 1 || c.list.limit > 1000)
      return usage_error("--limit is out of range", "Write a number from 1 to 1000");
    return as(c.list);
  }
  if (name == "show") return as(c.show);
  if (name == "history") {
    if (command.count("--export") > 0 && c.history.export_to.empty())
      return usage_error("--export is empty", "Name a file");
    if (!c.history.export_to.empty() && (c.history.follow || c.history.limit > 0 || c.history.from != 1))
      return usage_error("--export takes the whole history", "Leave --follow, --from and --limit out");
    return as(c.history);
  }
  if (name == "replay") return as(c.replay);
  if (name == "result") {
    if (c.result.wait && c.result.stale_ok)
      return usage_error("--wait and --stale-ok do not go together", "Leave one of them out");
    return as(c.result);
  }
  for (auto* verb : {&c.cancel, &c.kill, &c.pause, &c.resume, &c.skip, &c.signal})
    if (name == verb->verb) {
      verb->has_result =
          (name == "skip" && command.count("--result") > 0) || (name == "signal" && command.count("--input") > 0);
      return as(*verb);
    }
  for (auto* branch : {&c.reset, &c.fork})
    if (name == (branch->forks ? "fork" : "reset")) {
      if (branch->to == 0) return usage_error("--to is 0", "Events are numbered from 1; `history` shows them");
      if (branch->forks && branch->new_id.empty()) return usage_error("NEWID is empty", "Give the fork an id");
      return as(*branch);
    }
  if (name == "update") {
    c.update.has_input = command.count("--input") > 0;
    auto within = to_duration("--within", c.update_within);
    if (!within) return std::move(within).error();
    c.update.within = within.value();
    return as(c.update);
  }
  if (name == "query") {
    c.query.has_input = command.count("--input") > 0;
    return as(c.query);
  }
  if (name == "status") return as(status_args{});
  if (name == "nodes") return as(cluster_args{cluster_args::action::nodes});
  if (name == "partitions") {
    const bool resync = command.got_subcommand("resync");
    c.cluster.what = resync ? cluster_args::action::resync : cluster_args::action::partitions;
    if (resync && (c.cluster.from < 0 || c.cluster.to < 0 || c.cluster.from == c.cluster.to))
      return usage_error("FROM and TO are the numbers of two partitions", "`partitions` names the pair");
    return as(c.cluster);
  }
  if (name == "types") return finish_types(c, command);
  if (name == "verify") return as(verify_args{});
  if (name == "config") {
    c.config.what = command.got_subcommand("sample") ? config_args::action::sample : config_args::action::show;
    return as(c.config);
  }
  if (name == "topics")
    return as(topics_args{command.got_subcommand("create") ? topics_args::action::create : topics_args::action::check});
  if (name == "dlq") {
    return finish_dlq(c, command);
  }
  if (name == "journal") {
    if (c.journal.partition < 0 || c.journal.from < 0)
      return usage_error("a partition or an offset is not below 0", "`partitions` names the partitions");
    c.journal.what = command.got_subcommand("dump") ? journal_args::action::dump : journal_args::action::check;
    return as(c.journal);
  }
  if (name == "version") return as(version_args{});
  if (name == "completion") return as(c.completion);
  return as(c.names);
}

}  // namespace

cli_app::cli_app(std::string program) : app("Durable workflows: a node, and the command line of one.", program) {
  global.program = std::move(program);
  app.require_subcommand(1, 1);
  app.footer(exit_code_text);
  add_globals(*this);
  add_command(*this, "node",
              "Run a node on the data directory until SIGTERM, which drains it; a second one stops it at once");
  add_start(*this, "start", "Start a workflow on the node", start, start_delay, start_deadline);
  add_start(*this, "run", "Run a workflow to its end in this process, without a node", run, run_delay, run_deadline);
  run.in_process = run.wait = true;
  add_readers(*this);
  add_verb(*this, "cancel", "Cancel a workflow: what was done is undone", cancel);
  add_verb(*this, "kill", "End a workflow as it is: nothing is undone", kill);
  add_verb(*this, "pause", "Start nothing new of a workflow until it is resumed", pause);
  add_verb(*this, "resume", "Go on with a paused workflow; the step that stopped it gets its attempts anew", resume);
  add_verb(*this, "skip", "Go on as if the step that stopped a workflow had returned a given result", skip);
  add_verb(*this, "signal", "Tell a workflow of durable code something that it awaits, or will", signal);
  add_branch(*this, "reset", "Go on anew behind an event of a workflow's history, with its next run", reset);
  add_branch(*this, "fork", "Begin a new workflow with a workflow's history up to an event", fork);
  add_asking(*this);
  add_housekeeping(*this);
}

cli_result<std::variant<command_line, help_text>> parse_command_line(int argc, const char* const* argv) {
  std::string program = argc > 0 && argv[0] != nullptr ? argv[0] : "pawl";
  program = program.substr(program.rfind('/') + 1);
  cli_app c(program.empty() ? "pawl" : program);
  std::vector<std::string> words;  // CLI11 wants them from the last to the first
  for (int i = argc - 1; i > 0; --i) words.emplace_back(argv[i]);
  try {
    c.app.parse(std::move(words));
  } catch (const CLI::CallForHelp&) {
    const auto* parent = chosen(c.app).get_parent();
    return std::variant<command_line, help_text>(help_text{chosen(c.app).help(parent ? path_of(*parent) : "")});
  } catch (const CLI::ParseError& e) {
    return parse_failure(c, e);
  }
  auto line = finish(c);
  if (!line) return std::move(line).error();
  return std::variant<command_line, help_text>(std::move(line).value());
}

}  // namespace pawl::node
