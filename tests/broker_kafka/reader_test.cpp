// A reader on a real Kafka that is sent here and there, and rests in between.
#include <gtest/gtest.h>

#include <mutex>
#include <random>

#include "broker/topics.hpp"
#include "tests/broker_kafka/kafka_fixture.hpp"

namespace pawl::broker {
namespace {

using namespace std::chrono_literals;

class reader : public on_kafka {
 protected:
  static constexpr std::int64_t messages = 100;
  void SetUp() override {
    on_kafka::SetUp();
    create_topics(client(), {.name_space = name_space, .partitions = 1, .single_broker = true});
    kafka_producer p(client(), {});
    for (std::int64_t k = 0; k < messages; ++k) p.send(topic(), 0, std::nullopt, std::to_string(k), {});
    ASSERT_TRUE(p.flush(20s));
  }
  std::string topic() const { return name_space + ".commands"; }
  /// The next message, if one comes in time.
  static const kafka_message* next(kafka_reader& r) {
    const kafka_message* m = nullptr;
    eventually([&] { return (m = r.next(100ms)) != nullptr; });
    return m;
  }
};

TEST_F(reader, rests_and_goes_on_elsewhere) {
  kafka_reader r(client(), topic(), 0);
  r.seek(5);
  ASSERT_NE(next(r), nullptr);
  r.rest();
  EXPECT_EQ(r.next(300ms), nullptr) << "nothing while it rests";
  r.rest();
  for (const auto to : {6, 3, 99}) {
    r.seek(to);
    const auto* m = next(r);
    ASSERT_NE(m, nullptr) << to;
    EXPECT_EQ(m->offset, to);
    EXPECT_EQ(m->value, std::to_string(to));
    r.rest();
  }
}

// A leader that steps down and leads again does so, in no time; it ended the process once.
TEST_F(reader, seeks_and_rests_as_fast_as_it_can) {
  const auto seed = std::random_device()();
  RecordProperty("seed", std::to_string(seed));
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  int read = 0;
  for (int round = 0; round < 6; ++round) {
    kafka_reader r(client(), topic(), 0);
    for (int k = 0; k < 30; ++k) {
      r.seek(static_cast<std::int64_t>(random() % messages));
      if (random() % 4 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
      if (random() % 8 == 0) read += next(r) != nullptr ? 1 : 0;
      if (random() % 2 == 0) r.rest();
    }
    const auto last = static_cast<std::int64_t>(random() % messages);
    r.seek(last);
    const auto* m = next(r);
    ASSERT_NE(m, nullptr);
    EXPECT_EQ(m->offset, last);
  }
  EXPECT_GT(read, 0);
}

// librdkafka's own question has no end as long as the leader of the partition hangs, whatever time it is given.
TEST_F(reader, gives_up_asking_a_broker_that_hangs) {
  kafka_reader r(client(), topic(), 0);
  EXPECT_EQ(r.offsets(20s).end, messages);
  broker().tell("pause 1");
  for (int k = 0; k < 3; ++k) {
    const auto began = std::chrono::steady_clock::now();
    EXPECT_THROW(r.offsets(2s), kafka_error);
    EXPECT_LT(std::chrono::steady_clock::now() - began, 4s) << k;
  }
  // Nor does one that has never got an answer wait for it at its end.
  const auto began = std::chrono::steady_clock::now();
  {
    kafka_reader fresh(client(), topic(), 0);
    EXPECT_THROW(fresh.offsets(1s), kafka_error);
    fresh.seek(0);
    EXPECT_EQ(fresh.next(100ms), nullptr);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - began, 4s);
  broker().tell("resume 1");
  EXPECT_EQ(r.offsets(20s).end, messages);
}

// A topic that a client comes to know a moment later is asked for a second later.
TEST_F(reader, a_client_asks_for_its_topic_as_soon_as_it_is_connected) {
  std::mutex mutex;
  std::string said;
  auto o = client();
  o.properties["debug"] = "metadata";
  o.log = [&](int, std::string_view text) {
    const std::lock_guard lock(mutex);
    said.append(text).append("\n");
  };
  const auto has_said = [&](std::string_view text) {
    const std::lock_guard lock(mutex);
    return said.find(text) != std::string::npos;
  };
  const auto expect_asked = [&] {
    EXPECT_TRUE(eventually([&] { return has_said("Request metadata for 1 topic(s): connected"); })) << said;
    EXPECT_FALSE(has_said("for brokers only: connected")) << said;
  };
  {
    const kafka_reader r(o, topic(), 0);
    expect_asked();
  }
  said.clear();
  {
    const kafka_producer p(o, {.topics = {topic()}});
    expect_asked();
  }
  said.clear();
  const kafka_producer knows_none(o, {});
  EXPECT_TRUE(eventually([&] { return has_said("for brokers only: connected"); })) << said;
  EXPECT_FALSE(has_said("No `bootstrap.servers` configured"));
}

TEST_F(reader, says_that_it_can_use_none_of_its_brokers) {
  auto o = client();
  o.brokers = "ssl://kafka.example.com:9092";
  try {
    const kafka_reader r(o, topic(), 0);
    FAIL() << "it took it";
  } catch (const kafka_error& e) {
    EXPECT_NE(std::string(e.what()).find("none of the brokers 'ssl://kafka.example.com:9092'"), std::string::npos)
        << e.what();
    EXPECT_EQ(e.advice(), kafka_advice::give_up);
  }
}

}  // namespace
}  // namespace pawl::broker
