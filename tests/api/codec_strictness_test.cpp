// What does not fit is refused, with the place and the cause.
#include "tests/api/shapes.hpp"

#include <gtest/gtest.h>

namespace {

using namespace std::string_literals;

template <class T>
std::string error_of(std::string_view bytes) {
  try {
    (void)pawl::decode<T>(bytes);
  } catch (const pawl::codec_error& e) {
    return e.what();
  }
  return "no error";
}

/// The bytes of `value`, which are no T.
template <class T, class From>
std::string error_from(const From& value) {
  return error_of<T>(pawl::encode(value));
}

TEST(codec_strictness, names_the_missing_field) {
  EXPECT_EQ((error_from<shapes::order>(std::map<std::string, std::string>{{"id", "o"}})), "order.total: missing");
  EXPECT_EQ(error_of<shapes::line>("\x80"), "line.sku: missing");
}

TEST(codec_strictness, shows_the_path) {
  const std::map<std::string, std::vector<std::map<std::string, std::string>>> lines{
      {"lines", {{{"sku", "a"}, {"count", "b"}}}}};
  EXPECT_EQ((error_from<shapes::order>(lines)), "order.lines[0].count: expected an integer, got a string");
  const std::map<std::string, std::map<std::string, std::map<std::string, int>>> named{
      {"named", {{"k", {{"name", 1}}}}}};
  EXPECT_EQ((error_from<shapes::tree>(named)), "tree.named.k.name: expected a string, got an integer");
  EXPECT_EQ((error_from<std::vector<int>>(std::vector<std::string>{"x"})),
            "value[0]: expected an integer, got a string");
}

TEST(codec_strictness, shows_hostile_keys_on_one_short_line) {
  const std::map<std::string, std::string> map{{std::string("a\n\x1b[31m") + std::string(1000, 'x'), ""}};
  const auto text = error_from<std::map<std::string, int>>(map);
  EXPECT_LT(text.size(), 200U);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

TEST(codec_strictness, refuses_other_types) {
  EXPECT_EQ(error_from<bool>(1), "value: expected a bool, got an integer");
  EXPECT_EQ(error_from<int>(true), "value: expected an integer, got a bool");
  EXPECT_EQ(error_from<int>(1.0), "value: expected an integer, got a floating-point number");
  EXPECT_EQ(error_from<int>(std::monostate()), "value: expected an integer, got nil");
  EXPECT_EQ(error_from<double>("1"s), "value: expected a number, got a string");
  EXPECT_EQ(error_from<std::string>(std::vector<std::byte>{}), "value: expected a string, got bytes");
  EXPECT_EQ(error_from<std::vector<std::byte>>(""s), "value: expected bytes, got a string");
  EXPECT_EQ((error_from<std::vector<int>>(std::map<std::string, int>())), "value: expected a list, got a map");
  EXPECT_EQ(error_from<shapes::line>(std::vector<int>()), "line: expected a map, got a list");
  EXPECT_EQ(error_from<std::monostate>(0), "value: expected nil, got an integer");
  EXPECT_EQ(error_from<shapes::colour>(0), "value: expected a string, got an integer");
  EXPECT_EQ(error_of<int>("\xd4\x01\x02"), "value: expected an integer, got an extension");
  EXPECT_EQ(error_of<int>("\xc1"), "value: expected an integer, got an invalid byte");
}

TEST(codec_strictness, refuses_numbers_that_do_not_fit) {
  EXPECT_EQ(error_from<std::int8_t>(128), "value: 128 does not fit a signed integer of 8 bits");
  EXPECT_EQ(error_from<std::int8_t>(-129), "value: -129 does not fit a signed integer of 8 bits");
  EXPECT_EQ(error_from<std::uint8_t>(256), "value: 256 does not fit an unsigned integer of 8 bits");
  EXPECT_EQ(error_from<std::uint64_t>(-1), "value: -1 does not fit an unsigned integer of 64 bits");
  EXPECT_EQ(error_from<std::int64_t>(UINT64_MAX),
            "value: 18446744073709551615 does not fit a signed integer of 64 bits");
  EXPECT_EQ(error_from<shapes::size>(32768), "value: 32768 does not fit a signed integer of 16 bits");
  EXPECT_EQ(pawl::decode<std::int8_t>(pawl::encode(-128)), -128);
  EXPECT_EQ(pawl::decode<std::uint64_t>(pawl::encode(INT64_MAX)), static_cast<std::uint64_t>(INT64_MAX));
}

TEST(codec_strictness, refuses_to_round) {
  EXPECT_EQ(pawl::decode<double>(pawl::encode(std::int64_t{1} << 62)), 0x1p62);
  EXPECT_EQ(pawl::decode<double>(pawl::encode(INT64_MIN)), -0x1p63);
  EXPECT_EQ(pawl::decode<double>(pawl::encode(-3)), -3.0);
  EXPECT_EQ(error_from<double>((std::int64_t{1} << 53) + 1), "value: 9007199254740993 would be rounded");
  EXPECT_EQ(error_from<double>(-(std::int64_t{1} << 53) - 1), "value: -9007199254740993 would be rounded");
  EXPECT_EQ(error_from<double>(UINT64_MAX), "value: 18446744073709551615 would be rounded");
  EXPECT_EQ(pawl::decode<double>(pawl::encode(0.1F)), static_cast<double>(0.1F));
  EXPECT_EQ(pawl::decode<float>(pawl::encode(0.5)), 0.5F);
  EXPECT_EQ(error_from<float>(0.1), "value: the number would be rounded");
  EXPECT_EQ(error_from<float>(1e300), "value: the number would be rounded");
  EXPECT_EQ(error_from<float>(16777217), "value: the number would be rounded");
}

TEST(codec_strictness, refuses_durations_that_would_lose_something) {
  using std::chrono::milliseconds;
  EXPECT_EQ(error_from<std::chrono::seconds>(milliseconds(1500)),
            "value: 1500 ms is no whole number of the unit it is read into");
  using short_seconds = std::chrono::duration<std::int8_t>;
  EXPECT_EQ(error_from<short_seconds>(milliseconds(128'000)), "value: 128000 ms does not fit the duration");
  EXPECT_THROW(pawl::encode(std::chrono::hours::max()), pawl::codec_error);
}

TEST(codec_strictness, refuses_names_that_an_enum_does_not_have) {
  EXPECT_EQ(error_from<shapes::colour>("pink"s), "value: 'pink' is none of: red, green, blue");
  const auto unnamed = static_cast<shapes::colour>(7);  // NOLINT(clang-analyzer-optin.core.EnumCastOutOfRange)
  EXPECT_THROW(pawl::encode(unnamed), pawl::codec_error);
}

TEST(codec_strictness, refuses_what_is_given_twice) {
  EXPECT_EQ(error_of<shapes::foreign>("\x82\xa1"
                                      "a\x01\xa1"
                                      "a\x02"),
            "foreign.a: given twice");
  EXPECT_EQ((error_of<std::map<std::string, int>>("\x82\xa1k\x01\xa1k\x01")), "value.k: given twice");
}

TEST(codec_strictness, refuses_lists_of_another_length) {
  EXPECT_EQ((error_from<std::array<int, 3>>(std::vector<int>{1, 2})), "value: expected a list of 3, got one of 2");
  EXPECT_EQ((error_from<std::pair<int, int>>(std::vector<int>{1, 2, 3})), "value: expected a list of 2, got one of 3");
  EXPECT_EQ((error_from<std::tuple<int, std::string>>(std::vector<int>{1, 2})),
            "value[1]: expected a string, got an integer");
}

TEST(codec_strictness, refuses_bytes_that_are_left_over_or_lacking) {
  EXPECT_EQ(error_of<int>("\x01\x02"), "value: 1 bytes follow the value");
  EXPECT_EQ(error_of<int>(""), "value: the bytes end here");
  const auto whole = pawl::encode(shapes::example());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THROW(pawl::decode<shapes::all>(std::string_view(whole).substr(0, size)), pawl::codec_error) << size;
  }
}

TEST(codec_strictness, passes_on_what_another_codec_says) {
  EXPECT_EQ(error_from<shapes::point>(std::vector<std::byte>{}), "value: shapes.Point: no semicolon");
  EXPECT_EQ(error_from<shapes::point>("1;2"s), "value: expected bytes, got a string");
}

shapes::tree nested(int levels) {
  shapes::tree root;
  for (int i = 1; i < levels; ++i) {
    shapes::tree parent;
    parent.children.push_back(std::move(root));
    root = std::move(parent);
  }
  return root;
}

TEST(codec_strictness, limits_depth_alike_in_both_directions) {
  // Each level of the tree is a map and a list; the innermost list is one level too.
  EXPECT_EQ(pawl::decode<shapes::tree>(pawl::encode(nested(32))), nested(32));
  EXPECT_THROW(pawl::encode(nested(33)), pawl::codec_error);
  EXPECT_NE(error_of<shapes::tree>(std::string(100, '\x81')), "no error");

  const auto lists = [](int depth) { return std::string(static_cast<std::size_t>(depth), '\x91') + "\x01"; };
  EXPECT_NO_THROW(pawl::decode<pawl::any_value>(lists(64)));
  EXPECT_EQ(error_of<pawl::any_value>(lists(65)), "value: nested more than 64 levels deep");
  EXPECT_EQ(error_of<pawl::any_value>(lists(1'000'000)), "value: nested more than 64 levels deep");

  // A value inside of another counts from the outermost.
  EXPECT_NO_THROW(pawl::decode<std::vector<pawl::any_value>>(pawl::encode(std::vector<pawl::any_value>{{lists(63)}})));
  EXPECT_THROW(pawl::encode(std::vector<pawl::any_value>{{lists(64)}}), pawl::codec_error);
  EXPECT_THROW(pawl::decode<std::vector<pawl::any_value>>("\x91" + lists(64)), pawl::codec_error);
}

}  // namespace
