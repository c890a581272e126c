// What a snapshotter needs of a Kafka: how far the journal is, whether it still goes on from a snapshot, and trimming.
#pragma once

#include <string>

#include "broker/kafka_journal.hpp"
#include "broker/snapshotter.hpp"

namespace pawl::broker {

/// Options of the snapshotter of the partition that `journal` leads; `standbys`, `warn` and `told` are the caller's.
/// The journal must outlive the snapshotter.
snapshotter_options kafka_snapshots(const kafka_options& client, const std::string& name_space, std::int32_t partition,
                                    const kafka_journal& journal, const snapshot_rules& rules);

}  // namespace pawl::broker
