// What a leader's view lacks: its newest records are in the journal, and their effects are out, before the view shows
// them (view_writer.hpp). Whoever reads the view waits for that.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "store/journal.hpp"

namespace pawl::broker {

/// One thread appends, one writes the view; any may ask.
class view_lag {
 public:
  /// Whoever waits for longer is told so: what holds up the writing, a disk or whatever else, is not to hold up all
  /// that reads, and nothing here is to wait for ever.
  static constexpr std::chrono::milliseconds longest_wait{10'000};

  /// `hurry` is called by who begins to wait, and calls nothing of this.
  explicit view_lag(std::function<void()> hurry = [] {}) : hurry_(std::move(hurry)) {}

  /// It is durable, and the view lacks it from now on. The appending thread. Returns its number: 1, 2, ...
  std::uint64_t behind(const store::record& r);
  /// The view shows all up to that number.
  void shows(std::uint64_t upto);
  /// The view shows all, or has been read anew.
  void even();
  /// The view will not show what it lacks, before even(): it cannot be written.
  void failed(std::string why);

  /// Somebody waits for it.
  bool is_awaited() const { return awaited_; }

  /// Until the view shows what it lacks now, which takes as long as writing it. Throws store::view_error, after `most`
  /// at the latest.
  void wait(std::chrono::milliseconds most = longest_wait);
  /// True: what the view lacks begins a run of an id like that.
  bool may_begin(std::string_view workflow_id) const;

 private:
  void show(std::uint64_t upto);

  const std::function<void()> hurry_;
  std::atomic<bool> behind_{false};  // so that who asks while nothing is lacking takes no lock
  std::atomic<bool> awaited_{false};
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable shown_;
  std::uint64_t newest_ = 0;
  std::uint64_t upto_ = 0;  // the view shows these
  std::uint64_t awaited_upto_ = 0;
  std::string failure_;
  std::unordered_map<std::uint64_t, std::uint64_t> begun_;  // hashes of ids, and the newest number that begins them
  std::deque<std::pair<std::uint64_t, std::uint64_t>> order_;  // number, hash: in their order
};

}  // namespace pawl::broker
