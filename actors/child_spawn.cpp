#include "actors/child_spawn.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <utility>

#if defined(__clang__)
#define PAWL_NO_SANITIZE __attribute__((no_sanitize("address", "thread", "undefined")))
#else
#define PAWL_NO_SANITIZE __attribute__((no_sanitize_address, no_sanitize_thread, no_sanitize_undefined))
#endif

namespace pawl::actors {

namespace {

// Descriptors that the child needs until exec are moved up here, out of the way of 0 to 3.
constexpr int first_spare_fd = 10;

/// All that the child needs, made before vfork: it shares the parent's memory, and locks held by other threads.
struct child_plan {
  const char* program;
  char* const* args;
  char* const* environment;
  int frames;
  int dev_null;
  int failure;  // a pipe to the parent that exec closes
  int open_max;
  pid_t parent;
};

// Runs between vfork and exec: system calls only, nothing that allocates, locks, or writes to memory shared with
// others.
[[noreturn]] PAWL_NO_SANITIZE __attribute__((noinline)) void become_child(const child_plan& plan) {
  const char zeros[64] = {};  // a kernel sigaction of SIG_DFL, an empty signal set
  ::syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (::syscall(SYS_getppid) != plan.parent) ::syscall(SYS_exit_group, 1);  // it died before we asked to die with it
  for (int signal = 1; signal <= 64; ++signal) ::syscall(SYS_rt_sigaction, signal, zeros, nullptr, 8);
  ::syscall(SYS_setsid);  // a Ctrl-C in our terminal is the parent's business
  bool ok = ::syscall(SYS_dup3, plan.dev_null, 0, 0) == 0 &&
            ::syscall(SYS_dup3, plan.frames, child_frame_fd, 0) == child_frame_fd;
  if (ok && ::syscall(SYS_close_range, child_frame_fd + 1, ~0U, CLOSE_RANGE_CLOEXEC) != 0) {  // before Linux 5.11
    for (int fd = child_frame_fd + 1; fd < plan.open_max; ++fd) ::syscall(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC);
  }
  if (ok) {
    ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, zeros, nullptr, 8);
    ::syscall(SYS_execve, plan.program, plan.args, plan.environment);
  }
  const int error = errno;
  ::syscall(SYS_write, plan.failure, &error, sizeof error);
  ::syscall(SYS_exit_group, 127);
  __builtin_unreachable();
}

// Signals stay blocked while child and parent share memory: no handler of the parent's may run in the child.
__attribute__((noinline)) pid_t vfork_child(const child_plan& plan) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid =
      ::vfork();  // NOLINT(clang-analyzer-security.insecureAPI.vfork): fork copies the page tables of a node
  if (pid == 0) become_child(plan);
  const int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return pid;
}

unique_fd moved_up(unique_fd fd) { return unique_fd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, first_spare_fd)); }

int open_max() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > 65'536) return 65'536;
  return static_cast<int>(limit.rlim_cur);
}

std::vector<std::string> merged(const std::vector<std::pair<std::string, std::string>>& added) {
  std::vector<std::string> all;
  for (char** variable = environ; *variable; ++variable) {
    const std::string_view text(*variable);
    const std::string_view name = text.substr(0, text.find('='));
    if (std::none_of(added.begin(), added.end(), [&](const auto& a) { return a.first == name; }))
      all.emplace_back(text);
  }
  for (const auto& [name, value] : added) all.push_back(name + "=" + value);
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (auto& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

spawned_child failed(const char* what, int error) {
  spawned_child none;
  none.error = std::error_code(error, std::generic_category());
  none.what = what;
  return none;
}

}  // namespace

spawned_child spawn_child(const std::string& program, const std::vector<std::string>& args,
                          const std::vector<std::pair<std::string, std::string>>& environment) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return failed("socketpair", errno);
  unique_fd ours(ends[0]);
  const unique_fd theirs = moved_up(unique_fd(ends[1]));
  if (::pipe2(ends, O_CLOEXEC) != 0) return failed("pipe2", errno);
  unique_fd failure(ends[0]);
  unique_fd failure_out = moved_up(unique_fd(ends[1]));
  const unique_fd dev_null = moved_up(unique_fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
  if (!theirs || !failure_out || !dev_null) return failed("fcntl", errno);

  auto arg_texts = args;
  auto env_texts = merged(environment);
  const auto arg_pointers = pointers(arg_texts);
  const auto env_pointers = pointers(env_texts);
  const child_plan plan{program.c_str(), arg_pointers.data(), env_pointers.data(), theirs.get(),
                        dev_null.get(),  failure_out.get(),   open_max(),          ::getpid()};
  const pid_t pid = vfork_child(plan);
  if (pid < 0) return failed("vfork", errno);
  failure_out.reset();

  int error = 0;
  const ssize_t n = ::read(failure.get(), &error, sizeof error);  // exec closes the other end
  unique_fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const int pidfd_error = errno;
  if (n == 0 && process) return {pid, std::move(ours), std::move(process), {}, {}};
  ::kill(pid, SIGKILL);  // nobody but us can have reaped it
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return n > 0 ? failed("exec", error) : failed("pidfd_open", pidfd_error);
}

// --- in the child ------------------------------------------------------------------------------------------

bool enter_child() {
  ucred maker{};
  socklen_t size = sizeof maker;
  if (::getsockopt(child_frame_fd, SOL_SOCKET, SO_PEERCRED, &maker, &size) != 0) return false;
  // Exec has dropped this for a binary with capabilities of its own.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != maker.pid) ::_exit(1);
  ::fcntl(child_frame_fd, F_SETFD, FD_CLOEXEC);
  return true;
}

namespace {

// How many bytes came before the end; -1: an error.
ssize_t read_whole(int fd, char* to, std::size_t size) {
  std::size_t have = 0;
  while (have < size) {
    const ssize_t n = ::read(fd, to + have, size - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    if (n == 0) break;
    have += static_cast<std::size_t>(n);
  }
  return static_cast<ssize_t>(have);
}

bool write_whole(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

}  // namespace

frame_result read_frame(int fd, std::string& frame) {
  std::array<char, frame_head_size> head{};
  errno = 0;
  const ssize_t n = read_whole(fd, head.data(), head.size());
  if (n == 0) return frame_result::end;
  if (n != frame_head_size) return frame_result::broken;
  const std::size_t size = frame_size(head);
  if (size > max_frame) {
    errno = EMSGSIZE;
    return frame_result::broken;
  }
  frame.resize(size);
  return read_whole(fd, frame.data(), size) == static_cast<ssize_t>(size) ? frame_result::frame : frame_result::broken;
}

bool write_frame(int fd, std::string_view frame) {
  if (frame.size() > max_frame) {
    errno = EMSGSIZE;
    return false;
  }
  const auto head = frame_head(frame.size());
  return write_whole(fd, {head.data(), head.size()}) && write_whole(fd, frame);
}

}  // namespace pawl::actors
