#include "actors/child_process.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "tests/actors_threads/waiting.hpp"

namespace pawl::actors {
namespace {

using testing::eventually;
using testing::patience;

// What one child said and how it ended.
class witness {
 public:
  child_spec spec(std::vector<std::string> program_and_args) {
    child_spec s;
    s.args = {"test", "child"};
    s.args.insert(s.args.end(), program_and_args.begin(), program_and_args.end());
    s.on_frame = [this](child_process&, std::string frame) {
      std::lock_guard lock(mutex_);
      EXPECT_FALSE(end_) << "a frame after the end";
      frames_.push_back(std::move(frame));
      changed_.notify_all();
    };
    s.on_exit = [this](child_process&, const child_exit& exit) {
      std::lock_guard lock(mutex_);
      EXPECT_FALSE(end_) << "ended twice";
      end_ = exit;
      changed_.notify_all();
    };
    return s;
  }
  std::optional<std::string> next_frame() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, patience, [&] { return !frames_.empty() || end_; });
    if (frames_.empty()) return std::nullopt;
    auto frame = std::move(frames_.front());
    frames_.pop_front();
    return frame;
  }
  std::optional<child_exit> end() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, patience, [&] { return end_.has_value(); });
    return end_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> frames_;
  std::optional<child_exit> end_;
};

std::shared_ptr<child_process> started(child_group& group, child_spec spec) {
  auto s = group.start(std::move(spec));
  EXPECT_TRUE(s.child) << s.what << ": " << s.error.message();
  return s.child;
}

TEST(child_process, frames_go_both_ways_and_exit_0_is_seen) {
  witness w;
  child_group group;
  auto child = started(group, w.spec({"echo"}));
  EXPECT_EQ(child->send("one"), send_result::sent);
  EXPECT_EQ(child->send(""), send_result::sent);
  EXPECT_EQ(child->send(std::string("b\0c", 3)), send_result::sent);
  EXPECT_EQ(child->send("exit"), send_result::sent);
  EXPECT_EQ(w.next_frame(), "one");
  EXPECT_EQ(w.next_frame(), "");
  EXPECT_EQ(w.next_frame(), std::string("b\0c", 3));
  EXPECT_EQ(w.next_frame(), "exit");
  const auto end = w.end();
  ASSERT_TRUE(end);
  EXPECT_TRUE(end->clean());
  EXPECT_FALSE(end->by_us);
  EXPECT_EQ(end->describe(), "exit code 0");
  EXPECT_EQ(child->send("late"), send_result::gone);
  child->kill();  // of a child that has ended: nothing happens
  EXPECT_EQ(group.running(), 0U);
}

TEST(child_process, exit_codes_are_seen) {
  witness w;
  child_group group;
  started(group, w.spec({"exits", "42"}));
  const auto end = w.end();
  ASSERT_TRUE(end);
  EXPECT_EQ(end->code, 42);
  EXPECT_EQ(end->signal, 0);
  EXPECT_FALSE(end->clean());
}

TEST(child_process, abort_is_a_death_of_its_own_and_its_last_words_arrive) {
  witness w;
  child_group group;
  auto child = started(group, w.spec({"aborts"}));
  EXPECT_EQ(w.next_frame(), "last words");
  const auto end = w.end();
  ASSERT_TRUE(end);
  EXPECT_EQ(end->signal, SIGABRT);
  EXPECT_FALSE(end->by_us);
  EXPECT_EQ(end->describe().substr(0, 18), "signal 6 (Aborted)");
}

TEST(child_process, our_kill_is_marked_and_a_foreign_one_is_not) {
  witness ours;
  witness foreign;
  child_group group;
  auto a = started(group, ours.spec({"hangs"}));
  auto b = started(group, foreign.spec({"hangs"}));
  EXPECT_EQ(ours.next_frame(), "hanging");
  EXPECT_EQ(foreign.next_frame(), "hanging");
  a->kill();
  ASSERT_EQ(::kill(b->pid(), SIGKILL), 0);
  ASSERT_TRUE(ours.end() && foreign.end());
  EXPECT_EQ(ours.end()->signal, SIGKILL);
  EXPECT_TRUE(ours.end()->by_us);
  EXPECT_EQ(foreign.end()->signal, SIGKILL);
  EXPECT_FALSE(foreign.end()->by_us);
}

TEST(child_process, a_large_frame_makes_the_round_trip_and_a_larger_one_is_refused) {
  witness w;
  child_group group;
  auto child = started(group, w.spec({"echo"}));
  std::string large(max_frame, 'x');
  for (std::size_t i = 0; i < large.size(); i += 4097) large[i] = static_cast<char>(i);
  EXPECT_EQ(child->send(large), send_result::sent);
  EXPECT_EQ(child->send(large + "x"), send_result::too_large);
  const auto back = w.next_frame();
  ASSERT_TRUE(back);
  EXPECT_TRUE(*back == large);
  EXPECT_EQ(child->send("exit"), send_result::sent);
  EXPECT_EQ(w.next_frame(), "exit");
  ASSERT_TRUE(w.end());
  EXPECT_TRUE(w.end()->clean());
}

TEST(child_process, a_child_that_does_not_read_blocks_nobody) {
  witness w;
  child_group group;
  auto child = started(group, w.spec({"hangs"}));
  const std::string part(max_frame / 4, 'x');
  int sent = 0;
  while (sent < 100 && child->send(part) == send_result::sent) ++sent;
  EXPECT_GE(sent, 4);
  EXPECT_LE(sent, 10);
  EXPECT_EQ(child->send(part), send_result::backlog);
  child->kill();
  ASSERT_TRUE(w.end());
  EXPECT_EQ(child->send(part), send_result::gone);
}

