// Types that several tests of the API use.
#pragma once

#include <pawl/pawl.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

namespace shapes {

enum class colour { red, green, blue };
PAWL_ENUM(colour, red, green, blue)

enum class size : std::int16_t { small = -1, large = 300 };

struct line {
  std::string sku;
  std::int32_t count = 0;
  std::optional<double> price;
  bool operator==(const line&) const = default;
  PAWL_FIELDS(sku, count, price)
};

struct order {
  std::string id;
  double total = 0;
  std::string currency = "EUR";
  std::string card;
  std::vector<line> lines;
  std::vector<std::string> tags;
  bool operator==(const order&) const = default;
  PAWL_FIELDS(id, total, (currency, "EUR"), card, (lines, {}), (tags, {"new", "web"}))
};

/// Holds itself.
struct tree {
  std::string name;
  std::vector<tree> children;
  std::map<std::string, tree> named;
  bool operator==(const tree&) const = default;
  PAWL_FIELDS(name, children, named)
};

struct nothing {
  bool operator==(const nothing&) const = default;
  PAWL_FIELDS()
};

/// Described from outside.
struct foreign {
  int a = 0;
  std::string b;
  bool operator==(const foreign&) const = default;
};
PAWL_FIELDS_OF(foreign, a, (b, "outside"))

struct renamed {
  int a = 0;
  static constexpr std::string_view pawl_name = "shapes::before";
  PAWL_FIELDS(a)
};

/// Travels in a format of its own: "x;y".
struct point {
  int x = 0;
  int y = 0;
  bool operator==(const point&) const = default;
};

/// One of everything.
struct all {
  bool yes = false;
  std::int8_t i8 = 0;
  std::uint8_t u8 = 0;
  std::int64_t i64 = 0;
  std::uint64_t u64 = 0;
  float f32 = 0;
  double f64 = 0;
  std::string text;
  std::vector<std::byte> blob;
  std::vector<bool> flags;
  std::array<int, 3> three{};
  std::map<std::string, int> sorted;
  std::unordered_map<std::string, std::vector<int>> hashed;
  std::optional<std::string> maybe;
  std::pair<int, std::string> both;
  std::tuple<int, bool, std::string> some;
  shapes::colour colour{};
  shapes::size size{};
  std::chrono::seconds wait{};
  std::chrono::milliseconds exact{};
  std::chrono::sys_seconds when{};
  std::monostate unit;
  pawl::any_value any;
  shapes::point at;
  shapes::nothing none;
  shapes::tree deep;
  bool operator==(const all&) const = default;
  PAWL_FIELDS(yes, i8, u8, i64, u64, f32, f64, text, blob, flags, three, sorted, hashed, maybe, both, some, colour,
              size, wait, exact, when, unit, any, at, none, deep)
};

/// What the codec of point throws for; not a std::exception that pawl knows.
struct bad_point : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline all example() {
  all a;
  a.yes = true;
  a.i8 = -128;
  a.u8 = 255;
  a.i64 = INT64_MIN;
  a.u64 = UINT64_MAX;
  a.f32 = 0.1F;
  a.f64 = -1e300;
  a.text = std::string("nul \0 and \xc3\xa9", 12);
  a.blob = {std::byte{0}, std::byte{0xff}};
  a.flags = {true, false, true};
  a.three = {1, 2, 3};
  a.sorted = {{"", 0}, {"a", 1}};
  a.hashed = {{"z", {1}}, {"a", {}}, {"m", {2, 3}}};
  a.maybe = "here";
  a.both = {7, "seven"};
  a.some = {1, true, "x"};
  a.colour = colour::blue;
  a.size = size::large;
  a.wait = std::chrono::hours(24 * 365);
  a.exact = std::chrono::milliseconds(-1);
  a.when = std::chrono::sys_seconds(std::chrono::seconds(1'700'000'000));
  a.any.msgpack = pawl::encode(std::vector<int>{1, 2});
  a.at = {3, -4};
  a.deep = {"root", {{"kid", {}, {}}}, {{"k", {"named", {}, {}}}}};
  return a;
}

}  // namespace shapes

template <>
struct pawl::codec<shapes::point> {
  static constexpr std::string_view name = "shapes.Point";
  static std::string encode(const shapes::point& p) { return std::to_string(p.x) + ";" + std::to_string(p.y); }
  static shapes::point decode(std::string_view bytes) {
    const std::string text(bytes);
    const auto semicolon = text.find(';');
    if (semicolon == std::string::npos) throw shapes::bad_point("no semicolon");
    return {std::stoi(text.substr(0, semicolon)), std::stoi(text.substr(semicolon + 1))};
  }
};
