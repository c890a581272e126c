// Bytes from somebody who means harm: an error or a value, never a crash, and memory in proportion to the bytes. A
// failure names its seed; PAWL_SEED=<seed> runs from that one.
#include "tests/api/shapes.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <random>

#include <msgpack.hpp>

namespace {

using namespace std::string_literals;

std::uint64_t first_seed() {
  const char* given = std::getenv("PAWL_SEED");
  return given ? std::strtoull(given, nullptr, 10) : 20'240'601;
}

/// Counts what is allocated through it.
template <class T>
struct counting_allocator {
  using value_type = T;
  static inline std::size_t most = 0;
  static inline std::size_t now = 0;
  counting_allocator() = default;
  template <class U>
  explicit counting_allocator(const counting_allocator<U>&) {}
  T* allocate(std::size_t n) {
    now += n * sizeof(T);
    most = std::max(most, now);
    return std::allocator<T>().allocate(n);
  }
  void deallocate(T* p, std::size_t n) {
    now -= n * sizeof(T);
    std::allocator<T>().deallocate(p, n);
  }
  bool operator==(const counting_allocator&) const { return true; }
};

class hostile_bytes {
 public:
  explicit hostile_bytes(std::uint64_t seed) : random_(seed), valid_(pawl::encode(shapes::example())) {}

  /// A valid encoding, damaged; now and then nothing but noise, or a header that promises a lot.
  std::string next() {
    auto bytes = valid_;
    switch (below(8)) {
      case 0: {
        bytes.resize(below(64));
        for (auto& c : bytes) c = byte();
        return bytes;
      }
      case 1:
        bytes.resize(below(bytes.size()));
        break;
      case 2:
        bytes.insert(below(bytes.size()), huge_header());
        break;
      case 3:
        bytes.replace(below(bytes.size()), 5, huge_header());
        break;
      case 4:
        bytes.erase(below(bytes.size()), 1 + below(4));
        break;
      case 5:
        bytes.insert(below(bytes.size()), bytes.substr(below(bytes.size()), below(40)));
        break;
      default:
        break;
    }
    for (auto n = below(4); n > 0 && !bytes.empty(); --n) bytes[below(bytes.size())] = byte();
    return bytes;
  }

 private:
  std::size_t below(std::size_t n) { return n == 0 ? 0 : random_() % n; }
  char byte() { return static_cast<char>(random_()); }
  std::string huge_header() {
    static constexpr char heads[] = "\xdd\xdf\xdb\xc6\xc9";
    return std::string(1, heads[below(5)]) + "\xff\xff\xff" + byte();
  }
  std::mt19937_64 random_;
  std::string valid_;
};

template <class T>
bool decodes(const std::string& bytes) {
  try {
    // What was accepted can be written, and is then itself again.
    const auto value = pawl::decode<T>(bytes);
    const auto again = pawl::encode(value);
    EXPECT_EQ(pawl::encode(pawl::decode<T>(again)), again);
    return true;
  } catch (const pawl::codec_error& e) {
    EXPECT_LT(std::string_view(e.what()).size(), 10'000U);
    return false;
  }
}

TEST(codec_fuzz, damaged_bytes_are_refused_or_read) {
  constexpr std::uint64_t seeds = 60;
  constexpr int rounds = 200;
  const auto first = first_seed();
  std::size_t accepted = 0;
  std::size_t refused = 0;
  for (auto seed = first; seed < first + seeds; ++seed) {
    SCOPED_TRACE("PAWL_SEED=" + std::to_string(seed));
    hostile_bytes hostile(seed);
    for (int i = 0; i < rounds; ++i) {
      const auto bytes = hostile.next();
      for (const bool ok : {decodes<shapes::all>(bytes), decodes<pawl::any_value>(bytes),
                            decodes<std::map<std::string, pawl::any_value>>(bytes)}) {
        ++(ok ? accepted : refused);
      }
    }
    if (HasFailure()) return;
  }
  std::cout << "seeds " << first << " to " << first + seeds - 1 << ": " << accepted << " accepted, " << refused
            << " refused\n";
  // Both happen often, or the damage is not of the right kind.
  EXPECT_GT(accepted, seeds * rounds / 20);
  EXPECT_GT(refused, seeds * rounds / 2);
}

TEST(codec_fuzz, agrees_with_msgpack_cxx_on_what_is_msgpack) {
  const auto first = first_seed();
  std::size_t both = 0;
  for (auto seed = first; seed < first + 50; ++seed) {
    SCOPED_TRACE("PAWL_SEED=" + std::to_string(seed));
    hostile_bytes hostile(seed);
    for (int i = 0; i < 200; ++i) {
      const auto bytes = hostile.next();
      bool ours = true;
      try {
        (void)pawl::decode<pawl::any_value>(bytes);
      } catch (const pawl::codec_error&) {
        ours = false;
      }
      if (!ours) continue;
      ++both;
      std::size_t offset = 0;
      EXPECT_NO_THROW(msgpack::unpack(bytes.data(), bytes.size(), offset));
      EXPECT_EQ(offset, bytes.size());
    }
  }
  std::cout << both << " values compared from seed " << first << "\n";
  EXPECT_GT(both, 500U);
}

TEST(codec_fuzz, a_header_that_promises_much_allocates_little) {
  using element = std::optional<std::array<double, 100>>;
  using counted = std::vector<element, counting_allocator<element>>;
  auto& most = counting_allocator<element>::most;
  for (const auto& bytes : {"\xdd\xff\xff\xff\xff"s, "\xdc\xff\xff"s, "\xdd\0\1\0\0"s + std::string(65536, '\xc1')}) {
    most = 0;
    EXPECT_THROW((pawl::decode<counted>(bytes)), pawl::codec_error);
    EXPECT_LE(most, 4 * sizeof(element) + bytes.size());
  }
  // And what is really there may cost what it is.
  most = 0;
  const auto real = "\xdc\x10\0"s + std::string(4096, '\xc0');
  EXPECT_EQ((pawl::decode<counted>(real)).size(), 4096U);
  EXPECT_LE(most, 4 * 4096 * sizeof(element));
}

}  // namespace
