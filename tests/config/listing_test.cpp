#include "config/listing.hpp"

#include "tests/config/fixture.hpp"

#include <gmock/gmock.h>

#include <cstdlib>
#include <set>
#include <sstream>

namespace pawl::config {
namespace {

namespace fs = std::filesystem;

// The tree that is tested: named by PAWL_SOURCE, or the one that the test runs in.
fs::path source_tree() {
  if (const char* named = std::getenv("PAWL_SOURCE")) return named;
  auto directory = fs::current_path();
  while (!fs::exists(directory / "config/setting_table.cpp") && directory != directory.root_path())
    directory = directory.parent_path();
  return directory;
}

std::string content(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// What stands between the two marks of docs/config.md.
constexpr std::string_view table_begin = "<!-- settings: made from config/setting_table.cpp -->\n\n";
constexpr std::string_view table_end = "\n<!-- end of settings -->";

// A stale file fails the test; with UPDATE_GENERATED=1 in the environment it is written again instead.
void expect_generated(const fs::path& path, const std::string& now, const std::string& should) {
  if (now == should) return;
  if (std::getenv("UPDATE_GENERATED") != nullptr) {
    std::ofstream(path, std::ios::binary) << should;
    return;
  }
  EXPECT_EQ(now, should) << path << " is stale. Run this test with UPDATE_GENERATED=1 to write it again.";
}

using listing_test = configuration_test;

TEST(generated, sample_file_is_what_the_table_gives) {
  const auto path = source_tree() / "config/pawl.toml.sample";
  expect_generated(path, content(path), sample_file());
}

TEST(generated, docs_table_is_what_the_table_gives) {
  const auto path = source_tree() / "docs/config.md";
  const auto text = content(path);
  const auto begin = text.find(table_begin);
  const auto end = text.find(table_end);
  ASSERT_NE(begin, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  const auto head = text.substr(0, begin + table_begin.size());
  expect_generated(path, text, head + docs_table() + text.substr(end));
}

TEST_F(listing_test, sample_file_changes_nothing_as_it_is) {
  file(sample_file());
  EXPECT_TRUE(good().sources.empty());
}

TEST_F(listing_test, sample_file_uncommented_is_the_defaults) {
  std::istringstream lines(sample_file());
  std::string text;
  for (std::string line; std::getline(lines, line);)
    text += (line.starts_with('#') && !line.starts_with("# ") ? line.substr(1) : line) + "\n";
  const auto defaults = list(good());
  file(text);
  const auto uncommented = list(good());
  ASSERT_EQ(uncommented.size(), pawl_settings().rows.size());
  for (std::size_t i = 0; i < uncommented.size(); ++i) {
    EXPECT_EQ(uncommented[i].value, defaults[i].value) << uncommented[i].name;
    EXPECT_THAT(uncommented[i].source, testing::HasSubstr("pawl.toml:")) << uncommented[i].name;
    EXPECT_EQ(defaults[i].source, "default");
  }
}

TEST_F(listing_test, shows_value_source_and_doc_in_the_order_of_the_table) {
  variable("PAWL_STEP_TIMEOUT", "90s");
  const auto rows = list(good());
  ASSERT_EQ(rows.size(), pawl_settings().rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].name, pawl_settings().rows[i].name);
    if (rows[i].name != "step.timeout") continue;
    EXPECT_EQ(rows[i].value, "90s");
    EXPECT_EQ(rows[i].source, "env PAWL_STEP_TIMEOUT");
    EXPECT_EQ(rows[i].doc, "Timeout of a step that names none, from the start of its function");
  }
}

TEST(table, is_sound) {
  const auto& table = pawl_settings();
  std::set<std::string> names, variables, sections;
  std::string_view section;
  for (const auto& s : table.rows) {
    EXPECT_TRUE(names.insert(s.name).second) << s.name;
    EXPECT_TRUE(variables.insert(s.variable()).second) << s.name;
    EXPECT_EQ(table.find(s.name), &s);
    EXPECT_EQ(table.find_variable(s.variable()), &s);
    EXPECT_TRUE(s.section() == section || sections.emplace(s.section()).second) << s.name << " stands apart";
    section = s.section();
    EXPECT_EQ(s.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_."), std::string::npos) << s.name;
    EXPECT_FALSE(s.doc.empty() || s.doc.ends_with('.') || s.doc.find_first_of("\n|") != std::string::npos) << s.name;
    EXPECT_TRUE(s.min.has_value() == s.max.has_value() && (!s.min || *s.min <= *s.max)) << s.name;
    EXPECT_TRUE(parse_value(s, s.default_text())) << s.name << ": its default is out of its range";
  }
  for (const auto& [smaller, larger] : table.orders) {
    ASSERT_TRUE(table.find(smaller) != nullptr && table.find(larger) != nullptr) << smaller << " " << larger;
    EXPECT_EQ(table.find(smaller)->kind, table.find(larger)->kind);
  }
}

// A row that names a member twice, or the wrong one, would show here: each setting moves itself and nothing else.
TEST_F(listing_test, every_setting_reaches_a_member_of_its_own) {
  const auto& table = pawl_settings();
  const settings defaults;
  for (const auto& s : table.rows) {
    settings changed;
    const auto value = s.kind == setting_kind::boolean  ? setting_value(false)
                       : s.kind == setting_kind::choice ? setting_value(s.choices.back())
                       : s.kind == setting_kind::text   ? setting_value("other")
                                                        : *s.max;
    s.set(changed, value);
    EXPECT_EQ(s.get(changed), value) << s.name;
    for (const auto& other : table.rows) {
      if (&other == &s) continue;
      EXPECT_EQ(other.get(changed), other.get(defaults)) << s.name << " moves " << other.name;
    }
  }
}

}  // namespace
}  // namespace pawl::config
