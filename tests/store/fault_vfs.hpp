// A file layer under SQLite that fails on demand and knows what a power cut would leave.
//
// For each file it keeps what is on the disk for sure: what was there, and every write that a sync has followed. A sync
// that fails leaves its writes in the file, as the kernel does, but they never reach the disk by a later sync either.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace pawl::store {

enum class fault : std::uint8_t {
  none,
  write_fails,  ///< nothing is written
  short_write,  ///< half is written, then it fails
  disk_full,  ///< from here on nothing can be written until disarm()
  sync_fails,
  truncate_fails,
  power_cut,  ///< at the n-th write, sync or truncate: from here on everything fails, until crash()
};
const char* to_text(fault f);

class fault_vfs {
 public:
  /// Registered once under `name`. One test at a time.
  static fault_vfs& get();
  static constexpr const char* name = "pawl-faults";

  /// The n-th operation of the fault's kind from now on fails; n from 1.
  void arm(fault f, std::uint64_t n);
  void disarm();
  bool fired() const;
  /// Each sync takes so long from now on, until disarm().
  void slow_down_syncs(std::chrono::milliseconds each) { sync_takes_ = each; }

  struct counters {
    std::uint64_t writes = 0, syncs = 0, truncates = 0;
    std::uint64_t of(fault f) const;
  };
  counters counted() const;

  /// Forgets all files: what is in them now is taken for durable when they are opened next.
  void forget();
  /// The machine loses power and comes back: files hold what is on the disk for sure, and of what was written since, by
  /// `seed`, all, or some writes wholly, some in part (by sectors of 512 bytes), some not. No handle may be open.
  void crash(std::uint64_t seed);

  // For the layer itself.
  enum class answer : std::uint8_t { pass, fail, half, full };
  void opened(const std::string& path);
  void removed(const std::string& path);
  answer before_write();
  answer before_sync();
  answer before_truncate();
  void wrote(const std::string& path, std::int64_t at, const char* bytes, std::size_t n);
  void truncated(const std::string& path, std::int64_t size);
  void synced(const std::string& path, bool well);

 private:
  struct change {
    std::int64_t at = 0;  // or the new size
    std::string bytes;
    bool is_truncate = false;
  };
  struct image {
    std::string disk;
    std::vector<change> pending;
  };
  static void apply(std::string& to, const change& c);
  bool hits(fault f, std::uint64_t& count);

  mutable std::mutex mutex_;
  std::map<std::string, image> files_;
  std::atomic<std::chrono::milliseconds> sync_takes_{};
  fault armed_ = fault::none;
  std::uint64_t at_ = 0;
  std::uint64_t seen_ = 0;
  bool fired_ = false;
  counters counters_;
};

}  // namespace pawl::store
