// What a leader's view lacks: its newest records are in the journal, and their effects are out, before the view shows
// them, so that the disk is written to while the next record is on its way to the brokers, and once for many of them.
// Whoever reads the view waits for that.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_set>

#include "store/journal.hpp"

namespace pawl::broker {

/// One thread writes; any may ask.
class view_lag {
 public:
  /// Whoever waits for longer is told so: what holds up the writing, a disk or whatever else, is not to hold up all
  /// that reads, and nothing here is to wait for ever.
  static constexpr std::chrono::milliseconds longest_wait{10'000};

  /// It is durable, and the view lacks it from now on.
  void behind(const store::record& r);
  /// The view shows all.
  void even();
  /// The view will not show it: it cannot be written.
  void failed(std::string why);

  /// Somebody waits for it.
  bool is_awaited() const { return awaited_; }

  /// Until the view shows what it lacks now, which takes as long as writing it. Throws store::view_error, after `most`
  /// at the latest.
  void wait(std::chrono::milliseconds most = longest_wait);
  /// True: what the view lacks begins a run of an id like that.
  bool may_begin(std::string_view workflow_id) const;

 private:
  std::atomic<bool> behind_{false};  // so that who asks while nothing is lacking takes no lock
  std::atomic<bool> awaited_{false};
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable shown_;
  std::uint64_t times_ = 0;  // it was even
  std::string failure_;
  std::unordered_set<std::uint64_t> begun_;  // hashes of ids
};

}  // namespace pawl::broker
