#include "store/recent_ids.hpp"

#include <algorithm>

namespace pawl::store {

namespace {
constexpr std::size_t ids_a_line = 42;  // 12 bits an id: with 6 bits set an id, about 1 wrong yes in 150
constexpr std::size_t first_room = std::size_t{1} << 18;
}  // namespace

id_filter::id_filter(std::size_t expected) { grow(expected); }

void id_filter::grow(std::size_t expected) {
  const std::size_t lines = expected / ids_a_line + 1;
  if (!layers_.empty() && bytes() + lines * sizeof(line) > most_bytes) {
    layers_.back().room = SIZE_MAX;  // it will be too full; its yes then means less and less
    return;
  }
  layers_.push_back({std::vector<line>(lines), expected});
}

std::array<std::uint16_t, 6> id_filter::bits_of(std::uint64_t hash) {
  // The upper half chooses the line, so the bits come from the mixed lower half.
  std::uint64_t h = hash * 0x9e3779b97f4a7c15ULL;
  h ^= h >> 32;
  std::array<std::uint16_t, 6> out{};
  for (auto& b : out) {
    b = static_cast<std::uint16_t>(h & 511U);
    h >>= 9;
  }
  return out;
}

void id_filter::add(std::uint64_t hash) {
  if (layers_.back().room == 0) grow(2 * layers_.back().lines.size() * ids_a_line);
  ++added_;
  auto& l = layers_.back();
  if (l.room != SIZE_MAX) --l.room;
  auto& bits = l.lines[(hash >> 32) * l.lines.size() >> 32];
  for (const auto b : bits_of(hash)) bits[b >> 6] |= std::uint64_t{1} << (b & 63U);
}

bool id_filter::may_have(std::uint64_t hash) const {
  const auto bits = bits_of(hash);
  return std::any_of(layers_.rbegin(), layers_.rend(), [&](const layer& l) {
    const auto& here = l.lines[(hash >> 32) * l.lines.size() >> 32];
    return std::all_of(bits.begin(), bits.end(),
                       [&](std::uint16_t b) { return (here[b >> 6] >> (b & 63U) & 1U) != 0; });
  });
}

std::size_t id_filter::bytes() const {
  std::size_t out = 0;
  for (const auto& l : layers_) out += l.lines.size() * sizeof(line);
  return out;
}

recent_ids::recent_ids() : filter_(first_room), waiting_(buckets) {}

bool recent_ids::may_exist(std::string_view workflow_id) const {
  if (!complete()) return true;
  const auto hash = hash_of(workflow_id);
  const std::lock_guard lock(mutex_);
  return filter_.may_have(hash);
}

std::vector<engine::run_key> recent_ids::waiting(std::uint64_t hash) const {
  std::vector<engine::run_key> out;
  const std::lock_guard lock(mutex_);
  for (const auto& k : waiting_[bucket_of(hash)])
    if (k.hash == hash) out.push_back(k.key);
  return out;
}

std::size_t recent_ids::bytes() const {
  const std::lock_guard lock(mutex_);
  std::size_t out = filter_.bytes();
  for (const auto& b : waiting_) out += sizeof b + b.capacity() * sizeof(known_id);
  return out;
}

void recent_ids::expect(std::size_t ids) {
  const std::lock_guard lock(mutex_);
  const auto most = id_filter::most_bytes / sizeof(std::uint64_t) / 8 * ids_a_line / 2;
  if (filter_.empty()) filter_ = id_filter(std::min(ids, most) + first_room);
}

void recent_ids::announce(std::uint64_t hash) {
  const std::lock_guard lock(mutex_);
  filter_.add(hash);
}

void recent_ids::announce(const std::vector<std::uint64_t>& hashes) {
  const std::lock_guard lock(mutex_);
  for (const auto h : hashes) filter_.add(h);
}

void recent_ids::settle(const std::vector<known_id>& added, std::size_t first, std::size_t count) {
  const std::lock_guard lock(mutex_);
  auto n = count_.load(std::memory_order_relaxed);
  for (std::size_t k = 0; k < count; ++k) {
    auto& b = waiting_[(first + k) % buckets];
    n -= b.size();
    b.clear();
  }
  for (const auto& k : added) waiting_[bucket_of(k.hash)].push_back(k);
  count_.store(n + added.size(), std::memory_order_relaxed);
}

void recent_ids::clear() {
  const std::lock_guard lock(mutex_);
  for (auto& b : waiting_) b.clear();
  count_ = 0;
}

}  // namespace pawl::store
