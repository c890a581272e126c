#pragma once

#include "config/setting_table.hpp"

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace pawl::config {

// Where a value came from.
struct source {
  enum class origin { by_default, file, environment, flag };
  origin from = origin::by_default;
  std::string place;  // "pawl.toml:12", "PAWL_POOL_THREADS"; empty for the others

  std::string text() const;  // "default", "pawl.toml:12", "env PAWL_POOL_THREADS", "flag"
};

// How a value was written. Text can be any type; a value in a file has TOML's own. form_text() in load.cpp
// names them in this order.
enum class written_as { text, toml_string, toml_integer, toml_float, toml_boolean, toml_other };

// One value given to one setting, not yet checked.
struct assignment {
  std::shared_ptr<const setting> target;
  std::string text;  // empty for toml_other
  written_as form;
  source from;
};

// What one layer of the configuration gave, in the order written. Names are resolved; the unknown ones are problems.
struct layer {
  std::vector<assignment> given;
  problems wrong;
};

// Files above 64 KiB are refused, which bounds the nesting too. A missing file is an empty layer unless `must_exist`.
layer read_toml_file(const std::filesystem::path& path, bool must_exist, const setting_table& table);

// Variables that do not begin with PAWL_ are passed over, and so are those named in `of_others`.
layer read_environment(const std::vector<std::pair<std::string, std::string>>& environment,
                       const std::vector<std::string>& of_others, const setting_table& table);

// Each flag is "section.key=value".
layer read_flags(const std::vector<std::string>& flags, const setting_table& table);

// "Did you mean ...?" or, without a near name, where the names are listed.
std::string name_mend(const std::optional<std::string>& nearest);

}  // namespace pawl::config
