// What goes in comes out, and the bytes are the msgpack that they are said to be.
#include "tests/api/shapes.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include <msgpack.hpp>

namespace {

using namespace std::string_literals;

/// Not storable; a vector of it is.
struct opaque {
  char c = 0;
  bool operator==(const opaque&) const = default;
};

}  // namespace

template <>
struct pawl::codec<std::vector<opaque>> {
  static constexpr std::string_view name = "opaques";
  static std::string encode(const std::vector<opaque>& all) {
    std::string out;
    for (const auto& o : all) out += o.c;
    return out;
  }
  static std::vector<opaque> decode(std::string_view bytes) {
    std::vector<opaque> out;
    for (const char c : bytes) out.push_back({c});
    return out;
  }
};

namespace {

template <class T>
void expect_round_trip(const T& value) {
  const auto bytes = pawl::encode(value);
  EXPECT_EQ(pawl::decode<T>(bytes), value);
  EXPECT_EQ(pawl::encode(pawl::decode<T>(bytes)), bytes);
  // Another implementation reads all of it.
  std::size_t offset = 0;
  const auto other = msgpack::unpack(bytes.data(), bytes.size(), offset);
  EXPECT_EQ(offset, bytes.size());
}

TEST(codec, brings_back_one_of_everything) {
  expect_round_trip(shapes::example());
  expect_round_trip(shapes::all{});
}

TEST(codec, brings_back_integers_at_every_edge) {
  for (int shift = 0; shift < 64; ++shift) {
    for (std::int64_t around = -1; around <= 1; ++around) {
      const auto u = (std::uint64_t{1} << shift) + static_cast<std::uint64_t>(around);
      expect_round_trip(u);
      expect_round_trip(static_cast<std::int64_t>(u));
      expect_round_trip(static_cast<std::int64_t>(0 - u));
      expect_round_trip(static_cast<std::int32_t>(u));
      expect_round_trip(static_cast<std::uint16_t>(u));
      expect_round_trip(static_cast<signed char>(u));
    }
  }
}

TEST(codec, brings_back_lengths_at_every_edge) {
  for (const std::size_t size : {0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536}) {
    expect_round_trip(std::string(size, 'x'));
    expect_round_trip(std::vector<std::byte>(size, std::byte{1}));
    expect_round_trip(std::vector<int>(size, 1));
    std::map<std::string, bool> map;
    for (std::size_t i = 0; i < size; ++i) map[std::to_string(i)] = i % 2 == 0;
    expect_round_trip(map);
  }
}

TEST(codec, brings_back_special_floats) {
  for (const double d : {0.0, -0.0, 1.0, 0.1, std::numeric_limits<double>::infinity(),
                         std::numeric_limits<double>::denorm_min(), std::numeric_limits<double>::max()}) {
    expect_round_trip(d);
    EXPECT_EQ(std::signbit(pawl::decode<double>(pawl::encode(d))), std::signbit(d));
  }
  EXPECT_TRUE(std::isnan(pawl::decode<double>(pawl::encode(std::nan("")))));
  EXPECT_TRUE(std::isnan(pawl::decode<float>(pawl::encode(std::nanf("")))));
  expect_round_trip(std::numeric_limits<float>::infinity());
  expect_round_trip(std::numeric_limits<float>::max());
}

TEST(codec, writes_the_bytes_that_are_on_disks_already) {
  EXPECT_EQ(pawl::encode(shapes::line{"s", 300, 1.5}),
            "\x83\xa3sku\xa1s\xa5"
            "count\xcd\x01\x2c\xa5price\xcb\x3f\xf8\0\0\0\0\0\0"s);
  EXPECT_EQ(pawl::encode(shapes::line{"s", -1, {}}),
            "\x83\xa3sku\xa1s\xa5"
            "count\xff\xa5price\xc0"s);
  EXPECT_EQ(pawl::encode(shapes::colour::green), "\xa5green");
  EXPECT_EQ(pawl::encode(shapes::size::small), "\xff");
  EXPECT_EQ(pawl::encode(std::monostate()), "\xc0");
  EXPECT_EQ(pawl::encode(pawl::any_value()), "\xc0");
  EXPECT_EQ(pawl::encode(pawl::any_value{""}), "\xc0");
  EXPECT_EQ(pawl::encode(2.0), "\xcb\x40\0\0\0\0\0\0\0"s);
  EXPECT_EQ(pawl::encode(std::chrono::minutes(1)), "\xcd\xea\x60");
  EXPECT_EQ(pawl::encode(shapes::point{1, -2}),
            "\xc4\x04"
            "1;-2");
  EXPECT_EQ(pawl::encode(shapes::nothing()), "\x80");
  EXPECT_EQ(pawl::encode(std::vector<std::byte>{std::byte{7}}), "\xc4\x01\x07");
  EXPECT_EQ(pawl::encode(0.5F), "\xca\x3f\0\0\0"s);
}

TEST(codec, writes_equal_maps_as_equal_bytes) {
  std::unordered_map<std::string, int> forward;
  std::unordered_map<std::string, int> backward(1000);
  std::map<std::string, int> sorted;
  for (int i = 0; i < 100; ++i) sorted[std::to_string(i)] = forward[std::to_string(i)] = i;
  for (int i = 99; i >= 0; --i) backward[std::to_string(i)] = i;
  EXPECT_EQ(pawl::encode(forward), pawl::encode(backward));
  EXPECT_EQ(pawl::encode(forward), pawl::encode(sorted));
}

TEST(codec, takes_declared_defaults_for_missing_fields) {
  std::map<std::string, std::string> some{{"id", "o-1"}, {"card", "c"}};
  auto bytes = pawl::encode(some);
  bytes[0] = '\x83';  // and a third field
  bytes += "\xa5total\x05";
  const auto order = pawl::decode<shapes::order>(bytes);
  EXPECT_EQ(order.currency, "EUR");
  EXPECT_EQ(order.tags, (std::vector<std::string>{"new", "web"}));
  EXPECT_EQ(order.total, 5.0);
  EXPECT_EQ(pawl::decode<shapes::foreign>("\x81\xa1"
                                          "a\x05"),
            (shapes::foreign{5, "outside"}));
}

struct with_initialisers {
  std::optional<int> maybe = 5;
  std::optional<int> declared = 6;
  PAWL_FIELDS(maybe, (declared, 7))
};

TEST(codec, takes_nil_for_a_missing_optional_whatever_the_struct_initialises_it_with) {
  const auto empty = pawl::decode<with_initialisers>("\x80");
  EXPECT_EQ(empty.maybe, std::nullopt);
  EXPECT_EQ(empty.declared, 7);
  const auto nil = pawl::decode<with_initialisers>(
      "\x82\xa5maybe\xc0\xa8"
      "declared\xc0");
  EXPECT_EQ(nil.maybe, std::nullopt);
  EXPECT_EQ(nil.declared, std::nullopt);
}

TEST(codec, skips_fields_that_it_does_not_know) {
  msgpack::sbuffer buffer;
  msgpack::packer<msgpack::sbuffer> p(buffer);
  p.pack_map(9);
  p.pack("a").pack(1);
  p.pack("list").pack(std::vector<std::vector<int>>{{1}, {2, 3}});
  p.pack("map").pack(std::map<std::string, double>{{"x", 1.0}});
  p.pack("text").pack(std::string(70000, 'x'));
  p.pack("").pack_nil();
  p.pack("ext").pack_ext(5, 1).pack_ext_body("12345", 5);
  p.pack("fixext").pack_ext(16, 1).pack_ext_body("0123456789abcdef", 16);
  p.pack("bin").pack_bin(3).pack_bin_body("123", 3);
  p.pack("b").pack("kept");
  EXPECT_EQ(pawl::decode<shapes::foreign>({buffer.data(), buffer.size()}), (shapes::foreign{1, "kept"}));
}

TEST(codec, keeps_any_value_byte_for_byte) {
  // 1 in nine bytes, which is not how pawl would write it.
  const auto odd = "\x93\xd3\0\0\0\0\0\0\0\x01\xd9\x01x\xc7\x01\x05y"s;
  EXPECT_EQ(pawl::decode<pawl::any_value>(odd).msgpack, odd);
  EXPECT_EQ(pawl::encode(pawl::any_value{odd}), odd);
  EXPECT_THROW(pawl::encode(pawl::any_value{"\x01\x02"}), pawl::codec_error);
  EXPECT_THROW(pawl::encode(pawl::any_value{"\x92\x02"}), pawl::codec_error);
  EXPECT_THROW(pawl::encode(pawl::any_value{"\xc1"}), pawl::codec_error);
}

TEST(codec, lets_a_codec_of_its_own_stand_for_a_container) {
  expect_round_trip(std::vector<opaque>{{1}, {2}});
  expect_round_trip(std::optional<std::vector<opaque>>{std::vector<opaque>{{3}}});
}

TEST(codec, visits_fields_in_their_order) {
  shapes::line line{"s", 2, {}};
  std::string names;
  pawl::visit_fields(line, [&](std::string_view name, auto& member) {
    names += std::string(name) + " ";
    member = {};
  });
  EXPECT_EQ(names, "sku count price ");
  EXPECT_EQ(line, shapes::line());
  const auto& fixed = line;
  std::size_t count = 0;
  pawl::visit_fields(fixed, [&](std::string_view, const auto&) { ++count; });
  EXPECT_EQ(count, 3);
}

struct forty {
  int a0{}, a1{}, a2{}, a3{}, a4{}, a5{}, a6{}, a7{}, a8{}, a9{}, b0{}, b1{}, b2{}, b3{}, b4{}, b5{}, b6{}, b7{}, b8{},
      b9{};
  int c0{}, c1{}, c2{}, c3{}, c4{}, c5{}, c6{}, c7{}, c8{}, c9{}, d0{}, d1{}, d2{}, d3{}, d4{}, d5{}, d6{}, d7{}, d8{},
      d9{};
  bool operator==(const forty&) const = default;
  PAWL_FIELDS(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, c0, c1, c2, c3, c4, c5,
              c6, c7, c8, c9, d0, d1, d2, d3, d4, d5, d6, d7, d8, d9)
};

TEST(codec, takes_structs_of_many_fields) {
  forty f;
  f.a0 = 1;
  f.d9 = 40;
  expect_round_trip(f);
}

TEST(codec, reads_fields_in_any_order) {
  EXPECT_EQ(pawl::decode<shapes::line>("\x83\xa5price\x02\xa5"
                                       "count\x07\xa3sku\xa1s"),
            (shapes::line{"s", 7, 2.0}));
}

}  // namespace
