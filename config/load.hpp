#pragma once

#include "config/assignment.hpp"
#include "config/result.hpp"
#include "config/setting_table.hpp"
#include "config/settings.hpp"

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pawl::config {

// What a configuration is made of; the later wins: defaults, file, environment, flags.
struct load_request {
  std::optional<std::filesystem::path> path;
  bool path_must_exist = false;  // true when a person named the file; a file that is there is always read and checked
  std::vector<std::pair<std::string, std::string>> environment;  // as process_environment() gives it
  std::vector<std::string> flags;  // "section.key=value", the last of a name wins
  std::vector<std::string> other_variables;  // PAWL_* variables that are no settings and are let pass
};

struct loaded {
  settings values;
  std::map<std::string, source, std::less<>> sources;  // of the settings that were given

  source source_of(std::string_view setting) const;
};

// Reads, checks and merges. Every value given is checked, one that a later layer replaces too, and every mistake found
// is reported: never a half-applied configuration. Blocks on the file; safe to call from any thread.
outcome<loaded> load(const load_request& request, const setting_table& table = pawl_settings());

// The PAWL_* variables of this process. Not safe beside a thread that calls setenv.
std::vector<std::pair<std::string, std::string>> process_environment();

}  // namespace pawl::config
