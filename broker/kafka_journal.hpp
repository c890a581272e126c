// The journal of one partition in Kafka, with a view of it in SQLite. docs/journal.md has the rules.
//
//     append:  stamp --> Kafka, acks=all --in place?--> the view --> committed
//     open, reopen:  read from where the view stands to the end --> announce --> read until our announcement is there
//     meanwhile:  a thread of its own reads the journal back; what it does not find as it was acknowledged stops us
//
// The view is written behind the log, in the same call: who asks it right after a commit sees the commit. It may be
// lost at any time; then it is read anew from the log.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "broker/journal_codec.hpp"
#include "broker/kafka_client.hpp"
#include "store/embedded_journal.hpp"

namespace pawl::broker {

/// A view is being read from the log.
struct catch_up_progress {
  std::int64_t offset = 0;
  std::int64_t from = 0;
  std::int64_t end = 0;
  bool anew = false;  ///< from nothing, because it was missing or did not fit the log
};

struct kafka_journal_options {
  kafka_options client;
  std::string topic;  ///< "shop.journal"
  std::int32_t partition = 0;
  announcer who;
  std::chrono::milliseconds append_timeout{10'000};  ///< after which the outcome of an append is unknown
  std::function<void(const std::string& event)> warn{};  ///< what a person should know; any thread
  std::function<void(const catch_up_progress&)> progress{};  ///< about every 100 ms while there is much to read
};

struct kafka_journal_stats {
  std::uint64_t epoch = 0;
  std::int64_t end = 0;              ///< behind our newest record
  std::int64_t read_back = 0;        ///< how far the tail has been seen
  std::uint64_t appended = 0;
  std::uint64_t skipped = 0;         ///< records of others that no reader counts
  std::uint64_t garbage = 0;         ///< messages that are no records
  std::uint64_t gaps = 0;
  std::uint64_t announced = 0;       ///< how often we began to lead
  std::uint64_t stepped_down = 0;
  std::uint64_t rebuilt = 0;         ///< how often the view did not fit the log
  bool leading = false;
};

/// append and reopen: one thread. Everything else: any thread.
class kafka_journal final : public store::journal {
 public:
  ~kafka_journal() override;
  kafka_journal(const kafka_journal&) = delete;
  kafka_journal& operator=(const kafka_journal&) = delete;

  /// `unknown` when the outcome is, and when another node leads.
  store::append_result append(const store::record& r) override;
  store::append_result reopen() override;
  engine::reign reign() const override;
  engine::run_key next_run_key() const override;
  std::int64_t last_event_time() const override;

  /// Where to read the commands from; `oldest` is the oldest that the topic holds. Commands dealt with after the newest
  /// batch are read again, and known by their ids.
  std::int64_t commands_from(std::int64_t oldest);
  /// Nobody has asked commands_from() since this node began to lead, last: a log that lost its tail has lost what the
  /// commands did too, so they are read again from there. Until then consumed() says nothing.
  bool commands_unread() const;
  /// The commands of that many offsets from `offset` on are dealt with: recorded, or dead letters, or there are none at
  /// these offsets. The position rides in the next batch.
  void consumed(std::int64_t offset, std::int64_t count = 1);
  /// The events of the records up to here are published; rides in the next batch.
  void fed(const store::log_point& upto);
  store::log_point fed() const;

  /// Gives the partition up: nothing can be appended under this epoch any more. For the appending thread, when it has
  /// ended its work. False: that could not be written; whoever comes next announces all the same.
  bool release();
  kafka_journal_stats stats() const;

 private:
  friend std::unique_ptr<kafka_journal> open_kafka_journal(kafka_journal_options o, store::embedded_journal& view);
  struct state;
  explicit kafka_journal(std::unique_ptr<state> s);
  std::unique_ptr<state> state_;
};

/// Brings the view up to the end of the log and begins to lead. `view` is opened with truth = false and must outlive
/// the journal; nobody else appends to it. Blocks. Throws kafka_error and store::store_error.
std::unique_ptr<kafka_journal> open_kafka_journal(kafka_journal_options o, store::embedded_journal& view);

}  // namespace pawl::broker
