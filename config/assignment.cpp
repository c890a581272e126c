#include "config/assignment.hpp"

#include <algorithm>

namespace pawl::config {

std::string source::text() const {
  switch (from) {
    case origin::by_default:
      return "default";
    case origin::file:
      return place;
    case origin::environment:
      return "env " + place;
    case origin::flag:
      return "flag";
  }
  return "";
}

std::string name_mend(const std::optional<std::string>& nearest) {
  return nearest ? "Did you mean " + *nearest + "?" : "`config show` lists every setting";
}

layer read_environment(const std::vector<std::pair<std::string, std::string>>& environment,
                       const std::vector<std::string>& of_others, const setting_table& table) {
  layer read;
  for (const auto& [variable, value] : environment) {
    if (!variable.starts_with("PAWL_")) continue;
    if (std::find(of_others.begin(), of_others.end(), variable) != of_others.end()) continue;
    const source from{source::origin::environment, printable(variable, 80)};
    if (auto target = table.of_variable(variable)) {
      read.given.push_back({std::move(target), value, written_as::text, from});
    } else {
      auto mend = table.nearest_variable(variable);
      read.wrong.push_back({problem_code::unknown_name, from.text(), "", "no setting has this variable",
                            mend ? name_mend(mend) : "Unset it: variables named PAWL_* are settings"});
    }
  }
  return read;
}

layer read_flags(const std::vector<std::string>& flags, const setting_table& table) {
  layer read;
  const source from{source::origin::flag, ""};
  for (const auto& flag : flags) {
    // Only what can be a name is shown: in a malformed flag the rest may be a secret.
    const auto name =
        flag.substr(0, flag.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"));
    const bool has_value = flag.size() > name.size() && flag[name.size()] == '=';
    if (!has_value) {
      read.wrong.push_back({problem_code::wrong_type, from.text(), "", in_quotes(name) + " is not followed by '='",
                            "Write section.key=value, such as pool.threads=64"});
    } else if (auto target = table.named(name)) {
      read.given.push_back({std::move(target), flag.substr(name.size() + 1), written_as::text, from});
    } else {
      read.wrong.push_back({problem_code::unknown_name, from.text(), "", "there is no setting " + in_quotes(name),
                            name_mend(table.nearest_setting(name))});
    }
  }
  return read;
}

}  // namespace pawl::config
