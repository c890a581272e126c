// Tables for people: columns as wide as their content, two blanks between them, no lines.
#pragma once

#include "node/render_text.hpp"

#include <string>
#include <vector>

namespace pawl::node {

struct cell {
  std::string text;  ///< escaped by draw()
  paint color = paint::plain;
  cell(std::string t, paint p = paint::plain) : text(std::move(t)), color(p) {}
  cell(const char* t) : text(t) {}
};

class table {
 public:
  /// A title that begins with '>' makes a column of numbers, which stand on the right.
  explicit table(std::vector<std::string> titles);
  void add(std::vector<cell> row);
  bool empty() const { return rows_.empty(); }
  /// With its titles. Where the canvas says so, the last column is cut at its width; the others never are.
  std::string draw(const canvas& c) const;

 private:
  std::vector<std::string> titles_;
  std::vector<bool> right_;
  std::vector<std::vector<cell>> rows_;
};

/// Names and what belongs to them, one a line, the values in one column.
std::string draw_pairs(const canvas& c, const std::vector<std::pair<std::string, cell>>& pairs);

}  // namespace pawl::node
