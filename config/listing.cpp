#include "config/listing.hpp"

namespace pawl::config {
namespace {

std::string toml_literal(const setting& s, const std::string& text) {
  if (s.kind == setting_kind::boolean || s.kind == setting_kind::integer || s.kind == setting_kind::real) return text;
  std::string literal = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') literal += '\\';
    literal += c;
  }
  return literal + '"';
}

// A default is masked like any value: a table may declare a secret with one.
std::string default_literal(const setting& s) { return toml_literal(s, mask(s, s.default_text())); }

}  // namespace

std::vector<listed_setting> list(const loaded& configuration, const setting_table& table) {
  std::vector<listed_setting> rows;
  for (const auto& s : table.rows)
    rows.push_back(
        {s.name, mask(s, format_value(s.get(configuration.values))), configuration.source_of(s.name).text(), s.doc});
  auto values = configuration.values;
  for (const auto& section : table.open)
    for (const auto& [key, value] : section.at(values)) {
      const auto s = section.row(key);
      rows.push_back({s.name, mask(s, value), configuration.source_of(s.name).text(), s.doc});
    }
  return rows;
}

std::string sample_file(const setting_table& table) {
  std::string text =
      "# The settings of pawl, each with its default. Uncomment what you change. A variable PAWL_SECTION_KEY wins "
      "over\n"
      "# this file, and a flag over both. Made from config/setting_table.cpp; a test keeps it equal.\n";
  std::string_view section;
  const auto begin_open = [&](std::string_view of) {
    for (const auto& o : table.open)
      if (std::string_view(o.name).starts_with(std::string(of) + "."))
        text += "\n# " + o.doc + ".\n#[" + o.name + "]\n";
  };
  for (const auto& s : table.rows) {
    if (s.section() != section) {
      if (!section.empty()) begin_open(section);
      section = s.section();
      text += "\n[" + std::string(section) + "]\n";
    }
    text += "# " + s.doc + " (" + range_text(s) + ").\n";
    text += "#" + std::string(s.key()) + " = " + default_literal(s) + "\n";
  }
  begin_open(section);
  return text;
}

std::string docs_table(const setting_table& table) {
  std::string text = "| Setting | Type | Default | Allowed | What it is |\n|---|---|---|---|---|\n";
  for (const auto& s : table.rows)
    text += "| `" + s.name + "` | " + std::string(type_text(s.kind)) + (s.secret ? ", secret" : "") + " | `" +
            default_literal(s) + "` | " + range_text(s) + " | " + s.doc + " |\n";
  for (const auto& o : table.open) text += "| `" + o.name + ".NAME` | text, secret | | | " + o.doc + " |\n";
  return text;
}

}  // namespace pawl::config
