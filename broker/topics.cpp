#include "broker/topics.hpp"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <thread>

namespace pawl::broker {

namespace {

/// Between two looks at what brokers have heard of.
constexpr std::chrono::milliseconds between_looks{50};
constexpr int patience_ms = 15'000;
constexpr const char* largest_message = "8388608";

template <auto Destroy>
struct destroyer {
  template <class T>
  void operator()(T* p) const {
    Destroy(p);
  }
};
using queue_ptr = std::unique_ptr<rd_kafka_queue_t, destroyer<rd_kafka_queue_destroy>>;
using event_ptr = std::unique_ptr<rd_kafka_event_t, destroyer<rd_kafka_event_destroy>>;
using new_topic_ptr = std::unique_ptr<rd_kafka_NewTopic_t, destroyer<rd_kafka_NewTopic_destroy>>;
using resource_ptr = std::unique_ptr<rd_kafka_ConfigResource_t, destroyer<rd_kafka_ConfigResource_destroy>>;

/// How many partitions and copies a topic has; none: it is not there.
struct found_topic {
  std::int32_t partitions = 0;
  std::int32_t copies = 0;
  bool led = false;  ///< every partition has a leader
};

std::map<std::string, found_topic> topics_there(rd_kafka_t* client) {
  const rd_kafka_metadata_t* all = nullptr;
  const auto code = rd_kafka_metadata(client, 1, nullptr, &all, patience_ms);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) throw make_kafka_error("asking the brokers for their topics", code);
  std::map<std::string, found_topic> out;
  for (int k = 0; k < all->topic_cnt; ++k) {
    const auto& t = all->topics[k];
    found_topic f{.partitions = t.partition_cnt, .copies = INT32_MAX, .led = false};
    f.led = t.partition_cnt > 0;
    for (int p = 0; p < t.partition_cnt; ++p) {
      f.copies = std::min(f.copies, t.partitions[p].replica_cnt);
      f.led = f.led && t.partitions[p].leader >= 0;
    }
    if (t.partition_cnt > 0) out[t.topic] = f;
  }
  rd_kafka_metadata_destroy(all);
  return out;
}

// The controller has made them; the brokers hear of it one after the other, and partitions get their leaders.
void await_topics(rd_kafka_t* client, const std::vector<topic_spec>& topics) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(patience_ms);
  for (;;) {
    const auto there = topics_there(client);
    const auto missing = std::find_if(topics.begin(), topics.end(), [&](const auto& t) {
      const auto it = there.find(t.name);
      return it == there.end() || !it->second.led;
    });
    if (missing == topics.end()) return;
    if (std::chrono::steady_clock::now() > deadline)
      throw make_kafka_error("waiting for topic " + missing->name + ", which was made", RD_KAFKA_RESP_ERR__TIMED_OUT);
    std::this_thread::sleep_for(between_looks);
  }
}

using admin_options_ptr = std::unique_ptr<rd_kafka_AdminOptions_t, destroyer<rd_kafka_AdminOptions_destroy>>;

// For what the controller does, which may take longer than a broker's answer otherwise may.
admin_options_ptr patiently(rd_kafka_t* client, rd_kafka_admin_op_t what) {
  admin_options_ptr o(rd_kafka_AdminOptions_new(client, what));
  std::array<char, 256> why{};
  rd_kafka_AdminOptions_set_request_timeout(o.get(), patience_ms, why.data(), why.size());
  return o;
}

event_ptr answer_to(rd_kafka_queue_t* queue, const std::string& doing) {
  event_ptr e(rd_kafka_queue_poll(queue, patience_ms));
  if (!e) throw make_kafka_error(doing, RD_KAFKA_RESP_ERR__TIMED_OUT);
  if (const auto code = rd_kafka_event_error(e.get()); code != RD_KAFKA_RESP_ERR_NO_ERROR)
    throw make_kafka_error(doing, code, rd_kafka_event_error_string(e.get()));
  return e;
}

std::map<std::string, std::string> settings_of(rd_kafka_t* client, const std::string& topic) {
  const auto doing = "asking for the settings of topic " + topic;
  resource_ptr resource(rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic.c_str()));
  queue_ptr queue(rd_kafka_queue_new(client));
  auto* asked = resource.get();
  rd_kafka_DescribeConfigs(client, &asked, 1, patiently(client, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS).get(), queue.get());
  const auto e = answer_to(queue.get(), doing);
  std::size_t n = 0;
  const auto* const* resources =
      rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(e.get()), &n);
  if (n != 1) throw make_kafka_error(doing, RD_KAFKA_RESP_ERR__FAIL);
  if (const auto code = rd_kafka_ConfigResource_error(resources[0]); code != RD_KAFKA_RESP_ERR_NO_ERROR)
    throw make_kafka_error(doing, code);
  std::map<std::string, std::string> out;
  const auto* const* entries = rd_kafka_ConfigResource_configs(resources[0], &n);
  for (std::size_t k = 0; k < n; ++k)
    if (const char* value = rd_kafka_ConfigEntry_value(entries[k])) out[rd_kafka_ConfigEntry_name(entries[k])] = value;
  return out;
}

