#include "workflow/ids.hpp"

#include <bit>
#include <charconv>
#include <cstring>

namespace pawl::engine {

namespace {

constexpr std::size_t hex_size = 16;

// Eight digits at a time: each half byte is spread to a byte of its own, and made the digit that it is.
char* put_hex(char* to, std::uint64_t v) {
  for (const auto half : {v >> 32U, v & 0xffffffffU}) {
    auto d = half;
    d = (d | d << 16U) & 0x0000ffff0000ffff;
    d = (d | d << 8U) & 0x00ff00ff00ff00ff;
    d = (d | d << 4U) & 0x0f0f0f0f0f0f0f0f;
    const auto letters = (d + 0x0606060606060606) >> 4U & 0x0101010101010101;
    d += 0x3030303030303030 + letters * ('a' - '0' - 10);
    if constexpr (std::endian::native == std::endian::little) d = __builtin_bswap64(d);
    std::memcpy(to, &d, sizeof d);
    to += sizeof d;
  }
  return to;
}

template <class T>
bool parse(std::string_view text, T& out, int base) {
  const auto r = std::from_chars(text.data(), text.data() + text.size(), out, base);
  return r.ec == std::errc{} && r.ptr == text.data() + text.size();
}

}  // namespace

std::string to_text(const reign& r) {
  std::string out(2 * hex_size, '0');
  put_hex(put_hex(out.data(), r.high), r.low);
  return out;
}

std::string to_text(const run_uid& uid) {
  std::array<char, 2 * hex_size + 1 + 20> text{};
  auto* at = put_hex(put_hex(text.data(), uid.reign.high), uid.reign.low);
  *at++ = '-';
  const auto r = std::to_chars(at, text.data() + text.size(), uid.serial);
  return {text.data(), r.ptr};
}

bool from_text(std::string_view text, run_uid& uid) {
  if (text.size() < 34 || text[32] != '-') return false;
  return parse(text.substr(0, 16), uid.reign.high, 16) && parse(text.substr(16, 16), uid.reign.low, 16) &&
         parse(text.substr(33), uid.serial, 10);
}

std::uint64_t stable_hash(std::string_view text, std::uint64_t seed) {
  std::uint64_t h = 0xcbf29ce484222325ULL ^ seed;
  for (const char c : text) {
    h ^= static_cast<unsigned char>(c);
    h *= 0x100000001b3ULL;
  }
  h += 0x9e3779b97f4a7c15ULL;
  h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ULL;
  h = (h ^ (h >> 27)) * 0x94d049bb133111ebULL;
  return h ^ (h >> 31);
}

}  // namespace pawl::engine
