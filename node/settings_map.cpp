#include "node/settings_map.hpp"

#include "config/setting.hpp"

#include "store/snapshot_directory.hpp"

namespace pawl::node {

engine::limits to_limits(const config::settings& s) {
  const auto& l = s.limits;
  return {.payload = l.payload.count,
          .decision = l.decision.count,
          .wants = l.wants,
          .history_events = l.history_events,
          .history_bytes = l.history_bytes.count,
          .command_ids = l.command_ids,
          .id_length = l.id_length.count};
}

std::size_t largest_body(const config::settings& s) {
  constexpr std::size_t around_the_input = 64 * 1024;
  // A start that brings the events of another run along has a whole decision.
  return std::max(s.limits.payload.count * 4, s.limits.decision.count) + around_the_input;
}

actors::node_options to_node_options(const config::settings& s) {
  actors::node_options o;
  o.limits = to_limits(s);
  auto& step = o.defaults.step;
  step.timeout = s.step.timeout;
  step.first_delay = s.retry.first_delay;
  step.factor = s.retry.factor;
  step.max_delay = s.retry.max_delay;
  step.max_attempts = s.retry.max_attempts;

  o.partition.live = s.limits.live_workflows;
  o.partition.waiters = s.limits.waiters;
  o.partition.queued = s.limits.open_starts;
  o.partition.evict = s.eviction.enabled;
  o.partition.idle = s.eviction.idle;
  o.partition.horizon = s.timers.horizon;
  o.partition.advance = s.limits.code_advance;

  o.pool.max_threads = s.pool.threads;
  o.pool.written_off_limit = s.pool.written_off_limit;
  o.children = s.pool.child_limit();
  o.batch_bytes = s.limits.batch.count;
  o.open_starts = s.limits.open_starts;
  return o;
}

broker::kafka_options to_kafka_options(const config::settings& s, std::function<void(int, std::string_view)> log) {
  broker::kafka_options o;
  o.brokers = s.kafka.brokers;
  o.properties = s.kafka.properties;
  o.client_id = "pawl-" + s.node.name;
  o.log = std::move(log);
  return o;
}

cli_error to_cli_error(const broker::kafka_error& e, std::string mend) {
  const bool away = e.advice() == broker::kafka_advice::again;
  return {away ? exit_code::unavailable : exit_code::failed,
          config::printable(e.what()),
          away ? "See that the brokers of kafka.brokers are up and can be reached" : std::move(mend),
          {}};
}

cli_error no_brokers_error() {
  return {exit_code::usage, "kafka.brokers is empty", "Name the brokers, such as --set kafka.brokers=host:9092", {}};
}

broker::topic_options to_topic_options(const config::settings& s) {
  return {.name_space = s.kafka.name_space,
          .partitions = static_cast<std::int32_t>(s.kafka.partitions),
          .single_broker = s.kafka.durability == config::durability::single_broker};
}

broker::snapshot_rules to_snapshot_rules(const config::settings& s) {
  broker::snapshot_rules r;
  r.records = s.kafka.snapshot_records;
  r.bytes = s.kafka.snapshot_bytes.count;
  r.interval = s.kafka.snapshot_interval;
  r.standby_limit = s.kafka.snapshot_standby_limit;
  return r;
}

std::unique_ptr<store::snapshot_store> open_snapshots(const config::settings& s) {
  if (s.kafka.brokers.empty() || s.kafka.snapshot_dir.empty()) return nullptr;
  return store::open_snapshot_directory(s.kafka.snapshot_dir + "/" + s.kafka.name_space);
}

std::string to_listen_address(const config::settings& s) {
  return s.http.listen.empty() && !s.kafka.brokers.empty() ? "127.0.0.1:0" : s.http.listen;
}

std::string to_advertised_address(const config::settings& s, const std::string& bound) {
  return s.http.advertise.empty() || bound.empty() ? bound : s.http.advertise;
}

std::optional<cli_error> check_addresses(const config::settings& s) {
  const auto& h = s.http;
  if (!h.advertise.empty()) {
    const auto colon = h.advertise.rfind(':');
    if (colon == std::string::npos || colon == 0 || colon + 1 == h.advertise.size())
      return usage_error("http.advertise: " + config::in_quotes(h.advertise) + " is not a host and a port",
                         "Write HOST:PORT as other nodes reach it");
    return std::nullopt;
  }
  const bool everywhere = h.listen.starts_with("0.0.0.0:") || h.listen.starts_with("[::]:");
  if (everywhere && !s.kafka.brokers.empty())
    return usage_error("http.listen is " + h.listen + ", which names no address at which other nodes reach this one",
                       "Set http.advertise to its host and port");
  return std::nullopt;
}

}  // namespace pawl::node
