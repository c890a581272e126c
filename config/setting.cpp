#include "config/setting.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace pawl::config {
namespace {

// The number of bytes of the UTF-8 character at the front of a non-empty text; 0 if there is none.
std::size_t character_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  // Overlong forms, surrogates, beyond U+10FFFF.
  if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f)) return 0;
  if ((first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f)) return 0;
  return length;
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

bool is_plain_text(std::string_view text) {
  while (!text.empty()) {
    const auto length = character_length(text);
    if (length == 0 || is_control(text.front())) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string without_line_ends(std::string_view text) {
  std::string out(text);
  std::erase_if(out, [](char c) { return c == '\n' || c == '\r'; });
  return out;
}

std::string shown(const setting& s, std::string_view text) { return s.secret ? "the value" : in_quotes(text); }

value_error malformed(const setting& s, std::string_view text) {
  return {problem_code::bad_value, shown(s, text) + " is not a " + std::string(type_text(s.kind))};
}

value_error beyond(const setting& s, std::string_view text) {
  return {problem_code::out_of_range, shown(s, text) + " is out of range"};
}

template <class Number>
outcome<setting_value, value_error> parse_number(const setting& s, std::string_view text) {
  Number number{};
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (code == std::errc::invalid_argument || end != text.data() + text.size()) return malformed(s, text);
  if (code == std::errc::result_out_of_range) return beyond(s, text);
  if constexpr (std::floating_point<Number>)
    if (!std::isfinite(number)) return beyond(s, text);
  return setting_value(number);
}

template <class Quantity>
outcome<setting_value, value_error> as_value(const setting& s, std::string_view text,
                                             const outcome<Quantity, quantity_error>& parsed) {
  if (parsed) return setting_value(parsed.value());
  return parsed.error() == quantity_error::too_large ? beyond(s, text) : malformed(s, text);
}

outcome<setting_value, value_error> parse_kind(const setting& s, std::string_view text) {
  switch (s.kind) {
    case setting_kind::boolean:
      if (text != "true" && text != "false") return malformed(s, text);
      return setting_value(text == "true");
    case setting_kind::integer:
      return parse_number<std::int64_t>(s, text);
    case setting_kind::real:
      return parse_number<double>(s, text);
    case setting_kind::duration:
      return as_value(s, text, parse_duration(text));
    case setting_kind::size:
      return as_value(s, text, parse_size(text));
    case setting_kind::text:
      if (!is_plain_text(s.lines ? without_line_ends(text) : std::string(text)))
        return value_error{problem_code::bad_value, shown(s, text) + " has control characters or is not UTF-8"};
      return setting_value(std::string(text));
    case setting_kind::choice:
      for (const auto& choice : s.choices)
        if (choice == text) return setting_value(choice);
      return value_error{problem_code::bad_value, shown(s, text) + " is not one of the choices"};
  }
  return malformed(s, text);
}

}  // namespace

std::string setting::variable() const { return variable_of(name); }

std::string variable_of(const std::string& name) {
  auto variable = "PAWL_" + name;
  for (auto& c : variable) c = c == '.' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - ('a' - 'A')) : c;
  return variable;
}

std::string setting::default_text() const { return format_value(get(settings{})); }

outcome<setting_value, value_error> parse_value(const setting& s, std::string_view text) {
  auto parsed = parse_kind(s, text);
  if (!parsed || !s.min) return parsed;
  const auto measured = s.kind == setting_kind::text ? static_cast<std::int64_t>(text.size()) : parsed.value();
  if (measured < *s.min || measured > *s.max) return beyond(s, text);
  return parsed;
}

std::string format_value(const setting_value& value) {
  struct formatter {
    std::string operator()(bool v) const { return v ? "true" : "false"; }
    std::string operator()(std::int64_t v) const { return std::to_string(v); }
    std::string operator()(const std::string& v) const { return v; }
    std::string operator()(milliseconds v) const { return format_duration(v); }
    std::string operator()(byte_size v) const { return format_size(v); }
    std::string operator()(double v) const {
      std::array<char, 32> buffer{};
      const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), v).ptr;
      std::string text(buffer.data(), end);
      // TOML tells a float from an integer by its spelling.
      return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
    }
  };
  return std::visit(formatter{}, value);
}

std::string mask(const setting& s, std::string text) { return s.secret && !text.empty() ? "***" : text; }

std::string_view type_text(setting_kind kind) {
  constexpr std::array<std::string_view, 7> names{"boolean",  "whole number", "number", "text",
                                                  "duration", "size",         "choice"};
  return names[static_cast<std::size_t>(kind)];
}

std::string range_text(const setting& s) {
  if (s.kind == setting_kind::boolean) return "true or false";
  std::string text;
  for (const auto& choice : s.choices) text += (text.empty() ? "" : ", ") + choice;
  if (s.min) text = format_value(*s.min) + " to " + format_value(*s.max);
  return s.kind == setting_kind::text ? text + " bytes" : text;
}

std::string printable(std::string_view text, std::size_t longest) {
  std::string out;
  while (!text.empty()) {
    if (out.size() > longest) return out + "...";
    const auto length = character_length(text);
    if (length == 0 || is_control(text.front())) {
      std::array<char, 5> escape{};
      std::snprintf(escape.data(), escape.size(), "\\x%02x", static_cast<unsigned char>(text.front()));
      out += escape.data();
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

std::string in_quotes(std::string_view text) { return "'" + printable(text, 80) + "'"; }

}  // namespace pawl::config
