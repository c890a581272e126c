// What a leader has committed last, for who follows its journal in the same process (the feed), so that it need not
// read and decode what was in memory a moment ago. The log remains the truth and the way for everything that is not
// here.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>

#include "store/journal.hpp"

namespace pawl::broker {

/// Bytes of records, as in the log, that wait for a follower; older ones it has to read there.
inline constexpr std::size_t most_recent_bytes = std::size_t{8} << 20;

/// One puts, one takes. Keeps nothing until somebody has asked for the first time.
class recent_records {
 public:
  explicit recent_records(std::size_t most_bytes = most_recent_bytes) : most_bytes_(most_bytes) {}

  /// The record at `at.offset` is committed; null: it changes nothing. In the order of offsets.
  void put(const store::log_point& at, std::shared_ptr<const store::record> changes, std::size_t bytes) {
    {
      const std::lock_guard lock(mutex_);
      if (!wanted_) return;
      end_ = at.offset + 1;
      kept_.push_back({at, std::move(changes), bytes});
      bytes_ += bytes;
      while (bytes_ > most_bytes_) pop();
      if (gathering_) return;
    }
    put_.notify_one();
  }
  /// What comes next is of another leading: nobody knows what is in the log.
  void clear() {
    {
      const std::lock_guard lock(mutex_);
      kept_.clear();
      bytes_ = 0;
      end_ = -1;
    }
    put_.notify_one();
  }

  /// Who waits goes on, as if nothing had come.
  void wake() {
    {
      const std::lock_guard lock(mutex_);
      woken_ = true;
    }
    put_.notify_one();
  }

  enum class found : std::uint8_t {
    yes,
    not_yet,  ///< it would be the next that is committed
    elsewhere,  ///< only the log knows
  };
  struct answer {
    found what = found::elsewhere;
    store::log_point at{};
    std::shared_ptr<const store::record> changes{};
  };
  /// The record at that offset. Waits at most `wait` for one that is not there yet. What is below is forgotten.
  /// `gather`: who has been given some, and finds nothing more, leaves what comes then to gather for so long, and is
  /// not woken for each; the answer is not_yet, and what has come is there for the next call. The first after a quiet
  /// while is given at once.
  answer take(std::int64_t offset, std::chrono::milliseconds wait,
              std::chrono::milliseconds gather = std::chrono::milliseconds(0)) {
    std::unique_lock lock(mutex_);
    wanted_ = true;
    if (offset == end_ && gather.count() > 0 && std::exchange(given_, false)) {
      gathering_ = true;
      put_.wait_for(lock, gather, [&] { return woken_; });
      gathering_ = woken_ = false;
      return {.what = found::not_yet};
    }
    put_.wait_for(lock, wait, [&] { return offset != end_ || woken_; });
    woken_ = false;
    if (offset == end_) return {.what = found::not_yet};
    while (!kept_.empty() && kept_.front().at.offset < offset) pop();
    if (kept_.empty() || kept_.front().at.offset != offset) return {};
    answer out{found::yes, kept_.front().at, std::move(kept_.front().changes)};
    pop();
    given_ = true;
    return out;
  }

 private:
  struct record {
    store::log_point at;
    std::shared_ptr<const store::record> changes;
    std::size_t bytes;
  };
  void pop() {
    bytes_ -= kept_.front().bytes;
    kept_.pop_front();
  }

  const std::size_t most_bytes_;
  std::mutex mutex_;
  std::condition_variable put_;
  std::deque<record> kept_;
  std::size_t bytes_ = 0;
  std::int64_t end_ = -1;  // behind the newest; -1: not known
  bool wanted_ = false;
  bool woken_ = false;
  bool given_ = false;  // something since the last gathering
  bool gathering_ = false;  // who takes sleeps for a while, whatever is put
};

}  // namespace pawl::broker
