#include "broker/kafka_snapshots.hpp"

#include "broker/log_fit.hpp"
#include "broker/topics.hpp"

namespace pawl::broker {

namespace {
constexpr std::chrono::milliseconds metadata_wait{10'000};
}  // namespace

snapshotter_options kafka_snapshots(const kafka_options& client, const std::string& name_space, std::int32_t partition,
                                    const kafka_journal& journal, const snapshot_rules& rules) {
  snapshotter_options o;
  o.topic = name_space + ".journal";
  o.partition = partition;
  o.rules = rules;
  o.progress = [&journal] {
    const auto s = journal.stats();
    return journal_progress{.end = s.end, .appended = s.appended, .appended_bytes = s.appended_bytes};
  };
  // Asked once a snapshot when this node begins to lead: a reader each is good enough.
  o.misfit = [client, topic = o.topic, partition](const store::log_position& p) {
    kafka_reader reader(client, topic, partition);
    return misfit(reader, reader.offsets(metadata_wait), p);
  };
  o.trim_journal = [client, topic = o.topic, partition](std::int64_t below) {
    delete_records(client, topic, partition, below);
  };
  o.trim_commands = [client, topic = name_space + ".commands", partition](std::int64_t below) {
    delete_records(client, topic, partition, below);
  };
  return o;
}

}  // namespace pawl::broker
