#include "broker/view_writer.hpp"

#include <algorithm>
#include <exception>
#include <utility>
#include <vector>

namespace pawl::broker {

namespace {

using store::append_result;
using store::append_status;

/// In one transaction, where the view lags that far.
constexpr std::size_t most_together = 32;
constexpr std::size_t most_bytes_together = std::size_t{4} * 1024 * 1024;
/// Then who appends waits: what is left out is read again after a crash, and is in memory until then.
constexpr std::size_t most_waiting = 128;
constexpr std::size_t most_bytes_waiting = std::size_t{32} * 1024 * 1024;
/// Enough for a transaction, however few records.
constexpr std::size_t enough_bytes = std::size_t{1} * 1024 * 1024;

}  // namespace

view_writer::view_writer(store::embedded_journal& view, options o) : view_(view), options_(std::move(o)) {}

view_writer::~view_writer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void view_writer::put(std::shared_ptr<const store::record> r, std::size_t bytes, const store::log_position& at) {
  const auto number = lag_.behind(*r);
  std::unique_lock lock(mutex_);
  const auto failed = [&] { return trouble_.status != append_status::committed; };
  shown_.wait(lock, [&] { return (queue_.size() < most_waiting && bytes_ < most_bytes_waiting) || failed(); });
  if (queue_.empty()) due_ = std::chrono::steady_clock::now() + options_.linger;
  queue_.push_back({.record = std::move(r), .bytes = bytes, .at = at, .next = at.at.offset + 1, .number = number});
  bytes_ += bytes;
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  // It has a look when the first one is due, and earlier when there are enough.
  const bool wake = queue_.size() == 1 || queue_.size() >= options_.enough || bytes_ >= enough_bytes;
  lock.unlock();
  if (wake) changed_.notify_one();
}

void view_writer::passed(std::int64_t offset) {
  {
    const std::lock_guard lock(mutex_);
    if (!queue_.empty()) {
      queue_.back().next = offset + 1;
      return;
    }
  }
  if (options_.shown) options_.shown(offset + 1);
}

append_result view_writer::finish() {
  std::unique_lock lock(mutex_);
  if (queue_.empty() || trouble_.status != append_status::committed) return trouble_;
  hurried_ = true;
  changed_.notify_one();
  shown_.wait(lock, [&] { return queue_.empty() || trouble_.status != append_status::committed; });
  return trouble_;
}

append_result view_writer::trouble() const {
  const std::lock_guard lock(mutex_);
  return trouble_;
}

void view_writer::reset() {
  {
    const std::lock_guard lock(mutex_);
    queue_.clear();
    bytes_ = 0;
    trouble_ = {};
  }
  lag_.even();
}

// It has looked, and waits, or will see that somebody does.
void view_writer::hurry() {
  {
    const std::lock_guard lock(mutex_);
  }
  changed_.notify_one();
}

// With the lock.
bool view_writer::is_time() const {
  return hurried_ || lag_.is_awaited() || queue_.size() >= options_.enough || bytes_ >= enough_bytes ||
         std::chrono::steady_clock::now() >= due_;
}

void view_writer::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    const auto idle = [&] { return queue_.empty() || trouble_.status != append_status::committed; };
    while (!stopping_ && idle()) changed_.wait(lock);
    while (!stopping_ && !idle() && !is_time()) changed_.wait_until(lock, due_);
    if (stopping_) return;
    if (idle()) continue;
    std::vector<std::shared_ptr<const store::record>> together;
    std::size_t bytes = 0;
    while (together.size() < std::min(queue_.size(), most_together) &&
           (together.empty() || bytes + queue_[together.size()].bytes <= most_bytes_together)) {
      bytes += queue_[together.size()].bytes;
      together.push_back(queue_[together.size()].record);
    }
    const auto at = queue_[together.size() - 1].at;
    lock.unlock();
    append_result r;
    try {
      r = view_.append(together, at);
    } catch (const std::exception& e) {
      r = {append_status::unknown, options_.name + ": the view cannot be written: " + e.what()};
    }
    lock.lock();
    if (r.status != append_status::committed) {
      if (r.status == append_status::refused) r.status = append_status::unknown;  // the log has it: it is read anew
      trouble_ = r;
      lock.unlock();
      lag_.failed(r.message);
      shown_.notify_all();
      lock.lock();
      continue;
    }
    // First how far it is, then those who wait for that; records that change nothing may follow meanwhile.
    const auto& last = queue_[together.size() - 1];
    for (std::int64_t told = -1; told < last.next;) {
      told = last.next;
      lock.unlock();
      if (options_.shown) options_.shown(told);
      lock.lock();
    }
    const auto number = last.number;
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(together.size()));
    bytes_ -= bytes;
    due_ = std::chrono::steady_clock::now() + options_.linger;
    hurried_ = hurried_ && !queue_.empty();
    lock.unlock();
    lag_.shows(number);
    shown_.notify_all();
    together.clear();  // a good deal of memory, and not under the lock
    lock.lock();
  }
}

}  // namespace pawl::broker
