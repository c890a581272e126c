#include "actors/child_process.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "actors/child_spawn.hpp"

namespace pawl::actors {

namespace {

// Bytes taken from one child before the others get their turn; and from one that has ended, whose socket cannot hold
// more (but a process that it left behind might go on writing).
constexpr std::size_t read_share = std::size_t{1} << 20;
constexpr std::size_t last_share = std::size_t{64} << 20;

void signal_event(int fd) {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(fd, &one, sizeof one);  // fails only when it is signalled already
}

}  // namespace

std::string child_exit::describe() const {
  if (signal == 0) return "exit code " + std::to_string(code);
  const char* name = ::sigdescr_np(signal);
  return "signal " + std::to_string(signal) + " (" + (name ? name : "unknown") + ")" +
         (bad_frame ? ", after a frame over the limit"
          : by_us   ? ", by us"
                    : "") +
         (core_dumped ? ", core dumped" : "");
}

// --- one child ---------------------------------------------------------------------------------------------

// The parent's side of one child. The mutex guards what several threads use; the rest is the group's thread's alone.
struct child_process::side {
  std::mutex mutex;
  unique_fd socket;  // empty: closed by either side
  unique_fd process;
  std::string unsent;
  std::size_t unsent_from = 0;
  bool kill_sent = false;
  int epoll = -1;

  std::uint64_t number = 0;
  frame_reader in;
  bool bad_frame = false;
  child_spec spec;

  // Under the mutex. False: the child's side is closed.
  bool flush(std::string_view& bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n >= 0) {
        bytes.remove_prefix(static_cast<std::size_t>(n));
      } else if (errno != EINTR) {
        return errno == EAGAIN || errno == EWOULDBLOCK;
      }
    }
    return true;
  }
  void watch(bool writable) const {
    epoll_event event{};
    event.events = EPOLLIN | (writable ? EPOLLOUT : 0U);
    event.data.u64 = number;
    ::epoll_ctl(epoll, EPOLL_CTL_MOD, socket.get(), &event);
  }
};

child_process::child_process(pid_t pid, std::unique_ptr<side> s) : pid_(pid), side_(std::move(s)) {}
child_process::~child_process() = default;

send_result child_process::send(std::string_view frame) {
  if (frame.size() > max_frame) return send_result::too_large;
  side& s = *side_;
  std::lock_guard lock(s.mutex);
  if (!s.socket) return send_result::gone;
  const std::size_t waiting = s.unsent.size() - s.unsent_from;
  if (waiting >= max_frame) return send_result::backlog;
  const auto head = frame_head(frame.size());
  std::string_view head_left(head.data(), head.size());
  std::string_view body_left = frame;
  if (waiting == 0) {
    if (!s.flush(head_left)) return send_result::gone;
    if (head_left.empty() && !s.flush(body_left)) return send_result::gone;
    if (body_left.empty() && head_left.empty()) return send_result::sent;
    s.watch(true);
  }
  s.unsent.append(head_left).append(body_left);
  return send_result::sent;
}

void child_process::kill() {
  std::lock_guard lock(side_->mutex);
  if (!side_->process) return;
  side_->kill_sent = true;
  ::syscall(SYS_pidfd_send_signal, side_->process.get(), SIGKILL, nullptr, 0);
}

// --- the group ---------------------------------------------------------------------------------------------

class child_group_core {
 public:
  child_group_core();
  ~child_group_core() { stop(std::chrono::seconds(5)); }

  child_start start(child_spec spec);
  std::size_t running() const { return running_; }
  std::size_t stop(std::chrono::milliseconds patience);

 private:
  using child_ptr = std::shared_ptr<child_process>;
  struct request {
    child_spec spec;
    child_start answer{};
    bool done = false;
  };

  void run();
  void serve_requests();
  child_start start_here(child_spec spec);
  bool watch(child_process::side& s);
  void on_event(const epoll_event& event);
  void read_from(child_process& child, std::size_t share);
  void write_to(child_process& child);
  void close_socket(child_process& child);
  void reap(const child_ptr& child);
  int wait_limit() const;

