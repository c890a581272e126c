// A log of heartbeats with a clock that tests set by hand, and what a reader makes of it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "broker/ownership.hpp"

namespace pawl::broker {

inline constexpr std::int64_t midnight = 1'700'000'000'000;

struct log_reader {
  explicit log_reader(ownership_settings s = {}) : fold(s) {}

  heartbeat make(const std::string& node, std::vector<partition_report> partitions = {}) const {
    return {.node = node,
            .incarnation = engine::stable_hash(node),
            .sent_ms = now,
            .address = node + ":80",
            .partitions = std::move(partitions)};
  }
  bool append(const heartbeat& h) { return fold.read(fold.next_offset(), now, h); }
  bool beat(const std::string& node, std::vector<partition_report> partitions = {}) {
    return append(make(node, std::move(partitions)));
  }
  // All of them every 300 ms.
  void live(milliseconds d, const std::vector<std::string>& nodes) {
    for (milliseconds t{0}; t < d; t += heartbeat_interval) {
      now += heartbeat_interval.count();
      for (const auto& n : nodes) beat(n);
    }
  }
  bool is_live(const std::string& node) const {
    const auto* n = fold.find(node);
    return n != nullptr && n->live;
  }

  ownership_fold fold;
  std::int64_t now = midnight;
};

// One node's part.
struct one_node {
  one_node(const std::string& name, engine::incarnation i, ownership_settings s = {}) : own(name, i, s) {}
  heartbeat sign(std::vector<partition_report> partitions = {}) {
    return own.sign(
        {.sent_ms = midnight, .address = "at-" + std::to_string(own.incarnation()), .partitions = partitions});
  }
  bool read(const heartbeat& h, std::int64_t after = 100) {
    return own.read(own.fold().next_offset(), now += after, h);
  }
  ownership own;
  std::int64_t now = midnight;
};

}  // namespace pawl::broker
