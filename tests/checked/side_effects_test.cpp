// A checked build sees what code does on its own: each function that it watches is called by code, and the run is
// paused with the place. Steps, other threads and what is said to be right may do all of it.
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <semaphore.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <syslog.h>
#include <unistd.h>

#include <gmock/gmock.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <random>
#include <string>
#include <thread>

#include <pawl/testing.hpp>

#include "tests/code/code_rig.hpp"

namespace pawl::engine {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct mischief {
  std::string name;
  std::string said;  // of it in the reason
  void (*act)();
};
void PrintTo(const mischief& m, std::ostream* out) { *out << m.name; }

void stay_here() {}

std::vector<mischief> all_mischief() {
  return {
      {"system_clock", "reads a clock (clock_gettime)", [] { (void)std::chrono::system_clock::now(); }},
      {"steady_clock", "reads a clock (clock_gettime)", [] { (void)std::chrono::steady_clock::now(); }},
      {"time", "reads a clock (time)", [] { (void)std::time(nullptr); }},
      {"clock", "reads a clock (clock)", [] { (void)std::clock(); }},
      {"gettimeofday", "reads a clock (gettimeofday)",
       [] {
         timeval t{};
         gettimeofday(&t, nullptr);
       }},
      {"timespec_get", "reads a clock (timespec_get)",
       [] {
         timespec t{};
         (void)timespec_get(&t, TIME_UTC);
       }},
      {"localtime", "reads the time zone of the node (localtime)",
       [] {
         time_t t = 0;
         (void)std::localtime(&t);
       }},
      {"mktime", "reads the time zone of the node (mktime)",
       [] {
         tm t{};
         t.tm_mday = 1;
         (void)std::mktime(&t);
       }},
      {"sleep_for", "blocks its thread (nanosleep)", [] { std::this_thread::sleep_for(std::chrono::microseconds(1)); }},
      {"sleep", "blocks its thread (sleep)", [] { ::sleep(0); }},
      {"usleep", "blocks its thread (usleep)", [] { ::usleep(1); }},
      {"poll", "blocks its thread (poll)", [] { ::poll(nullptr, 0, 0); }},
      {"select", "blocks its thread (select)",
       [] {
         timeval t{};
         ::select(0, nullptr, nullptr, nullptr, &t);
       }},
      {"sem_wait", "blocks its thread (sem_wait)",
       [] {
         sem_t s{};
         sem_init(&s, 0, 1);
         sem_wait(&s);
         sem_destroy(&s);
       }},
      {"rand", "draws random numbers (rand)", [] { (void)std::rand(); }},
      {"random", "draws random numbers (random)", [] { (void)::random(); }},
      {"drand48", "draws random numbers (drand48)", [] { (void)::drand48(); }},
      {"arc4random", "draws random numbers (arc4random)", [] { (void)::arc4random(); }},
      {"getrandom", "draws random numbers (getrandom)",
       [] {
         char c = 0;
         (void)!::getrandom(&c, 1, 0);
       }},
      {"getentropy", "draws random numbers (getentropy)",
       [] {
         char c = 0;
         (void)!::getentropy(&c, 1);
       }},
      {"random_device", "draws random numbers (std::random_device)",
       [] {
         static std::random_device d;
         (void)d();
       }},
      {"getenv", "reads what this process and machine are like (getenv)", [] { (void)std::getenv("HOME"); }},
      {"gethostname", "reads what this process and machine are like (gethostname)",
       [] {
         char n[256];
         (void)gethostname(n, sizeof n);
       }},
      {"getpid", "reads what this process and machine are like (getpid)", [] { (void)::getpid(); }},
      {"thread", "starts a thread or process (pthread_create)", [] { std::thread(stay_here).join(); }},
      {"system", "starts a thread or process (system)", [] { (void)!std::system("true"); }},
      {"popen", "starts a thread or process (popen)", [] { pclose(popen("true", "r")); }},
      {"ifstream", "reaches for files (fopen", [] { std::ifstream f("/dev/null"); }},
      {"fopen", "reaches for files (fopen", [] { std::fclose(std::fopen("/dev/null", "r")); }},
      {"open", "reaches for files (open", [] { ::close(::open("/dev/null", O_RDONLY)); }},
      {"openat", "reaches for files (openat", [] { ::close(::openat(AT_FDCWD, "/dev/null", O_RDONLY)); }},
      {"exists", "reaches for files (stat", [] { (void)std::filesystem::exists("/dev/null"); }},
      {"access", "reaches for files (access)", [] { (void)!::access("/dev/null", R_OK); }},
      {"remove", "reaches for files (",
       [] {
         std::error_code e;
         std::filesystem::remove("/no/such/file", e);
       }},
      {"rename", "reaches for files (rename)", [] { (void)!std::rename("/no/such/file", "/no/such/file/either"); }},
      {"read", "reaches for files (read)", [] { (void)!::read(-1, nullptr, 0); }},
      {"socket", "reaches for the network (socket)", [] { ::close(::socket(AF_INET, SOCK_STREAM, 0)); }},
      {"connect", "reaches for the network (connect)", [] { ::connect(-1, nullptr, 0); }},
      {"send", "reaches for the network (send)", [] { (void)!::send(-1, "", 0, 0); }},
      {"recv", "reaches for the network (recv)",
       [] {
         char c = 0;
         (void)!::recv(-1, &c, 1, 0);
       }},
      {"getaddrinfo", "reaches for the network (getaddrinfo)",
       [] {
         addrinfo* a = nullptr;
         if (getaddrinfo("127.0.0.1", nullptr, nullptr, &a) == 0) freeaddrinfo(a);
       }},
      {"cout", "writes output (", [] { std::cout << "code writes here\n"
                                                 << std::flush; }},
      {"printf", "writes output (", [] { std::printf("code writes %d\n", 1); }},
      {"fprintf", "writes output (", [] { std::fprintf(stdout, "code writes %d\n", 2); }},
      {"puts", "writes output (puts)", [] { std::puts("code writes here"); }},
      {"write", "writes output (write)", [] { (void)!::write(-1, "", 0); }},
  };
}

void (*act)() = nullptr;
int two(step_context&) { return 2; }

task<int> misbehaves(workflow_context& wf) {
  co_await wf.sleep(1h);
  act();
  co_return co_await wf.step("two", two);
}
task<int> behaves(workflow_context& wf) {
  co_await wf.sleep(1h);
  co_return co_await wf.step("two", two);
}

class side_effects : public ::testing::TestWithParam<mischief> {};

TEST_P(side_effects, pause_the_run_and_say_what_and_where) {
  act = GetParam().act;
  code_rig r(misbehaves);
  r.begin();
  r.news();
  r.pass(1h);
  EXPECT_EQ(r.news(), "timer_fired, run_paused(code_side_effect)");
  ASSERT_TRUE(r.last().error);
  EXPECT_EQ(r.last().error->code, "code_side_effect");
  const auto& why = r.last().error->message;
  EXPECT_THAT(why, HasSubstr("given event 3 (timer_fired), the code " + GetParam().said));
  EXPECT_THAT(why, HasSubstr("side_effects_test.cpp:"));
}

INSTANTIATE_TEST_SUITE_P(each, side_effects, ::testing::ValuesIn(all_mischief()),
                         [](const auto& info) { return info.param.name; });

// ---- what may do it

TEST(checked_build, resumes_by_itself_once_the_code_does_it_no_more) {
  act = [] { (void)std::getenv("HOME"); };
  code_rig r(misbehaves);
  r.begin();
  r.pass(1h);
  r.news();
  const auto refused = r.ask(resume_command{});
  EXPECT_EQ(refused.result, command_result::conflict);
  EXPECT_THAT(refused.message, HasSubstr("reads what this process and machine are like (getenv)"));
  r.reload(code_of(behaves));
  r.wake();
  EXPECT_EQ(r.news(), "run_resumed(definition_found), attempt_started two");
  r.perform(0);
  EXPECT_EQ(r.result<int>(), 2);
}

TEST(checked_build, a_run_that_went_on_without_it_is_stopped_at_the_replay) {
  act = stay_here;
  code_rig r(misbehaves);
  r.begin();
  r.pass(1h);
  r.news();
  act = [] { (void)std::time(nullptr); };
  r.reload(r.definition);
  r.wake();
  EXPECT_EQ(r.news(), "run_paused(code_side_effect)");
  EXPECT_THAT(r.last().error->message, HasSubstr("given event 3 (timer_fired), the code reads a clock (time)"));
}

int reaches_outside(step_context&) {
  for (const auto& one : all_mischief()) one.act();
  return static_cast<int>(std::chrono::system_clock::now().time_since_epoch().count() != 0);
}
void undo_outside(step_context& c, const std::optional<int>&) { reaches_outside(c); }
task<int> leaves_it_to_a_step(workflow_context& wf) {
  const auto n = co_await wf.step("outside", reaches_outside).undo(undo_outside);
  co_await wf.step("fails", +[](step_context&) -> void { throw permanent_error("no"); });
  co_return n;
}

TEST(checked_build, steps_and_undos_may_do_all_of_it) {
  code_rig r(leaves_it_to_a_step);
  r.begin();
  r.perform_all();
  EXPECT_EQ(r.state->phase, phase::failed);
  for (const auto& e : r.history) EXPECT_NE(e.kind, event_kind::run_paused) << (e.error ? e.error->message : "");
}

int clock_and_all() {
  return pawl::unchecked([] {
    for (const auto& one : all_mischief()) one.act();
    return 7;
  });
}
task<int> says_it_is_right(workflow_context& wf) {
  const int n = clock_and_all();
  co_await wf.sleep(1h);
  co_return n;
}
task<int> is_right_once(workflow_context& wf) {
  const int n = clock_and_all();
  (void)std::time(nullptr);
  co_await wf.sleep(1h);
  co_return n;
}
task<int> throws_in_it(workflow_context& wf) {
  try {
    pawl::unchecked([] { throw std::runtime_error("no such zone"); });
  } catch (const std::runtime_error&) {
  }
  (void)std::time(nullptr);
  co_await wf.sleep(1h);
  co_return 0;
}

TEST(checked_build, lets_pass_what_is_said_to_be_the_same_everywhere) {
  code_rig r(says_it_is_right);
  r.begin();
  r.pass(1h);
  EXPECT_EQ(r.result<int>(), 7);
}

TEST(checked_build, and_only_that) {
  for (const auto code : {is_right_once, throws_in_it}) {
    code_rig r(code);
    r.begin();
    EXPECT_EQ(r.news(), "run_started, run_paused(code_side_effect)");
    EXPECT_THAT(r.last().error->message, HasSubstr("reads a clock (time)"));
  }
}

task<int> has_a_query(workflow_context& wf) {
  const auto left =
      wf.on_query("clock", [] { return std::chrono::system_clock::now().time_since_epoch().count() > 0; });
  co_await wf.sleep(1h);
  co_return 1;
}

TEST(checked_build, queries_may_look_at_the_clock) {
  code_rig r(has_a_query);
  r.begin();
  EXPECT_TRUE(decode<bool>(r.query("clock").value));
  r.pass(1h);
  EXPECT_EQ(r.result<int>(), 1);
}

TEST(checked_build, other_threads_may_do_all_of_it_meanwhile) {
  std::atomic<bool> over = false;
  std::atomic<int> looks = 0;
  std::thread other([&] {
    while (!over) looks += std::chrono::steady_clock::now().time_since_epoch().count() != 0;
  });
  while (looks == 0) std::this_thread::yield();
  for (int n = 0; n < 100; ++n) {
    code_rig r(behaves);
    r.begin();
    r.pass(1h);
    r.perform(0);
    ASSERT_EQ(r.result<int>(), 2);
  }
  over = true;
  other.join();
}

class leaves_late {
 public:
  ~leaves_late() { (void)std::getenv("HOME"); }
};
task<int> ends_badly(workflow_context& wf) {
  const leaves_late l;
  co_await wf.sleep(1h);
  co_return 1;
}

TEST(checked_build, what_destructors_do_counts) {
  code_rig r(ends_badly);
  r.begin();
  EXPECT_EQ(r.news(), "run_started, timer_started sleep");
  r.pass(1h);
  EXPECT_EQ(r.news(), "timer_fired, run_paused(code_side_effect)");
}

// ---- what is told

pawl::task<int> helper_of_code(workflow_context& wf) {
  co_await wf.sleep(1min);
  co_return std::rand();
}
task<int> asks_a_helper(workflow_context& wf) { co_return co_await helper_of_code(wf); }

TEST(checked_build, names_the_function_and_what_to_write_instead) {
  code_rig r(asks_a_helper);
  r.begin();
  r.pass(1min);
  ASSERT_EQ(r.last().kind, event_kind::run_paused);
  const auto& why = r.last().error->message;
  EXPECT_THAT(why, HasSubstr("draws random numbers (rand) in "));
  EXPECT_THAT(why, HasSubstr("helper_of_code"));
  EXPECT_THAT(why, HasSubstr("use wf.random() or wf.new_id()"));
  EXPECT_THAT(why, HasSubstr("pawl::unchecked"));
}

TEST(checked_build, a_test_of_a_workflow_is_told) {
  registry types;
  types.add("code", {.version = 1}, asks_a_helper);
  pawl::testing::environment env(types);
  auto run = env.start("code");
  try {
    run.run_to_end();
    FAIL() << "the mistake has not been seen";
  } catch (const pawl::testing::mismatch& e) {
    EXPECT_THAT(e.what(), HasSubstr("draws random numbers (rand) in "));
  }
}

}  // namespace
}  // namespace pawl::engine
