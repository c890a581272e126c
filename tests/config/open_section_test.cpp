// [kafka.properties]: names that are librdkafka's, and values that nobody sees.
#include "config/listing.hpp"
#include "tests/config/fixture.hpp"

#include <gmock/gmock.h>

namespace pawl::config {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;
using testing::UnorderedElementsAre;

using open_section_test = configuration_test;

std::string value_of(const std::vector<listed_setting>& rows, std::string_view name) {
  for (const auto& row : rows)
    if (row.name == name) return row.value + " from " + row.source;
  return "not there";
}

TEST_F(open_section_test, dots_in_names_need_no_quotes) {
  file(R"([kafka.properties]
"security.protocol" = "SASL_SSL"
ssl.ca.location = "/etc/ca.pem"
ssl.certificate.location = "/etc/cert.pem"
"socket.timeout.ms" = 3000
enable.random.seed = false
[kafka]
brokers = "b:1"
)");
  const auto c = good();
  EXPECT_THAT(c.values.kafka.properties,
              UnorderedElementsAre(Pair("security.protocol", "SASL_SSL"), Pair("ssl.ca.location", "/etc/ca.pem"),
                                   Pair("ssl.certificate.location", "/etc/cert.pem"), Pair("socket.timeout.ms", "3000"),
                                   Pair("enable.random.seed", "false")));
  EXPECT_EQ(c.values.kafka.brokers, "b:1");
  EXPECT_THAT(c.source_of("kafka.properties.ssl.ca.location").text(), HasSubstr("pawl.toml:3"));
}

TEST_F(open_section_test, the_environment_wins_over_the_file_and_flags_over_both) {
  file("[kafka.properties]\nsasl.username = \"u1\"\nsasl.password = \"p1\"\nclient.rack = \"r1\"\n");
  variable("PAWL_KAFKA_PROPERTIES_SASL_PASSWORD", "p2");
  variable("PAWL_KAFKA_PROPERTIES_CLIENT_RACK", "r2");
  flag("kafka.properties.client.rack=r3");
  const auto c = good();
  EXPECT_THAT(c.values.kafka.properties, UnorderedElementsAre(Pair("sasl.username", "u1"), Pair("sasl.password", "p2"),
                                                              Pair("client.rack", "r3")));
}

TEST_F(open_section_test, no_listing_shows_a_value) {
  file("[kafka.properties]\nsasl.password = \"hunter2\"\n");
  const auto c = good();
  const auto rows = list(c);
  EXPECT_THAT(value_of(rows, "kafka.properties.sasl.password"),
              AllOf(HasSubstr("*** from "), HasSubstr("pawl.toml:2")));
  for (const auto& row : rows) EXPECT_THAT(row.value, Not(HasSubstr("hunter2")));
}

TEST_F(open_section_test, a_certificate_has_several_lines) {
  file("[kafka.properties]\n\"ssl.ca.pem\" = \"\"\"-----BEGIN\nAAAA\n-----END\n\"\"\"\n");
  EXPECT_EQ(good().values.kafka.properties.at("ssl.ca.pem"), "-----BEGIN\nAAAA\n-----END\n");
  file("[kafka.properties]\n\"ssl.ca.pem\" = \"hunter\\u0000\"\n");
  EXPECT_THAT(wrong_text(), AllOf(HasSubstr("control characters"), Not(HasSubstr("hunter"))));
}

TEST_F(open_section_test, mistakes) {
  file("[kafka]\nproperties = \"hunter2\"\n");
  EXPECT_THAT(wrong_text(), AllOf(HasSubstr("pawl.toml:2"), HasSubstr("'kafka.properties' is a section"),
                                  HasSubstr("[kafka.properties]"), Not(HasSubstr("hunter2"))));
  file("[kafka.properties]\n\"Sasl Password\" = \"hunter2\"\n");
  EXPECT_THAT(wrong_text(), AllOf(HasSubstr("cannot be a property's name"), Not(HasSubstr("hunter2"))));
  file("[kafka.properties]\nsasl.password = [\"hunter2\"]\n");
  EXPECT_THAT(wrong_text(),
              AllOf(HasSubstr("kafka.properties.sasl.password: the value is an array"), Not(HasSubstr("hunter2"))));
  file("");
  flag("kafka.properties=hunter2");
  EXPECT_THAT(wrong_text(), AllOf(HasSubstr("there is no setting 'kafka.properties'"), Not(HasSubstr("hunter2"))));
}

}  // namespace
}  // namespace pawl::config
