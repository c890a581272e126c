// Which seeds a simulation runs: PAWL_SEED one again, PAWL_SEEDS how many.
#pragma once

#include <cstdint>
#include <cstdlib>

namespace pawl::broker {

struct seed_range {
  std::uint64_t first = 1;
  std::uint64_t count = 1;
};

inline seed_range seeds_to_run(std::uint64_t usual) {
  const auto given = [](const char* name, std::uint64_t otherwise) {
    const char* v = std::getenv(name);
    return v ? std::strtoull(v, nullptr, 10) : otherwise;
  };
  return {.first = given("PAWL_SEED", 1), .count = given("PAWL_SEEDS", std::getenv("PAWL_SEED") ? 1 : usual)};
}

}  // namespace pawl::broker