  unique_fd epoll_;
  unique_fd wake_;
  std::unordered_map<std::uint64_t, child_ptr> children_;  // the thread's alone
  std::uint64_t last_number_ = 0;
  std::atomic<std::size_t> running_{0};

  mutable std::mutex mutex_;
  std::condition_variable answered_;
  std::deque<request*> requests_;
  bool stopping_ = false;
  std::chrono::steady_clock::time_point give_up_at_{};
  std::thread thread_;
  std::thread::id thread_id_;
};

// Events carry 2 * number of the child, + 1 for its process; 0 and 1 are the wake-up's.
child_group_core::child_group_core()
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!epoll_ || !wake_) throw std::system_error(errno, std::generic_category(), "child_group");
  epoll_event event{};
  event.events = EPOLLIN;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event);
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // the process's signals are for the threads that await them
  thread_ = std::thread([this] { run(); });
  thread_id_ = thread_.get_id();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

child_start child_group_core::start(child_spec spec) {
  if (std::this_thread::get_id() == thread_id_) return start_here(std::move(spec));
  request r{.spec = std::move(spec)};
  std::unique_lock lock(mutex_);
  if (stopping_) return {nullptr, std::make_error_code(std::errc::operation_canceled), "the group has stopped"};
  requests_.push_back(&r);
  signal_event(wake_.get());
  answered_.wait(lock, [&] { return r.done; });
  return std::move(r.answer);
}

std::size_t child_group_core::stop(std::chrono::milliseconds patience) {
  {
    std::lock_guard lock(mutex_);
    if (!stopping_) give_up_at_ = std::chrono::steady_clock::now() + patience;
    stopping_ = true;
  }
  assert(std::this_thread::get_id() != thread_id_);
  signal_event(wake_.get());
  if (thread_.joinable()) thread_.join();
  return running_;
}

void child_group_core::run() {
  pthread_setname_np(pthread_self(), "pawl-child");
  std::array<epoll_event, 64> events{};
  bool killed = false;
  for (;;) {
    const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), wait_limit());
    for (int i = 0; i < count; ++i) on_event(events[static_cast<std::size_t>(i)]);
    serve_requests();
    std::lock_guard lock(mutex_);
    if (!stopping_ || !requests_.empty()) continue;
    if (!killed) {
      for (auto& [number, child] : children_) child->kill();
    }
    killed = true;
    if (!children_.empty() && std::chrono::steady_clock::now() < give_up_at_) continue;
    for (auto& [number, child] : children_) close_socket(*child);  // handles may outlive us
    return;
  }
}

// Milliseconds for epoll_wait.
int child_group_core::wait_limit() const {
  std::lock_guard lock(mutex_);
  if (!stopping_) return -1;
  const auto left = give_up_at_ - std::chrono::steady_clock::now();
  return static_cast<int>(
      std::clamp<std::int64_t>(std::chrono::ceil<std::chrono::milliseconds>(left).count(), 0, 60'000));
}

void child_group_core::serve_requests() {
  std::unique_lock lock(mutex_);
  while (!requests_.empty()) {
    request* const r = requests_.front();
    requests_.pop_front();
    lock.unlock();
    child_start answer = start_here(std::move(r->spec));
    lock.lock();
    r->answer = std::move(answer);
    r->done = true;
    answered_.notify_all();  // under the lock: the request dies as soon as its owner sees it done
  }
}

// On the group's thread: the kernel kills the child when the *thread* that started it ends.
child_start child_group_core::start_here(child_spec spec) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return {nullptr, std::make_error_code(std::errc::operation_canceled), "the group has stopped"};
  }
  spawned_child spawned = spawn_child(spec.program, spec.args, spec.environment);
  if (spawned.error) return {nullptr, spawned.error, spawned.what};
  auto s = std::make_unique<child_process::side>();
  s->socket = std::move(spawned.socket);
  s->process = std::move(spawned.process);
  s->epoll = epoll_.get();
  s->number = 2 * ++last_number_;
  s->spec = std::move(spec);
  child_ptr child(new child_process(spawned.pid, std::move(s)));
  if (!watch(*child->side_)) {
    const std::error_code error(errno, std::generic_category());
    child->kill();
    ::waitpid(spawned.pid, nullptr, 0);
    return {nullptr, error, "epoll_ctl"};
  }
  children_.emplace(child->side_->number, child);
  ++running_;
  return {std::move(child)};
}

