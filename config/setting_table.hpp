#pragma once

#include "config/setting.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pawl::config {

// `smaller` must not be above `larger`; both are names of settings of one kind.
struct order_rule {
  std::string smaller, larger;
};

// A section whose keys are names of somebody else, with dots in them: any text under any name, and all are secrets.
struct open_section {
  std::string name;  // "kafka.properties"
  std::string doc;
  std::map<std::string, std::string>& (*at)(settings&);

  // The setting of one of its keys.
  setting row(std::string_view key) const;
  std::string variable() const;  // "PAWL_KAFKA_PROPERTIES_", before the key with its dots as underscores
};

// The declaration of a configuration. load(), the listing of `config show`, the sample file and the table of
// docs/config.md are all made from it; a setting is added by its member in settings.hpp and its row here.
struct setting_table {
  std::vector<setting> rows;  // the rows of a section stand together
  std::vector<order_rule> orders;
  std::vector<open_section> open;

  const setting* find(std::string_view name) const;               // "pool.threads"
  const setting* find_variable(std::string_view variable) const;  // "PAWL_POOL_THREADS"
  const open_section* find_open(std::string_view section) const;  // "kafka.properties"
  // As the two above, and those of the open sections, which are made as they are asked for. The table outlives them.
  std::shared_ptr<const setting> named(std::string_view name) const;
  std::shared_ptr<const setting> of_variable(std::string_view variable) const;
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
