// The completion scripts, run by a real bash.
#include "node/cli_options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace pawl::node {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

class completion : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "pawl-completion-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    const auto script = completion_script("bash", "shop");
    ASSERT_TRUE(script);
    std::ofstream(folder_ / "script") << script.value();
    // Stands in for the binary: says what it was asked.
    std::ofstream(folder_ / "shop") << "#!/bin/sh\necho \"$*\" >> " << (folder_ / "asked").string()
                                    << "\necho name-1; echo name-2\n";
    std::filesystem::permissions(folder_ / "shop", std::filesystem::perms::owner_all);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  /// What is offered for the last of the words; the others stand before it.
  std::vector<std::string> offered(const std::string& words, int last) {
    std::ofstream(folder_ / "test") << "source " << (folder_ / "script").string() << "\ncd " << folder_.string()
                                    << "\nCOMP_WORDS=(./shop " << words << ")\nCOMP_CWORD=" << last
                                    << "\n_complete_shop\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n";
    std::vector<std::string> out;
    auto* pipe = ::popen(("bash " + (folder_ / "test").string() + " 2>&1").c_str(), "r");
    if (pipe == nullptr) return {"no bash"};
    std::string text;
    for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) {
      if (c != '\n')
        text += static_cast<char>(c);
      else if (!text.empty())
        out.push_back(std::exchange(text, {}));
    }
    ::pclose(pipe);
    return out;
  }
  std::string asked() const {
    std::ifstream in(folder_ / "asked");
    return {std::istreambuf_iterator<char>(in), {}};
  }

  std::filesystem::path folder_;
};

TEST_F(completion, commands) {
  EXPECT_THAT(offered("''", 1),
              IsSupersetOf({"node",   "run",   "start",  "list",   "show",    "history",    "result", "cancel",
                            "kill",   "pause", "resume", "skip",   "signal",  "update",     "query",  "replay",
                            "status", "types", "verify", "config", "version", "completion", "reset",  "fork"}));
  EXPECT_THAT(offered("''", 1), Not(Contains("__names")));
  EXPECT_THAT(offered("re", 1), UnorderedElementsAre("replay", "reset", "result", "resume"));
  EXPECT_THAT(offered("config s", 2), UnorderedElementsAre("show", "sample"));
}

TEST_F(completion, flags) {
  EXPECT_THAT(offered("start --cl", 2), UnorderedElementsAre("--closed-id"));
  EXPECT_THAT(offered("--data x list --", 4), IsSupersetOf({"--type", "--prefix", "--state", "--output", "--config"}));
  EXPECT_THAT(offered("list -o ''", 3), UnorderedElementsAre("table", "json", "wide"));
  EXPECT_THAT(offered("node --set log.l", 3), UnorderedElementsAre("log.level="));
  EXPECT_THAT(offered("start t --closed-id r", 4), UnorderedElementsAre("reject"));
}

TEST_F(completion, names_are_asked_from_the_binary_on_the_same_data) {
  EXPECT_THAT(offered("--data /x start ''", 4), UnorderedElementsAre("name-1", "name-2"));
  EXPECT_EQ(asked(), "--data /x __names types\n");
  EXPECT_THAT(offered("show name-1", 2), UnorderedElementsAre("name-1"));
  EXPECT_THAT(asked(), ::testing::EndsWith("__names ids\n"));
  EXPECT_THAT(offered("version ''", 2), IsEmpty());
}

TEST_F(completion, shells) {
  EXPECT_THAT(completion_script("zsh", "shop").value(), ::testing::StartsWith("#compdef shop\n"));
  const auto wrong = completion_script("fish", "shop");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, exit_code::usage);
}

}  // namespace
}  // namespace pawl::node
