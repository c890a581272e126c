#include <gtest/gtest.h>

#include <limits>
#include <random>

#include <pawl/pawl.hpp>

#include "node/json_codec.hpp"

namespace pawl::node {

enum class colour { red, green };
PAWL_ENUM(colour, red, green)

struct line {
  std::string sku;
  std::int32_t count = 0;
  PAWL_FIELDS(sku, count)
};

struct everything {
  bool flag = false;
  std::int8_t small = 0;
  std::uint64_t large = 0;
  float half = 0;
  double whole = 0;
  std::string text;
  std::vector<std::byte> bytes;
  std::vector<line> lines;
  std::array<int, 2> two{};
  std::tuple<int, std::string> pair;
  std::map<std::string, int> named;
  std::optional<line> perhaps;
  colour paint = colour::red;
  any_value anything;
  std::chrono::milliseconds wait{0};
  std::string currency;
  PAWL_FIELDS(flag, small, large, half, whole, text, bytes, lines, two, pair, named, perhaps, paint, anything, wait,
              (currency, "EUR"))
};

namespace {

template <class T>
std::string refusal(std::string_view text) {
  const auto parsed = parse_json(text, "input");
  if (!parsed) return parsed.error().text();
  const auto encoded = encode_json(parsed.value(), &descriptor_of<T>());
  return encoded ? "" : encoded.error().text();
}

template <class T>
T read(std::string_view text) {
  const auto parsed = parse_json(text, "input");
  if (!parsed) throw std::runtime_error(parsed.error().text());
  const auto encoded = encode_json(parsed.value(), &descriptor_of<T>());
  if (!encoded) throw std::runtime_error(encoded.error().text());
  return decode<T>(encoded.value());
}

constexpr std::string_view full = R"({"flag":true,"small":-128,"large":18446744073709551615,"half":0.1,"whole":2,
  "text":"häh\u0000","bytes":"AAH/","lines":[{"sku":"a","count":3}],"two":[1,2],"pair":[7,"x"],"named":{"b":2,"a":1},
  "perhaps":null,"paint":"green","anything":{"x":[1,null,"y",{"$bin":"/w=="}]},"wait":1500})";

