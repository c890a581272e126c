#include "store/data_directory.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <utility>

#include "store/errors.hpp"

namespace pawl::store {

namespace {

std::string why() { return std::strerror(errno); }

class file {
 public:
  file(const std::string& path, int flags) : descriptor_(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
  ~file() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  file(const file&) = delete;
  file& operator=(const file&) = delete;
  explicit operator bool() const { return descriptor_ >= 0; }
  int get() const { return descriptor_; }
  int release() { return std::exchange(descriptor_, -1); }

 private:
  int descriptor_;
};

std::string read_start(int descriptor) {
  std::array<char, 64> buffer{};
  const auto n = ::pread(descriptor, buffer.data(), buffer.size(), 0);
  return n > 0 ? std::string(buffer.data(), static_cast<std::size_t>(n)) : std::string();
}

pid_t pid_in(int descriptor) {
  const auto text = read_start(descriptor);
  pid_t pid = 0;
  std::from_chars(text.data(), text.data() + text.size(), pid);
  return pid;
}

void make(const std::string& path) {
  std::error_code wrong;
  const std::filesystem::path p(path);
  if (p.has_parent_path()) std::filesystem::create_directories(p.parent_path(), wrong);
  if (wrong)
    throw store_error("cannot make the data directory " + path + ": its parent " + p.parent_path().string() + ": " +
                      wrong.message() + "; make it, or choose another with data.dir");
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
    throw store_error("cannot make the data directory " + path + ": " + why() + "; choose another with data.dir");
}

void check(const std::string& path) {
  struct stat s{};
  if (::stat(path.c_str(), &s) != 0) throw store_error("cannot use the data directory " + path + ": " + why());
  if (!S_ISDIR(s.st_mode))
    throw store_error("the data directory " + path +
                      " is not a directory; move the file away, or choose another with data.dir");
  if (::access(path.c_str(), R_OK | W_OK | X_OK) != 0)
    throw store_error("the data directory " + path + " is not writable: " + why() +
                      "; give it to the user that the node runs as, or choose another with data.dir");
}

int lock(const std::string& directory) {
  const auto path = directory + "/pawl.lock";
  file f(path, O_RDWR | O_CREAT);
  if (!f)
    throw store_error("cannot open " + path + ": " + why() + "; the node must be able to write to its data directory");
  // Somebody who only asks who holds it (holder()) has it for an instant: it is tried again for a while.
  int tries = 20;
  while (::flock(f.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK && --tries > 0) {
      ::usleep(5'000);
      continue;
    }
    if (errno != EWOULDBLOCK) throw store_error("cannot lock " + path + ": " + why());
    const auto pid = pid_in(f.get());
    throw store_error("the data directory " + directory + " is in use by another node" +
                      (pid > 0 ? ", pid " + std::to_string(pid) : std::string()) +
                      "; stop that one, or choose another directory with data.dir");
  }
  const auto text = std::to_string(::getpid()) + "\n";
  // What the file says is for people; a full disk may keep it from saying it.
  if (::ftruncate(f.get(), 0) == 0 && ::pwrite(f.get(), text.data(), text.size(), 0) < 0) errno = 0;
  return f.release();
}

std::string draw_id() {
  std::uint64_t bits = 0;
  if (::getrandom(&bits, sizeof bits, 0) != sizeof bits) throw store_error("cannot draw random numbers: " + why());
  std::string out(16, '0');
  for (auto& c : out) {
    c = "0123456789abcdef"[bits & 15U];
    bits >>= 4;
  }
  return out;
}

bool is_id(const std::string& text) {
  if (text.size() != 16) return false;
  for (const char c : text)
    if (!std::isxdigit(static_cast<unsigned char>(c))) return false;
  return true;
}

// Written beside and renamed, so that a crash leaves a whole file or none.
void write_whole(const std::string& directory, const std::string& path, const std::string& text) {
  const auto temporary = path + ".new";
  file f(temporary, O_WRONLY | O_CREAT | O_TRUNC);
  const bool written = f && ::write(f.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                       ::fsync(f.get()) == 0 && ::rename(temporary.c_str(), path.c_str()) == 0;
  if (!written) throw store_error("cannot write " + path + ": " + why());
  const file d(directory, O_RDONLY | O_DIRECTORY);
  if (!d || ::fsync(d.get()) != 0) throw store_error("cannot write to " + directory + ": " + why());
}

std::string identify(const std::string& directory) {
  const auto path = directory + "/node_id";
  if (const file f(path, O_RDONLY); f) {
    auto id = read_start(f.get());
    while (!id.empty() && std::isspace(static_cast<unsigned char>(id.back()))) id.pop_back();
    if (is_id(id)) return id;
    throw store_error(path + " does not hold 16 hex digits; delete it, and a new id is drawn");
  }
  auto id = draw_id();
  write_whole(directory, path, id + "\n");
  return id;
}

}  // namespace

data_directory::data_directory(const std::string& path)
    : path_(std::filesystem::absolute(path).lexically_normal().string()) {
  while (path_.size() > 1 && path_.back() == '/') path_.pop_back();
  make(path_);
  check(path_);
  in_memory_ = is_in_memory(path_);
  lock_ = lock(path_);
  try {
    node_id_ = identify(path_);
  } catch (...) {
    ::close(lock_);
    throw;
  }
}

data_directory::~data_directory() { ::close(lock_); }

std::optional<pid_t> data_directory::holder(const std::string& path) {
  const file f(path + "/pawl.lock", O_RDONLY);
  if (!f) return std::nullopt;
  if (::flock(f.get(), LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK) return std::nullopt;
  return pid_in(f.get());
}

bool data_directory::is_in_memory(const std::string& path) {
  struct statfs s{};
  if (::statfs(path.c_str(), &s) != 0) return false;
  return s.f_type == TMPFS_MAGIC || s.f_type == RAMFS_MAGIC;
}

std::string database_file(const std::string& directory) { return directory + "/pawl.db"; }

bool ask_for_check(const std::string& directory) {
  const file f(directory + "/pawl.check", O_WRONLY | O_CREAT);
  return f && ::fsync(f.get()) == 0;
}

bool check_is_asked(const std::string& directory) { return ::access((directory + "/pawl.check").c_str(), F_OK) == 0; }

void check_is_done(const std::string& directory) { ::unlink((directory + "/pawl.check").c_str()); }

}  // namespace pawl::store
