// Commands of a node on a real Kafka: to the partition of their key or to a named one, and told what became of them.
#include "broker/command_sender.hpp"

#include <gmock/gmock.h>

#include <map>
#include <mutex>

#include "broker/partitioner.hpp"
#include "broker/topics.hpp"
#include "tests/broker_kafka/kafka_fixture.hpp"

namespace pawl::broker {
namespace {

using namespace std::chrono_literals;

class sender : public on_kafka {
 protected:
  static constexpr std::int32_t partitions = 4;
  void SetUp() override {
    on_kafka::SetUp();
    // The topics of the fixture have one partition.
    name_space += "-wide";
    create_topics(client(), {.name_space = name_space, .partitions = partitions, .single_broker = true});
  }
  command_sender_options options() {
    return {.client = client(), .topic = name_space + ".commands", .partitions = partitions, .give_up_after = 3s};
  }
  std::size_t messages_in(std::int32_t partition) {
    kafka_reader r(client(), name_space + ".commands", partition);
    return static_cast<std::size_t>(r.offsets(10s).end);
  }
};

TEST_F(sender, by_key_and_by_partition) {
  std::mutex mutex;
  std::map<std::string, sent_command> told;
  {
    command_sender s(options());
    for (int k = 0; k < 100; ++k) {
      const auto key = "w-" + std::to_string(k);
      ASSERT_TRUE(s.send(make_command(key, "v"), [&, key](const sent_command& d) {
        const std::lock_guard lock(mutex);
        told[key] = d;
      }));
    }
    ASSERT_TRUE(s.send(make_command(std::nullopt, "held"), {}, 3));
    ASSERT_TRUE(s.flush(20s));
    EXPECT_EQ(s.waiting(), 0U);
  }
  ASSERT_EQ(told.size(), 100U);
  std::map<std::int32_t, std::size_t> counts;
  for (const auto& [key, d] : told) {
    EXPECT_TRUE(d.there()) << d.error;
    EXPECT_EQ(d.partition, partition_of(key, partitions)) << key;
    ++counts[d.partition];
  }
  EXPECT_EQ(counts.size(), 4U);
  for (const auto& [p, n] : counts) EXPECT_EQ(messages_in(p), n + (p == 3 ? 1 : 0));
  kafka_reader r(client(), name_space + ".commands", 3);
  r.seek(static_cast<std::int64_t>(counts[3]));
  const kafka_message* m = nullptr;
  ASSERT_TRUE(eventually([&] { return (m = r.next(100ms)) != nullptr; }));
  EXPECT_FALSE(m->has_key);
  EXPECT_EQ(m->value, "held");
  ASSERT_EQ(r.headers().size(), 1U);
  EXPECT_EQ(r.headers()[0].second, "application/msgpack");
}

TEST_F(sender, too_much_is_refused_and_what_is_too_large_is_refused_for_good) {
  auto o = options();
  o.most_bytes = std::size_t{10} << 20;
  command_sender s(o);
  sent_command told;
  ASSERT_TRUE(s.send(make_command("k", std::string(std::size_t{9} << 20, 'x')), [&](const auto& d) { told = d; }));
  EXPECT_FALSE(s.send(make_command("k", std::string(std::size_t{12} << 20, 'x')), {}));
  ASSERT_TRUE(s.flush(20s));
  EXPECT_TRUE(told.for_good) << told.error;
  EXPECT_FALSE(told.there());
}

TEST_F(sender, while_the_broker_is_away_nobody_knows) {
  command_sender s(options());
  ASSERT_TRUE(s.send(make_command("k", "first"), {}));
  ASSERT_TRUE(s.flush(20s));
  broker().tell("pause 1");
  sent_command told;
  ASSERT_TRUE(s.send(make_command("k", "second"), [&](const auto& d) { told = d; }));
  const bool ended = s.flush(30s);
  broker().tell("resume 1");
  ASSERT_TRUE(ended);
  EXPECT_TRUE(told.unknown) << told.error;
  ASSERT_TRUE(eventually([&] {
    sent_command again;
    if (!s.send(make_command("k", "third"), [&](const auto& d) { again = d; }) || !s.flush(20s)) return false;
    return again.there();
  }));
}

}  // namespace
}  // namespace pawl::broker