TEST(json_codec, reads_every_kind_of_type) {
  const auto v = read<everything>(full);
  EXPECT_TRUE(v.flag);
  EXPECT_EQ(v.small, -128);
  EXPECT_EQ(v.large, std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(v.half, 0.1F);
  EXPECT_EQ(v.whole, 2.0);
  EXPECT_EQ(v.text, std::string("h\xc3\xa4h\0", 5));
  EXPECT_EQ(v.bytes, (std::vector{std::byte{0}, std::byte{1}, std::byte{255}}));
  ASSERT_EQ(v.lines.size(), 1U);
  EXPECT_EQ(v.lines[0].count, 3);
  EXPECT_EQ(v.two, (std::array{1, 2}));
  EXPECT_EQ(std::get<1>(v.pair), "x");
  EXPECT_EQ(v.named.at("b"), 2);
  EXPECT_FALSE(v.perhaps);
  EXPECT_EQ(v.paint, colour::green);
  EXPECT_EQ(v.wait, std::chrono::milliseconds(1500));
  EXPECT_EQ(v.currency, "EUR");
}

TEST(json_codec, writes_the_bytes_that_the_encoder_writes) {
  const auto parsed = parse_json(full);
  ASSERT_TRUE(parsed);
  const auto encoded = encode_json(parsed.value(), &descriptor_of<everything>());
  ASSERT_TRUE(encoded);
  EXPECT_EQ(encoded.value(), encode(decode<everything>(encoded.value())));
}

TEST(json_codec, what_is_shown_can_be_read_again) {
  auto v = read<everything>(full);
  v.whole = -std::numeric_limits<double>::infinity();
  const auto bytes = encode(v);
  const auto again = encode_json(to_json(bytes), &descriptor_of<everything>());
  ASSERT_TRUE(again) << again.error().text();
  EXPECT_EQ(again.value(), bytes);
}

TEST(json_codec, says_where_and_what_and_the_nearest_name) {
  EXPECT_EQ(refusal<line>(R"({"sku":"a","cuont":1})"),
            "input: pawl::node::line has no field 'cuont'; did you mean 'count'?");
  EXPECT_EQ(refusal<line>(R"({"sku":"a"})"), "input: the field 'count' (int32) is missing");
  EXPECT_EQ(refusal<std::vector<line>>(R"([{"sku":"a","count":1},{"sku":"b","count":"2"}])"),
            "input[1].count: expected an integer, got a string");
  EXPECT_EQ(refusal<line>(R"({"sku":"a","count":2147483648})"),
            "input.count: 2147483648 does not fit a signed integer of 32 bits");
  EXPECT_EQ(refusal<line>(R"({"sku":"a","count":1.5})"),
            "input.count: expected an integer, got a number with a fraction");
  EXPECT_EQ(refusal<line>(R"({"sku":null,"count":1})"), "input.sku: expected a string, got null");
  EXPECT_EQ(refusal<line>("[]"), "input: expected an object, got an array");
  EXPECT_EQ(refusal<colour>(R"("gren")"), "input: 'gren' is no pawl::node::colour; did you mean 'green'?");
  EXPECT_EQ((refusal<std::array<int, 2>>("[1]")), "input: expected an array of 2, got one of 1");
  EXPECT_EQ(refusal<std::vector<std::byte>>(R"("A")"), "input: not base64");
  EXPECT_EQ(refusal<float>("1e300"), "input: the number does not fit a floating-point number of 32 bits");
  EXPECT_EQ(refusal<double>("9007199254740993"), "input: 9007199254740993 would be rounded");
  EXPECT_EQ(refusal<bool>("1"), "input: expected true or false, got an integer");
  EXPECT_EQ(refusal<std::monostate>("{}"), "input: expected null, got an object");
}

TEST(json_codec, integers_keep_to_their_bounds) {
  EXPECT_EQ(read<std::int8_t>("-128"), -128);
  EXPECT_NE(refusal<std::int8_t>("-129"), "");
  EXPECT_NE(refusal<std::int8_t>("128"), "");
  EXPECT_NE(refusal<std::uint8_t>("-1"), "");
  EXPECT_NE(refusal<std::uint8_t>("256"), "");
  EXPECT_EQ(read<std::int64_t>("-9223372036854775808"), std::numeric_limits<std::int64_t>::min());
  EXPECT_NE(refusal<std::int64_t>("9223372036854775808"), "");
  EXPECT_NE(refusal<std::uint64_t>("18446744073709551616"), "");
  EXPECT_EQ(read<int>("1e3"), 1000);
  EXPECT_EQ(read<int>("-0"), 0);
}

TEST(json_codec, text_that_is_not_json_is_refused_with_the_place) {
  const auto wrong = parse_json("{\n \"a\": tru\n}");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().path, "line 2, column 10");
  for (const std::string_view text :
       {"", "{", "[1,]", "{\"a\":1}x", "'a'", "// c\n1", "\"\xff\"", "\"\\ud800\"", "01", "NaN", "1e999", "\"a\nb\""})
    EXPECT_FALSE(parse_json(text)) << text;
  const auto twice = parse_json(R"({"a":{"b":1,"c":[0,{"x":1,"x":2}]}})");
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().text(), "body.a.c[1]: the field 'x' stands there twice");
}

TEST(json_codec, a_name_that_stands_there_twice_is_found_among_any_number) {
  for (int size = 1; size < 60; ++size)
    for (int again = 0; again <= size; ++again) {
      std::string text = "{";
      for (int k = 0; k < size; ++k) text += "\"n" + std::to_string(k) + "\":{\"n0\":1},";
      const auto parsed = parse_json(text + "\"n" + std::to_string(again) + "\":2}");
      ASSERT_EQ(static_cast<bool>(parsed), again == size) << size << " " << again;
    }
}