bool child_group_core::watch(child_process::side& s) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = s.number;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, s.socket.get(), &event) != 0) return false;
  event.data.u64 = s.number + 1;
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, s.process.get(), &event) == 0;
}

void child_group_core::on_event(const epoll_event& event) {
  if (event.data.u64 < 2) {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t n = ::read(wake_.get(), &count, sizeof count);
    return;
  }
  const auto found = children_.find(event.data.u64 & ~std::uint64_t{1});
  if (found == children_.end()) return;  // reaped earlier in the same batch of events
  const child_ptr child = found->second;
  if ((event.data.u64 & 1U) != 0) {
    reap(child);
    return;
  }
  if ((event.events & EPOLLOUT) != 0) write_to(*child);
  if ((event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read_from(*child, read_share);
}

// Only this thread closes the socket, so it may be read without the lock.
void child_group_core::read_from(child_process& child, std::size_t share) {
  child_process::side& s = *child.side_;
  std::array<char, 65536> buffer;
  std::size_t taken = 0;
  while (s.socket && taken < share) {
    const ssize_t n = ::recv(s.socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (n <= 0) {
      close_socket(child);
      return;
    }
    taken += static_cast<std::size_t>(n);
    const bool good = s.in.feed({buffer.data(), static_cast<std::size_t>(n)}, [&](std::string frame) {
      if (s.spec.on_frame) s.spec.on_frame(child, std::move(frame));
    });
    if (good) continue;
    s.bad_frame = true;
    close_socket(child);
    ::syscall(SYS_pidfd_send_signal, s.process.get(), SIGKILL, nullptr, 0);
  }
}

void child_group_core::write_to(child_process& child) {
  child_process::side& s = *child.side_;
  std::lock_guard lock(s.mutex);
  if (!s.socket) return;
  std::string_view left = std::string_view(s.unsent).substr(s.unsent_from);
  const bool open = s.flush(left);
  s.unsent_from = s.unsent.size() - left.size();
  if (open && !left.empty()) return;
  s.unsent = {};
  s.unsent_from = 0;
  s.watch(false);  // a closed socket is seen and closed by read_from
}

void child_group_core::close_socket(child_process& child) {
  std::lock_guard lock(child.side_->mutex);
  if (child.side_->socket) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, child.side_->socket.get(), nullptr);
  child.side_->socket.reset();
  child.side_->unsent = {};
  child.side_->unsent_from = 0;
}

void child_group_core::reap(const child_ptr& child) {
  child_process::side& s = *child->side_;
  read_from(*child, last_share);  // what it sent before it died
  close_socket(*child);
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(child->pid()), &info, WEXITED) != 0 && errno == EINTR) {
  }
  child_exit exit;
  if (info.si_code == CLD_EXITED) {
    exit.code = info.si_status;
  } else {
    exit.signal = info.si_status;
    exit.core_dumped = info.si_code == CLD_DUMPED;
  }
  {
    std::lock_guard lock(s.mutex);
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, s.process.get(), nullptr);
    s.process.reset();
    exit.bad_frame = s.bad_frame && exit.signal == SIGKILL;
    exit.by_us = s.kill_sent && exit.signal == SIGKILL && !exit.bad_frame;
  }
  children_.erase(s.number);
  --running_;
  const child_spec spec = std::move(s.spec);  // callbacks hold their owner no longer than needed
  if (spec.on_exit) spec.on_exit(*child, exit);
}

// --- the handle --------------------------------------------------------------------------------------------

child_group::child_group() : core_(std::make_unique<child_group_core>()) {}
child_group::~child_group() = default;
child_start child_group::start(child_spec spec) { return core_->start(std::move(spec)); }
std::size_t child_group::running() const { return core_->running(); }
std::size_t child_group::stop(std::chrono::milliseconds patience) { return core_->stop(patience); }

}  // namespace pawl::actors
