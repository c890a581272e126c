// The command line as values, and what is said about a wrong one.
#include "node/cli_options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pawl::node {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

cli_result<std::variant<command_line, help_text>> parse(std::vector<const char*> words) {
  words.insert(words.begin(), "/usr/bin/shop");
  return parse_command_line(static_cast<int>(words.size()), words.data());
}

command_line line_of(std::vector<const char*> words) {
  auto parsed = parse(std::move(words));
  if (!parsed) {
    ADD_FAILURE() << parsed.error().text("shop");
    return {};
  }
  if (!std::holds_alternative<command_line>(parsed.value())) {
    ADD_FAILURE() << "it asked for help";
    return {};
  }
  return std::get<command_line>(std::move(parsed).value());
}

template <class Args>
Args args_of(std::vector<const char*> words) {
  auto line = line_of(std::move(words));
  if (auto* args = std::get_if<Args>(&line.command)) return *args;
  ADD_FAILURE() << "another command, number " << line.command.index();
  return {};
}

/// The error that a wrong command line gives; its code is always `usage`.
std::string refusal(std::vector<const char*> words) {
  const auto parsed = parse(std::move(words));
  if (parsed) return "accepted";
  EXPECT_EQ(parsed.error().code, exit_code::usage);
  return parsed.error().text("shop");
}

TEST(cli_parse, start_has_all_its_flags) {
  const auto a = args_of<start_args>({"start", "fulfil-order", "--id", "o-17", "--input", "{\"a\":[1,2]}", "--version",
                                      "3", "--wait", "--delay", "30s", "--deadline", "48h", "--closed-id",
                                      "allow_if_failed", "--command-id", "c-1"});
  EXPECT_FALSE(a.in_process);
  EXPECT_EQ(a.type, "fulfil-order");
  EXPECT_EQ(a.id, "o-17");
  EXPECT_TRUE(a.has_input);
  EXPECT_EQ(a.input, "{\"a\":[1,2]}");
  EXPECT_EQ(a.version, 3U);
  EXPECT_TRUE(a.wait);
  EXPECT_EQ(a.delay, 30s);
  EXPECT_EQ(a.deadline, 48h);
  EXPECT_EQ(a.closed_id, "allow_if_failed");
  EXPECT_EQ(a.command_id, "c-1");
}

TEST(cli_parse, what_may_be_stale_is_asked_for) {
  EXPECT_TRUE(args_of<show_args>({"show", "o-1", "--stale-ok"}).stale_ok);
  EXPECT_TRUE(args_of<list_args>({"list", "--stale-ok"}).stale_ok);
  EXPECT_TRUE(args_of<history_args>({"history", "o-1", "-f", "--stale-ok"}).stale_ok);
  EXPECT_TRUE(args_of<result_args>({"result", "o-1", "--stale-ok"}).stale_ok);
  EXPECT_FALSE(args_of<show_args>({"show", "o-1"}).stale_ok);
  const char* both[] = {"pawl", "result", "o-1", "--stale-ok", "--wait"};
  EXPECT_FALSE(parse_command_line(5, both));
}

TEST(cli_parse, partitions_are_shown_or_mended) {
  using action = cluster_args::action;
  EXPECT_EQ(args_of<cluster_args>({"partitions"}).what, action::partitions);
  EXPECT_EQ(args_of<cluster_args>({"nodes"}).what, action::nodes);
  const auto a = args_of<cluster_args>({"partitions", "resync", "2", "5"});
  EXPECT_EQ(a.what, action::resync);
  EXPECT_EQ(a.from, 2);
  EXPECT_EQ(a.to, 5);
  const char* alone[] = {"pawl", "partitions", "resync", "2"};
  EXPECT_FALSE(parse_command_line(4, alone));
  const char* same[] = {"pawl", "partitions", "resync", "2", "2"};
  EXPECT_FALSE(parse_command_line(5, same));
}

