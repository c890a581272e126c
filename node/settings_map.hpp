// From the settings that people write to the options that the rooms take. Every setting ends up in one of these; a test
// changes each and looks for the difference.
#pragma once

#include <memory>

#include "actors/node_system.hpp"
#include "broker/snapshotter.hpp"
#include "broker/topics.hpp"
#include "config/settings.hpp"
#include "node/cli_error.hpp"
#include "workflow/limits.hpp"

#include <optional>
#include <string>

namespace pawl::node {

engine::limits to_limits(const config::settings& s);

/// Bytes of a request or of a command in Kafka: JSON takes more room than the msgpack that limits.payload is about,
/// with its escapes, base64 and names.
std::size_t largest_body(const config::settings& s);

/// Without what only the process knows: the view, the children, the log.
actors::node_options to_node_options(const config::settings& s);

broker::kafka_options to_kafka_options(const config::settings& s,
                                       std::function<void(int severity, std::string_view text)> log = {});
/// What the command line says of an error of Kafka. `mend`: of one that does not go away by itself.
cli_error to_cli_error(const broker::kafka_error& e, std::string mend = {});
/// What it says where kafka.brokers is empty.
cli_error no_brokers_error();
broker::topic_options to_topic_options(const config::settings& s);

broker::snapshot_rules to_snapshot_rules(const config::settings& s);
/// Where the snapshots of the namespace are; null: nowhere. Throws store_error where that cannot be used.
std::unique_ptr<store::snapshot_store> open_snapshots(const config::settings& s);
/// Where the node listens beside its Unix socket: http.listen or, of a node on Kafka, a free port of this machine,
/// since the others have to reach it. Empty: nowhere.
std::string to_listen_address(const config::settings& s);
/// Where others reach it that listens on `bound`; empty: nowhere.
std::string to_advertised_address(const config::settings& s, const std::string& bound);
/// What is wrong with the two together.
std::optional<cli_error> check_addresses(const config::settings& s);

}  // namespace pawl::node
