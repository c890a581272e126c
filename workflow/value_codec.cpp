// The msgpack under <pawl/codec.hpp>: msgpack-cxx packs; reading is a cursor of our own, because that library reads
// into a tree of objects, whose allocation is what hostile length fields drive.
#include <pawl/codec.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include <msgpack/pack.hpp>

namespace pawl::detail {
namespace {

struct string_sink {
  std::string& out;
  void write(const char* data, std::size_t size) { out.append(data, size); }
};

template <class F>
void pack(std::string& out, F&& with) {
  string_sink sink{out};
  msgpack::packer<string_sink> packer(sink);
  with(packer);
}

void append_big_endian(std::string& out, std::uint64_t value, int size) {
  for (int shift = 8 * (size - 1); shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
}

std::uint32_t checked_size(std::size_t size) {
  if (size > 0xffffffffU) throw codec_error("longer than msgpack can say (4 GiB)");
  return static_cast<std::uint32_t>(size);
}

/// `shop::order` is `order` in a path; template arguments stay.
std::string_view short_name(std::string_view name) {
  const auto arguments = name.find('<');
  const auto colons = name.substr(0, arguments).rfind("::");
  return colons == std::string_view::npos ? name : name.substr(colons + 2);
}

std::string_view type_of_head(std::uint8_t head) {
  if (head <= 0x7f || head >= 0xe0) return "an integer";
  if (head <= 0x8f) return "a map";
  if (head <= 0x9f) return "a list";
  if (head <= 0xbf) return "a string";
  switch (head) {
    case 0xc0:
      return "nil";
    case 0xc1:
      return "an invalid byte";
    case 0xc2:
    case 0xc3:
      return "a bool";
    case 0xc4:
    case 0xc5:
    case 0xc6:
      return "bytes";
    case 0xca:
    case 0xcb:
      return "a floating-point number";
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
      return "an integer";
    case 0xd9:
    case 0xda:
    case 0xdb:
      return "a string";
    case 0xdc:
    case 0xdd:
      return "a list";
    case 0xde:
    case 0xdf:
      return "a map";
    default:
      return "an extension";
  }
}

/// Keys are what somebody sent: shown, but not at any length, and on one line.
std::string shown(std::string_view text) {
  constexpr std::size_t longest = 64;
  std::string out;
  for (const char c : text.substr(0, longest)) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  if (text.size() > longest) out += "...";
  return out;
}

}  // namespace

// --- encoder --------------------------------------------------------------------------------------------------------

void encoder::nil() {
  pack(out_, [](auto& p) { p.pack_nil(); });
}
void encoder::boolean(bool value) {
  pack(out_, [&](auto& p) { value ? p.pack_true() : p.pack_false(); });
}
void encoder::signed_integer(std::int64_t value) {
  pack(out_, [&](auto& p) { p.pack_int64(value); });
}
void encoder::unsigned_integer(std::uint64_t value) {
  pack(out_, [&](auto& p) { p.pack_uint64(value); });
}
// Not by msgpack-cxx, which writes whole numbers as integers: -0.0 would lose its sign, and an any_value its type.
void encoder::floating(float value) {
  out_ += '\xca';
  append_big_endian(out_, std::bit_cast<std::uint32_t>(value), 4);
}
void encoder::floating(double value) {
  out_ += '\xcb';
  append_big_endian(out_, std::bit_cast<std::uint64_t>(value), 8);
}
void encoder::string(std::string_view value) {
  const auto size = checked_size(value.size());
  pack(out_, [&](auto& p) { p.pack_str(size); });
  out_ += value;
}
void encoder::binary(std::string_view value) {
  const auto size = checked_size(value.size());
  pack(out_, [&](auto& p) { p.pack_bin(size); });
  out_ += value;
}
void encoder::list(std::size_t size) {
  enter();
  pack(out_, [&](auto& p) { p.pack_array(checked_size(size)); });
}
void encoder::map(std::size_t size) {
  enter();
  pack(out_, [&](auto& p) { p.pack_map(checked_size(size)); });
}
void encoder::raw(std::string_view msgpack) {
  decoder check(msgpack, "any_value", depth_);
  check.skip();
  check.finish();
  out_ += msgpack;
}
void encoder::enter() {
  if (depth_ >= max_depth) throw codec_error("nested more than 64 levels deep");
  ++depth_;
}

// --- decoder: errors ------------------------------------------------------------------------------------------------

void decoder::fail(std::string_view what) const {
  std::vector<const place*> path;
  for (const auto* p = place_; p; p = p->outer_) path.push_back(p);
  std::string text(short_name(root_));
  for (auto p = path.rbegin(); p != path.rend(); ++p) {
    if ((*p)->name_.empty()) {
      text += '[' + std::to_string((*p)->index_) + ']';
    } else {
      text += '.' + shown((*p)->name_);
    }
  }
  throw codec_error(text + ": " + std::string(what));
}

void decoder::unexpected(std::string_view wanted, std::uint8_t got) const {
  fail("expected " + std::string(wanted) + ", got " + std::string(type_of_head(got)));
}

void fail_enum(const decoder& d, std::string_view got, const std::string_view* names, std::size_t size) {
  std::string known;
  for (std::size_t i = 0; i < size; ++i) known += (i ? ", " : "") + std::string(names[i]);
  d.fail("'" + shown(got) + "' is none of: " + known);
}

void sort_by_key(std::vector<map_entry>& entries) {
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
}

std::size_t find_name(const std::string_view* names, std::size_t size, std::string_view key, std::size_t expected) {
  if (expected < size && names[expected] == key) return expected;
  std::size_t i = 0;
  while (i < size && names[i] != key) ++i;
  return i;
}

// --- decoder: the cursor --------------------------------------------------------------------------------------------

std::uint8_t decoder::head() {
  if (at_ == end_) fail("the bytes end here");
  return static_cast<std::uint8_t>(*at_++);
}

std::string_view decoder::take(std::size_t size) {
  if (size > left()) fail("the bytes end in the middle of a value");
  const std::string_view result(at_, size);
  at_ += size;
  return result;
}

std::uint64_t decoder::big_endian(int size) {
  std::uint64_t value = 0;
  for (const char c : take(static_cast<std::size_t>(size))) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

std::size_t decoder::length(int size) { return static_cast<std::size_t>(big_endian(size)); }

bool decoder::try_nil() {
  if (at_ == end_ || static_cast<std::uint8_t>(*at_) != 0xc0) return false;
  ++at_;
  return true;
}

void decoder::nil() {
  if (const auto h = head(); h != 0xc0) unexpected("nil", h);
}

bool decoder::boolean() {
  const auto h = head();
  if (h != 0xc2 && h != 0xc3) unexpected("a bool", h);
  return h == 0xc3;
}

std::string_view decoder::string() {
  const auto h = head();
  if (h >= 0xa0 && h <= 0xbf) return take(h & 0x1fU);
  if (h < 0xd9 || h > 0xdb) unexpected("a string", h);
  return take(length(1 << (h - 0xd9)));
}

std::string_view decoder::binary() {
  const auto h = head();
  if (h < 0xc4 || h > 0xc6) unexpected("bytes", h);
  return take(length(1 << (h - 0xc4)));
}

std::size_t decoder::list() {
  const auto h = head();
  std::size_t size = h & 0x0fU;
  if (h == 0xdc || h == 0xdd) {
    size = length(h == 0xdc ? 2 : 4);
  } else if (h < 0x90 || h > 0x9f) {
    unexpected("a list", h);
  }
  if (size > left()) fail("the bytes end in the middle of a list");
  return size;
}

void decoder::list(std::size_t size) {
  if (const auto got = list(); got != size) {
    fail("expected a list of " + std::to_string(size) + ", got one of " + std::to_string(got));
  }
}

std::size_t decoder::map() {
  const auto h = head();
  std::size_t size = h & 0x0fU;
  if (h == 0xde || h == 0xdf) {
    size = length(h == 0xde ? 2 : 4);
  } else if (h < 0x80 || h > 0x8f) {
    unexpected("a map", h);
  }
  if (size > left() / 2) fail("the bytes end in the middle of a map");
  return size;
}

void decoder::finish() {
  if (left() > 0) fail(std::to_string(left()) + " bytes follow the value");
}

// --- decoder: numbers -----------------------------------------------------------------------------------------------

/// A number as it was written. An integer is `negative` (then `bits` is two's complement) or not.
struct decoder::number {
  enum { integer, float32, float64, none } kind = none;
  bool negative = false;
  std::uint64_t bits = 0;
  std::uint8_t head = 0;

  std::int64_t as_signed() const { return static_cast<std::int64_t>(bits); }
  double as_double() const {
    if (kind == float32) return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    if (kind == float64) return std::bit_cast<double>(bits);
    return negative ? static_cast<double>(as_signed()) : static_cast<double>(bits);
  }
  /// The integer survives in a double.
  bool fits_double() const {
    const auto magnitude = negative ? 0 - bits : bits;
    return magnitude == 0 || std::bit_width(magnitude) - std::countr_zero(magnitude) <= 53;
  }
  std::string text() const { return negative ? std::to_string(as_signed()) : std::to_string(bits); }
};

decoder::number decoder::any_number() {
  number n;
  n.head = head();
  n.kind = number::integer;
  const auto h = n.head;
  if (h <= 0x7f) {
    n.bits = h;
  } else if (h >= 0xe0) {
    n.negative = true;
    n.bits = static_cast<std::uint64_t>(static_cast<std::int64_t>(static_cast<std::int8_t>(h)));
  } else if (h >= 0xcc && h <= 0xcf) {
    n.bits = big_endian(1 << (h - 0xcc));
  } else if (h >= 0xd0 && h <= 0xd3) {
    const int size = 1 << (h - 0xd0);
    const int unused = 64 - 8 * size;
    n.bits = static_cast<std::uint64_t>(static_cast<std::int64_t>(big_endian(size) << unused) >> unused);
    n.negative = n.as_signed() < 0;
  } else if (h == 0xca) {
    n.kind = number::float32;
    n.bits = big_endian(4);
  } else if (h == 0xcb) {
    n.kind = number::float64;
    n.bits = big_endian(8);
  } else {
    n.kind = number::none;
  }
  return n;
}

void decoder::out_of_range(const number& n, int bits, bool is_signed) const {
  fail(n.text() + " does not fit " + (is_signed ? "a signed" : "an unsigned") + " integer of " + std::to_string(bits) +
       " bits");
}

std::int64_t decoder::signed_integer(int bits) {
  const auto n = any_number();
  if (n.kind != number::integer) unexpected("an integer", n.head);
  const auto highest = (std::uint64_t{1} << (bits - 1)) - 1;
  if (n.negative ? ~n.bits > highest : n.bits > highest) out_of_range(n, bits, true);
  return n.as_signed();
}

std::uint64_t decoder::unsigned_integer(int bits) {
  const auto n = any_number();
  if (n.kind != number::integer) unexpected("an integer", n.head);
  if (n.negative || (bits < 64 && n.bits >> bits != 0)) out_of_range(n, bits, false);
  return n.bits;
}

double decoder::floating64() {
  const auto n = any_number();
  if (n.kind == number::none) unexpected("a number", n.head);
  if (n.kind == number::integer && !n.fits_double()) fail(n.text() + " would be rounded");
  return n.as_double();
}

float decoder::floating32() {
  const auto n = any_number();
  if (n.kind == number::none) unexpected("a number", n.head);
  const auto exact = n.as_double();
  if (std::isnan(exact)) return static_cast<float>(exact);
  // Compared before the cast: a double above the greatest float may not be cast at all.
  const bool in_range = std::isinf(exact) || std::fabs(exact) <= std::numeric_limits<float>::max();
  if ((n.kind == number::integer && !n.fits_double()) || !in_range ||
      static_cast<double>(static_cast<float>(exact)) != exact) {
    fail("the number would be rounded");
  }
  return static_cast<float>(exact);
}

// --- decoder: skipping ----------------------------------------------------------------------------------------------

std::string_view decoder::skip() {
  const char* first = at_;
  skip_one(depth_);
  return {first, static_cast<std::size_t>(at_ - first)};
}

void decoder::skip_one(int depth) {
  if (depth > max_depth) fail("nested more than 64 levels deep");
  if (at_ == end_) fail("the bytes end here");
  const auto h = static_cast<std::uint8_t>(*at_);
  if ((h >= 0x80 && h <= 0x8f) || h == 0xde || h == 0xdf) {
    for (auto left_over = map() * 2; left_over > 0; --left_over) skip_one(depth + 1);
  } else if ((h >= 0x90 && h <= 0x9f) || h == 0xdc || h == 0xdd) {
    for (auto left_over = list(); left_over > 0; --left_over) skip_one(depth + 1);
  } else if ((h >= 0xa0 && h <= 0xbf) || (h >= 0xd9 && h <= 0xdb)) {
    string();
  } else if (h >= 0xc4 && h <= 0xc6) {
    binary();
  } else if (h == 0xc0 || h == 0xc2 || h == 0xc3) {
    ++at_;
  } else if (h >= 0xc7 && h <= 0xc9) {  // ext 8, 16, 32: a length, a type, the bytes
    ++at_;
    take(length(1 << (h - 0xc7)) + 1);
  } else if (h >= 0xd4 && h <= 0xd8) {  // fixext 1, 2, 4, 8, 16
    ++at_;
    take((std::size_t{1} << (h - 0xd4)) + 1);
  } else if (h == 0xc1) {
    fail("the byte c1 is not msgpack");
  } else {
    any_number();
  }
}

}  // namespace pawl::detail
