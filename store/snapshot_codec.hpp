// The bytes of snapshots and segments: frames of rows by section; docs/snapshots.md describes them, keep both in step.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "store/errors.hpp"
#include "store/journal.hpp"
#include "store/snapshot_store.hpp"

namespace pawl::store {

/// The newest that this version reads, and writes.
inline constexpr std::uint32_t snapshot_format = 1;
inline constexpr std::size_t largest_frame = std::size_t{64} << 20;

/// Thrown where a snapshot or a segment cannot be used: what is wrong with which blob.
class snapshot_damage : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// One value of a row, as SQLite has it.
struct cell {
  enum class type : std::uint8_t { nothing, integer, text, bytes };
  type is = type::nothing;
  std::int64_t number = 0;
  std::string_view chars{};

  static cell of(std::int64_t n) { return {.is = type::integer, .number = n}; }
  static cell of_text(std::string_view s) { return {.is = type::text, .chars = s}; }
  static cell of_bytes(std::string_view s) { return {.is = type::bytes, .chars = s}; }
};
using row = std::span<const cell>;

/// In the order in which a file has them, but that `runs` and `events` alternate.
enum class section : std::uint8_t {
  about,
  segments,
  keys,
  runs,
  events,
  heartbeats,
  outcomes,
  outbox,
  peers,
  received,
  marks,
  end
};
inline constexpr std::size_t sections = 12;

struct section_shape {
  std::string_view name;
  std::string_view columns;  ///< a letter each: i integer, t text, b bytes, ? integer or nothing
  bool longer = false;       ///< more columns may follow, and are ignored
};
const section_shape& shape_of(section s);

enum class snapshot_file : std::uint8_t { snapshot, segment };

/// Writes one file. Rows of one section after the other; what is in memory is a few MiB.
class section_writer {
 public:
  section_writer(snapshot_store::upload& to, snapshot_file kind);
  void add(section s, row cells);
  /// Everything added so far comes before what is added later.
  void flush();
  /// Nothing is added after it. The upload's finish() is the caller's.
  void end();
  /// What is in memory yet included.
  std::uint64_t bytes() const { return bytes_ + waiting_; }

 private:
  struct pending {
    std::string rows;
    std::uint32_t count = 0;
  };
  void write(section s, pending& p);
  void write(std::string_view bytes);

  snapshot_store::upload& to_;
  std::array<pending, sections> pending_;
  std::size_t waiting_ = 0;  // bytes in pending_
  std::uint64_t frames_ = 0, rows_ = 0, bytes_ = 0;
};

/// Reads one file and everything that its checksums say. Throws snapshot_damage and what the store throws.
class section_reader {
 public:
  section_reader(snapshot_store& from, const std::string& name, snapshot_file kind);
  ~section_reader();
  section_reader(const section_reader&) = delete;
  section_reader& operator=(const section_reader&) = delete;

  /// Calls `on_row` for each row of the next frame. False: that was the end, and it is all there.
  bool next(const std::function<void(section, row)>& on_row);
  /// Of what has been read; of the whole file after the end.
  const snapshot_store::checksum& read() const { return sum_; }

 private:
  std::string_view take(std::size_t n);
  section section_called(std::string_view name) const;
  void end(row cells);
  [[noreturn]] void damaged(const std::string& what) const;

  const std::string name_;
  std::unique_ptr<snapshot_store::download> in_;
  std::string frame_;
  snapshot_store::checksum sum_;
  std::uint64_t frames_ = 0, rows_ = 0;
};

/// What a snapshot is of.
struct snapshot_about {
  std::string topic;  ///< "shop.journal"
  std::int32_t partition = 0;
  log_position position;
  std::int64_t last_event_at = 0;
  std::uint64_t runs = 0;  ///< closed ones included
  std::int64_t written_at = 0;
  bool operator==(const snapshot_about&) const = default;
};
void put_about(section_writer& to, const snapshot_about& a);
snapshot_about get_about(row cells);

struct segment_line {
  std::string name;
  snapshot_store::checksum sum;
  std::uint64_t runs = 0;
  bool operator==(const segment_line&) const = default;
};
void put_segment(section_writer& to, const segment_line& s);
segment_line get_segment(row cells);

/// Names of blobs. A snapshot's says where it ends.
std::string snapshot_folder(std::int32_t partition);
std::string snapshot_name(std::int32_t partition, std::int64_t offset, std::uint32_t crc);
std::string segment_name(std::int32_t partition, std::int64_t offset, std::uint64_t random);
struct snapshot_place {
  std::int64_t offset = 0;
  std::uint32_t crc = 0;
};
/// None: it is no snapshot's.
std::optional<snapshot_place> place_of(std::string_view name);
/// A name that we give: a snapshot's, a segment's, or that of one being written. Others are left alone.
bool is_ours(std::string_view name);

/// 16 bytes, big-endian.
std::string to_bytes(const engine::reign& r);
engine::reign reign_of(std::string_view bytes);

}  // namespace pawl::store