std::string mend_setting(const topic_spec& t, const std::string& name, const std::string& value) {
  return "kafka-configs.sh --alter --entity-type topics --entity-name " + t.name + " --add-config " + name + "=" +
         value;
}

// Where fewer copies than wanted would lose data that was acknowledged, and where more of something does no harm.
bool good_enough(const std::string& name, const std::string& wanted, const std::string& found) {
  if (name != "min.insync.replicas" && name != "max.message.bytes") return wanted == found;
  return std::strtoll(found.c_str(), nullptr, 10) >= std::strtoll(wanted.c_str(), nullptr, 10);
}

void check_one(rd_kafka_t* client, const topic_spec& t, const found_topic& found, std::vector<topic_finding>& out) {
  if (found.partitions != t.partitions)
    out.push_back(
        {.topic = t.name,
         .what =
             "has " + std::to_string(found.partitions) + " partitions, and has to have " + std::to_string(t.partitions),
         .mend = "choose another kafka.namespace: the number of partitions is fixed when a namespace is made"});
  if (found.copies < t.copies)
    out.push_back(
        {.topic = t.name,
         .what = "has " + std::to_string(found.copies) + " copies, and has to have " + std::to_string(t.copies),
         .mend = "reassign its partitions to more brokers, or set kafka.durability = \"single-broker\" where "
                 "losing data with one disk is acceptable"});
  const auto settings = settings_of(client, t.name);
  for (const auto& [name, wanted] : t.settings) {
    const auto it = settings.find(name);
    const auto is = it == settings.end() ? std::string("not set") : it->second;
    if (it != settings.end() && good_enough(name, wanted, is)) continue;
    out.push_back({.topic = t.name,
                   .what = name + " is " + is + ", and has to be " + wanted,
                   .mend = mend_setting(t, name, wanted)});
  }
}

}  // namespace

std::vector<topic_spec> topics_of(const topic_options& o) {
  const std::int16_t copies = o.single_broker ? 1 : 3;
  const std::map<std::string, std::string> always{{"max.message.bytes", largest_message},
                                                  {"min.insync.replicas", o.single_broker ? "1" : "2"},
                                                  {"unclean.leader.election.enable", "false"}};
  const auto with = [&](std::map<std::string, std::string> more) {
    more.insert(always.begin(), always.end());
    return more;
  };
  const auto named = [&](const char* what) { return o.name_space + "." + what; };
  return {
      {named("commands"), o.partitions, copies,
       with({{"cleanup.policy", "delete"}, {"retention.ms", "-1"}, {"retention.bytes", "-1"}}),
       "what is asked of workflows"},
      {named("journal"), o.partitions, copies,
       with({{"cleanup.policy", "delete"}, {"retention.ms", "-1"}, {"retention.bytes", "-1"}}), "the truth"},
      {named("events"), o.partitions, copies, with({{"cleanup.policy", "delete"}}), "the public feed"},
      {named("nodes"), 1, copies,
       with({{"cleanup.policy", "delete"}, {"retention.ms", "600000"}, {"message.timestamp.type", "LogAppendTime"}}),
       "the nodes' heartbeats"},
      {named("dlq"), 1, copies, with({{"cleanup.policy", "delete"}, {"retention.ms", "-1"}, {"retention.bytes", "-1"}}),
       "what could not be read"},
  };
}

namespace {

// With the number of partitions that the namespace was made with, if it was.
topic_options as_made(topic_options o, const std::map<std::string, found_topic>& there) {
  for (const char* what : {"journal", "commands", "events"})
    if (const auto it = there.find(o.name_space + "." + what); it != there.end()) {
      o.partitions = it->second.partitions;
      break;
    }
  return o;
}

}  // namespace

