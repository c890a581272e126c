#include "tests/actors_threads/child_programs.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <string>

#include "actors/child_process.hpp"

namespace pawl::actors::testing {

namespace {

int echo(int, char**) {
  std::string frame;
  for (;;) {
    const auto r = read_frame(child_frame_fd, frame);
    if (r == frame_result::end) return 0;
    if (r == frame_result::broken || !write_frame(child_frame_fd, frame)) return 9;
    if (frame == "exit") return 0;
  }
}

int aborts(int, char**) {
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  write_frame(child_frame_fd, "last words");
  ::signal(SIGABRT, SIG_DFL);  // the sanitizers' own ways of dying are not what is tested
  std::abort();
}

int hangs(int, char**) {
  write_frame(child_frame_fd, "hanging");
  for (;;) ::pause();
}

int exits(int, char** argv) { return std::atoi(argv[0]); }

// Sends a length over the limit, then goes on living.
int babbles(int, char**) {
  const char head[4] = {0, 0, 0, 0x7f};
  if (::write(child_frame_fd, head, sizeof head) != sizeof head) return 9;
  for (;;) ::pause();
}

// "name=value" of everything that a child is born with.
int describes(int, char** argv) {
  std::string text;
  text += "arg=" + std::string(argv[0]) + "\n";
  text += "added=" + std::string(std::getenv("PAWL_TEST_ADDED")) + "\n";
  text += "path=" + std::string(std::getenv("PATH") ? "kept" : "lost") + "\n";
  char target[64] = {};
  if (::readlink("/proc/self/fd/0", target, sizeof target - 1) > 0) text += "stdin=" + std::string(target) + "\n";
  std::string fds;
  if (DIR* dir = ::opendir("/proc/self/fd")) {
    const int own = ::dirfd(dir);
    for (const dirent* entry = ::readdir(dir); entry; entry = ::readdir(dir)) {
      const int fd = std::atoi(entry->d_name);
      if (entry->d_name[0] != '.' && fd > child_frame_fd && fd != own) fds += std::string(entry->d_name) + " ";
    }
    ::closedir(dir);
  }
  text += "fds=" + fds + "\n";
  sigset_t mask;
  ::sigprocmask(SIG_BLOCK, nullptr, &mask);
  struct sigaction pipe{};
  ::sigaction(SIGPIPE, nullptr, &pipe);
  text += std::string("blocked=") + (::sigismember(&mask, SIGTERM) != 0 ? "yes" : "no") + "\n";
  text += std::string("ignored=") + (pipe.sa_handler == SIG_IGN ? "yes" : "no") + "\n";
  int death = 0;
  ::prctl(PR_GET_PDEATHSIG, &death);
  text += "death=" + std::to_string(death) + "\n";
  return write_frame(child_frame_fd, text) ? 0 : 9;
}

// Starts a child of its own that hangs, tells its pid, and hangs too.
int breeds(int, char**) {
  child_group group;
  const auto started = group.start({.args = {"grandchild", "child", "hangs"}});
  if (!started.child) return 9;
  write_frame(child_frame_fd, std::to_string(started.child->pid()));
  for (;;) ::pause();
}

}  // namespace

int run_child_program(std::string_view program, int argc, char** argv) {
  const std::map<std::string_view, int (*)(int, char**)> programs = {
      {"echo", echo},       {"aborts", aborts},       {"hangs", hangs},   {"exits", exits},
      {"babbles", babbles}, {"describes", describes}, {"breeds", breeds},
  };
  if (!enter_child()) return 8;
  const auto found = programs.find(program);
  return found == programs.end() ? 7 : found->second(argc, argv);
}

}  // namespace pawl::actors::testing
