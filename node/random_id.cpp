#include "node/random_id.hpp"

#include <sys/random.h>

#include <array>
#include <cerrno>

namespace pawl::node {

namespace {

// At most 256 bytes are never cut short; before the kernel's pool is ready it waits.
template <class T>
void fill(T& out) {
  static_assert(sizeof out <= 256);
  while (::getrandom(&out, sizeof out, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace

std::string random_id() {
  std::array<unsigned char, 16> bytes{};
  fill(bytes);
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (const auto b : bytes) {
    out += digits[b >> 4];
    out += digits[b & 0x0f];
  }
  return out;
}

std::uint64_t random_number() {
  std::uint64_t out = 0;
  while (out == 0) fill(out);
  return out;
}

}  // namespace pawl::node
