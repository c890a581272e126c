#include "node/random_id.hpp"

#include <sys/random.h>

#include <array>
#include <cerrno>

namespace pawl::node {

std::string random_id() {
  std::array<unsigned char, 16> bytes{};
  // At most 256 bytes are never cut short; before the kernel's pool is ready it waits.
  while (::getrandom(bytes.data(), bytes.size(), 0) < 0 && errno == EINTR) {
  }
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (const auto b : bytes) {
    out += digits[b >> 4];
    out += digits[b & 0x0f];
  }
  return out;
}

}  // namespace pawl::node
