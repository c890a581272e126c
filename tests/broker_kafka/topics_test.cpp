// The topics of a namespace, on a real broker.
#include "broker/topics.hpp"

#include <gmock/gmock.h>

#include "tests/broker_kafka/kafka_fixture.hpp"

namespace pawl::broker {
namespace {

using ::testing::HasSubstr;

class topics : public on_kafka {};

TEST_F(topics, are_made_once_and_are_as_they_have_to_be) {
  const topic_options o{.name_space = name_space, .partitions = 1, .single_broker = true};
  EXPECT_TRUE(create_topics(client(), o).empty()) << "the second time there is nothing to do";
  const auto found = check_topics(client(), o);
  for (const auto& f : found) ADD_FAILURE() << f.topic << " " << f.what;
}

TEST_F(topics, what_differs_is_told_with_the_mend) {
  const auto found = check_topics(client(), {.name_space = name_space, .partitions = 4, .single_broker = false});
  std::string all;
  for (const auto& f : found) all += f.topic + " " + f.what + ": " + f.mend + "\n";
  EXPECT_THAT(all, HasSubstr("has 1 copies, and has to have 3"));
  EXPECT_THAT(all, HasSubstr("min.insync.replicas is 1, and has to be 2: kafka-configs.sh --alter"));
}

// The number in the options is for topics that are made; what a namespace has been made with counts.
TEST_F(topics, the_number_of_partitions_is_that_of_the_topics_there) {
  const topic_options more{.name_space = name_space, .partitions = 4, .single_broker = true};
  EXPECT_TRUE(check_topics(client(), more).empty());
  EXPECT_TRUE(create_topics(client(), more).empty());
  EXPECT_EQ(partitions_of(client(), name_space), 1);
  EXPECT_THROW(partitions_of(client(), "nobody"), kafka_error);
}

TEST_F(topics, what_is_missing_is_told) {
  const auto found = check_topics(client(), {.name_space = "nobody", .partitions = 1, .single_broker = true});
  ASSERT_EQ(found.size(), 5U);
  for (const auto& f : found) EXPECT_TRUE(f.missing);
}

TEST_F(topics, without_a_broker_it_may_be_tried_again) {
  try {
    check_topics({.brokers = "127.0.0.1:1"}, {.name_space = name_space});
    FAIL();
  } catch (const kafka_error& e) {
    EXPECT_EQ(e.advice(), kafka_advice::again) << e.what();
  }
}

}  // namespace
}  // namespace pawl::broker
