#include "node/disk_watch.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

namespace pawl::node {

namespace {

/// A file that is gone when this is.
class probe_file {
 public:
  explicit probe_file(std::string path)
      : path_(std::move(path)),
        fd_(::open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) {}
  ~probe_file() {
    if (fd_ >= 0) ::close(fd_);
    ::unlink(path_.c_str());
  }
  probe_file(const probe_file&) = delete;
  probe_file& operator=(const probe_file&) = delete;
  int fd() const { return fd_; }

 private:
  const std::string path_;
  const int fd_;
};

std::string error_of(const char* doing) { return std::string(doing) + ": " + std::strerror(errno); }

}  // namespace

disk_watch::disk_watch(std::string directory, changed_function changed)
    : directory_(std::move(directory)),
      changed_(std::move(changed)) {}

void disk_watch::failed(const std::string& why) {
  {
    const std::lock_guard lock(mutex_);
    if (sick_) return;
    const auto now = steady::now();
    const bool again = healed_ != steady::time_point{} && now - healed_ < relapse_window;
    pause_ = again ? std::min(pause_ * 2, longest_probe_pause) : first_probe_pause;
    next_probe_ = now + pause_;
    sick_ = true;
    why_ = why;
  }
  if (changed_) changed_(true, why);
}

bool disk_watch::sick() const {
  const std::lock_guard lock(mutex_);
  return sick_;
}

std::string disk_watch::why() const {
  const std::lock_guard lock(mutex_);
  return sick_ ? why_ : std::string();
}

void disk_watch::look() {
  {
    const std::lock_guard lock(mutex_);
    if (!sick_ || probing_ || steady::now() < next_probe_) return;
    probing_ = true;
  }
  auto wrong = probe();
  const bool healed = wrong.empty();
  {
    const std::lock_guard lock(mutex_);
    probing_ = false;
    next_probe_ = steady::now() + pause_;
    sick_ = !healed;
    if (healed) healed_ = steady::now();
    if (!healed) why_ = std::move(wrong);
  }
  if (healed && changed_) changed_(false, {});
}

// Written, synced, read back. Empty: all is well.
std::string disk_watch::probe() const {
  const auto path = directory_ + "/pawl.probe";
  const probe_file file(path);
  if (file.fd() < 0) return error_of((path + " cannot be made").c_str());
  std::vector<char> written(probe_bytes);
  for (std::size_t k = 0; k < written.size(); ++k) written[k] = static_cast<char>(k * 2654435761U >> 13U);
  for (std::size_t at = 0; at < written.size();) {
    const auto n = ::write(file.fd(), written.data() + at, written.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return error_of((path + " cannot be written").c_str());
    at += static_cast<std::size_t>(n);
  }
  if (::fsync(file.fd()) != 0) return error_of((path + " cannot be synced").c_str());
  std::vector<char> read(probe_bytes);
  for (std::size_t at = 0; at < read.size();) {
    const auto n = ::pread(file.fd(), read.data() + at, read.size() - at, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return error_of((path + " cannot be read back").c_str());
    at += static_cast<std::size_t>(n);
  }
  return read == written ? std::string() : path + " reads otherwise than it was written";
}

}  // namespace pawl::node
