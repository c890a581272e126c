#include "node/logging.hpp"

#include "node/json_codec.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace pawl::node {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

class logging : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "pawl-log-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    settings_.file = (folder_ / "node.log").string();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  node_log open() {
    auto opened = node_log::open(settings_, "n1");
    if (!opened) {
      ADD_FAILURE() << opened.error().what;
      return {};
    }
    return std::move(opened).value();
  }
  std::vector<std::string> lines() const {
    std::vector<std::string> out;
    std::ifstream in(folder_ / "node.log");
    for (std::string line; std::getline(in, line);) out.push_back(line);
    return out;
  }
  std::filesystem::path folder_;
  config::log_settings settings_;
};

TEST_F(logging, text_is_key_equals_value) {
  open().write(log_level::info, "node is up", {{"pid", "17"}, {"data", "a b"}, {"empty", ""}, {"quote", "say \"x\""}});
  const auto all = lines();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_THAT(
      all[0],
      MatchesRegex(R"(....-..-..T..:..:..\....Z info    node is up pid=17 data="a b" empty="" quote="say \\"x\\"")"));
}

TEST_F(logging, json_is_one_object_a_line) {
  settings_.format = config::log_format::json;
  const auto l = open();
  l.write(log_level::warn, "two\nlines", {{"a", "\x1b\xff"}, {"time", "x"}});
  l.write_text(log_level::error, "journal failed error=\"disk full\" generation=2");
  const auto all = lines();
  ASSERT_EQ(all.size(), 2U);
  const auto first = json::parse(all[0]);
  EXPECT_EQ(first["level"], "warning");
  EXPECT_EQ(first["node"], "n1");
  EXPECT_EQ(first["event"], "two\nlines");
  EXPECT_EQ(first["time_"], "x");
  const auto second = json::parse(all[1]);
  EXPECT_EQ(second["event"], "journal failed");
  EXPECT_EQ(second["error"], "disk full");
  EXPECT_EQ(second["generation"], "2");
}

TEST_F(logging, no_text_makes_two_lines) {
  open().write_text(log_level::info, "workflow=a\nb\r\x1b[2J hello\nworld");
  ASSERT_EQ(lines().size(), 1U);
  EXPECT_EQ(lines()[0].find('\x1b'), std::string::npos);
}

TEST_F(logging, levels) {
  settings_.level = config::log_level::warn;
  const auto l = open();
  l.write(log_level::info, "quiet");
  l.write(log_level::error, "loud");
  ASSERT_EQ(lines().size(), 1U);
  EXPECT_THAT(lines()[0], HasSubstr("loud"));
}

TEST_F(logging, a_file_that_cannot_be_opened_is_named) {
  settings_.file = folder_.string();
  const auto opened = node_log::open(settings_, "n1");
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().what, HasSubstr("log.file"));
  EXPECT_THAT(opened.error().what, HasSubstr(folder_.string()));
}

TEST(log_text, is_taken_apart) {
  using fields = std::vector<log_field>;
  EXPECT_EQ(split_log_text("journal is open again generation=2"),
            std::make_pair(std::string("journal is open again"), fields{{"generation", "2"}}));
  EXPECT_EQ(
      split_log_text("workflow=o-1 run=1 step=charge said x=1 and more"),
      std::make_pair(std::string("said x=1 and more"), fields{{"workflow", "o-1"}, {"run", "1"}, {"step", "charge"}}));
  EXPECT_EQ(split_log_text("died reason=\"a \\\"b\\\" c\" x=y"),
            std::make_pair(std::string("died"), fields{{"reason", "a \"b\" c"}, {"x", "y"}}));
  EXPECT_EQ(split_log_text("a=\"open"), std::make_pair(std::string(), fields{{"a", "open"}}));
  EXPECT_EQ(split_log_text(""), std::make_pair(std::string(), fields{}));
  EXPECT_EQ(split_log_text("=x y="), std::make_pair(std::string("=x"), fields{{"y", ""}}));
}

}  // namespace
}  // namespace pawl::node
