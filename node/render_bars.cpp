#include "node/render_bars.hpp"

#include "config/setting.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace pawl::node {
namespace {

constexpr std::size_t duration_columns = 8;
constexpr std::size_t least_bar = 10;
constexpr std::size_t least_note = 12;
constexpr std::size_t gap = 2;

paint color_of(bar_end e) {
  switch (e) {
    case bar_end::completed:
      return paint::good;
    case bar_end::failed:
    case bar_end::timed_out:
      return paint::bad;
    case bar_end::lost:
    case bar_end::interrupted:
      return paint::warn;
    case bar_end::running:
      return paint::busy;
    case bar_end::waiting:
      break;
  }
  return paint::faint;
}

/// What stands in for each end where there are no colours to tell.
std::string_view word_of(bar_end e) {
  switch (e) {
    case bar_end::failed:
      return "failed";
    case bar_end::timed_out:
      return "timed out";
    case bar_end::lost:
      return "lost";
    case bar_end::interrupted:
      return "interrupted";
    case bar_end::running:
      return "running";
    case bar_end::waiting:
      return "waiting";
    case bar_end::completed:
      break;
  }
  return {};
}

/// The bar in half columns at its beginning and eighths at its end.
struct span_of_cells {
  std::size_t first = 0;    // the first column that is not blank
  bool half = false;        // ... of which only the right half is filled
  std::size_t full = 0;     // columns filled after it
  std::size_t eighths = 0;  // of the column behind those
};

span_of_cells place(const bar& b, double scale, std::size_t columns) {
  const auto limit = static_cast<double>(columns);
  const double from = std::clamp(static_cast<double>(b.from.count()) * scale, 0.0, limit);
  const double to = std::clamp(static_cast<double>(b.to.count()) * scale, from, limit);
  span_of_cells s;
  s.first = std::min(static_cast<std::size_t>(from), columns - 1);
  const double into = from - static_cast<double>(s.first);
  const auto end_eighths = static_cast<std::size_t>(std::lround(to * 8));
  const auto begin_eighths = s.first * 8;
  if (end_eighths <= begin_eighths + 8 || to - from < 0.5) {  // within one column its length says more than its place
    s.eighths = std::clamp<std::size_t>(static_cast<std::size_t>(std::lround((to - from) * 8)), 1, 8);
    if (s.eighths == 8) s.full = 1, s.eighths = 0;
    return s;
  }
  if (into >= 0.5 && end_eighths >= begin_eighths + 8) {
    s.half = true;
    s.full = (end_eighths - begin_eighths - 8) / 8;
  } else {
    s.full = (end_eighths - begin_eighths) / 8;
  }
  const auto covered = begin_eighths + (s.half ? 8 : 0) + s.full * 8;
  s.eighths = end_eighths > covered ? end_eighths - covered : 0;
  return s;
}

struct drawn_bar {
  std::string before, body, dots, after;
};

drawn_bar draw(const bar& b, std::chrono::microseconds total, std::size_t columns) {
  constexpr std::array<std::string_view, 8> parts{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  drawn_bar out;
  if (columns == 0) return out;
  const double scale = total.count() > 0 ? static_cast<double>(columns) / static_cast<double>(total.count()) : 0.0;
  const auto s = place(b, scale, columns);
  out.before = std::string(s.first, ' ');
  std::size_t used = s.first;
  if (b.end == bar_end::waiting) {
    const auto until = static_cast<std::size_t>(
        std::clamp(std::ceil(static_cast<double>(b.to.count()) * scale), 0.0, static_cast<double>(columns)));
    for (; used < std::max(until, s.first + 1); ++used) out.dots += "·";
  } else {
    if (s.half) out.body += "▐", ++used;
    for (std::size_t i = 0; i < s.full; ++i, ++used) out.body += b.end == bar_end::lost ? "▒" : "█";
    if (s.eighths > 0) out.body += parts[s.eighths], ++used;
    const auto until = static_cast<std::size_t>(
        std::clamp(static_cast<double>(b.waits_until.count()) * scale, 0.0, static_cast<double>(columns)));
    for (; used < until; ++used) out.dots += "·";
  }
  out.after = std::string(columns - std::min(used, columns), ' ');
  return out;
}

struct layout {
  std::size_t label = 0, bar = 0, duration = 0, note = 0;
};

layout plan(const canvas& c, std::span<const bar> bars) {
  layout l;
  for (const auto& b : bars) {
    l.label = std::max(l.label, display_width(config::printable(b.label)));
    const auto word = display_width(word_of(b.end));
    l.note = std::max(l.note, b.note.empty() ? word : word + 2 + display_width(config::printable(b.note)));
  }
  l.duration = duration_columns;
  const auto width = std::max<std::size_t>(c.width, 1);
  if (width < 24) {  // no room for more than the bars
    l.duration = l.note = 0;
    l.label = std::min(l.label, width / 3);
    l.bar = width > l.label + 1 ? width - l.label - 1 : 0;
    return l;
  }
  l.label = std::min(l.label, std::clamp<std::size_t>(width / 4, 8, 32));
  const auto fixed = l.label + gap + l.duration + 1;
  // The bars get two columns of five, and never less than thirty; notes that would be too short to say anything go.
  const auto for_bars = fixed + gap + std::max<std::size_t>(30, width * 2 / 5);
  l.note = width >= for_bars + least_note ? std::min(l.note, width - for_bars) : 0;
  const auto with_note = fixed + (l.note > 0 ? l.note + gap : 0);
  l.bar = width > with_note + least_bar ? width - with_note : least_bar;
  if (l.label + gap + l.bar + 1 + l.duration > width)
    l.bar = width - std::min(width - 1, l.label + gap + 1 + l.duration);
  return l;
}

std::string scale_line(const canvas& c, const layout& l, std::chrono::microseconds total) {
  const auto end = elapsed_text(total);
  if (l.duration == 0 || l.bar < end.size() + 3) return {};
  return painted(c, paint::faint,
                 std::string(l.label + gap, ' ') + "0" + std::string(l.bar - 1 - end.size(), ' ') + end) +
         "\n";
}

}  // namespace

std::string draw_bar(const bar& b, std::chrono::microseconds total, std::size_t columns) {
  const auto d = draw(b, total, columns);
  return d.before + d.body + d.dots + d.after;
}

std::string draw_bars(const canvas& c, std::span<const bar> bars, std::chrono::microseconds total) {
  if (bars.empty()) return {};
  const auto l = plan(c, bars);
  std::string out = scale_line(c, l, total);
  for (const auto& b : bars) {
    const auto label = padded(shortened(config::printable(b.label), l.label), l.label);
    const auto d = draw(b, total, l.bar);
    std::string line = label + std::string(l.duration > 0 ? gap : 1, ' ') + d.before +
                       painted(c, color_of(b.end), d.body) + painted(c, paint::faint, d.dots) + d.after;
    if (l.duration > 0) line += " " + padded(elapsed_text(b.to - b.from), l.duration, true);
    std::string note(word_of(b.end));
    if (!b.note.empty()) note += (note.empty() ? "" : ": ") + config::printable(b.note);
    if (l.note > 0 && !note.empty())
      line += std::string(gap, ' ') + painted(c, color_of(b.end), shortened(note, l.note));
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

}  // namespace pawl::node
