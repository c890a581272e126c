#include "broker/journal_audit.hpp"

#include <algorithm>

#include "workflow/event_codec.hpp"

namespace pawl::broker {

namespace {

std::string of_run(engine::run_key key) { return "the run with key " + std::to_string(key); }

// A run that was reset or forked begins with events of another one, which have the times that they had there.
bool begins_with_anothers(const store::run_change& c) {
  if (!c.created || c.events.empty()) return false;
  engine::event first;
  if (!engine::decode_body(c.events.front().body, first).empty() || !first.start || !first.start->origin) return false;
  return first.start->origin->kind != engine::origin_kind::continued;
}

}  // namespace

std::string_view text(audited_record::state s) {
  switch (s) {
    case audited_record::state::counts:
      return "counts";
    case audited_record::state::skipped:
      return "skipped";
    case audited_record::state::garbage:
      return "garbage";
    case audited_record::state::newer:
      return "newer";
    case audited_record::state::unknown:
      return "unknown";
  }
  return "";
}

std::string_view text(record_kind k) {
  switch (k) {
    case record_kind::announcement:
      return "announcement";
    case record_kind::batch:
      return "batch";
    case record_kind::release:
      return "release";
    case record_kind::barrier:
      return "barrier";
  }
  return "";
}

audited_record journal_audit::read(std::int64_t offset, std::string_view value) {
  audited_record r{.offset = offset, .bytes = value.size()};
  ++counts_.records;
  if (offset != next_)
    add("offsets " + std::to_string(next_) + " to " + std::to_string(offset - 1) +
        " are missing: the topic was compacted, or trimmed by somebody else");
  next_ = offset + 1;
  switch (decode(value, r.record, r.why)) {
    case readable::yes:
      decide(r);
      break;
    case readable::garbage:
      r.what = audited_record::state::garbage;
      ++counts_.garbage;
      break;
    case readable::newer:
      r.what = audited_record::state::newer;
      add("offset " + std::to_string(offset) + " is " + r.why);
      break;
  }
  if (r.what == audited_record::state::counts) check(r);
  return r;
}

void journal_audit::decide(audited_record& r) {
  const auto& s = r.record.stamp;
  const auto before = fold_;
  if (!known_ && s.kind != record_kind::announcement) {
    r.what = audited_record::state::unknown;
    r.why = "who led when the log begins is not known here";
    ++counts_.unknown;
    return;
  }
  if (fold_.apply(s)) {
    known_ = true;
    ++counts_.counted;
    return;
  }
  r.what = audited_record::state::skipped;
  ++counts_.skipped;
  if (s.epoch != before.epoch || s.reign != before.reign)
    r.why = "of epoch " + std::to_string(s.epoch) + ", and epoch " + std::to_string(before.epoch) +
            (s.epoch == before.epoch ? " is of another reign" : " is the present one");
  else if (before.released)
    r.why = "its leader had given the partition up";
  else
    r.why = "seq " + std::to_string(s.seq) + " does not follow " + std::to_string(before.seq);
}

void journal_audit::check(const audited_record& r) {
  const auto where = "offset " + std::to_string(r.offset) + ": ";
  if (r.record.stamp.kind == record_kind::announcement) {
    ++counts_.announcements;
    found_at_ = last_event_at_;
  }
  if (r.record.stamp.kind != record_kind::batch) return;
  ++counts_.batches;
  const auto& b = r.record.batch;
  if (b.position >= 0 && b.position < position_)
    add(where + "the position of the commands goes back from " + std::to_string(position_) + " to " +
        std::to_string(b.position));
  position_ = std::max(position_, b.position);
  if (b.feed.offset >= r.offset || b.feed.offset < fed_)
    add(where + "what is published, offset " + std::to_string(b.feed.offset) + ", is not between offset " +
        std::to_string(fed_) + " and the record");
  fed_ = std::max(fed_, b.feed.offset);
  for (const auto& c : b.changes.runs) check_run(where, c);
  check_outbox(where, b.changes.outbox);
}

void journal_audit::check_run(const std::string& where, const store::run_change& c) {
  const auto known = runs_.find(c.key);
  if (c.created) {
    ++counts_.runs;
    if (known != runs_.end() || c.key <= newest_run_)
      add(where + of_run(c.key) + " is created again, or after one with a higher key");
    newest_run_ = std::max(newest_run_, c.key);
  } else if (known == runs_.end() && whole_) {
    add(where + of_run(c.key) + " changes, and is closed or was never created");
  }
  auto& run = runs_[c.key];
  if (!c.created && known == runs_.end() && !c.events.empty()) run.seq = c.events.front().seq - 1;
  const bool anothers = begins_with_anothers(c);
  for (const auto& e : c.events) {
    ++counts_.events;
    if (e.seq != run.seq + 1)
      add(where + "event " + std::to_string(e.seq) + " of " + of_run(c.key) + " follows event " +
          std::to_string(run.seq));
    if (run.closed) add(where + "event " + std::to_string(e.seq) + " of " + of_run(c.key) + " follows its end");
    if (e.at < found_at_ && !anothers)
      add(where + "event " + std::to_string(e.seq) + " of " + of_run(c.key) + " is older than what its leader found");
    last_event_at_ = std::max(last_event_at_, e.at);
    run.seq = e.seq;
    run.closed = run.closed || is_terminal(e.kind);
  }
  if (c.last_seq != run.seq)
    add(where + of_run(c.key) + " is said to end at event " + std::to_string(c.last_seq) + ", and ends at " +
        std::to_string(run.seq));
  // Of a whole log a closed run needs no memory: what comes to it is of no run.
  if (run.closed && whole_) runs_.erase(c.key);
}

void journal_audit::check_outbox(const std::string& where, const store::outbox_changes& c) {
  for (const auto& m : c.messages) {
    auto& given = given_[m.to];
    if (m.number != given + 1 && (given > 0 || whole_))
      add(where + "message " + std::to_string(m.number) + " to partition " + std::to_string(m.to) +
          " follows message " + std::to_string(given));
    given = m.number;
  }
  for (const auto& a : c.acknowledged) {
    auto& below = acknowledged_[a.to];
    if (a.below < below || (whole_ && a.below > given_[a.to] + 1))
      add(where + "messages to partition " + std::to_string(a.to) + " are acknowledged below " +
          std::to_string(a.below));
    below = std::max(below, a.below);
  }
  for (const auto& m : c.received) {
    auto& s = received_[m.from];
    if (m.what == store::receive_mark::state::in_order && s.what == m.what && m.number <= s.number())
      add(where + "message " + std::to_string(m.number) + " of partition " + std::to_string(m.from) +
          " is applied after message " + std::to_string(s.number()));
    s.fold(m);
  }
}

void journal_audit::finish(std::int64_t end) {
  if (next_ < end)
    add("the log ends at offset " + std::to_string(end) + ", and cannot be read beyond offset " +
        std::to_string(next_));
}

void journal_audit::add(std::string what) {
  ++counts_.findings;
  if (findings_.size() < most_audit_findings) findings_.push_back(std::move(what));
}

}  // namespace pawl::broker