TEST(json_codec, nesting_is_bounded) {
  const auto deep = [](std::size_t n) { return std::string(n, '[') + std::string(n, ']'); };
  EXPECT_TRUE(parse_json(deep(json_depth)));
  EXPECT_FALSE(parse_json(deep(json_depth + 1)));
  EXPECT_FALSE(parse_json(deep(1'000'000)));
  json v = nullptr;
  for (std::size_t i = 0; i < json_depth + 10; ++i) {
    auto outer = json::array();
    outer.push_back(std::move(v));
    v = std::move(outer);
  }
  EXPECT_FALSE(encode_json(v, nullptr));
  const auto shown = to_json(std::string(1'000'000, '\x91'));
  EXPECT_TRUE(shown.contains("$undecodable"));
}

TEST(json_codec, a_wide_object_costs_linear_time) {
  std::string text = "{";
  for (int i = 0; i < 200'000; ++i) text += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":0";
  const auto began = std::chrono::steady_clock::now();
  const auto parsed = parse_json(text + "}");
  ASSERT_TRUE(parsed);
  const auto encoded = encode_json(parsed.value(), nullptr);
  ASSERT_TRUE(encoded);
  EXPECT_EQ(to_json(encoded.value()).size(), 200'000U);
  EXPECT_FALSE(encode_json(parsed.value(), &descriptor_of<line>()));
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(20));
}

TEST(json_codec, shows_what_json_has_no_word_for) {
  EXPECT_EQ(to_text(to_json("")), "null");
  EXPECT_EQ(to_text(to_json(encode(std::vector{std::byte{1}}))), R"({"$bin":"AQ=="})");
  EXPECT_EQ(to_text(to_json(encode(std::numeric_limits<double>::quiet_NaN()))), R"("NaN")");
  EXPECT_EQ(to_text(to_json(std::string("\xd4\x05\x2a", 3))), R"({"$ext":5,"data":"Kg=="})");
  EXPECT_EQ(to_text(to_json(std::string("\x81\x01\xc3", 3))), R"({"1":true})");
  EXPECT_EQ(to_text(to_json(std::string("\xa1\xff", 2))), "\"\xef\xbf\xbd\"");
  EXPECT_EQ(to_text(to_json("\xc1")), R"({"$undecodable":"wQ==","why":"the byte c1 is not msgpack"})");
  EXPECT_EQ(to_text(to_json("\x01\x02")), R"({"$undecodable":"AQI=","why":"bytes follow the value"})");
}

TEST(json_codec, base64_there_and_back) {
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    std::string back;
    ASSERT_TRUE(from_base64(to_base64(bytes), back));
    ASSERT_EQ(back, bytes);
    bytes += static_cast<char>(i * 7);
  }
  std::string ignored;
  for (const std::string_view wrong : {"A", "AA", "AAA", "A===", "====", "AA=A", "AA-_", "AAAA="})
    EXPECT_FALSE(from_base64(wrong, ignored)) << wrong;
}

TEST(json_codec, random_bytes_and_mutated_values_are_shown_or_refused_but_never_crash) {
  std::random_device device;
  const auto seed = device();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const auto good = encode(read<everything>(full));
  std::size_t shown = 0;
  for (int round = 0; round < 4'000; ++round) {
    auto bytes = good;
    for (auto n = random() % 4 + 1; n > 0; --n) bytes[random() % bytes.size()] = static_cast<char>(random());
    bytes.resize(random() % (bytes.size() + 1));
    const auto text = to_text(to_json(bytes));
    if (const auto parsed = parse_json(text)) {
      ++shown;
      (void)encode_json(parsed.value(), &descriptor_of<everything>());
    }
    std::string garbage(full.substr(0, random() % full.size()));
    if (!garbage.empty()) garbage[random() % garbage.size()] = static_cast<char>(random());
    (void)refusal<everything>(garbage);
  }
  EXPECT_GT(shown, 2'000U);
}

}  // namespace
}  // namespace pawl::node
