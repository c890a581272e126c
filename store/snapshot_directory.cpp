#include "store/snapshot_directory.hpp"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "store/errors.hpp"

namespace pawl::store {

namespace {

namespace fs = std::filesystem;

std::string why() { return std::strerror(errno); }

class descriptor {
 public:
  descriptor() = default;
  descriptor(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0640)) {}
  descriptor(descriptor&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  descriptor& operator=(descriptor&& o) noexcept {
    std::swap(fd_, o.fd_);
    return *this;
  }
  ~descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  explicit operator bool() const { return fd_ >= 0; }
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

std::uint32_t add_to(std::uint32_t crc, std::string_view bytes) {
  return static_cast<std::uint32_t>(
      ::crc32(crc, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())));
}

std::string draw_suffix() {
  std::uint64_t bits = 0;
  if (::getrandom(&bits, sizeof bits, 0) != sizeof bits) throw store_error("cannot draw random numbers: " + why());
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(bits));
  return text.data();
}

class file_download final : public snapshot_store::download {
 public:
  explicit file_download(std::string path) : path_(std::move(path)), file_(path_, O_RDONLY) {
    if (!file_) throw store_error(path_ + " cannot be opened: " + why());
  }
  std::size_t read(char* to, std::size_t most) override {
    for (;;) {
      const auto n = ::read(file_.get(), to, most);
      if (n >= 0) return static_cast<std::size_t>(n);
      if (errno != EINTR) throw store_error(path_ + " cannot be read: " + why());
    }
  }

 private:
  const std::string path_;
  descriptor file_;
};

class file_upload final : public snapshot_store::upload {
 public:
  explicit file_upload(std::string path)
      : path_(std::move(path)),
        part_(path_ + "." + draw_suffix() + ".part"),
        file_(part_, O_RDWR | O_CREAT | O_EXCL) {
    if (!file_) throw store_error(part_ + " cannot be made: " + why());
  }
  ~file_upload() override {
    if (!done_) ::unlink(part_.c_str());
  }
  file_upload(const file_upload&) = delete;
  file_upload& operator=(const file_upload&) = delete;

  void write(std::string_view bytes) override {
    sum_.crc = add_to(sum_.crc, bytes);
    sum_.bytes += bytes.size();
    while (!bytes.empty()) {
      const auto n = ::write(file_.get(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw store_error(part_ + " cannot be written: " + why());
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
  }

  snapshot_store::checksum finish() override {
    if (::fsync(file_.get()) != 0) throw store_error(part_ + " cannot be synced: " + why());
    // So that what is read is what the disk has, where the system takes the advice.
    ::posix_fadvise(file_.get(), 0, 0, POSIX_FADV_DONTNEED);
    if (read_back() != sum_) throw store_error(part_ + " holds something else than was written to it");
    if (::rename(part_.c_str(), path_.c_str()) != 0) throw store_error(path_ + " cannot be given its name: " + why());
    done_ = true;
    const auto folder = fs::path(path_).parent_path().string();
    const descriptor d(folder, O_RDONLY | O_DIRECTORY);
    if (!d || ::fsync(d.get()) != 0) throw store_error(folder + " cannot be synced: " + why());
    return sum_;
  }

 private:
  snapshot_store::checksum read_back() {
    file_download in(part_);
    std::array<char, 65'536> buffer{};
    snapshot_store::checksum found;
    while (const auto n = in.read(buffer.data(), buffer.size())) {
      found.crc = add_to(found.crc, {buffer.data(), n});
      found.bytes += n;
    }
    return found;
  }

  const std::string path_, part_;
  descriptor file_;
  snapshot_store::checksum sum_;
  bool done_ = false;
};

class snapshot_directory final : public snapshot_store {
 public:
  explicit snapshot_directory(const std::string& path) : root_(fs::absolute(path).lexically_normal().string()) {
    make(root_);
    if (::access(root_.c_str(), R_OK | W_OK | X_OK) != 0)
      throw store_error("the snapshot directory " + root_ + " cannot be used: " + why() +
                        "; give it to the user that the node runs as, or choose another with kafka.snapshot_dir");
  }

  std::unique_ptr<upload> put(const std::string& name) override {
    const auto path = path_of(name);
    make(fs::path(path).parent_path().string());
    return std::make_unique<file_upload>(path);
  }
  std::unique_ptr<download> get(const std::string& name) override {
    return std::make_unique<file_download>(path_of(name));
  }

  std::vector<blob> list(const std::string& folder) override {
    std::vector<blob> out;
    std::error_code wrong;
    const auto path = path_of(folder);
    auto it = fs::directory_iterator(path, wrong);
    if (wrong == std::errc::no_such_file_or_directory) return out;
    for (; !wrong && it != fs::directory_iterator(); it.increment(wrong)) {
      struct stat s{};
      // One that is gone by now was renamed or removed.
      if (::stat(it->path().c_str(), &s) != 0 || !S_ISREG(s.st_mode)) continue;
      out.push_back({.name = folder + "/" + it->path().filename().string(),
                     .bytes = static_cast<std::uint64_t>(s.st_size),
                     .age = std::chrono::seconds(std::max<std::int64_t>(0, ::time(nullptr) - s.st_mtime))});
    }
    if (wrong) throw store_error(path + " cannot be listed: " + wrong.message());
    return out;
  }

  void remove(const std::string& name) override {
    const auto path = path_of(name);
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw store_error(path + " cannot be removed: " + why());
  }

  std::string where() const override { return root_; }

 private:
  std::string path_of(const std::string& name) const {
    const fs::path p(name);
    bool inside = !name.empty() && p.is_relative();
    for (const auto& part : p) inside = inside && part != "..";
    if (!inside) throw store_error("'" + name + "' is no name in " + root_);
    return root_ + "/" + name;
  }
  static void make(const std::string& path) {
    std::error_code wrong;
    fs::create_directories(path, wrong);
    if (wrong)
      throw store_error("the snapshot directory " + path + " cannot be made: " + wrong.message() +
                        "; make it, or choose another with kafka.snapshot_dir");
  }

  const std::string root_;
};

}  // namespace

std::unique_ptr<snapshot_store> open_snapshot_directory(const std::string& path) {
  return std::make_unique<snapshot_directory>(path);
}

}  // namespace pawl::store
