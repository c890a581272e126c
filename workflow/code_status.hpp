// What the code of one run shows to people: a text and attributes, recorded whole whenever they change.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "workflow/program.hpp"

namespace pawl::engine {

class code_status {
 public:
  // Both throw std::length_error when there is too much of it.
  void set_text(std::string_view text);
  void set_attribute(std::string_view name, std::string value_msgpack);

  /// It is on record.
  void on_published() { unpublished_.clear(); }
  void add_wants(std::vector<want>& out) const;

 private:
  void pack();

  std::string text_;
  std::vector<std::pair<std::string, std::string>> attributes_;  // name, msgpack
  std::string unpublished_;
};

}  // namespace pawl::engine
