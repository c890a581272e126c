#include "examples/order/effect_journal.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace payment {
namespace {

// Without this a power cut may take the new file's name away again, and all that was synced into it.
bool sync_folder_of(const std::string& path) {
  const auto folder = std::filesystem::absolute(path).parent_path();
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool synced = ::fsync(fd) == 0;
  ::close(fd);
  return synced;
}

}  // namespace

effect_journal::effect_journal(std::string path, const std::function<void(std::string_view)>& replay)
    : path_(std::move(path)) {
  if (path_.empty()) return;
  fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd_ < 0) fail("cannot open");
  try {
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) throw journal_error(path_ + " is in use by another payment_service");
      fail("cannot lock");
    }
    load(replay);
    if (!sync_folder_of(path_)) fail("cannot sync the folder of");
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

effect_journal::~effect_journal() {
  if (fd_ >= 0) ::close(fd_);
}

void effect_journal::load(const std::function<void(std::string_view)>& replay) {
  std::ifstream in(path_, std::ios::binary);
  if (!in) fail("cannot read");
  std::int64_t whole = 0;
  std::uint64_t number = 0;
  for (std::string line; std::getline(in, line);) {
    if (in.eof()) break;  // no newline at its end
    ++number;
    try {
      replay(line);
    } catch (const std::exception& e) {
      throw journal_error(path_ + ", line " + std::to_string(number) + " is damaged: " + e.what());
    }
    whole += static_cast<std::int64_t>(line.size()) + 1;
  }
  if (in.bad()) fail("cannot read");
  if (::ftruncate(fd_, whole) != 0) fail("cannot cut off the torn end of");
  // The lines of a killed process may be in memory only; from here on they are answered for.
  if (::fsync(fd_) != 0) fail("cannot sync");
}

void effect_journal::append(std::string line, bool sync) {
  if (fd_ < 0) return;
  line += '\n';
  std::string_view rest = line;
  while (!rest.empty()) {
    const auto written = ::write(fd_, rest.data(), rest.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      fail("cannot write");
    }
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  if (sync && ::fdatasync(fd_) != 0) fail("cannot sync");
}

void effect_journal::fail(std::string_view what) const {
  throw journal_error(std::string(what) + " " + path_ + ": " + std::strerror(errno));
}

}  // namespace payment
