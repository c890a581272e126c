// The topics of a namespace: what there has to be, making it, and checking what is there.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "broker/kafka_client.hpp"

namespace pawl::broker {

struct topic_options {
  std::string name_space = "pawl";
  /// Of commands, journal and events, when the first of them is made; then it is fixed for ever, and what is there
  /// counts.
  std::int32_t partitions = 1;
  /// True: one broker is all there is. Else three copies of everything, two of which have it before it counts.
  bool single_broker = false;
};

struct topic_spec {
  std::string name;
  std::int32_t partitions = 1;
  std::int16_t copies = 1;
  std::map<std::string, std::string> settings{};
  std::string purpose;
};

/// commands, journal, events, nodes and dlq, in this order.
std::vector<topic_spec> topics_of(const topic_options& o);

struct topic_finding {
  std::string topic;
  std::string what;  ///< "cleanup.policy is compact, and has to be delete"
  std::string mend;  ///< what to type
  bool missing = false;
};

/// What is not as it has to be; empty when all is well. Throws kafka_error when the brokers cannot be asked.
std::vector<topic_finding> check_topics(const kafka_options& client, const topic_options& o);

/// How many partitions the namespace has. Throws kafka_error: the brokers cannot be asked, or its topics are not there,
/// also after `wait`: of topics that were made a moment ago not every broker has heard.
std::int32_t partitions_of(const kafka_options& client, const std::string& name_space,
                           std::chrono::milliseconds wait = {});

/// Makes those that are missing; leaves the others alone. The names of those made. Throws kafka_error.
std::vector<std::string> create_topics(const kafka_options& client, const topic_options& o);

/// Makes those that are missing, then checks all; `made` hears of each. Of a topic that was made a moment ago not every
/// broker has heard, so its absence is believed only after some seconds.
std::vector<topic_finding> ensure_topics(const kafka_options& client, const topic_options& o,
                                         const std::function<void(const std::string& name)>& made);

/// Deletes what is below `offset` for good. Throws kafka_error.
void delete_records(const kafka_options& client, const std::string& topic, std::int32_t partition, std::int64_t offset);

}  // namespace pawl::broker
