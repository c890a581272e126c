#include "store/snapshot_writer.hpp"

#include <sys/random.h>

#include <algorithm>
#include <chrono>

#include "store/data_directory.hpp"
#include "store/errors.hpp"
#include "store/event_chunk.hpp"
#include "store/record_writer.hpp"
#include "store/snapshot_tables.hpp"
#include "store/sqlite_view.hpp"

namespace pawl::store {

namespace {

/// Runs of a segment that are read in one transaction.
constexpr std::size_t runs_at_once = 256;
/// Keys of closed runs that are in memory at a time, when all have to be looked at.
constexpr std::int64_t keys_at_once = 1'000'000;

std::uint64_t draw() {
  std::uint64_t bits = 0;
  if (::getrandom(&bits, sizeof bits, 0) != sizeof bits) throw store_error("cannot draw random numbers");
  return bits;
}

std::int64_t now_us() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

// What SQLite has in its columns from `first` on, as the section has it.
template <std::size_t N>
row cells_of(const statement& s, std::string_view columns, std::array<cell, N>& cells) {
  for (std::size_t n = 0; n < columns.size(); ++n) {
    const int at = static_cast<int>(n);
    switch (columns[n]) {
      case 't':
        cells[n] = cell::of_text(s.bytes(at));
        break;
      case 'b':
        cells[n] = cell::of_bytes(s.bytes(at));
        break;
      default:
        cells[n] = columns[n] == '?' && s.null(at) ? cell{} : cell::of(s.integer(at));
    }
  }
  return {cells.data(), columns.size()};
}

// Rows of `runs`, each with its events.
class run_copier {
 public:
  run_copier(database& db, section_writer& to)
      : to_(to),
        events_(db.prepare("SELECT key, at, heads, bodies FROM events WHERE key BETWEEN ?1 AND ?2 ORDER BY key")) {}

  void copy(const statement& s) {
    const auto key = s.integer(0);
    auto cells = cells_of(s, shape_of(section::runs).columns, cells_);
    engine::run_uid uid;
    if (!from_text(s.text(3) + "-0", uid))
      throw store_error("the run with key " + std::to_string(key) + " has no reign that can be read");
    reign_ = to_bytes(uid.reign);
    cells_[3] = cell::of_bytes(reign_);
    to_.add(section::runs, cells);
    for (reading e(events_.bind(1, event_key(key, 0)).bind(2, event_key(key, last_possible_seq))); e.next();)
      if (!is_joined(events_.bytes(2)) || !copy_apart())
        to_.add(section::events, cells_of(events_, shape_of(section::events).columns, cells_));
  }

 private:
  // In files that nodes share a row has one time, as older versions read it. False: it cannot be read.
  bool copy_apart() {
    const auto first = events_.integer(0);
    const auto at = events_.integer(1);
    if (!read_chunk(events_.bytes(2), events_.bytes(3), entries_).empty()) return false;
    row_.clear();
    event_row e;
    e.seq = seq_of(first);
    for (auto& entry : entries_) {
      e.at = at + entry.later;
      e.kind = static_cast<engine::event_kind>(entry.kind);
      e.attempt = entry.attempt;
      e.undo = entry.undo;
      e.step = std::move(entry.step);
      e.body = entry.body;
      if (!row_.empty() && row_.at() != e.at) put_row(run_of(first));
      row_.add(e);
      ++e.seq;
    }
    put_row(run_of(first));
    return true;
  }
  void put_row(engine::run_key key) {
    const auto& heads = row_.finish();
    const std::array cells{cell::of(event_key(key, row_.first_seq())), cell::of(row_.at()), cell::of_text(heads),
                           cell::of_bytes(row_.bodies())};
    to_.add(section::events, cells);
    row_.clear();
  }

