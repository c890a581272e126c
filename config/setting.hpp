#pragma once

#include "config/quantity.hpp"
#include "config/result.hpp"
#include "config/settings.hpp"

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace pawl::config {

// type_text() in setting.cpp names them in this order.
enum class setting_kind { boolean, integer, real, text, duration, size, choice };

// A value of any kind; a choice is its spelling.
using setting_value = std::variant<bool, std::int64_t, double, std::string, milliseconds, byte_size>;

// One setting: all that is known about it, and the way to its place in `settings`. Made by describe() only.
struct setting {
  std::string name;  // "section.key", both lower case
  setting_kind kind;
  std::string doc;  // one line without a full stop; of a secret too, so no example values of one
  bool secret = false;
  bool lines = false;  // a text that may have several lines, as a certificate has
  // Inclusive. Numbers, durations and sizes have both; of a text they bound the length in bytes, as integers.
  std::optional<setting_value> min, max;
  std::vector<std::string> choices;
  std::function<setting_value(const settings&)> get;
  std::function<void(settings&, const setting_value&)> set;

  std::string_view section() const { return std::string_view(name).substr(0, name.find('.')); }
  std::string_view key() const { return std::string_view(name).substr(name.find('.') + 1); }
  std::string variable() const;      // "PAWL_SECTION_KEY"
  std::string default_text() const;  // as format_value writes it
};

std::string variable_of(const std::string& name);

struct value_error {
  problem_code code;
  std::string what;  // without the value if the setting is secret
};

// Text as it stands in a variable or after "=" in a flag, checked against type and range. TOML's scalars come here too.
outcome<setting_value, value_error> parse_value(const setting& s, std::string_view text);

// As parse_value reads it. Shows secrets: mask() before anyone sees it.
std::string format_value(const setting_value& value);

// "***" for a secret that is set, otherwise the text itself.
std::string mask(const setting& s, std::string text);

// The type and what is allowed, for people: "duration", "1ms to 30d".
std::string_view type_text(setting_kind kind);
std::string range_text(const setting& s);

// Text for a message of one line: control characters and what is not UTF-8 escaped, and cut at `longest`.
std::string printable(std::string_view text, std::size_t longest = std::string_view::npos);
std::string in_quotes(std::string_view text);  // the same in single quotes, cut at 80 bytes

enum class secrecy { open, secret };

template <class T>
struct range {
  T min, max;
};

namespace detail {

template <class T>
setting_value to_value(const T& field) {
  if constexpr (std::is_enum_v<T>)
    return std::string(spellings(T{})[static_cast<std::size_t>(field)]);
  else if constexpr (std::integral<T> && !std::same_as<T, bool>)
    return static_cast<std::int64_t>(field);
  else
    return field;
}

template <class T>
T from_value(const setting_value& value) {
  if constexpr (std::is_enum_v<T>) {
    const auto names = spellings(T{});
    return static_cast<T>(std::find(names.begin(), names.end(), std::get<std::string>(value)) - names.begin());
  } else if constexpr (std::integral<T> && !std::same_as<T, bool>) {
    return static_cast<T>(std::get<std::int64_t>(value));
  } else {
    return std::get<T>(value);
  }
}

template <class T>
constexpr setting_kind kind_of() {
  if constexpr (std::is_enum_v<T>)
    return setting_kind::choice;
  else if constexpr (std::same_as<T, bool>)
    return setting_kind::boolean;
  else if constexpr (std::integral<T>)
    return setting_kind::integer;
  else if constexpr (std::same_as<T, double>)
    return setting_kind::real;
  else if constexpr (std::same_as<T, std::string>)
    return setting_kind::text;
  else if constexpr (std::same_as<T, milliseconds>)
    return setting_kind::duration;
  else if constexpr (std::same_as<T, byte_size>)
    return setting_kind::size;
}

template <class Section, class T>
setting place(const std::string& name, Section settings::* section, T Section::* key, const std::string& doc) {
  setting s{.name = name, .kind = kind_of<T>(), .doc = doc, .min = {}, .max = {}, .choices = {}, .get = {}, .set = {}};
  s.get = [=](const settings& all) { return to_value((all.*section).*key); };
  s.set = [=](settings& all, const setting_value& value) { (all.*section).*key = from_value<T>(value); };
  return s;
}

}  // namespace detail

// A row of the table. The type is the member's; numbers, durations and sizes cannot be described without a range.
template <class Section, class T>
setting describe(const std::string& name, Section settings::* section, T Section::* key,
                 std::type_identity_t<range<T>> allowed, const std::string& doc) {
  auto s = detail::place(name, section, key, doc);
  s.min = detail::to_value(allowed.min);
  s.max = detail::to_value(allowed.max);
  return s;
}

template <class Section, class T>
  requires std::is_enum_v<T> || std::same_as<T, bool>
setting describe(const std::string& name, Section settings::* section, T Section::* key, const std::string& doc) {
  auto s = detail::place(name, section, key, doc);
  if constexpr (std::is_enum_v<T>)
    for (const auto spelling : spellings(T{})) s.choices.emplace_back(spelling);
  return s;
}

// `length` in bytes. The text must be UTF-8 without control characters.
template <class Section>
setting describe(const std::string& name, Section settings::* section, std::string Section::* key,
                 range<std::int64_t> length, const std::string& doc, secrecy secret = secrecy::open) {
  auto s = detail::place(name, section, key, doc);
  s.min = length.min;
  s.max = length.max;
  s.secret = secret == secrecy::secret;
  return s;
}

}  // namespace pawl::config
