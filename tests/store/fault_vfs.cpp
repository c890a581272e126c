#include "tests/store/fault_vfs.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

namespace pawl::store {

namespace {

struct fault_file {
  sqlite3_file head;
  std::string* path;
};
static_assert(sizeof(fault_file) % 8 == 0, "the file below comes behind it");

sqlite3_vfs* below(sqlite3_vfs* v) { return static_cast<sqlite3_vfs*>(v->pAppData); }
sqlite3_file* real(sqlite3_file* f) {
  return reinterpret_cast<sqlite3_file*>(reinterpret_cast<char*>(f) + sizeof(fault_file));
}
const std::string& path_of(sqlite3_file* f) { return *reinterpret_cast<fault_file*>(f)->path; }
fault_vfs& faults() { return fault_vfs::get(); }

int x_close(sqlite3_file* f) {
  const int code = real(f)->pMethods->xClose(real(f));
  delete reinterpret_cast<fault_file*>(f)->path;
  return code;
}
int x_read(sqlite3_file* f, void* to, int n, sqlite3_int64 at) { return real(f)->pMethods->xRead(real(f), to, n, at); }

int x_write(sqlite3_file* f, const void* from, int n, sqlite3_int64 at) {
  const auto* bytes = static_cast<const char*>(from);
  switch (faults().before_write()) {
    case fault_vfs::answer::full:
      errno = ENOSPC;
      return SQLITE_FULL;
    case fault_vfs::answer::fail:
      errno = EIO;
      return SQLITE_IOERR_WRITE;
    case fault_vfs::answer::half:
      if (real(f)->pMethods->xWrite(real(f), from, n / 2, at) == SQLITE_OK)
        faults().wrote(path_of(f), at, bytes, static_cast<std::size_t>(n / 2));
      errno = EIO;
      return SQLITE_IOERR_WRITE;
    case fault_vfs::answer::pass:
      break;
  }
  const int code = real(f)->pMethods->xWrite(real(f), from, n, at);
  if (code == SQLITE_OK) faults().wrote(path_of(f), at, bytes, static_cast<std::size_t>(n));
  return code;
}

int x_truncate(sqlite3_file* f, sqlite3_int64 size) {
  if (faults().before_truncate() != fault_vfs::answer::pass) {
    errno = EIO;
    return SQLITE_IOERR_TRUNCATE;
  }
  const int code = real(f)->pMethods->xTruncate(real(f), size);
  if (code == SQLITE_OK) faults().truncated(path_of(f), size);
  return code;
}

int x_sync(sqlite3_file* f, int) {
  // The files live where a real sync costs time and tells nothing; what it means is kept in the images.
  const bool well = faults().before_sync() == fault_vfs::answer::pass;
  faults().synced(path_of(f), well);
  if (well) return SQLITE_OK;
  errno = EIO;
  return SQLITE_IOERR_FSYNC;
}

int x_file_size(sqlite3_file* f, sqlite3_int64* size) { return real(f)->pMethods->xFileSize(real(f), size); }
int x_lock(sqlite3_file* f, int l) { return real(f)->pMethods->xLock(real(f), l); }
int x_unlock(sqlite3_file* f, int l) { return real(f)->pMethods->xUnlock(real(f), l); }
int x_check_lock(sqlite3_file* f, int* out) { return real(f)->pMethods->xCheckReservedLock(real(f), out); }
int x_control(sqlite3_file* f, int op, void* arg) { return real(f)->pMethods->xFileControl(real(f), op, arg); }
int x_sector(sqlite3_file* f) { return real(f)->pMethods->xSectorSize(real(f)); }
int x_device(sqlite3_file* f) { return real(f)->pMethods->xDeviceCharacteristics(real(f)); }
int x_shm_map(sqlite3_file* f, int page, int size, int extend, volatile void** out) {
  return real(f)->pMethods->xShmMap(real(f), page, size, extend, out);
}
int x_shm_lock(sqlite3_file* f, int offset, int n, int flags) {
  return real(f)->pMethods->xShmLock(real(f), offset, n, flags);
}
void x_shm_barrier(sqlite3_file* f) { real(f)->pMethods->xShmBarrier(real(f)); }
int x_shm_unmap(sqlite3_file* f, int remove) { return real(f)->pMethods->xShmUnmap(real(f), remove); }

const sqlite3_io_methods methods = {
    2,         x_close,  x_read,   x_write,   x_truncate, x_sync,        x_file_size, x_lock,  x_unlock, x_check_lock,
    x_control, x_sector, x_device, x_shm_map, x_shm_lock, x_shm_barrier, x_shm_unmap, nullptr, nullptr};

int x_open(sqlite3_vfs* v, sqlite3_filename name, sqlite3_file* f, int flags, int* out) {
  auto* file = reinterpret_cast<fault_file*>(f);
  file->head.pMethods = nullptr;
  if (name) faults().opened(name);  // before it is made or changed
  const int code = below(v)->xOpen(below(v), name, real(f), flags, out);
  if (code != SQLITE_OK) return code;
  file->path = new std::string(name ? name : "");
  file->head.pMethods = &methods;
  return code;
}

int x_delete(sqlite3_vfs* v, const char* name, int sync) {
  const int code = below(v)->xDelete(below(v), name, sync);
  if (code == SQLITE_OK) faults().removed(name);
  return code;
}

std::string content(const std::string& path) {
  const std::ifstream f(path, std::ios::binary);
  std::ostringstream out;
  out << f.rdbuf();
  return out.str();
}

}  // namespace

const char* to_text(fault f) {
  switch (f) {
    case fault::none:
      return "none";
    case fault::write_fails:
      return "write fails";
    case fault::short_write:
      return "short write";
    case fault::disk_full:
      return "disk full";
    case fault::sync_fails:
      return "sync fails";
    case fault::truncate_fails:
      return "truncate fails";
    case fault::power_cut:
      return "power cut";
  }
  return "?";
}

fault_vfs& fault_vfs::get() {
  static fault_vfs one;
  static sqlite3_vfs layer = [] {
    sqlite3_vfs v = *sqlite3_vfs_find(nullptr);
    v.pAppData = sqlite3_vfs_find(nullptr);
    v.iVersion = 2;
    v.zName = name;
    v.pNext = nullptr;
    v.szOsFile = static_cast<int>(sizeof(fault_file)) + below(&v)->szOsFile;
    v.xOpen = x_open;
    v.xDelete = x_delete;
    v.xAccess = [](sqlite3_vfs* self, const char* path, int flags, int* out) {
      return below(self)->xAccess(below(self), path, flags, out);
    };
    v.xFullPathname = [](sqlite3_vfs* self, const char* path, int n, char* out) {
      return below(self)->xFullPathname(below(self), path, n, out);
    };
    v.xRandomness = [](sqlite3_vfs* self, int n, char* out) { return below(self)->xRandomness(below(self), n, out); };
    v.xSleep = [](sqlite3_vfs* self, int us) { return below(self)->xSleep(below(self), us); };
    v.xCurrentTime = [](sqlite3_vfs* self, double* out) { return below(self)->xCurrentTime(below(self), out); };
    v.xCurrentTimeInt64 = [](sqlite3_vfs* self, sqlite3_int64* out) {
      return below(self)->xCurrentTimeInt64(below(self), out);
    };
    v.xGetLastError = [](sqlite3_vfs*, int, char*) { return errno; };
    return v;
  }();
  static const int registered = sqlite3_vfs_register(&layer, 0);
  static_cast<void>(registered);
  return one;
}

void fault_vfs::arm(fault f, std::uint64_t n) {
  const std::lock_guard lock(mutex_);
  armed_ = f;
  at_ = n;
  seen_ = 0;
  fired_ = false;
  counters_ = {};
}

void fault_vfs::disarm() {
  const std::lock_guard lock(mutex_);
  armed_ = fault::none;
  sync_takes_ = std::chrono::milliseconds(0);
}

bool fault_vfs::fired() const {
  const std::lock_guard lock(mutex_);
  return fired_;
}

std::uint64_t fault_vfs::counters::of(fault f) const {
  switch (f) {
    case fault::sync_fails:
      return syncs;
    case fault::truncate_fails:
      return truncates;
    case fault::power_cut:
      return writes + syncs + truncates;
    default:
      return writes;
  }
}

fault_vfs::counters fault_vfs::counted() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

void fault_vfs::forget() {
  const std::lock_guard lock(mutex_);
  files_.clear();
}

// True when the operation, one of those that fault `f` is about, is the one that fails.
bool fault_vfs::hits(fault f, std::uint64_t& count) {
  ++count;
  const bool mine = armed_ == f || armed_ == fault::power_cut ||
                    (f == fault::write_fails && (armed_ == fault::short_write || armed_ == fault::disk_full));
  if (!mine) return false;
  const bool lasts = armed_ == fault::power_cut || armed_ == fault::disk_full;
  if (fired_) return lasts;
  return fired_ = ++seen_ == at_;
}

fault_vfs::answer fault_vfs::before_write() {
  const std::lock_guard lock(mutex_);
  if (!hits(fault::write_fails, counters_.writes)) return answer::pass;
  return armed_ == fault::disk_full ? answer::full : armed_ == fault::short_write ? answer::half : answer::fail;
}

fault_vfs::answer fault_vfs::before_sync() {
  std::this_thread::sleep_for(sync_takes_.load());
  const std::lock_guard lock(mutex_);
  return hits(fault::sync_fails, counters_.syncs) ? answer::fail : answer::pass;
}

fault_vfs::answer fault_vfs::before_truncate() {
  const std::lock_guard lock(mutex_);
  return hits(fault::truncate_fails, counters_.truncates) ? answer::fail : answer::pass;
}

void fault_vfs::opened(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (!files_.contains(path)) files_[path].disk = content(path);
}

void fault_vfs::removed(const std::string& path) {
  const std::lock_guard lock(mutex_);
  files_.erase(path);
}

void fault_vfs::wrote(const std::string& path, std::int64_t at, const char* bytes, std::size_t n) {
  const std::lock_guard lock(mutex_);
  files_[path].pending.push_back({at, std::string(bytes, n), false});
}

void fault_vfs::truncated(const std::string& path, std::int64_t size) {
  const std::lock_guard lock(mutex_);
  files_[path].pending.push_back({size, {}, true});
}

void fault_vfs::synced(const std::string& path, bool well) {
  const std::lock_guard lock(mutex_);
  auto& f = files_[path];
  // After a power cut nothing is decided any more: what is pending may or may not have arrived.
  if (!well && armed_ == fault::power_cut) return;
  if (well)
    for (const auto& c : f.pending) apply(f.disk, c);
  f.pending.clear();
}

void fault_vfs::apply(std::string& to, const change& c) {
  const auto at = static_cast<std::size_t>(c.at);
  if (c.is_truncate) return to.resize(at);
  if (to.size() < at + c.bytes.size()) to.resize(at + c.bytes.size());
  to.replace(at, c.bytes.size(), c.bytes);
}

void fault_vfs::crash(std::uint64_t seed) {
  const std::lock_guard lock(mutex_);
  std::mt19937_64 random(seed);
  const auto manner = random() % 4;  // all of it arrived, or some of it
  for (auto& [path, f] : files_) {
    for (const auto& c : f.pending) {
      const auto fate = manner == 0 ? 1 : random() % 3;
      if (fate == 0) continue;
      if (fate == 1 || c.is_truncate) {
        apply(f.disk, c);
        continue;
      }
      constexpr std::size_t sector = 512;
      for (std::size_t n = 0; n < c.bytes.size(); n += sector)
        if (random() % 2 == 0) apply(f.disk, {c.at + static_cast<std::int64_t>(n), c.bytes.substr(n, sector), false});
    }
    f.pending.clear();
    std::ofstream(path, std::ios::binary | std::ios::trunc) << f.disk;
    std::filesystem::remove(path + "-shm");
  }
  armed_ = fault::none;
}

}  // namespace pawl::store