TEST(cli_parse, start_needs_its_type_only) {
  const auto a = args_of<start_args>({"start", "hello"});
  EXPECT_FALSE(a.has_input);
  EXPECT_FALSE(a.wait);
  EXPECT_EQ(a.id, "");
  EXPECT_FALSE(a.delay.has_value());
}

TEST(cli_parse, input_is_taken_as_it_is) {
  for (const auto* text : {"-", "@file", "[1,2]", "[]", "-5", "\"x\"", "{}", "null", "a,b", " "})
    EXPECT_EQ(args_of<start_args>({"start", "t", "--input", text}).input, text);
  EXPECT_EQ(args_of<start_args>({"start", "t", "--input=-5"}).input, "-5");
  const auto empty = args_of<start_args>({"start", "t", "--input", ""});
  EXPECT_TRUE(empty.has_input);
  EXPECT_EQ(empty.input, "");
}

TEST(cli_parse, run_waits_and_has_no_flag_for_it) {
  const auto a = args_of<start_args>({"run", "hello", "--id", "h"});
  EXPECT_TRUE(a.in_process);
  EXPECT_TRUE(a.wait);
  EXPECT_THAT(refusal({"run", "hello", "--wait"}), HasSubstr("no flag '--wait'"));
}

TEST(cli_parse, globals_may_stand_before_and_after_the_command) {
  for (const auto& words : {std::vector<const char*>{"--data", "d", "-o", "json", "--set", "a.b=1", "--set", "c.d=2",
                                                     "--no-color", "--config", "f", "list"},
                            std::vector<const char*>{"list", "--data", "d", "-o", "json", "--set", "a.b=1", "--set",
                                                     "c.d=2", "--no-color", "--config", "f"}}) {
    const auto line = line_of(words);
    EXPECT_EQ(line.global.program, "shop");
    EXPECT_EQ(line.global.data_dir, "d");
    EXPECT_EQ(line.global.config_file, "f");
    EXPECT_EQ(line.global.output, output_format::json);
    EXPECT_TRUE(line.global.no_color);
    EXPECT_EQ(line.global.set, (std::vector<std::string>{"a.b=1", "c.d=2"}));
    EXPECT_TRUE(std::holds_alternative<list_args>(line.command));
  }
  const auto nested = line_of({"config", "show", "--data", "d", "-o", "wide"});
  EXPECT_EQ(nested.global.data_dir, "d");
  EXPECT_EQ(nested.global.output, output_format::wide);
}

TEST(cli_parse, readers) {
  const auto l = args_of<list_args>(
      {"list", "--type", "t", "--prefix", "o-", "--state", "paused", "--limit", "7", "--cursor", "c"});
  EXPECT_EQ(std::tie(l.type, l.prefix, l.state, l.limit, l.cursor), std::make_tuple("t", "o-", "paused", 7U, "c"));
  const auto h = args_of<history_args>({"history", "o-17", "--follow", "--run", "2", "--from", "5", "--limit", "9"});
  EXPECT_EQ(h.id, "o-17");
  EXPECT_TRUE(h.follow);
  EXPECT_EQ(std::make_tuple(h.run, h.from, h.limit), std::make_tuple(2U, 5U, 9U));
  EXPECT_TRUE(args_of<history_args>({"history", "-f", "o-17"}).follow);
  EXPECT_TRUE(args_of<result_args>({"result", "o-17", "--wait"}).wait);
  EXPECT_EQ(args_of<show_args>({"show", "o-17"}).run, 0U);
  EXPECT_EQ(args_of<types_args>({"types"}).type, "");
  EXPECT_EQ(args_of<types_args>({"types", "t"}).type, "t");
  EXPECT_EQ(args_of<types_args>({"types", "list", "use"}).type, "use");
  EXPECT_EQ(args_of<types_args>({"types", "list"}).what, types_args::action::list);
}

