// The journal of one partition in Kafka, with a view of it in SQLite. docs/journal.md has the rules.
//
//     follow:    the log, from where the view stands --> the fold --> the view; for as long as another node leads.
//                A view that is missing, or ends before the log begins, is filled with a snapshot first
//     announce:  our announcement --> Kafka; read until it is there, accepted: leading
//     append:    stamp --> Kafka, acks=all --in place?--> the view --> committed
//     meanwhile: a thread of its own reads the journal back; what it does not find as it was acknowledged stops us
//     reopen:    read to the end --nobody else announced, and we may--> announce; else deposed: follow again
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
#include "store/snapshot_restore.hpp"

namespace pawl::broker {

class outbox_desk;
class recent_records;

/// A view is being read from the log.
struct catch_up_progress {
  std::int64_t offset = 0;
  std::int64_t from = 0;
  std::int64_t end = 0;
  bool anew = false;  ///< from nothing, because it was missing or did not fit the log
  /// Of the snapshot that the view is being filled with; `of` 0: it is the log that is read.
  store::restore_progress snapshot{};
};

struct kafka_journal_options {
  kafka_options client;
  std::string topic;  ///< "shop.journal"
  std::int32_t partition = 0;
  announcer who;
  std::chrono::milliseconds append_timeout{10'000};  ///< after which the outcome of an append is unknown
  /// Whether a node that has led until an append failed may announce itself anew. Asked by reopen() when nobody else
  /// has; empty: yes.
  enum class again : std::uint8_t {
    yes,
    not_yet,  ///< nothing is known yet; reopen() is `unknown`, to be tried again
    no,  ///< it is another node's turn; reopen() is `deposed`
  };
  std::function<again()> lead_again{};
  /// Where the partition's snapshots are; must outlive the journal. Null: none, and what was trimmed is gone.
  store::snapshot_store* snapshots = nullptr;
  std::function<void(const std::string& event)> warn{};  ///< what a person should know; any thread
  std::function<void(const std::string& event)> told{};  ///< what is worth a line in the log
  /// The newest record format that every living node reads; asked for each record. Empty: this binary's.
  std::function<std::uint32_t()> all_read{};
  /// There is no room for the view. Appends are `deposed` then, whatever is in the log: others have room. The appending
  /// thread.
  std::function<void(const std::string& why)> view_full{};
  /// While it leads, the view takes a record so long after it is committed at the latest, and at once when somebody
  /// waits for it or more of them have come.
  std::chrono::milliseconds view_linger{20};
  std::function<void(const catch_up_progress&)> progress{};  ///< about every 100 ms while there is much to read
};

struct kafka_journal_stats {
  std::uint64_t epoch = 0;
  std::int64_t position = 0;  ///< the view has what is below
  std::int64_t end = 0;  ///< leading: behind our newest record; following: of the log, as last heard
  bool released = false;  ///< the newest leader has given the partition up
  std::int64_t read_back = 0;  ///< how far the tail has been seen
  std::uint64_t appended = 0;
  std::uint64_t appended_bytes = 0;
  std::uint64_t skipped = 0;  ///< records of others that no reader counts
  std::uint64_t garbage = 0;  ///< messages that are no records
  std::uint64_t gaps = 0;
  std::uint64_t announced = 0;  ///< how often we began to lead
  std::uint64_t stepped_down = 0;
  std::uint64_t rebuilt = 0;  ///< how often the view did not fit the log
  std::uint64_t restored = 0;  ///< how often it was filled with a snapshot
  bool leading = false;
  std::string doubt{};  ///< leading: why the next append will step down, as what is read back says; empty: nothing does
  std::chrono::steady_clock::time_point at_end{};  ///< when the view was last known to have all of the log
};

/// follow, announce, append, settle, reopen, release: one thread at a time. Everything else: any thread.
class kafka_journal final : public store::journal {
 public:
  ~kafka_journal() override;
  kafka_journal(const kafka_journal&) = delete;
  kafka_journal& operator=(const kafka_journal&) = delete;

  /// Brings the view along: waits at most `wait` for something to read, reads what is there for some 200 ms, and
  /// returns; true: something was read. A view that does not fit the log is read anew, from a snapshot where there is
  /// one that fits: then it takes as long as that takes. After having led, and after an
  /// exception, it goes on from where the view stands. Throws kafka_error, store::write_error, where it is the
  /// view that has failed, and store::store_error.
  bool follow(std::chrono::milliseconds wait);
  /// Appends an announcement and reads on until it is there. False: another one was accepted before ours, or instead.
  /// Throws as follow(), which is to be called next then.
  bool announce();

  /// `unknown` when the outcome is, and when this node does not lead. An empty record is a barrier, or carries the
  /// marks below; it is appended all the same.
  store::append_result append(store::record r) override;
  store::append_result append_beside(store::record r, const std::function<void()>& meanwhile) override;
  /// Waits until the view shows all, on whatever thread it is written. Whoever leads calls this when there is nothing
  /// to append for a while, and so hears that the view cannot be written; append() tells as well.
  store::append_result settle() override;
  void await_views() override;
  bool may_begin(std::string_view workflow_id) const override;
  /// `deposed`: another node leads, or it is another node's turn; see kafka_journal_options::lead_again.
  store::append_result reopen() override;
  engine::reign reign() const override;
  std::uint64_t epoch() const override;
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
  /// What this partition has to do with the others; its numbers and marks ride in the batches.
  outbox_desk& outbox();
  /// What this node has committed last, while it leads.
  recent_records& recent();
  /// The events of the records up to here are published; rides in the next batch.
  void fed(const store::log_point& upto);
  store::log_point fed() const;

  /// Gives the partition up: nothing can be appended under this epoch any more. For the appending thread, when it has
  /// ended its work. False: that could not be written; whoever comes next announces all the same.
  bool release();
  kafka_journal_stats stats() const;

 private:
  friend std::unique_ptr<kafka_journal> follow_kafka_journal(kafka_journal_options o, store::embedded_journal& view);
  struct state;
  explicit kafka_journal(std::unique_ptr<state> s);
  std::unique_ptr<state> state_;
};

/// One that follows. `view` is opened with truth = false and must outlive the journal; nobody else appends to it.
/// Throws kafka_error.
std::unique_ptr<kafka_journal> follow_kafka_journal(kafka_journal_options o, store::embedded_journal& view);

/// Brings the view up to the end of the log and begins to lead, whoever did before: for a node that is alone. Blocks.
/// Throws kafka_error and store::store_error.
std::unique_ptr<kafka_journal> open_kafka_journal(kafka_journal_options o, store::embedded_journal& view);

}  // namespace pawl::broker
