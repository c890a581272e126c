// A leader's view, written behind the journal on a thread of its own: who appends waits for the brokers only, and the
// disk is written to once for several records.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "broker/view_lag.hpp"
#include "store/embedded_journal.hpp"

namespace pawl::broker {

/// put, passed, finish, trouble, reset: the appending thread. While what was put is not shown, the view is written by
/// nobody else; after finish() it may be.
class view_writer {
 public:
  struct options {
    std::string name{};  ///< of the journal, for errors
    /// A record waits so long for company, if nobody waits for it: a transaction costs about as much as the rows of a
    /// small record, and what several records add to a run is one row.
    std::chrono::milliseconds linger{20};
    /// So many do not wait for more.
    std::size_t enough = 8;
    /// Called on the writer's thread, or in passed(): the view shows what is below that offset.
    std::function<void(std::int64_t next)> shown{};
  };

  view_writer(store::embedded_journal& view, options o);
  /// What is not shown yet is dropped: the log has it.
  ~view_writer();
  view_writer(const view_writer&) = delete;
  view_writer& operator=(const view_writer&) = delete;

  /// It is in the log at `at`. Waits while too much is waiting already.
  void put(std::shared_ptr<const store::record> r, std::size_t bytes, const store::log_position& at);
  /// What is in the log at `offset` changes nothing.
  void passed(std::int64_t offset);
  /// Waits until all is shown. Not committed: why the view cannot be written; nothing more is, before reset().
  store::append_result finish();
  /// As finish(), and waits for nothing.
  store::append_result trouble() const;
  /// The view was read anew, from where it stands.
  void reset();

  /// Any thread: whoever reads it waits for it.
  view_lag& lag() { return lag_; }
  const view_lag& lag() const { return lag_; }

 private:
  struct waiting {
    std::shared_ptr<const store::record> record;
    std::size_t bytes = 0;
    store::log_position at;
    std::int64_t next = 0;  // behind it, and behind what changes nothing
    std::uint64_t number = 0;
  };

  void run();
  void hurry();
  bool is_time() const;

  store::embedded_journal& view_;
  const options options_;
  view_lag lag_{[this] { hurry(); }};
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::condition_variable shown_;
  std::deque<waiting> queue_;  // those under way are its first
  std::size_t bytes_ = 0;
  std::chrono::steady_clock::time_point due_{};  // of the first
  bool hurried_ = false;
  bool stopping_ = false;
  store::append_result trouble_;
  std::thread thread_;  // from the first record on: who follows needs none
};

}  // namespace pawl::broker
