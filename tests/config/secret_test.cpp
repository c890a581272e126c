// No setting of pawl is a secret yet, so these tests bring a table of their own, whose secrets live in members that are
// there anyway.
#include "config/listing.hpp"
#include "tests/config/fixture.hpp"

#include <gmock/gmock.h>

namespace pawl::config {
namespace {

using testing::HasSubstr;
using testing::Not;

setting_table table_with_secrets() {
  setting_table table;
  table.rows.push_back(describe("api.token", &settings::log, &log_settings::file, range<std::int64_t>{0, 16},
                                "Token that callers show", secrecy::secret));
  table.rows.push_back(describe("api.pin", &settings::pool, &pool_settings::threads, {1, 9'999}, "Number to guess"));
  table.rows.push_back(describe("api.tries", &settings::pool, &pool_settings::children, {0, 9'999}, "Guesses"));
  table.rows[1].secret = true;
  table.orders = {{"api.pin", "api.tries"}};
  return table;
}

class secret_test : public configuration_test {
 protected:
  void expect_refused_without(const std::string& secret) {
    const auto found = wrong(table_);
    for (const auto& each : found) EXPECT_THAT(each.text(), Not(HasSubstr(secret)));
  }

  const setting_table table_ = table_with_secrets();
};

TEST_F(secret_test, are_loaded_and_masked_in_the_listing) {
  variable("PAWL_API_TOKEN", "hunter2");
  flag("api.pin=4711");
  flag("api.tries=9999");
  const auto configuration = good(table_);
  EXPECT_EQ(configuration.values.log.file, "hunter2");
  const auto rows = list(configuration, table_);
  EXPECT_EQ(rows[0].value, "***");
  EXPECT_EQ(rows[0].source, "env PAWL_API_TOKEN");
  EXPECT_EQ(rows[1].value, "***");
  EXPECT_EQ(rows[2].value, "9999");
}

TEST_F(secret_test, show_whether_they_are_set) {
  flag("api.tries=9999");
  EXPECT_EQ(list(good(table_), table_)[0].value, "");
}

TEST_F(secret_test, stay_out_of_the_messages_about_wrong_values) {
  variable("PAWL_API_TOKEN", "hunter2-and-much-too-long");
  expect_refused_without("hunter2");
  variable("PAWL_API_TOKEN", "hunter2\n");
  expect_refused_without("hunter2");
  request_.environment.clear();
  flag("api.pin=123456789");
  expect_refused_without("123456789");
  flag("api.pin=hunter2");
  expect_refused_without("hunter2");
  flag("api.token hunter2");
  expect_refused_without("hunter2");
  flag("api.tokken=hunter2");
  expect_refused_without("hunter2");
}

TEST_F(secret_test, stay_out_of_the_messages_about_the_file) {
  for (const auto* text :
       {"[api]\ntoken = hunter2", "[api]\ntoken = \"hunter2", "[api]\ntoken = [\"hunter2\"]",
        "[api]\npin = \"hunter2\"", "[api]\ntokken = \"hunter2\"", "[api]\ntoken = \"hunter2-and-much-too-long\"",
        "[api]\ntoken = 'a' hunter2", "api = \"hunter2\"", "[api]\ntoken = \"\\hunter2\""}) {
    file(text);
    expect_refused_without("hunter2");
  }
  file("[api]\npin = 47114711471147114711");
  EXPECT_THAT(wrong_text(table_), HasSubstr("parsing decimal integer"));
  expect_refused_without("4711");
}

TEST_F(secret_test, stay_out_of_the_messages_about_conflicts) {
  flag("api.pin=4711");
  flag("api.tries=5");
  expect_refused_without("4711");
}

TEST_F(secret_test, have_no_default_in_the_sample_or_the_docs) {
  EXPECT_THAT(sample_file(table_), Not(HasSubstr("1024")));
  EXPECT_THAT(docs_table(table_), Not(HasSubstr("1024")));
  EXPECT_THAT(docs_table(table_), HasSubstr("| `api.token` | text, secret | `\"\"` |"));
}

}  // namespace
}  // namespace pawl::config
