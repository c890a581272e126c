// Which partition a workflow is in: as Java's default partitioner puts a key, so that foreign producers agree.
#pragma once

#include <cstdint>
#include <string_view>

namespace pawl::broker {

/// MurmurHash2 with the seed of Apache Kafka (org.apache.kafka.common.utils.Utils.murmur2).
constexpr std::uint32_t murmur2(std::string_view key) {
  constexpr std::uint32_t m = 0x5bd1e995U;
  const auto size = static_cast<std::uint32_t>(key.size());
  const auto byte = [&](std::size_t at) { return std::uint32_t{static_cast<unsigned char>(key[at])}; };
  std::uint32_t h = 0x9747b28cU ^ size;
  std::size_t at = 0;
  for (; at + 4 <= key.size(); at += 4) {
    std::uint32_t k = byte(at) | (byte(at + 1) << 8U) | (byte(at + 2) << 16U) | (byte(at + 3) << 24U);
    k *= m;
    k ^= k >> 24U;
    k *= m;
    h = (h * m) ^ k;
  }
  const auto rest = key.size() - at;
  if (rest == 3) h ^= byte(at + 2) << 16U;
  if (rest >= 2) h ^= byte(at + 1) << 8U;
  if (rest >= 1) h = (h ^ byte(at)) * m;
  h ^= h >> 13U;
  h *= m;
  return h ^ (h >> 15U);
}

/// From 0; `partitions` is at least 1.
constexpr std::int32_t partition_of(std::string_view workflow_id, std::int32_t partitions) {
  return static_cast<std::int32_t>((murmur2(workflow_id) & 0x7fffffffU) % static_cast<std::uint32_t>(partitions));
}

}  // namespace pawl::broker
