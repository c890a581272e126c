// The workflow ids that are in memory: a filter over all of them, and the ones that the table `ids` does not have yet.
//
// Ids are random, so putting each into an index on disk as it comes would rewrite a page of that index an id, more than
// all the rest of a workflow. Instead the newest ids wait here, and with each record a small range of hashes, the next
// one of an endless sweep, is moved to the table: the ids of a range lie on few pages. What waits here is lost with the
// process and found again by reading the rows of `runs` from `state.ids_below` on; every key below that is in the
// table.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "workflow/ids.hpp"

namespace pawl::store {

/// What an id is found by in memory and in the table `ids`. Stored: may not change.
inline std::uint64_t hash_of(std::string_view workflow_id) { return engine::stable_hash(workflow_id); }

struct known_id {
  std::uint64_t hash = 0;
  engine::run_key key = 0;
};

/// A set of hashes that may answer yes wrongly (about 1 in 100 while it holds no more than it was made for), never no.
/// Grows by doubling up to `most_bytes`; above that it answers yes more often. Not thread-safe by itself.
class id_filter {
 public:
  explicit id_filter(std::size_t expected);
  void add(std::uint64_t hash);
  bool may_have(std::uint64_t hash) const;
  std::size_t bytes() const;
  bool empty() const { return added_ == 0; }

  static constexpr std::size_t most_bytes = std::size_t{128} << 20;

 private:
  // The bits of a hash all lie in one cache line.
  using line = std::array<std::uint64_t, 8>;
  struct layer {
    std::vector<line> lines;
    std::size_t room = 0;
  };
  void grow(std::size_t expected);
  static std::array<std::uint16_t, 6> bits_of(std::uint64_t hash);

  std::vector<layer> layers_;
  std::size_t added_ = 0;
};

/// One thread adds and takes away (the journal's), any thread asks.
class recent_ids {
 public:
  static constexpr std::size_t buckets = 4096;

  recent_ids();

  /// False: no run of that id is on record. True until mark_complete(), and now and then without need.
  bool may_exist(std::string_view workflow_id) const;
  /// Keys of waiting runs whose id has that hash.
  std::vector<engine::run_key> waiting(std::uint64_t hash) const;
  std::size_t waiting_count() const { return count_.load(std::memory_order_relaxed); }
  std::size_t bytes() const;

  /// So many ids are on record: while the filter is empty it is made as large. Answers do not depend on it.
  void expect(std::size_t ids);
  /// Into the filter only, before the run is durable.
  void announce(std::uint64_t hash);
  /// Into the filter, many at a time (the table's, read in the background). Any thread.
  void announce(const std::vector<std::uint64_t>& hashes);
  void mark_complete() { complete_.store(true, std::memory_order_release); }
  bool complete() const { return complete_.load(std::memory_order_acquire); }

  /// What waits in a bucket. Only for the thread that adds and takes away.
  const std::vector<known_id>& bucket(std::size_t n) const { return waiting_[n]; }
  /// Runs are durable: `added` wait from now on, the buckets [first, first + count) (modulo) are in the table.
  void settle(const std::vector<known_id>& added, std::size_t first, std::size_t count);
  /// Nothing waits any more.
  void clear();

 private:
  static std::size_t bucket_of(std::uint64_t hash) { return hash >> 52; }

  mutable std::mutex mutex_;
  id_filter filter_;
  std::vector<std::vector<known_id>> waiting_;
  std::atomic<std::size_t> count_{0};
  std::atomic<bool> complete_{false};
};

}  // namespace pawl::store
