#pragma once

#include "config/load.hpp"
#include "config/setting_table.hpp"

#include <string>
#include <vector>

// What people read about the settings, made from the table.
namespace pawl::config {

// One line of `config show`.
struct listed_setting {
  std::string name;
  std::string value;  // secrets masked
  std::string source;
  std::string doc;
};

// One row a setting, in the order of the table.
std::vector<listed_setting> list(const loaded& configuration, const setting_table& table = pawl_settings());

// The text of config/pawl.toml.sample: every setting, commented out, at its default.
std::string sample_file(const setting_table& table = pawl_settings());

// The table of docs/config.md, in Markdown.
std::string docs_table(const setting_table& table = pawl_settings());

}  // namespace pawl::config
