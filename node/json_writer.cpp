// The text of JSON, with as little work as a text needs that is nearly always plain.
#include "node/json_writer.hpp"

#include <array>
#include <charconv>
#include <cstring>

namespace pawl::node {

namespace {

using eight = std::uint64_t;
using sixteen __attribute__((vector_size(16))) = unsigned char;

template <class T>
T load(const char* from) {
  T v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

// A bit is set if JSON writes one of these characters otherwise, or it is no ASCII.
eight special_bits(eight v) {
  constexpr eight ones = 0x0101010101010101;
  const auto zero = [](eight x) { return (x - ones) & ~x; };  // in the first bit of a byte that is 0
  return ((v - ones * 0x20) | v | zero(v ^ ones * '"') | zero(v ^ ones * '\\')) & ones << 7U;
}

eight special_bits(sixteen v) {
  const auto found = (v < 0x20) | (v >= 0x80) | (v == '"') | (v == '\\');
  std::array<eight, 2> halves{};
  std::memcpy(halves.data(), &found, sizeof found);
  return halves[0] | halves[1];
}

// Copies as many characters at a time as T has, the last ones once more; there are so many at least.
template <class T>
bool copy_by(char* to, const char* from, std::size_t size) {
  eight special = 0;
  const auto copy = [&](std::size_t k) {
    const auto v = load<T>(from + k);
    special |= special_bits(v);
    std::memcpy(to + k, &v, sizeof v);
  };
  for (std::size_t k = 0; k + sizeof(T) < size; k += sizeof(T)) copy(k);
  copy(size - sizeof(T));
  return special == 0;
}

// False: it is not plain.
bool copy_plain(char* to, const char* from, std::size_t size) {
  if (size >= sizeof(sixteen)) return copy_by<sixteen>(to, from, size);
  if (size >= sizeof(eight)) return copy_by<eight>(to, from, size);
  eight few = 0x2020202020202020;
  for (std::size_t k = 0; k < size; ++k) {
    to[k] = from[k];
    few = few << 8U | static_cast<unsigned char>(from[k]);
  }
  return special_bits(few) == 0;
}

}  // namespace

void json_text_writer::grow(std::size_t bytes) {
  constexpr std::size_t least = 256;
  const auto size = static_cast<std::size_t>(at_ - out_.data());
  out_.resize(std::max(2 * size, size + bytes + least));
  begin_at(size);
}

// What is plain is taken as it is; the rest is for who knows UTF-8.
void json_text_writer::text(std::string_view v) {
  room(v.size() + 3);
  *at_ = '"';
  if (copy_plain(at_ + 1, v.data(), v.size())) {
    at_ += v.size() + 1;
    *at_++ = '"';
    return;
  }
  const auto escaped = to_text(json(std::string(v)));
  room(escaped.size() + 1);
  std::memcpy(at_, escaped.data(), escaped.size());
  at_ += escaped.size();
}

void json_text_writer::name(std::string_view n) {
  room(1);
  separate();
  text(n);
  *at_++ = ':';
  more_ = false;
}

void json_text_writer::value(std::string_view v) {
  room(1);
  separate();
  text(v);
}

void json_text_writer::value(plain_text v) {
  room(v.text.size() + 3);
  separate();
  *at_++ = '"';
  at_ += v.text.copy(at_, v.text.size());
  *at_++ = '"';
}

void json_text_writer::value_as_is(std::string_view word) {
  room(word.size() + 1);
  separate();
  at_ += word.copy(at_, word.size());
}

void json_text_writer::value(double v) {
  constexpr double exact = 1e15;
  const auto whole = static_cast<std::int64_t>(v > -exact && v < exact ? v : 0);
  if (whole == 0 || static_cast<double>(whole) != v) return value_as_is(to_text(json(v)));
  number(whole);
  room(2);
  *at_++ = '.';
  *at_++ = '0';
}

void json_text_writer::number(std::int64_t v) {
  constexpr std::size_t longest = 20;
  room(longest + 1);
  separate();
  at_ = std::to_chars(at_, end_, v).ptr;
}

void json_text_writer::number(std::uint64_t v) {
  constexpr std::size_t longest = 20;
  room(longest + 1);
  separate();
  at_ = std::to_chars(at_, end_, v).ptr;
}

}  // namespace pawl::node
