#include "node/cli_input.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace pawl::node {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::size_t limit = 1000;

std::string refusal(const std::string& argument) {
  const auto read = read_json_argument("--input", argument, limit);
  if (read) return "accepted";
  EXPECT_EQ(read.error().code, exit_code::usage);
  return read.error().text("shop");
}

class input_file : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "pawl-input-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string file(const std::string& text) {
    std::ofstream(folder_ / "in.json") << text;
    return "@" + (folder_ / "in.json").string();
  }
  std::filesystem::path folder_;
};

TEST(cli_input, json_on_the_command_line) {
  EXPECT_EQ(read_json_argument("--input", R"({"id":"o-17","n":[1,2.5,null]})", limit).value().dump(),
            R"({"id":"o-17","n":[1,2.5,null]})");
  EXPECT_EQ(read_json_argument("--input", "-5", limit).value(), -5);
}

TEST(cli_input, what_is_no_json_is_told_with_its_place) {
  EXPECT_THAT(refusal(R"({"a": 1,})"), AllOf(HasSubstr("--input"), HasSubstr("column")));
  EXPECT_THAT(refusal(""), HasSubstr("--input is not JSON"));
  EXPECT_THAT(refusal("hello"), HasSubstr("quoted as well"));
  EXPECT_THAT(refusal(R"({"a":1,"a":2})"), HasSubstr("--input"));
  EXPECT_THAT(refusal(std::string(500, '[')), HasSubstr("--input"));
}

TEST(cli_input, too_much_on_the_command_line) {
  EXPECT_THAT(refusal("\"" + std::string(limit * 5, 'x') + "\""),
              AllOf(HasSubstr("longer than"), HasSubstr("limits.payload")));
}

TEST_F(input_file, is_read) {
  EXPECT_EQ(read_json_argument("--input", file("\n {\"a\":1}\n"), limit).value().dump(), R"({"a":1})");
}

TEST_F(input_file, errors_name_the_file) {
  EXPECT_THAT(refusal(file("{\n  \"a\": nope\n}")), AllOf(HasSubstr("in.json"), HasSubstr("line 2")));
  EXPECT_THAT(refusal("@" + (folder_ / "missing").string()), AllOf(HasSubstr("missing"), HasSubstr("No such file")));
  EXPECT_THAT(refusal("@" + folder_.string()), HasSubstr("Is a directory"));
  EXPECT_THAT(refusal("@"), HasSubstr("No such file"));
}

TEST_F(input_file, a_file_without_end_is_given_up_early) {
  EXPECT_THAT(refusal("@/dev/zero"), HasSubstr("longer than"));
}

TEST_F(input_file, standard_input) {
  const int before = ::dup(STDIN_FILENO);
  const auto name = file("[1]").substr(1);
  ASSERT_NE(std::freopen(name.c_str(), "r", stdin), nullptr);
  EXPECT_EQ(read_json_argument("--input", "-", limit).value().dump(), "[1]");
  EXPECT_THAT(refusal("-"), HasSubstr("standard input (--input -)"));  // it is at its end now
  ::dup2(before, STDIN_FILENO);
  ::close(before);
}

}  // namespace
}  // namespace pawl::node
