// topics: what a namespace has in Kafka.
#include "broker/topics.hpp"
#include "config/setting.hpp"
#include "node/cli.hpp"
#include "node/settings_map.hpp"

namespace pawl::node {
namespace {

command_result create(const cli_context& c, const broker::kafka_options& client, const broker::topic_options& topics) {
  const auto made = broker::create_topics(client, topics);
  if (c.global.output == output_format::json) {
    say_json({{"made", made}});
    return exit_code::ok;
  }
  for (const auto& name : made) say("made " + name + "\n");
  if (made.empty()) say("all topics of " + config::in_quotes(topics.name_space) + " are there already\n");
  return exit_code::ok;
}

command_result check(const cli_context& c, const broker::kafka_options& client, const broker::topic_options& topics) {
  const auto found = broker::check_topics(client, topics);
  if (c.global.output == output_format::json) {
    json findings = json::array();
    for (const auto& f : found)
      findings.push_back({{"topic", f.topic}, {"what", f.what}, {"mend", f.mend}, {"missing", f.missing}});
    say_json({{"clean", found.empty()}, {"findings", findings}});
  } else if (found.empty()) {
    say("all topics of " + config::in_quotes(topics.name_space) + " are there and as they have to be\n");
  } else {
    for (const auto& f : found) say(f.topic + " " + f.what + "\n    " + f.mend + "\n");
  }
  return found.empty() ? exit_code::ok : exit_code::failed;
}

}  // namespace

command_result care_for_topics(const cli_context& c, const topics_args& args) {
  const auto& settings = c.settings();
  if (settings.kafka.brokers.empty()) return no_brokers_error();
  const auto client = to_kafka_options(settings);
  const auto topics = to_topic_options(settings);
  try {
    return args.what == topics_args::action::create ? create(c, client, topics) : check(c, client, topics);
  } catch (const broker::kafka_error& e) {
    return to_cli_error(e);
  }
}

}  // namespace pawl::node