TEST(cli_parse, a_version_for_new_runs) {
  const auto use = args_of<types_args>({"types", "use", "t", "3", "--force", "--command-id", "u-1"});
  EXPECT_EQ(use.what, types_args::action::use);
  EXPECT_EQ(std::tie(use.type, use.version, use.force, use.command_id), std::make_tuple("t", 3U, true, "u-1"));
  EXPECT_EQ(args_of<types_args>({"types", "use", "t", "latest"}).version, 0U);
  EXPECT_EQ(args_of<types_args>({"types", "use", "t", "--clear"}).version, 0U);
  EXPECT_THAT(refusal({"types", "use", "t"}), HasSubstr("which version is not said"));
  EXPECT_THAT(refusal({"types", "use", "t", "2", "--clear"}), HasSubstr("a version and --clear"));
  for (const char* wrong : {"0", "-1", "two", "2x", "99999999999"})
    EXPECT_THAT(refusal({"types", "use", "t", "--", wrong}), HasSubstr("is no version")) << wrong;
}

TEST(cli_parse, an_id_may_be_the_name_of_a_command_or_look_like_a_flag) {
  EXPECT_EQ(args_of<show_args>({"show", "list"}).id, "list");
  EXPECT_EQ(args_of<show_args>({"show", "--", "-x"}).id, "-x");
  EXPECT_EQ(args_of<start_args>({"start", "node", "--id=--wait"}).id, "--wait");
}

TEST(cli_parse, commands_to_workflows) {
  for (const auto* verb : {"cancel", "kill", "pause"}) {
    const auto a = args_of<command_args>({verb, "o-17", "--reason", "why not", "--command-id", "c"});
    EXPECT_EQ(std::tie(a.verb, a.id, a.reason, a.command_id), std::make_tuple(verb, "o-17", "why not", "c"));
  }
  EXPECT_EQ(args_of<command_args>({"resume", "o-17"}).verb, "resume");
  const auto skip = args_of<command_args>({"skip", "o-17", "--step", "charge", "--result", "{}", "--undo"});
  EXPECT_EQ(std::tie(skip.step, skip.result), std::make_tuple("charge", "{}"));
  EXPECT_TRUE(skip.has_result && skip.undo);
  EXPECT_FALSE(args_of<command_args>({"skip", "o-17", "--step", "charge"}).has_result);
  EXPECT_THAT(refusal({"skip", "o-17"}), HasSubstr("--step"));
  const auto signal = args_of<command_args>({"signal", "o-17", "approved", "--input", "true"});
  EXPECT_EQ(std::tie(signal.id, signal.signal, signal.result), std::make_tuple("o-17", "approved", "true"));
  EXPECT_TRUE(signal.has_result);
  EXPECT_THAT(refusal({"signal", "o-17"}), HasSubstr("NAME"));
}

TEST(cli_parse, what_code_answers) {
  const auto u =
      args_of<update_args>({"update", "o-17", "plan", "--input", "1", "--within", "5s", "--command-id", "c"});
  EXPECT_EQ(std::tie(u.id, u.name, u.input, u.command_id), std::make_tuple("o-17", "plan", "1", "c"));
  EXPECT_TRUE(u.has_input);
  EXPECT_EQ(u.within, std::chrono::seconds(5));
  EXPECT_FALSE(args_of<update_args>({"update", "o-17", "plan"}).within);
  EXPECT_EQ(args_of<update_args>({"update", "o-17", "plan", "--within", "0s"}).within, std::chrono::seconds(0));
  EXPECT_THAT(refusal({"update", "o-17", "plan", "--within", "long"}), HasSubstr("--within"));
  EXPECT_THAT(refusal({"update", "o-17"}), HasSubstr("NAME"));
  const auto fork =
      args_of<branch_args>({"fork", "o-17", "o-18", "--to", "12", "--run", "2", "--version", "3", "--drop-signals"});
  EXPECT_TRUE(fork.forks);
  EXPECT_EQ(fork.new_id, "o-18");
  EXPECT_EQ(fork.to, 12U);
  EXPECT_EQ(fork.run, 2U);
  EXPECT_EQ(fork.version, 3U);
  EXPECT_TRUE(fork.drop_signals);
  EXPECT_EQ(args_of<branch_args>({"reset", "o-17", "--to", "1", "--reason", "a bug"}).reason, "a bug");
  EXPECT_THAT(refusal({"reset", "o-17"}), HasSubstr("--to"));
  EXPECT_THAT(refusal({"reset", "o-17", "--to", "0"}), HasSubstr("from 1"));
  EXPECT_THAT(refusal({"fork", "o-17", "--to", "1"}), HasSubstr("NEWID"));
  const auto q = args_of<query_args>({"query", "o-17", "balance", "--input", "3"});
  EXPECT_EQ(std::tie(q.id, q.name, q.input), std::make_tuple("o-17", "balance", "3"));
  EXPECT_FALSE(args_of<query_args>({"query", "o-17", "balance"}).has_input);
  EXPECT_THAT(refusal({"query", "o-17"}), HasSubstr("NAME"));
}

