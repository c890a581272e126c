// What people may set of librdkafka, and what they may not.
#include <gmock/gmock.h>

#include "broker/kafka_client.hpp"

namespace pawl::broker {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string mistakes(const std::map<std::string, std::string>& properties) {
  std::string out;
  for (const auto& m : check_properties(properties)) out += m.name + ": " + m.what + ". " + m.mend + "\n";
  return out;
}

TEST(properties, any_that_librdkafka_knows_are_taken) {
  EXPECT_THAT(mistakes({{"sasl.username", "u"}, {"security.protocol", "sasl_ssl"}, {"socket.timeout.ms", "500"}}),
              IsEmpty());
}

TEST(properties, those_that_guarantees_rest_on_are_guarded) {
  for (const auto* name : {"acks", "enable.idempotence", "partitioner", "auto.offset.reset", "enable.auto.commit",
                           "group.id", "group.instance.id", "transactional.id", "bootstrap.servers"})
    EXPECT_THAT(mistakes({{name, "1"}}), AllOf(HasSubstr(std::string(name) + ": "), HasSubstr("guarantees")));
}

TEST(properties, all_mistakes_are_told_and_no_value_is) {
  const auto text = mistakes({{"sasl.pasword", "hunter2"}, {"security.protocol", "hunter3"}, {"acks", "hunter4"}});
  EXPECT_THAT(text, HasSubstr("sasl.pasword: librdkafka has no such property. Did you mean sasl.password?"));
  EXPECT_THAT(text, HasSubstr("security.protocol: librdkafka does not take this value"));
  EXPECT_THAT(text, Not(HasSubstr("hunter")));
}

}  // namespace
}  // namespace pawl::broker
