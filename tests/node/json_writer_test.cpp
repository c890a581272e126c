#include "node/json_writer.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include <msgpack.hpp>

namespace pawl::node {
namespace {

std::string shown(std::string_view msgpack) {
  std::string out;
  json_text_writer(out).msgpack(msgpack);
  return out;
}

template <class Writer>
void say_a_bit_of_everything(Writer& out) {
  out.begin_object();
  out.member("plain", "text");
  out.member("quoted", "a \"b\" \\ \n \x01 \x7f");
  out.member("known", plain_text{"as it is"});
  out.member(std::string_view("\"\xe4\""), 1);
  out.member("foreign", "ü 漢 \xff");
  out.member("", std::string());
  out.member("low", std::numeric_limits<std::int64_t>::min());
  out.member("high", std::numeric_limits<std::uint64_t>::max());
  out.member("small", std::uint32_t{7});
  out.member("half", 0.5);
  out.member("two", 2.0);
  char letter = 'a';
  for (const double v : {1e-300, 0.0, -0.0, -3.0, 1e14, 1e15, 1e16, 123456789012345.5, 1e300})
    out.member(std::string(1, letter++), v);
  out.member("yes", true);
  out.name("nothing");
  out.null();
  out.name("list");
  out.begin_list();
  out.value(1);
  out.begin_list();
  out.end_list();
  out.begin_object();
  out.end_object();
  out.value("last");
  out.end_list();
  out.name("payload");
  out.msgpack("\x93\x01\xa1x\xc0");
  out.name("bad");
  out.msgpack("\x93\x01");
  out.member("after", false);
  out.end_object();
}

TEST(json_writer, the_text_is_that_of_the_value) {
  json_tree_writer tree;
  say_a_bit_of_everything(tree);
  std::string text = "before";
  json_text_writer out(text);
  say_a_bit_of_everything(out);
  out.finish();
  const auto value = tree.take();
  EXPECT_EQ(text, "before" + to_text(value));
  EXPECT_EQ(json::parse(text.substr(6)).size(), 26U);
  EXPECT_EQ(value["bad"]["$undecodable"], "kwE=");
  EXPECT_EQ(value["list"][3], "last");
}

// Each byte at each place of texts around the eight and the sixteen characters that are looked at together.
TEST(json_writer, finds_what_is_special_wherever_it_stands) {
  for (std::size_t size = 1; size <= 40; ++size)
    for (std::size_t at = 0; at < size; ++at)
      for (int c = 0; c < 256; ++c) {
        std::string text(size, c % 2 == 0 ? ' ' : '~');
        text[at] = static_cast<char>(c);
        std::string out;
        json_text_writer(out).value(text);
        ASSERT_EQ(out, to_text(json(text))) << size << " characters, " << c << " at " << at;
      }
}

using packer = msgpack::packer<msgpack::sbuffer>;

void put_random(packer& p, std::mt19937_64& random, int depth) {
  switch (random() % (depth < 5 ? 12 : 9)) {
    case 0:
      p.pack_nil();
      return;
    case 1:
      p.pack(random() % 2 == 0);
      return;
    case 2:
      p.pack(random() >> random() % 64);
      return;
    case 3:
      p.pack(-static_cast<std::int64_t>(random() >> (1 + random() % 62)));
      return;
    case 4:
      p.pack(std::ldexp(static_cast<double>(random()), static_cast<int>(random() % 400) - 200));
      return;
    case 5:
      p.pack(std::array{std::numeric_limits<float>::infinity(), std::nanf(""), 0.1F}[random() % 3]);
      return;
    case 6:
    case 7: {
      std::string s(random() % 40, 'a');
      for (auto& c : s) c = static_cast<char>(random() % 4 == 0 ? random() : ' ' + random() % 95);
      random() % 2 == 0 ? p.pack_str(static_cast<std::uint32_t>(s.size()))
                        : p.pack_bin(static_cast<std::uint32_t>(s.size()));
      p.pack_str_body(s.data(), static_cast<std::uint32_t>(s.size()));
      return;
    }
    case 8:
      p.pack_ext(3, 5);
      p.pack_ext_body("abc", 3);
      return;
    case 9:
    case 10: {
      const auto n = static_cast<std::uint32_t>(random() % 5);
      p.pack_array(n);
      for (std::uint32_t k = 0; k < n; ++k) put_random(p, random, depth + 1);
      return;
    }
    default: {
      const auto n = static_cast<std::uint32_t>(random() % 5);
      p.pack_map(n);
      for (std::uint32_t k = 0; k < 2 * n; ++k) put_random(p, random, depth + 1);
      return;
    }
  }
}

TEST(json_writer, any_msgpack_is_shown_the_same_both_ways) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  int undecodable = 0;
  for (int n = 0; n < 20'000; ++n) {
    msgpack::sbuffer buffer;
    packer p(buffer);
    put_random(p, random, 0);
    std::string bytes(buffer.data(), buffer.size());
    // One in four is damaged.
    if (random() % 4 == 0) bytes[random() % bytes.size()] = static_cast<char>(random());
    if (random() % 16 == 0) bytes.resize(random() % bytes.size());
    const auto value = to_json(bytes);
    undecodable += value.is_object() && value.contains("$undecodable") ? 1 : 0;
    ASSERT_EQ(shown(bytes), to_text(value));
  }
  EXPECT_GT(undecodable, 500);
  EXPECT_LT(undecodable, 10'000);
}

TEST(json_writer, what_was_written_before_undecodable_bytes_stays) {
  std::string text;
  json_text_writer out(text);
  out.begin_list();
  out.value(1);
  out.msgpack("\x92\x01\xc1");
  out.msgpack("");
  out.end_list();
  out.finish();
  EXPECT_EQ(text, R"([1,{"$undecodable":"kgHB","why":"the byte c1 is not msgpack"},null])");
}

}  // namespace
}  // namespace pawl::node
