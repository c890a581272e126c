// A whole node in the process of the test.
#include "node/node_process.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <pawl/pawl.hpp>

#include "node/cli_target.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace pawl::node {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

class process : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "pawl-process-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    configuration_.values.data.dir = (folder_ / "data").string();
    pawl::workflow<int> g("double");
    g.returns(g.step("double", [](step_context&, const int& n) { return 2 * n; }, g.input()));
    types_.add(g);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  cli_result<std::unique_ptr<node_process>> start() {
    return node_process::start({types_, configuration_, {}, "test", {}});
  }
  std::unique_ptr<node_process> started() {
    auto node = start();
    if (!node) throw std::runtime_error(node.error().what);
    return std::move(node).value();
  }
  cli_result<std::unique_ptr<cli_target>> target(bool needs_node) {
    return cli_target::open(types_, {}, configuration_, needs_node);
  }
  static question double_it(const std::string& id, int n) {
    question q{.method = "POST", .path = {"workflows"}, .query = {{"wait_ms", "20000"}}, .workflow_id = id};
    q.body = {{"type", "double"}, {"id", id}, {"input", n}};
    q.command_id = "start-" + id;
    return q;
  }

  std::filesystem::path folder_;
  config::loaded configuration_;
  registry types_;
};

TEST_F(process, answers_on_its_socket_and_after_its_end_the_data_answers_the_same) {
  auto node = started();
  EXPECT_EQ(node->broken(), "");
  struct stat found{};
  ASSERT_EQ(::stat(node->socket().c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777U, 0600U);
  const auto remote = target(true);
  ASSERT_TRUE(remote);
  EXPECT_TRUE(remote.value()->has_node());
  const auto answer = remote.value()->ask(double_it("w-1", 21));
  ASSERT_TRUE(answer) << answer.error().what;
  EXPECT_EQ(answer.value().body["result"], 42);
  const question show{.path = {"workflows", "w-1"}, .workflow_id = "w-1"};
  const auto before = remote.value()->ask(show).value().body;

  const auto stopped = node->stop(1s);
  EXPECT_EQ(stopped.interrupted + stopped.hung, 0U);
  node.reset();
  const auto local = target(false);
  ASSERT_TRUE(local);
  EXPECT_FALSE(local.value()->has_node());
  EXPECT_EQ(local.value()->ask(show).value().body, before);
  const auto refused = local.value()->ask(double_it("w-2", 1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, exit_code::unavailable);
}

TEST_F(process, over_its_own_door) {
  auto node = started();
  const auto inside = cli_target::over(node->door(), {}, configuration_);
  EXPECT_EQ(inside->ask(double_it("w-1", 4)).value().body["result"], 8);
  std::vector<std::string> lines;
  const question history{.path = {"workflows", "w-1", "history"}, .query = {{"follow", "true"}}, .workflow_id = "w-1"};
  ASSERT_TRUE(inside->follow(history, [&](std::string_view line) {
    lines.emplace_back(line);
    return true;
  }));
  EXPECT_EQ(lines.size(), 4U);
  ASSERT_TRUE(inside->follow(history, [&](std::string_view) { return false; }));  // gone after the first
  const auto unknown = inside->ask({.path = {"workflows", "nobody"}, .workflow_id = "nobody"});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, exit_code::not_found);
}

TEST_F(process, a_command_sent_again_is_done_once) {
  auto node = started();
  const auto inside = cli_target::over(node->door(), {}, configuration_);
  EXPECT_EQ(inside->ask(double_it("w-1", 4)).value().body["outcome"], "applied");
  EXPECT_EQ(inside->ask(double_it("w-1", 4)).value().body["outcome"], "duplicate");
  EXPECT_EQ(inside->ask({.path = {"workflows"}}).value().body["workflows"].size(), 1U);
}

TEST_F(process, the_directory_has_one_node) {
  auto first = started();
  const auto second = start();
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, exit_code::conflict);
  EXPECT_THAT(second.error().what,
              AllOf(HasSubstr("pid " + std::to_string(::getpid())), HasSubstr(configuration_.values.data.dir)));
  first.reset();
  EXPECT_TRUE(start());
}

TEST_F(process, a_directory_that_cannot_be_made_is_named) {
  configuration_.values.data.dir = "/proc/pawl/data";
  const auto node = start();
  ASSERT_FALSE(node);
  EXPECT_EQ(node.error().code, exit_code::failed);
  EXPECT_THAT(node.error().what, HasSubstr("/proc/pawl"));
}

TEST_F(process, without_a_node_it_is_said_how_to_start_one) {
  const auto wanted = target(true);
  ASSERT_FALSE(wanted);
  EXPECT_EQ(wanted.error().code, exit_code::unavailable);
  EXPECT_THAT(wanted.error().mend, HasSubstr("`pawl node --data " + configuration_.values.data.dir + "`"));
  global_args global;
  global.program = "shop";
  global.config_file = "it's.toml";
  global.set = {"pool.threads=8"};
  EXPECT_EQ(how_to_start(global, {}), "shop node --config 'it'\\''s.toml' --set pool.threads=8");
  global.config_file.reset();
  global.set = {"http.token=hunter2hunter2hunter2"};
  EXPECT_EQ(how_to_start(global, {}), "shop node --set 'http.token=***'");
}

TEST(refusals, become_exit_codes) {
  const auto code_of = [](int status) {
    return to_cli_error({.status = status, .body = R"({"detail": "no", "mend": "do"})"}, "w-1").code;
  };
  EXPECT_EQ(code_of(400), exit_code::usage);
  EXPECT_EQ(code_of(413), exit_code::usage);
  EXPECT_EQ(code_of(422), exit_code::usage);
  EXPECT_EQ(code_of(404), exit_code::not_found);
  EXPECT_EQ(code_of(409), exit_code::conflict);
  EXPECT_EQ(code_of(429), exit_code::unavailable);
  EXPECT_EQ(code_of(503), exit_code::unavailable);
  EXPECT_EQ(code_of(500), exit_code::failed);
  const auto e =
      to_cli_error({.status = 409, .body = R"({"detail": "it is closed", "mend": "choose another"})"}, "w-1");
  EXPECT_EQ(e.text("shop"), "shop: workflow 'w-1': it is closed. Choose another.\n");
  EXPECT_THAT(to_cli_error({.status = 500, .body = "<html>"}, "w-1").what, HasSubstr("500"));
  EXPECT_EQ(to_cli_error({.status = 409, .body = R"({"detail": "a\u001b[2J\nb"})"}, "").what, "a\\x1b[2J\\x0ab");
}

}  // namespace
}  // namespace pawl::node
