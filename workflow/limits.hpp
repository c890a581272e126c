// Bounds that decide checks, so that one oversized thing fails alone instead of poisoning its partition.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pawl::engine {

struct limits {
  std::size_t payload = std::size_t{1} << 20;    ///< bytes of one input, result or heartbeat's details
  std::size_t decision = std::size_t{2} << 20;   ///< bytes of all events of one decision
  std::size_t wants = 500;                       ///< wants acted on in one decision; the rest follow
  std::uint64_t history_events = 50'000;         ///< events of one run; a warning is recorded at half
  std::size_t history_bytes = std::size_t{64} << 20;
  std::size_t command_ids = 10'000;              ///< ids that one live run remembers
  std::size_t id_length = 512;                   ///< bytes of a workflow id or a command id
};

/// Updates of one run that its code has not answered; beyond it more are refused.
inline constexpr std::size_t most_open_updates = 1'000;

/// Two children that die by themselves in a row convict a step of killing its process.
inline constexpr std::uint32_t convicting_child_deaths = 2;

}  // namespace pawl::engine
