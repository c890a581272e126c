#include "config/load.hpp"

#include "tests/config/fixture.hpp"

#include <gmock/gmock.h>

#include <random>
#include <set>

namespace pawl::config {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

using load_test = configuration_test;

TEST_F(load_test, gives_the_defaults_when_nothing_is_configured) {
  const auto configuration = good();
  EXPECT_EQ(configuration.values.data.dir, "./pawl-data");
  EXPECT_EQ(configuration.values.pool.threads, 1'024U);
  EXPECT_EQ(configuration.values.pool.child_limit(), 256U);
  EXPECT_EQ(configuration.values.limits.payload, mebibytes(1));
  EXPECT_EQ(configuration.values.limits.outcome_age, 24h);
  EXPECT_EQ(configuration.values.retry.factor, 2.0);
  EXPECT_EQ(configuration.values.log.level, log_level::info);
  EXPECT_TRUE(configuration.values.eviction.enabled);
  EXPECT_FALSE(configuration.values.node.name.empty());  // the host name
  EXPECT_EQ(configuration.source_of("pool.threads").text(), "default");
  EXPECT_EQ(configuration.source_of("node.name").text(), "default");
}

TEST_F(load_test, reads_every_type_from_the_file) {
  file(R"([data]
dir = "/srv/größe"
[eviction]
enabled = false
[pool]
threads = 8
[retry]
factor = 1.5
first_delay = "250ms"
[limits]
payload = "64KiB"
[log]
level = "warn"
format = "json"
)");
  const auto configuration = good();
  EXPECT_EQ(configuration.values.data.dir, "/srv/größe");
  EXPECT_FALSE(configuration.values.eviction.enabled);
  EXPECT_EQ(configuration.values.pool.threads, 8U);
  EXPECT_EQ(configuration.values.pool.child_limit(), 2U);
  EXPECT_EQ(configuration.values.retry.factor, 1.5);
  EXPECT_EQ(configuration.values.retry.first_delay, 250ms);
  EXPECT_EQ(configuration.values.limits.payload, kibibytes(64));
  EXPECT_EQ(configuration.values.log.level, log_level::warn);
  EXPECT_EQ(configuration.values.log.format, log_format::json);
  EXPECT_EQ(without_directory(configuration.source_of("retry.first_delay").text()), "pawl.toml:9");
}

TEST_F(load_test, reads_dotted_keys_inline_tables_and_whole_numbers_as_numbers) {
  file("pool.threads = 9\nretry = { factor = 3 }\n");
  const auto configuration = good();
  EXPECT_EQ(configuration.values.pool.threads, 9U);
  EXPECT_EQ(configuration.values.retry.factor, 3.0);
  EXPECT_EQ(without_directory(configuration.source_of("retry.factor").text()), "pawl.toml:2");
}

TEST_F(load_test, lets_the_environment_win_over_the_file_and_flags_over_both) {
  file("[pool]\nthreads = 2\nchildren = 1\nwritten_off_limit = 5\n");
  variable("PAWL_POOL_THREADS", "3");
  variable("PAWL_POOL_WRITTEN_OFF_LIMIT", "6");
  flag("pool.threads=4");
  flag("pool.threads=5");
  const auto configuration = good();
  EXPECT_EQ(configuration.values.pool.threads, 5U);
  EXPECT_EQ(configuration.values.pool.written_off_limit, 6U);
  EXPECT_EQ(configuration.values.pool.children, 1U);
  EXPECT_EQ(configuration.source_of("pool.threads").text(), "flag");
  EXPECT_EQ(configuration.source_of("pool.written_off_limit").text(), "env PAWL_POOL_WRITTEN_OFF_LIMIT");
  EXPECT_EQ(without_directory(configuration.source_of("pool.children").text()), "pawl.toml:3");
}

TEST_F(load_test, takes_everything_behind_the_first_equals_sign_of_a_flag) {
  flag("log.file=/var/log/a=b c");
  EXPECT_EQ(good().values.log.file, "/var/log/a=b c");
}

TEST_F(load_test, lets_a_later_layer_empty_a_text) {
  file("[log]\nfile = \"x.log\"\n");
  variable("PAWL_LOG_FILE", "");
  EXPECT_EQ(good().values.log.file, "");
}

TEST_F(load_test, lets_only_the_foreign_variables_pass_that_it_was_told_of) {
  variable("HOME", "/root");
  variable("XPAWL_POOL", "1");
  variable("PAWL_ATTEMPT", "1");
  EXPECT_EQ(wrong_text(),
            "env PAWL_ATTEMPT: no setting has this variable. Unset it: variables named PAWL_* are settings.");
  request_.other_variables = {"PAWL_ATTEMPT"};
  EXPECT_TRUE(good().sources.empty());
}

TEST_F(load_test, sees_the_variables_of_the_process) {
  ASSERT_EQ(::setenv("PAWL_POOL_THREADS", "77", 1), 0);
  request_.environment = process_environment();
  ASSERT_EQ(::unsetenv("PAWL_POOL_THREADS"), 0);
  for (const auto& [name, value] : request_.environment) {
    EXPECT_THAT(name, testing::StartsWith("PAWL_"));
    if (name != "PAWL_POOL_THREADS") request_.other_variables.push_back(name);
  }
  EXPECT_EQ(good().values.pool.threads, 77U);
}

// --- names
// ------------------------------------------------------------------------------------------------------------

TEST_F(load_test, refuses_an_unknown_key_with_the_nearest) {
  file("[pool]\n\nthraeds = 4\n");
  EXPECT_EQ(wrong_text(), "pawl.toml:3: there is no setting 'pool.thraeds'. Did you mean pool.threads?");
  EXPECT_EQ(wrong().front().code, problem_code::unknown_name);
}

TEST_F(load_test, finds_the_section_of_a_key_in_a_wrong_one_or_in_none) {
  file("max_attempts = 3\n[step]\nfirst_delay = \"1s\"\n");
  const auto found = wrong();
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(without_directory(found[0].text()),
            "pawl.toml:1: there is no setting 'max_attempts' outside of sections. Did you mean retry.max_attempts?");
  EXPECT_EQ(without_directory(found[1].text()),
            "pawl.toml:3: there is no setting 'step.first_delay'. Did you mean retry.first_delay?");
}

TEST_F(load_test, refuses_an_unknown_section_once_with_the_nearest) {
  file("[evicton]\nidle = \"1s\"\nenabled = true\n");
  EXPECT_EQ(wrong_text(), "pawl.toml:1: there is no section [evicton]. Did you mean [eviction]?");
}

TEST_F(load_test, does_not_guess_when_nothing_is_near) {
  file("[weather]\nforecast = 1\n");
  EXPECT_EQ(wrong_text(), "pawl.toml:1: there is no section [weather]. `config show` lists every setting.");
}

TEST_F(load_test, refuses_tables_below_a_section_and_sections_that_are_no_tables) {
  file("log = 5\n[pool.threads]\nmax = 1\n[[retry]]\nfactor = 2.0\n");
  const auto found = wrong();
  ASSERT_EQ(found.size(), 3U);
  EXPECT_THAT(found[0].text(), HasSubstr(":1: 'log' is a section, not a setting. Write [log] and its settings below."));
  EXPECT_THAT(found[1].text(), HasSubstr(":4: 'retry' is a section"));
  EXPECT_THAT(found[2].text(), HasSubstr(":2: pool.threads: the value is an array, a table or a date"));
}

TEST_F(load_test, refuses_unknown_variables_and_flags_with_the_nearest) {
  variable("PAWL_POL_THREADS", "1");
  flag("log.lvel=debug");
  flag("log.level2=debug");
  const auto found = wrong();
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[0].text(), "env PAWL_POL_THREADS: no setting has this variable. Did you mean PAWL_POOL_THREADS?");
  EXPECT_EQ(found[1].text(), "flag: there is no setting 'log.lvel'. Did you mean log.level?");
  EXPECT_EQ(found[2].text(), "flag: there is no setting 'log.level2'. Did you mean log.level?");
}

TEST_F(load_test, refuses_a_flag_without_an_equals_sign_and_shows_no_more_than_the_name) {
  flag("pool.threads 64");
  EXPECT_EQ(wrong_text(),
            "flag: 'pool.threads' is not followed by '='. Write section.key=value, such as pool.threads=64.");
}

// --- values
// -----------------------------------------------------------------------------------------------------------

struct wrong_value {
  std::string file;  // one line below [section]
  problem_code code;
  std::string message;
};

class wrong_values : public load_test, public testing::WithParamInterface<wrong_value> {};

TEST_P(wrong_values, are_refused_with_line_setting_and_mend) {
  const auto& [text, code, message] = GetParam();
  file(text);
  EXPECT_EQ(wrong_text(), "pawl.toml:1: " + message);
  EXPECT_EQ(wrong().front().code, code);
}

INSTANTIATE_TEST_SUITE_P(
    load, wrong_values,
    testing::Values(
        wrong_value{
            "pool.threads = \"64\"", problem_code::wrong_type,
            "pool.threads: the value is a string, the setting is a whole number. Write a whole number from 1 to "
            "65536."},
        wrong_value{"pool.threads = 64.0", problem_code::wrong_type,
                    "pool.threads: the value is a float, the setting is a whole number. Write a whole number from 1 to "
                    "65536."},
        wrong_value{"pool.threads = 0", problem_code::out_of_range,
                    "pool.threads: '0' is out of range. Write a whole number from 1 to 65536."},
        wrong_value{"pool.threads = 65537", problem_code::out_of_range,
                    "pool.threads: '65537' is out of range. Write a whole number from 1 to 65536."},
        wrong_value{
            "step.timeout = 30", problem_code::wrong_type,
            "step.timeout: the value is an integer, the setting is a duration. Write a duration from 1ms to 365d, "
            "such as \"500ms\", \"30s\", \"5m\", \"48h\" or \"7d\"."},
        wrong_value{
            "step.timeout = \"30\"", problem_code::bad_value,
            "step.timeout: '30' is not a duration. Write a duration from 1ms to 365d, such as \"500ms\", \"30s\", "
            "\"5m\", \"48h\" or \"7d\"."},
        wrong_value{"step.timeout = \"99999999999999999999d\"", problem_code::out_of_range,
                    "step.timeout: '99999999999999999999d' is out of range. Write a duration from 1ms to 365d, such as "
                    "\"500ms\", \"30s\", \"5m\", \"48h\" or \"7d\"."},
        wrong_value{"journal.wal_limit = \"64MB\"", problem_code::bad_value,
                    "journal.wal_limit: '64MB' is not a size. Write a size from 1MiB to 64GiB, such as \"512B\", "
                    "\"64KiB\", \"1MiB\" or \"2GiB\"."},
        wrong_value{
            "eviction.enabled = \"yes\"", problem_code::wrong_type,
            "eviction.enabled: the value is a string, the setting is a boolean. Write true or false, unquoted."},
        wrong_value{"log.level = \"Info\"", problem_code::bad_value,
                    "log.level: 'Info' is not one of the choices. Write one of debug, info, warn, error."},
        wrong_value{"retry.factor = nan", problem_code::out_of_range,
                    "retry.factor: 'nan' is out of range. Write a number from 1.0 to 100.0."},
        wrong_value{"retry.factor = 0.99", problem_code::out_of_range,
                    "retry.factor: '0.99' is out of range. Write a number from 1.0 to 100.0."},
        wrong_value{"data.dir = \"\"", problem_code::out_of_range,
                    "data.dir: '' is out of range. Write a text of 1 to 4096 bytes."},
        wrong_value{"data.dir = \"a\\nb\"", problem_code::bad_value,
                    "data.dir: 'a\\x0ab' has control characters or is not UTF-8. Write a text of 1 to 4096 bytes."},
        wrong_value{
            "data.dir = [\"a\"]", problem_code::wrong_type,
            "data.dir: the value is an array, a table or a date, the setting is a text. Write a text of 1 to 4096 "
            "bytes."}));

TEST_F(load_test, holds_variables_and_flags_to_the_same_rules) {
  variable("PAWL_POOL_THREADS", "12x");
  variable("PAWL_EVICTION_ENABLED", "1");
  variable("PAWL_RETRY_FACTOR", "1e999");
  variable("PAWL_DATA_DIR", "\xff\xfe");
  flag("limits.wants=99999999999999999999");
  flag("limits.wants=");
  const auto found = wrong();
  ASSERT_EQ(found.size(), 6U);
  EXPECT_EQ(found[0].text(),
            "env PAWL_POOL_THREADS: pool.threads: '12x' is not a whole number. Write a whole number from 1 to 65536.");
  EXPECT_EQ(found[1].text(), "env PAWL_EVICTION_ENABLED: eviction.enabled: '1' is not a boolean. Write true or false.");
  EXPECT_EQ(found[2].code, problem_code::out_of_range);
  EXPECT_THAT(found[3].text(), HasSubstr("data.dir: '\\xff\\xfe' has control characters or is not UTF-8"));
  EXPECT_EQ(found[4].text(),
            "flag: limits.wants: '99999999999999999999' is out of range. Write a whole number from 1 to "
            "1000000.");
  EXPECT_THAT(found[5].text(), HasSubstr("'' is not a whole number"));
}

TEST_F(load_test, refuses_a_wrong_value_although_a_later_layer_replaces_it) {
  file("[pool]\nthreads = 0\n");
  flag("pool.threads=4");
  EXPECT_THAT(wrong_text(), HasSubstr("pawl.toml:2: pool.threads: '0' is out of range"));
}

TEST_F(load_test, reports_every_mistake_in_the_order_of_the_layers) {
  file("[pool]\nthreads = 0\n[log]\nlevel = \"loud\"\ncolour = true\n");
  variable("PAWL_LOG_FORMAT", "xml");
  flag("retry.max_attempts=none");
  std::vector<std::string> where;
  for (const auto& found : wrong()) where.push_back(without_directory(found.where));
  EXPECT_THAT(where, testing::ElementsAre("pawl.toml:5", "pawl.toml:2", "pawl.toml:4", "env PAWL_LOG_FORMAT", "flag"));
}

TEST_F(load_test, cuts_a_long_value_in_its_message) {
  flag("log.level=" + std::string(100'000, 'x'));
  EXPECT_LT(wrong_text().size(), 300U);
}

TEST_F(load_test, refuses_settings_that_contradict_each_other) {
  file("[limits]\npayload = \"3MiB\"\n");
  EXPECT_EQ(
      wrong_text(),
      "pawl.toml:2: limits.payload: limits.payload = 3MiB (pawl.toml:2) is above limits.decision = 2MiB (default). "
      "Lower limits.payload or raise limits.decision.");
  EXPECT_EQ(wrong().front().code, problem_code::conflict);
  flag("limits.decision=4MiB");
  EXPECT_EQ(good().values.limits.payload, mebibytes(3));
}

TEST_F(load_test, blames_the_setting_that_was_given) {
  flag("retry.max_delay=1ms");
  EXPECT_THAT(wrong_text(), HasSubstr("flag: retry.max_delay: retry.first_delay = 500ms (default) is above"));
}

// --- the file
// ---------------------------------------------------------------------------------------------------------

TEST_F(load_test, needs_the_file_only_if_a_person_named_it) {
  EXPECT_TRUE(good().sources.empty());
  request_.path_must_exist = true;
  EXPECT_EQ(wrong_text(),
            "pawl.toml: the configuration file cannot be used: No such file or directory. Name a TOML file that this "
            "user can read, or none.");
  request_.path.reset();
  EXPECT_TRUE(good().sources.empty());
}

TEST_F(load_test, never_passes_over_a_file_that_is_there_and_cannot_be_read) {
  request_.path = directory_;
  EXPECT_THAT(wrong_text(), HasSubstr("it is a directory"));
  request_.path = "/dev/zero";
  EXPECT_THAT(wrong_text(), HasSubstr("it is larger than 64KiB"));
  request_.path = directory_ / "loop";
  std::filesystem::create_symlink("loop", *request_.path);
  EXPECT_THAT(wrong_text(), HasSubstr("Too many levels of symbolic links"));
}

TEST_F(load_test, names_the_line_of_a_syntax_error) {
  file("[pool]\nthreads = 4\nthreads = 5\n");
  EXPECT_THAT(wrong_text(), AllOf(HasSubstr("pawl.toml:3: this is not TOML: "), Not(HasSubstr("'threads'"))));
  EXPECT_EQ(wrong().front().code, problem_code::syntax);
  file("[log]\nlevel = debug\n");
  EXPECT_THAT(wrong_text(), HasSubstr("pawl.toml:2: this is not TOML: "));
  file("\xff\xfe\x00 binary");
  EXPECT_THAT(wrong_text(), HasSubstr("pawl.toml:1: this is not TOML: "));
}

TEST_F(load_test, accepts_an_empty_file_and_a_byte_order_mark) {
  file("");
  EXPECT_TRUE(good().sources.empty());
  file("\xef\xbb\xbf[pool]\r\nthreads = 4\r\n");
  EXPECT_EQ(good().values.pool.threads, 4U);
}

TEST_F(load_test, answers_garbage_and_deep_nesting_with_an_error) {
  std::string deep = "[a";
  while (deep.size() < 60'000) deep += ".a";
  file(deep + "]\n");
  EXPECT_THAT(wrong_text(), HasSubstr("there is no section [a]"));
  file("a = " + std::string(60'000, '['));
  EXPECT_EQ(wrong().front().code, problem_code::syntax);

  constexpr std::uint64_t seed = 7;
  RecordProperty("seed", std::to_string(seed));
  std::mt19937_64 random(seed);
  const std::string_view alphabet = "[]{}=.,\"'#\n\\ tpoolhreads1-e\x01\xc3\xbc";
  int refused = 0;
  for (int i = 0; i < 2'000; ++i) {
    std::string text = "[pool]\nthreads = 4\n";
    for (auto edits = 1 + random() % 12; edits > 0; --edits)
      text.insert(random() % (text.size() + 1), 1, alphabet[random() % alphabet.size()]);
    file(text);
    const auto configuration = load(request_);
    if (configuration) continue;
    ++refused;
    EXPECT_FALSE(configuration.error().empty());
    for (const auto& found : configuration.error()) EXPECT_EQ(found.text().find('\n'), std::string::npos) << text;
  }
  EXPECT_GT(refused, 500);
}

}  // namespace
}  // namespace pawl::config
