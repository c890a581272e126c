// A journal as every reader folds it, and whether it holds together: what `pawl journal dump | check` show.
// docs/journal.md has the rules. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "broker/fence.hpp"
#include "broker/journal_codec.hpp"

namespace pawl::broker {

inline constexpr std::size_t most_audit_findings = 100;

struct audited_record {
  enum class state : std::uint8_t {
    counts,
    skipped,  ///< of who may not lead, or not the next
    garbage,  ///< no record of ours, or damaged
    newer,    ///< this version cannot read it, nor what follows
    unknown,  ///< before the first announcement of a log that does not begin at 0
  };
  std::int64_t offset = 0;
  std::size_t bytes = 0;
  state what = state::counts;
  std::string why{};  ///< where it does not count
  journal_record record{};
};
std::string_view text(audited_record::state s);
std::string_view text(record_kind k);

struct audit_counts {
  std::uint64_t records = 0;
  std::uint64_t counted = 0;
  std::uint64_t skipped = 0;
  std::uint64_t garbage = 0;
  std::uint64_t unknown = 0;
  std::uint64_t announcements = 0;
  std::uint64_t batches = 0;
  std::uint64_t runs = 0;
  std::uint64_t events = 0;
  std::uint64_t findings = 0;
};

/// One thread at a time. Memory: some 60 bytes a run that is open, or whose beginning was not read.
class journal_audit {
 public:
  /// `first`: the oldest offset that the log has.
  explicit journal_audit(std::int64_t first) : next_(first), whole_(first == 0), known_(first == 0) {}

  /// The next message. Its changes are held against those before it.
  audited_record read(std::int64_t offset, std::string_view value);
  /// The log ends at `end`.
  void finish(std::int64_t end);

  const audit_counts& counts() const { return counts_; }
  /// What is wrong, in order; the first `most_audit_findings`.
  const std::vector<std::string>& findings() const { return findings_; }
  const fold& folded() const { return fold_; }

 private:
  void decide(audited_record& r);
  void check(const audited_record& r);
  void check_run(const std::string& where, const store::run_change& c);
  void check_outbox(const std::string& where, const store::outbox_changes& c);
  void add(std::string what);

  struct run_state {
    std::uint64_t seq = 0;
    bool closed = false;
  };

  std::int64_t next_;
  bool whole_;
  bool known_;  // an announcement was read, or the log is whole
  fold fold_;
  std::unordered_map<engine::run_key, run_state> runs_;
  engine::run_key newest_run_ = 0;
  std::int64_t position_ = -1;
  std::int64_t fed_ = -1;
  std::int64_t last_event_at_ = 0;
  std::int64_t found_at_ = 0;  // the newest event's time when the present leader announced itself: no older one follows
  std::map<std::int32_t, std::uint64_t> given_, acknowledged_;
  std::map<std::int32_t, store::receive_state> received_;
  audit_counts counts_;
  std::vector<std::string> findings_;
};

}  // namespace pawl::broker