TEST(child_process, a_frame_over_the_limit_ends_the_child) {
  witness w;
  child_group group;
  started(group, w.spec({"babbles"}));
  ASSERT_TRUE(w.end());
  EXPECT_TRUE(w.end()->bad_frame);
  EXPECT_FALSE(w.end()->by_us);
}

TEST(child_process, a_child_inherits_nothing_that_it_should_not) {
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t term;
  sigset_t before;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &term, &before);
  const int leaks = ::open("/dev/null", O_RDONLY);  // without CLOEXEC, as users' code opens files
  const int leaks_high = ::fcntl(leaks, F_DUPFD, 500);
  witness w;
  child_group group;
  auto spec = w.spec({"describes", "an argument"});
  spec.environment = {{"PAWL_TEST_ADDED", "a=b"}};
  started(group, std::move(spec));
  EXPECT_EQ(w.next_frame(),
            "arg=an argument\nadded=a=b\npath=kept\nstdin=/dev/null\nfds=\nblocked=no\nignored=no\ndeath=9\n");
  ASSERT_TRUE(w.end());
  EXPECT_TRUE(w.end()->clean());
  ::close(leaks);
  ::close(leaks_high);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
}

TEST(child_process, a_grandchild_dies_with_its_parent) {
  witness w;
  child_group group;
  auto child = started(group, w.spec({"breeds"}));
  const auto told = w.next_frame();
  ASSERT_TRUE(told);
  const pid_t grandchild = std::stoi(*told);
  const int process = static_cast<int>(::syscall(SYS_pidfd_open, grandchild, 0));
  ASSERT_GE(process, 0) << "it must live before its parent dies";
  EXPECT_EQ(::syscall(SYS_pidfd_send_signal, process, 0, nullptr, 0), 0);
  child->kill();
  ASSERT_TRUE(w.end());
  // It is nobody's child here: reaped by init, or left a zombie where there is none. Either way it is dead.
  const std::string path = "/proc/" + std::to_string(grandchild) + "/stat";
  EXPECT_TRUE(eventually([&] {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return true;
    char text[256] = {};
    const ssize_t n = ::read(fd, text, sizeof text - 1);
    ::close(fd);
    const std::string line(text, n > 0 ? static_cast<std::size_t>(n) : 0);
    return line.empty() || line.find(") Z ") != std::string::npos || line.find(") X ") != std::string::npos;
  }));
  ::close(process);
}

TEST(child_process, a_program_that_cannot_run_is_an_error) {
  child_group group;
  auto s = group.start({.args = {"x"}, .program = "/nonexistent/program"});
  EXPECT_FALSE(s.child);
  EXPECT_EQ(s.what, "exec");
  EXPECT_EQ(s.error.value(), ENOENT);
  EXPECT_EQ(group.running(), 0U);
}

// A pool's threads come and go; the kernel must not take their end for the parent's.
TEST(child_process, a_child_survives_the_thread_that_asked_for_it) {
  witness w;
  child_group group;
  std::shared_ptr<child_process> child;
  std::thread([&] { child = started(group, w.spec({"echo"})); }).join();
  EXPECT_EQ(child->send("still here"), send_result::sent);
  EXPECT_EQ(w.next_frame(), "still here");
}

TEST(child_process, callbacks_may_start_the_next_child) {
  witness second;
  child_group group;
  child_spec first;
  first.args = {"test", "child", "exits", "1"};
  first.on_exit = [&](child_process&, const child_exit&) { started(group, second.spec({"exits", "2"})); };
  started(group, std::move(first));
  ASSERT_TRUE(second.end());
  EXPECT_EQ(second.end()->code, 2);
}

TEST(child_process, fifty_children_at_once) {
  constexpr std::size_t count = 50;
  std::vector<witness> witnesses(count);
  child_group group;
  std::vector<std::shared_ptr<child_process>> children(count);
  std::vector<std::thread> starters;
  for (std::size_t t = 0; t < 5; ++t) {
    starters.emplace_back([&, t] {
      for (std::size_t i = t; i < count; i += 5) children[i] = started(group, witnesses[i].spec({"echo"}));
    });
  }
  for (auto& s : starters) s.join();
  EXPECT_EQ(group.running(), count);
  for (int round = 0; round < 20; ++round) {
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_EQ(children[i]->send(std::to_string(i) + "/" + std::to_string(round)), send_result::sent);
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    for (int round = 0; round < 20; ++round) {
      ASSERT_EQ(witnesses[i].next_frame(), std::to_string(i) + "/" + std::to_string(round));
    }
    i % 2 == 0 ? children[i]->kill() : static_cast<void>(children[i]->send("exit"));
  }
  for (std::size_t i = 0; i < count; ++i) {
    const auto end = witnesses[i].end();
    ASSERT_TRUE(end);
    EXPECT_EQ(end->by_us, i % 2 == 0);
    EXPECT_EQ(end->clean(), i % 2 == 1);
  }
}

TEST(child_process, stop_kills_all_and_starts_no_more) {
  witness a;
  witness b;
  child_group group;
  auto child = started(group, a.spec({"hangs"}));
  started(group, b.spec({"hangs"}));
  EXPECT_EQ(group.stop(), 0U);
  ASSERT_TRUE(a.end() && b.end());
  EXPECT_TRUE(a.end()->by_us && b.end()->by_us);
  EXPECT_FALSE(group.start(a.spec({"hangs"})).child);
  EXPECT_EQ(child->send("x"), send_result::gone);
}

}  // namespace
}  // namespace pawl::actors