TEST(cli_parse, config) {
  EXPECT_EQ(args_of<config_args>({"config", "show"}).what, config_args::action::show);
  EXPECT_TRUE(args_of<config_args>({"config", "show", "--running"}).of_node);
  EXPECT_EQ(args_of<config_args>({"config", "sample"}).what, config_args::action::sample);
}

TEST(cli_parse, a_node_that_is_asked_over_tcp) {
  const auto line = line_of({"list", "--node", "10.0.0.7:7300", "--token-file", "t"});
  EXPECT_EQ(line.global.node, "10.0.0.7:7300");
  EXPECT_EQ(line.global.token_file, "t");
  EXPECT_EQ(line_of({"list"}).global.node, std::nullopt);
  for (const auto* here : {"node", "verify", "version"})
    EXPECT_THAT(refusal({here, "--node", "10.0.0.7:7300"}), HasSubstr("--node is not for it"));
}

TEST(cli_parse, wrong_names_come_with_the_nearest_known_one) {
  EXPECT_THAT(refusal({"lst"}), AllOf(HasSubstr("no command 'lst'"), HasSubstr("Did you mean list?")));
  EXPECT_THAT(refusal({"start", "t", "--wiat"}),
              AllOf(HasSubstr("no flag '--wiat'"), HasSubstr("Did you mean --wait?")));
  EXPECT_THAT(refusal({"start", "t", "--inptu=1"}), AllOf(HasSubstr("'--inptu'"), HasSubstr("Did you mean --input?")));
  EXPECT_THAT(refusal({"list", "--dat", "x"}), HasSubstr("Did you mean --data?"));
  EXPECT_THAT(refusal({"config", "shw"}), HasSubstr("Did you mean show?"));
  EXPECT_THAT(refusal({"xyzzy"}), HasSubstr("`shop --help`"));
}