  section_writer& to_;
  statement events_;
  std::array<cell, 16> cells_;
  std::string reign_;
  chunk_writer row_;
  std::vector<chunk_entry> entries_;
};

statement runs_where(database& db, const std::string& condition) {
  return db.prepare("SELECT " + std::string(run_columns_of_snapshot) + " FROM " + condition);
}

const std::string joined = " CROSS JOIN reigns g ON g.number = r.reign CROSS JOIN types t ON t.number = r.type ";

}  // namespace

void key_set::add(engine::run_key key) {
  const auto n = static_cast<std::size_t>(key);
  if (n >= bits_.size()) bits_.resize(std::max(n + 1, bits_.size() * 2));
  bits_[n] = true;
}

bool key_set::has(engine::run_key key) const {
  const auto n = static_cast<std::size_t>(key);
  return n < bits_.size() && bits_[n];
}

void snapshot_writer::continue_from(std::vector<segment_line> segments, key_set keys) {
  segments_ = std::move(segments);
  in_segments_ = std::move(keys);
  upto_ = -1;
}

void snapshot_writer::check(const std::stop_token& stop) const {
  if (stop.stop_requested()) throw store_error("the writing of a snapshot was ended");
  if (view_.emptied() != emptied_) throw store_error("the view was built anew meanwhile");
}

kept_snapshot snapshot_writer::write(const std::stop_token& stop) {
  const auto held = view_.long_reading();
  try {
    auto db = open_for_reading(view_.directory());
    if (upto_ < 0)
      write_all_closed(db, stop);
    else
      write_closed_since(db, stop);
    return write_snapshot(db, stop);
  } catch (const sqlite_error& e) {
    throw store_error(database_file(view_.directory()) + " cannot be read: " + e.what());
  } catch (const view_error& e) {
    throw store_error(e.what());
  }
}

namespace {

std::int64_t offset_of(database& db, const std::string& directory) {
  const auto p = read_position(db);
  if (!p || p->at.offset < 0) throw store_error(database_file(directory) + " holds nothing of the journal yet");
  return p->at.offset;
}

}  // namespace

void snapshot_writer::write_all_closed(database& db, const std::stop_token& stop) {
  std::int64_t upto = -1;
  std::int64_t after = 0;
  for (bool more = true; more;) {
    std::vector<engine::run_key> keys;
    {
      const snapshot same(db);
      offset_ = offset_of(db, view_.directory());
      if (upto < 0) upto = db.integer("SELECT max(number) FROM events");
      auto s = db.prepare("SELECT key FROM runs WHERE key > ?1 AND closed_at <> 0 ORDER BY key LIMIT ?2");
      s.bind(1, after).bind(2, keys_at_once);
      more = false;
      while (s.step()) {
        more = true;
        after = s.integer(0);
        if (!in_segments_.has(after)) keys.push_back(after);
      }
    }
    write_segments(db, keys, stop);
  }
  upto_ = upto;
}

void snapshot_writer::write_closed_since(database& db, const std::stop_token& stop) {
  std::vector<engine::run_key> keys;
  std::int64_t upto = 0;
  {
    const snapshot same(db);
    offset_ = offset_of(db, view_.directory());
    upto = db.integer("SELECT max(number) FROM events");
    auto s = db.prepare("SELECT key >> 20 FROM events WHERE number > ?1");
    s.bind(1, upto_);
    while (s.step())
      if (keys.empty() || keys.back() != s.integer(0)) keys.push_back(s.integer(0));
    std::sort(keys.begin(), keys.end());
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
    auto closed = db.prepare("SELECT closed_at <> 0 FROM runs WHERE key = ?1");
    std::erase_if(keys, [&](engine::run_key key) {
      if (in_segments_.has(key)) return true;
      reading r(closed.bind(1, key));
      return !r.next() || closed.integer(0) == 0;
    });
  }
  write_segments(db, keys, stop);
  upto_ = upto;
}

void snapshot_writer::write_segments(database& db, const std::vector<engine::run_key>& keys,
                                     const std::stop_token& stop) {
  std::span<const engine::run_key> left(keys);
  while (!left.empty()) left = left.subspan(write_segment(db, left, stop));
}

// How many of the runs it has taken.
std::size_t snapshot_writer::write_segment(database& db, std::span<const engine::run_key> keys,
                                           const std::stop_token& stop) {
  segment_line line{.name = segment_name(options_.partition, offset_, draw()), .sum = {}};
  const auto upload = to_.put(line.name);
  section_writer to(*upload, snapshot_file::segment);
  run_copier copier(db, to);
  auto one = runs_where(db, "runs r" + joined + "WHERE r.key = ?1");
  std::size_t n = 0;
  while (n < keys.size() && to.bytes() < options_.segment_bytes) {
    check(stop);
    const snapshot same(db);
    const auto end = std::min(n + runs_at_once, keys.size());
    for (; n < end && to.bytes() < options_.segment_bytes; ++n) {
      const std::array key{cell::of(keys[n])};
      to.add(section::keys, key);
      reading r(one.bind(1, keys[n]));
      if (!r.next()) throw store_error("the run with key " + std::to_string(keys[n]) + " is not there any more");
      copier.copy(one);
    }
  }
  check(stop);
  to.end();
  line.sum = upload->finish();
  line.runs = n;
  ++written_.segments;
  written_.segment_bytes += line.sum.bytes;
  written_.runs_in_segments += line.runs;
  segments_.push_back(std::move(line));
  for (const auto key : keys.first(n)) in_segments_.add(key);
  return n;
}

kept_snapshot snapshot_writer::write_snapshot(database& db, const std::stop_token& stop) {
  kept_snapshot out;
  const snapshot same(db);
  offset_of(db, view_.directory());
  const auto p = read_position(db);
  out.about = {.topic = options_.topic,
               .partition = options_.partition,
               .position = *p,
               .last_event_at = db.integer("SELECT last_event_at FROM state"),
               .runs = static_cast<std::uint64_t>(db.integer("SELECT runs FROM state")),
               .written_at = now_us()};
  out.name = snapshot_name(options_.partition, p->at.offset, p->crc);
  out.segments = segments_;
  const auto upload = to_.put(out.name);
  section_writer to(*upload, snapshot_file::snapshot);
  put_about(to, out.about);
  to.flush();
  std::uint64_t runs = 0;
  for (const auto& s : segments_) {
    put_segment(to, s);
    runs += s.runs;
  }
  to.flush();
  run_copier copier(db, to);
  auto open = runs_where(db, "runs r INDEXED BY runs_open" + joined + "WHERE r.closed_at = 0");
  for (; open.step(); ++runs) {
    check(stop);
    copier.copy(open);
  }
  // Those that were closed since the segments were written: the next ones have them.
  auto since =
      runs_where(db, "(SELECT DISTINCT key >> 20 AS k FROM events WHERE number > ?1) CROSS JOIN runs r ON r.key = k" +
                         joined + "WHERE r.closed_at <> 0");
  since.bind(1, upto_);
  while (since.step()) {
    if (in_segments_.has(since.integer(0))) continue;
    copier.copy(since);
    ++runs;
  }
  if (runs != out.about.runs)
    throw store_error("a snapshot would hold " + std::to_string(runs) + " runs, and there are " +
                      std::to_string(out.about.runs) + "; see what `pawl verify` finds");
  std::array<cell, 32> cells;
  for (const auto& table : whole_tables()) {
    to.flush();
    for (auto s = db.prepare(table.select); s.step();) to.add(table.as, cells_of(s, shape_of(table.as).columns, cells));
  }
  to.end();
  check(stop);
  out.bytes = upload->finish().bytes;
  written_.snapshot_bytes += out.bytes;
  return out;
}

}  // namespace pawl::store
