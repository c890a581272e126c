#pragma once

#include "config/setting.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pawl::config {

// `smaller` must not be above `larger`; both are names of settings of one kind.
struct order_rule {
  std::string smaller, larger;
};

// The declaration of a configuration. load(), the listing of `config show`, the sample file and the table of
// docs/config.md are all made from it; a setting is added by its member in settings.hpp and its row here.
struct setting_table {
  std::vector<setting> rows;  // the rows of a section stand together
  std::vector<order_rule> orders;

  const setting* find(std::string_view name) const;               // "pool.threads"
  const setting* find_variable(std::string_view variable) const;  // "PAWL_POOL_THREADS"
  bool has_section(std::string_view section) const;
  bool has_secrets() const;

  // What a misspelt name was probably meant to be.
  std::optional<std::string> nearest_setting(std::string_view name) const;
  std::optional<std::string> nearest_section(std::string_view section) const;
  std::optional<std::string> nearest_variable(std::string_view variable) const;
};

// The table of pawl, made once; safe to use from any thread.
const setting_table& pawl_settings();

}  // namespace pawl::config
