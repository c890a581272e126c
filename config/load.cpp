#include "config/load.hpp"

#include <unistd.h>

#include <array>
#include <iterator>

namespace pawl::config {
namespace {

std::string_view form_text(written_as form) {
  constexpr std::array<std::string_view, 6> names{"text",    "a string",  "an integer",
                                                  "a float", "a boolean", "an array, a table or a date"};
  return names[static_cast<std::size_t>(form)];
}

// TOML has types of its own, and "64" is not 64; variables and flags are text only.
bool fits(setting_kind kind, written_as form) {
  if (form == written_as::text) return true;
  switch (kind) {
    case setting_kind::boolean:
      return form == written_as::toml_boolean;
    case setting_kind::integer:
      return form == written_as::toml_integer;
    case setting_kind::real:
      return form == written_as::toml_float || form == written_as::toml_integer;
    default:
      return form == written_as::toml_string;
  }
}

std::string value_mend(const setting& s, written_as form) {
  switch (s.kind) {
    case setting_kind::boolean:
      return form == written_as::text ? "Write true or false" : "Write true or false, unquoted";
    case setting_kind::choice:
      return "Write one of " + range_text(s);
    case setting_kind::text:
      return "Write a text of " + range_text(s);
    case setting_kind::duration:
      return "Write a duration from " + range_text(s) + R"(, such as "500ms", "30s", "5m", "48h" or "7d")";
    case setting_kind::size:
      return "Write a size from " + range_text(s) + R"(, such as "512B", "64KiB", "1MiB" or "2GiB")";
    case setting_kind::integer:
    case setting_kind::real:
      break;
  }
  return "Write a " + std::string(type_text(s.kind)) + " from " + range_text(s);
}

class loader {
 public:
  explicit loader(const setting_table& table) : table_(table) {}

  void take(layer read) {
    wrong_.insert(wrong_.end(), std::make_move_iterator(read.wrong.begin()), std::make_move_iterator(read.wrong.end()));
    for (const auto& given : read.given) apply(given);
  }

  outcome<loaded> finish() && {
    if (wrong_.empty()) check_orders();
    if (!wrong_.empty()) return std::move(wrong_);
    if (loaded_.values.node.name.empty()) loaded_.values.node.name = host_name();
    return std::move(loaded_);
  }

 private:
  void apply(const assignment& given) {
    const auto& s = *given.target;
    const auto refuse = [&](problem_code code, std::string what) {
      wrong_.push_back({code, given.from.text(), s.name, std::move(what), value_mend(s, given.form)});
    };
    if (!fits(s.kind, given.form))
      return refuse(problem_code::wrong_type, "the value is " + std::string(form_text(given.form)) +
                                                  ", the setting is a " + std::string(type_text(s.kind)));
    const auto parsed = parse_value(s, given.text);
    if (!parsed) return refuse(parsed.error().code, parsed.error().what);
    s.set(loaded_.values, parsed.value());
    loaded_.sources.insert_or_assign(s.name, given.from);
  }

  void check_orders() {
    for (const auto& [small_name, large_name] : table_.orders) {
      const auto& small = *table_.find(small_name);
      const auto& large = *table_.find(large_name);
      const auto small_value = small.get(loaded_.values);
      const auto large_value = large.get(loaded_.values);
      if (!(small_value > large_value)) continue;
      // Blame the one that somebody wrote.
      const bool small_given = loaded_.sources.contains(small_name);
      wrong_.push_back({problem_code::conflict, loaded_.source_of(small_given ? small_name : large_name).text(),
                        small_given ? small_name : large_name,
                        stated(small, small_value) + " is above " + stated(large, large_value),
                        "Lower " + small_name + " or raise " + large_name});
    }
  }

  std::string stated(const setting& s, const setting_value& value) const {
    return s.name + " = " + mask(s, format_value(value)) + " (" + loaded_.source_of(s.name).text() + ")";
  }

  static std::string host_name() {
    std::array<char, 256> name{};
    const bool known = ::gethostname(name.data(), name.size() - 1) == 0 && name[0] != '\0';
    return known ? name.data() : "node";
  }

  const setting_table& table_;
  loaded loaded_;
  problems wrong_;
};

}  // namespace

std::string problem::text() const {
  std::string line = where + ": ";
  if (!setting.empty()) line += setting + ": ";
  return line + what + ". " + mend + (mend.ends_with('?') ? "" : ".");
}

source loaded::source_of(std::string_view setting) const {
  const auto found = sources.find(setting);
  return found == sources.end() ? source{} : found->second;
}

outcome<loaded> load(const load_request& request, const setting_table& table) {
  loader loading(table);
  if (request.path) loading.take(read_toml_file(*request.path, request.path_must_exist, table));
  loading.take(read_environment(request.environment, request.other_variables, table));
  loading.take(read_flags(request.flags, table));
  return std::move(loading).finish();
}

std::vector<std::pair<std::string, std::string>> process_environment() {
  std::vector<std::pair<std::string, std::string>> found;
  for (char** entry = ::environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const auto equals = text.find('=');
    if (text.starts_with("PAWL_") && equals != std::string_view::npos)
      found.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return found;
}

}  // namespace pawl::config
