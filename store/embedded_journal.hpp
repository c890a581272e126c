// The embedded journal: one SQLite file, `<directory>/pawl.db`, is journal and view at once, in WAL mode with
// synchronous=FULL, one transaction a record.
//
// What an error means. Nothing of a record is visible before its COMMIT has returned. An error before that, or of the
// COMMIT, closes the handle: whether the record is durable is then known only to the file, and the same handle is never
// asked again (after a failed fsync the kernel calls the pages clean, and a second try would succeed without having
// written them). reopen() reads the WAL as the disk has it and copies what is committed into the database file, synced,
// before anything new is appended behind it.
//
//     disk full                                     no_space   reopen() fails the same way until space returns
//     I/O error, corrupt file                       broken     pawl.check is left: the next opening checks the
//     integrity out of memory, a lock that somebody else has  unknown a constraint, an existing (id, run) refused
//     rolled back; the journal is as it was
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "store/errors.hpp"
#include "store/journal.hpp"
#include "store/view.hpp"

namespace pawl::store {

class view_loader;

/// The file cannot be opened or written; `status` as of an append.
class write_error : public store_error {
 public:
  explicit write_error(const append_result& r) : store_error(r.message), status_(r.status) {}
  append_status status() const { return status_; }

 private:
  append_status status_;
};

struct embedded_options {
  std::string directory{};
  /// The WAL is copied into the database file from a quarter of this on, and cut above it. That of a view is copied
  /// beside the commits (checkpointer.hpp), which would wait for it otherwise.
  std::uint64_t wal_limit = std::uint64_t{64} << 20;
  /// How long to wait for a lock that another process holds.
  std::chrono::milliseconds busy_timeout{5'000};
  /// Outcomes are dropped when they are older, or when there are more.
  std::chrono::milliseconds outcome_age = std::chrono::hours(24);
  std::uint64_t outcome_count = 1'000'000;
  std::size_t cache_bytes = std::size_t{64} << 20;
  /// Only matters when the file is made.
  std::uint32_t page_size = 8192;
  /// Ids that wait in memory for their place in the table `ids` (recent_ids.hpp): 16 bytes each.
  std::size_t waiting_ids = 131'072;
  /// False: of a view whose truth is a log elsewhere. A power cut may then take the newest records back, whole, and the
  /// log gives them again.
  bool truth = true;
  /// SQLite's name of another file layer, for tests. Empty: the default.
  std::string vfs{};
};

struct journal_stats {
  std::uint64_t records = 0;
  std::uint64_t wal_bytes = 0;
  std::uint64_t checkpoints = 0;
  std::uint64_t checkpoint_us = 0;
  std::uint64_t checkpoints_blocked = 0;  ///< a reader kept the WAL from being begun anew
  std::uint64_t ids_waiting = 0;
  std::uint64_t id_memory_bytes = 0;
  bool ids_known = false;  ///< may_exist answers from memory
};

/// append, reopen: one thread. Everything else: any thread, at any time.
class embedded_journal final : public journal {
 public:
  /// Cuts the WAL when all is well; never throws.
  ~embedded_journal() override;
  embedded_journal(const embedded_journal&) = delete;
  embedded_journal& operator=(const embedded_journal&) = delete;

  append_result append(record r) override;
  append_result reopen() override;
  engine::reign reign() const override;
  engine::run_key next_run_key() const override;
  std::int64_t last_event_time() const override;

  /// False: no committed run has this id. About 1 in 100 answers is a needless true, and all are until the ids on disk
  /// have been read in the background (a second a few million). Costs 0.1 us.
  bool may_exist(std::string_view workflow_id) const;
  /// A view that shares the ids in memory. In the journal's own process use this and not open_view(directory), whose
  /// find() has to read the rows of the newest runs. Throws view_error.
  std::unique_ptr<view> open_view() const;
  /// The record with other news of the outbox than its own.
  append_result append(const record& r, const outbox_changes& outbox);
  /// As a view: the record brings it to `position`, in the same transaction.
  append_result append(const record& r, const log_position& position);
  /// Many records, in their order, which bring it to `position`: in one transaction, so that who reads sees all or none
  /// of them, and one that is refused takes the others along.
  append_result append(std::span<const std::shared_ptr<const record>> records, const log_position& position);
  /// Where it stands; none: nothing was applied yet. On the appending thread. Throws store_error.
  std::optional<log_position> position();
  /// What it has to do with other partitions. On the appending thread. Throws store_error.
  outbox_state outbox();
  /// As a view that has to be built anew: empties every table, in one transaction, so that who reads sees the old or
  /// the empty one. On the appending thread.
  append_result clear();
  /// As a view: empties it, and `rows` puts everything that it is to hold and says where it then stands (a snapshot's
  /// restorer does: snapshot_restore.hpp). Until that is done position() is none, whoever reads sees a part, and one
  /// whose filling was cut short is emptied when it is opened. What `rows` throws passes through, and leaves it empty.
  append_result fill(const std::function<log_position(view_loader&)>& rows);

  /// As long as somebody has it the WAL may grow beyond its limit, so that a long reading holds up nobody who appends.
  /// Any thread; must not outlive the journal.
  std::shared_ptr<void> long_reading() const;
  /// How often the tables have been emptied since the opening.
  std::uint64_t emptied() const;
  const std::string& directory() const;

  journal_stats stats() const;

 private:
  friend std::unique_ptr<embedded_journal> open_embedded(const embedded_options& options);
  struct state;
  explicit embedded_journal(std::unique_ptr<state> s);
  std::unique_ptr<state> state_;
};

/// Makes the store in an existing directory, or opens it, migrates it, and checks its integrity when pawl.check asks
/// for it. The directory's lock is the caller's business (data_directory.hpp). Throws write_error.
std::unique_ptr<embedded_journal> open_embedded(const embedded_options& options);

}  // namespace pawl::store