TEST(cli_parse, wrong_lines) {
  EXPECT_THAT(refusal({}), HasSubstr("a command is missing"));
  EXPECT_THAT(refusal({"config"}), HasSubstr("a command is missing"));
  EXPECT_THAT(refusal({"start"}), HasSubstr("type is required"));
  EXPECT_THAT(refusal({"show"}), HasSubstr("id is required"));
  EXPECT_THAT(refusal({"show", "a", "b"}), HasSubstr("'b' is one argument too many"));
  EXPECT_THAT(refusal({"list", "show"}), HasSubstr("'show' is one argument too many"));
  EXPECT_THAT(refusal({"list", "--limit", "abc"}), HasSubstr("--limit = abc"));
  EXPECT_THAT(refusal({"list", "--limit", "0"}), HasSubstr("1 to 1000"));
  EXPECT_THAT(refusal({"list", "--limit", "1001"}), HasSubstr("1 to 1000"));
  EXPECT_THAT(refusal({"dlq"}), HasSubstr("a command is missing"));
  EXPECT_THAT(refusal({"dlq", "list", "--limit", "0"}), HasSubstr("1 to 1000"));
  EXPECT_THAT(refusal({"dlq", "show"}), HasSubstr("offset is required"));
  EXPECT_THAT(refusal({"dlq", "show", "seven"}), HasSubstr("seven"));
  EXPECT_THAT(refusal({"dlq", "show", "7", "8"}), HasSubstr("At Most 1"));
  EXPECT_THAT(args_of<dlq_args>({"dlq", "show", "7"}).offsets, ElementsAre(7));
  EXPECT_THAT(args_of<dlq_args>({"dlq", "replay", "7", "9"}).offsets, ElementsAre(7, 9));
  EXPECT_TRUE(args_of<dlq_args>({"dlq", "replay", "--all"}).all);
  EXPECT_EQ(args_of<dlq_args>({"dlq", "drop", "--upto", "12"}).upto, 12);
  EXPECT_THAT(refusal({"dlq", "replay"}), HasSubstr("which of them"));
  EXPECT_THAT(refusal({"dlq", "replay", "1", "--all"}), HasSubstr("both there"));
  EXPECT_THAT(refusal({"dlq", "drop"}), HasSubstr("--upto OFFSET"));
  EXPECT_THAT(refusal({"dlq", "drop", "3", "--upto", "4"}), HasSubstr("both there"));
  EXPECT_THAT(refusal({"dlq", "drop", "--upto", "-4"}), HasSubstr("--upto"));
  EXPECT_THAT(refusal({"journal"}), HasSubstr("a command is missing"));
  EXPECT_THAT(refusal({"journal", "dump", "--from", "-1"}), HasSubstr("below 0"));
  EXPECT_EQ(args_of<journal_args>({"journal", "dump", "--partition", "3", "--from", "9", "--limit", "2"}).from, 9);
  EXPECT_EQ(args_of<journal_args>({"journal", "check", "--partition", "3"}).partition, 3);
  EXPECT_THAT(refusal({"-o", "yaml", "list"}), AllOf(HasSubstr("'yaml'"), HasSubstr("table, json or wide")));
  EXPECT_THAT(refusal({"start", "t", "--delay", "5"}), AllOf(HasSubstr("--delay"), HasSubstr("500ms")));
  EXPECT_THAT(refusal({"start", "t", "--delay", "99999999999999999d"}), HasSubstr("too long"));
  EXPECT_THAT(refusal({"start", "t", "--deadline", "soon"}), HasSubstr("--deadline"));
  EXPECT_THAT(refusal({"start", "t", "--closed-id", "sometimes"}), HasSubstr("allow_if_failed"));
  EXPECT_THAT(refusal({"start", "t", "--id", ""}), HasSubstr("--id is empty"));
  EXPECT_THAT(refusal({"--data"}), HasSubstr("--data"));
}

TEST(cli_parse, hostile_words_are_shown_escaped_and_cut) {
  const auto text = refusal({"\x1b[2J\n\xff"});
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_THAT(text, HasSubstr("\\x1b[2J\\x0a\\xff"));
  const std::string longest(100'000, 'x');
  EXPECT_LT(refusal({longest.c_str()}).size(), 400U);
  EXPECT_LT(refusal({"list", "--limit", longest.c_str()}).size(), 600U);
}

TEST(cli_parse, help_of_everything_names_the_exit_codes) {
  for (const auto& words : {std::vector<const char*>{"--help"},
                            {"-h"},
                            {"start", "--help"},
                            {"config", "show", "--help"},
                            {"config", "-h"}}) {
    const auto parsed = parse(words);
    ASSERT_TRUE(parsed);
    ASSERT_TRUE(std::holds_alternative<help_text>(parsed.value()));
    EXPECT_THAT(std::get<help_text>(parsed.value()).text, AllOf(HasSubstr("Usage: shop"), HasSubstr("5 unavailable")));
  }
}

TEST(cli_parse, an_error_of_several_lines_names_the_program_on_each) {
  const cli_error e{exit_code::usage, "a:1: one.\na:2: two", "Mend it", {}};
  EXPECT_EQ(e.text("shop"), "shop: a:1: one.\nshop: a:2: two. Mend it.\n");
}

}  // namespace
}  // namespace pawl::node
