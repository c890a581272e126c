#include "node/render_table.hpp"

#include "config/setting.hpp"

#include <algorithm>

namespace pawl::node {
namespace {

constexpr std::size_t gap = 2;

void trim_right(std::string& line) { line.erase(line.find_last_not_of(' ') + 1); }

}  // namespace

table::table(std::vector<std::string> titles) : titles_(std::move(titles)) {
  for (auto& t : titles_) {
    right_.push_back(t.starts_with('>'));
    if (right_.back()) t.erase(0, 1);
  }
}

void table::add(std::vector<cell> row) {
  row.resize(titles_.size(), cell(""));
  for (auto& c : row) c.text = config::printable(c.text);
  rows_.push_back(std::move(row));
}

std::string table::draw(const canvas& c) const {
  const auto columns = titles_.size();
  std::vector<std::size_t> widths;
  for (const auto& t : titles_) widths.push_back(display_width(t));
  for (const auto& row : rows_)
    for (std::size_t i = 0; i < columns; ++i) widths[i] = std::max(widths[i], display_width(row[i].text));
  std::size_t before_last = 0;
  for (std::size_t i = 0; i + 1 < columns; ++i) before_last += widths[i] + gap;

  std::string out;
  const auto put = [&](std::size_t i, const std::string& text, paint p) {
    const bool last = i + 1 == columns;
    const auto shown =
        last && c.cut ? shortened(text, std::max<std::size_t>(c.width - std::min(c.width, before_last), 8)) : text;
    const auto room = last && !right_[i] ? 0 : widths[i];
    const auto filled = padded(shown, room, right_[i]);
    // Colour the text only, so that blanks stay blanks.
    const auto at = right_[i] ? filled.size() - shown.size() : 0;
    out += filled.substr(0, at) + painted(c, p, shown) + filled.substr(at + shown.size());
    if (!last) out += std::string(gap, ' ');
  };
  for (std::size_t i = 0; i < columns; ++i) put(i, titles_[i], paint::faint);
  if (!c.colors) trim_right(out);
  out += '\n';
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < columns; ++i) put(i, row[i].text, row[i].color);
    trim_right(out);
    out += '\n';
  }
  return out;
}

std::string draw_pairs(const canvas& c, const std::vector<std::pair<std::string, cell>>& pairs) {
  std::size_t width = 0;
  for (const auto& [name, value] : pairs) width = std::max(width, display_width(name));
  std::string out;
  for (const auto& [name, value] : pairs) {
    auto text = config::printable(value.text);
    if (c.cut && c.width > width + gap) text = shortened(text, std::max<std::size_t>(c.width - width - gap, 8));
    out += painted(c, paint::faint, padded(name, width)) + std::string(gap, ' ') + painted(c, value.color, text) + "\n";
  }
  return out;
}

}  // namespace pawl::node