std::int32_t partitions_of(const kafka_options& client, const std::string& name_space, std::chrono::milliseconds wait) {
  kafka_producer p(client, {});
  const auto deadline = std::chrono::steady_clock::now() + wait;
  for (;;) {
    const auto there = topics_there(p.handle());
    if (const auto it = there.find(name_space + ".journal"); it != there.end()) return it->second.partitions;
    if (std::chrono::steady_clock::now() >= deadline)
      throw make_kafka_error("asking for the partitions of topic " + name_space + ".journal",
                             RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    std::this_thread::sleep_for(between_looks);
  }
}

std::vector<topic_finding> check_topics(const kafka_options& client, const topic_options& o) {
  kafka_producer p(client, {});
  const auto there = topics_there(p.handle());
  std::vector<topic_finding> out;
  for (const auto& t : topics_of(as_made(o, there))) {
    if (const auto it = there.find(t.name); it != there.end())
      check_one(p.handle(), t, it->second, out);
    else
      out.push_back({.topic = t.name, .what = "is not there", .mend = "make it with `topics create`", .missing = true});
  }
  return out;
}

std::vector<std::string> create_topics(const kafka_options& client, const topic_options& o) {
  kafka_producer p(client, {});
  const auto there = topics_there(p.handle());
  std::vector<new_topic_ptr> wanted;
  std::vector<rd_kafka_NewTopic_t*> handles;
  const auto topics = topics_of(as_made(o, there));
  for (const auto& t : topics) {
    if (there.contains(t.name)) continue;
    std::array<char, 512> why{};
    new_topic_ptr n(rd_kafka_NewTopic_new(t.name.c_str(), t.partitions, t.copies, why.data(), why.size()));
    if (!n) throw make_kafka_error("making topic " + t.name, RD_KAFKA_RESP_ERR__INVALID_ARG, why.data());
    for (const auto& [name, value] : t.settings) rd_kafka_NewTopic_set_config(n.get(), name.c_str(), value.c_str());
    handles.push_back(n.get());
    wanted.push_back(std::move(n));
  }
  if (handles.empty()) return {};
  queue_ptr queue(rd_kafka_queue_new(p.handle()));
  rd_kafka_CreateTopics(p.handle(), handles.data(), handles.size(),
                        patiently(p.handle(), RD_KAFKA_ADMIN_OP_CREATETOPICS).get(), queue.get());
  const auto e = answer_to(queue.get(), "making the topics of namespace " + o.name_space);
  std::size_t n = 0;
  const auto* const* results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(e.get()), &n);
  std::vector<std::string> made;
  for (std::size_t k = 0; k < n; ++k) {
    const std::string name = rd_kafka_topic_result_name(results[k]);
    const auto code = rd_kafka_topic_result_error(results[k]);
    // Another node was quicker.
    if (code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) continue;
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
      const char* text = rd_kafka_topic_result_error_string(results[k]);
      throw make_kafka_error("making topic " + name, code, text ? text : "");
    }
    made.push_back(name);
  }
  await_topics(p.handle(), topics);
  return made;
}

void delete_records(const kafka_options& client, const std::string& topic, std::int32_t partition,
                    std::int64_t offset) {
  const auto doing = "deleting what is below offset " + std::to_string(offset) + " of " + topic;
  kafka_producer p(client, {});
  std::unique_ptr<rd_kafka_topic_partition_list_t, decltype(&rd_kafka_topic_partition_list_destroy)> list(
      rd_kafka_topic_partition_list_new(1), &rd_kafka_topic_partition_list_destroy);
  rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), partition)->offset = offset;
  std::unique_ptr<rd_kafka_DeleteRecords_t, decltype(&rd_kafka_DeleteRecords_destroy)> asked(
      rd_kafka_DeleteRecords_new(list.get()), &rd_kafka_DeleteRecords_destroy);
  queue_ptr queue(rd_kafka_queue_new(p.handle()));
  auto* handle = asked.get();
  rd_kafka_DeleteRecords(p.handle(), &handle, 1, patiently(p.handle(), RD_KAFKA_ADMIN_OP_DELETERECORDS).get(),
                         queue.get());
  const auto e = answer_to(queue.get(), doing);
  const auto* done = rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(e.get()));
  if (done->cnt != 1) throw make_kafka_error(doing, RD_KAFKA_RESP_ERR__FAIL);
  if (const auto code = done->elems[0].err; code != RD_KAFKA_RESP_ERR_NO_ERROR) throw make_kafka_error(doing, code);
}

std::vector<topic_finding> ensure_topics(const kafka_options& client, const topic_options& o,
                                         const std::function<void(const std::string& name)>& made) {
  for (const auto& name : create_topics(client, o)) made(name);
  // What is missing now was made this moment, here or by another node, and not every broker has heard of it.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(patience_ms);
  for (;;) {
    const bool young = std::chrono::steady_clock::now() < deadline;
    try {
      auto found = check_topics(client, o);
      const bool missing = std::any_of(found.begin(), found.end(), [](const auto& f) { return f.missing; });
      if (!young || !missing) return found;
    } catch (const kafka_error& e) {
      if (!young || e.code() != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) throw;
    }
    std::this_thread::sleep_for(between_looks);
  }
}

}  // namespace pawl::broker
