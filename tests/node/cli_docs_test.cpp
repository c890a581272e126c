// docs/cli.md has every command and every flag that the parser has.
#include "node/cli_options.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>

namespace pawl::node {
namespace {

std::string help_of(std::vector<const char*> words) {
  words.insert(words.begin(), "pawl");
  words.push_back("--help");
  const auto parsed = parse_command_line(static_cast<int>(words.size()), words.data());
  return parsed ? std::get<help_text>(parsed.value()).text : std::string();
}

std::set<std::string> matches(const std::string& text, const char* pattern) {
  const std::regex form(pattern);
  std::set<std::string> out;
  for (std::sregex_iterator it(text.begin(), text.end(), form), end; it != end; ++it) out.insert((*it)[1]);
  return out;
}

TEST(cli_docs, name_every_command_and_every_flag) {
  const auto* source = std::getenv("PAWL_SOURCE");  // ctest sets it
  std::ifstream in(std::string(source != nullptr ? source : ".") + "/docs/cli.md");
  const std::string docs{std::istreambuf_iterator<char>(in), {}};
  ASSERT_GT(docs.size(), 1'000U);
  const auto commands = matches(help_of({}), R"(\n  ([a-z]+) {2,}[A-Z])");
  ASSERT_GE(commands.size(), 18U);
  std::size_t flags = 0;
  for (const auto& command : commands) {
    EXPECT_NE(docs.find("pawl " + command), std::string::npos) << command;
    for (const auto& flag : matches(help_of({command.c_str()}), R"(\n  (?:-[a-z],)?(--[a-z-]+))")) {
      EXPECT_NE(docs.find(flag), std::string::npos) << command << " " << flag;
      ++flags;
    }
  }
  for (const auto& flag : matches(help_of({}), R"((--[a-z-]+))")) EXPECT_NE(docs.find(flag), std::string::npos) << flag;
  EXPECT_GE(flags, 30U);
}

}  // namespace
}  // namespace pawl::node
