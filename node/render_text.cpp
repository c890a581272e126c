#include "node/render_text.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

namespace pawl::node {
namespace {

struct decoded {
  char32_t code = 0;
  std::size_t length = 1;
};

// What is not UTF-8 counts as one character of one byte.
decoded decode_front(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const std::size_t length = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 1;
  if (length == 1 || text.size() < length) return {first, 1};
  char32_t code = first & (0xffU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0U) != 0x80U) return {first, 1};
    code = (code << 6U) | (byte(i) & 0x3fU);
  }
  return {code, length};
}

struct code_range {
  char32_t first, last;
};
// The blocks that terminals draw in two columns, and those that they draw over the character before.
constexpr std::array<code_range, 9> wide{{{0x1100, 0x115f},
                                          {0x2e80, 0x303e},
                                          {0x3041, 0xa4cf},
                                          {0xac00, 0xd7a3},
                                          {0xf900, 0xfaff},
                                          {0xfe30, 0xfe6f},
                                          {0xff00, 0xff60},
                                          {0x1f300, 0x1faff},
                                          {0x20000, 0x3fffd}}};
constexpr std::array<code_range, 6> zero{
    {{0x300, 0x36f}, {0x200b, 0x200f}, {0x1ab0, 0x1aff}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}}};

std::size_t width_of(char32_t code) {
  const auto in = [code](const code_range& r) { return code >= r.first && code <= r.last; };
  if (std::any_of(zero.begin(), zero.end(), in)) return 0;
  return std::any_of(wide.begin(), wide.end(), in) ? 2 : 1;
}

template <class... A>
std::string format(const char* form, A... values) {
  std::array<char, 64> buffer{};
  const auto n = std::snprintf(buffer.data(), buffer.size(), form, values...);
  return {buffer.data(), static_cast<std::size_t>(std::clamp<int>(n, 0, static_cast<int>(buffer.size()) - 1))};
}

}  // namespace

std::string painted(const canvas& c, paint p, std::string_view text) {
  constexpr std::array<std::string_view, 7> codes{"", "32", "31", "33", "36", "2", "1"};
  if (!c.colors || p == paint::plain || text.empty()) return std::string(text);
  return "\x1b[" + std::string(codes[static_cast<std::size_t>(p)]) + "m" + std::string(text) + "\x1b[0m";
}

std::size_t display_width(std::string_view text) {
  std::size_t columns = 0;
  while (!text.empty()) {
    const auto next = decode_front(text);
    columns += width_of(next.code);
    text.remove_prefix(next.length);
  }
  return columns;
}

std::string shortened(std::string_view text, std::size_t columns) {
  if (display_width(text) <= columns) return std::string(text);
  if (columns == 0) return {};
  std::string out;
  std::size_t used = 0;
  while (!text.empty()) {
    const auto next = decode_front(text);
    if (used + width_of(next.code) > columns - 1) break;
    used += width_of(next.code);
    out += text.substr(0, next.length);
    text.remove_prefix(next.length);
  }
  return out + "…";
}

std::string padded(std::string text, std::size_t columns, bool right) {
  const auto width = display_width(text);
  if (width >= columns) return text;
  const std::string blanks(columns - width, ' ');
  return right ? blanks + text : text + blanks;
}

std::string elapsed_text(std::chrono::microseconds d) {
  const auto us = std::max<std::int64_t>(0, d.count());
  const auto ms = (us + 500) / 1000;
  if (us < 9'950) return format("%.1fms", static_cast<double>(us) / 1e3);
  if (ms < 1000) return format("%lldms", static_cast<long long>(ms));
  if (ms < 9'995) return format("%.2fs", static_cast<double>(ms) / 1e3);
  if (ms < 59'950) return format("%.1fs", static_cast<double>(ms) / 1e3);
  const long long s = (ms + 500) / 1000;
  if (s < 3600) return format("%lldm%02llds", s / 60, s % 60);
  if (s < 86'400) return format("%lldh%02lldm", s / 3600, s / 60 % 60);
  return format("%lldd%02lldh", s / 86'400, s / 3600 % 24);
}

std::string time_text(std::int64_t micros) {
  using namespace std::chrono;
  const auto at = floor<seconds>(sys_time<microseconds>(microseconds(micros)));
  const year_month_day day(floor<days>(at));
  const hh_mm_ss time(at - floor<days>(at));
  return format("%04d-%02u-%02u %02d:%02d:%02dZ", static_cast<int>(day.year()), static_cast<unsigned>(day.month()),
                static_cast<unsigned>(day.day()), static_cast<int>(time.hours().count()),
                static_cast<int>(time.minutes().count()), static_cast<int>(time.seconds().count()));
}

std::string precise_time_text(std::int64_t micros) {
  const auto ms = ((micros / 1000) % 1000 + 1000) % 1000;
  auto text = time_text(micros);
  return text.replace(text.size() - 1, 1, format(".%03dZ", static_cast<int>(ms)));
}

std::string relative_text(std::int64_t micros, std::int64_t now) {
  if (micros > now) return "in " + elapsed_text(std::chrono::microseconds(micros - now));
  return elapsed_text(std::chrono::microseconds(now - micros)) + " ago";
}

std::int64_t now_micros() {
  using namespace std::chrono;
  return duration_cast<microseconds>(system_clock::now().time_since_epoch()).count();
}

}  // namespace pawl::node
