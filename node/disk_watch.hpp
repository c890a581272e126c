// Whether the disk of the data directory can be written. A node on a sick disk leads nothing: it says so in its
// heartbeats, others take its partitions over, and it comes back when the disk takes and gives back what is written.
//
//     well --a view cannot be written--> sick --the probe file is written, synced and read back--> well
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>

namespace pawl::node {

/// What is written to see whether the disk is well again: less room than this is no room to work with.
inline constexpr std::size_t probe_bytes = std::size_t{4} << 20;
inline constexpr std::chrono::milliseconds first_probe_pause{1'000};
inline constexpr std::chrono::milliseconds longest_probe_pause{60'000};
/// A disk that is sick again within this time after it healed is probed more seldom.
inline constexpr std::chrono::minutes relapse_window{5};

/// Thread-safe.
class disk_watch {
 public:
  /// `changed` hears what has become of it, and why; on the thread that noticed.
  using changed_function = std::function<void(bool sick, const std::string& why)>;
  disk_watch(std::string directory, changed_function changed);

  /// Something on it cannot be written: what happened, to which file.
  void failed(const std::string& why);
  bool sick() const;
  /// Of a sick one.
  std::string why() const;
  /// Tries a sick disk when that is due. Blocks for as long as the disk takes; one thread at a time does, others return
  /// at once.
  void look();

 private:
  using steady = std::chrono::steady_clock;
  std::string probe() const;

  const std::string directory_;
  const changed_function changed_;
  mutable std::mutex mutex_;
  bool sick_ = false;
  bool probing_ = false;
  std::string why_;
  std::chrono::milliseconds pause_{first_probe_pause};
  steady::time_point next_probe_{};
  steady::time_point healed_{};
};

}  // namespace pawl::node
