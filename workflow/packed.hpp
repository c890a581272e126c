// Writing and strict reading of msgpack values, for the codecs of what is stored. Private to codecs: msgpack's headers
// come with it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>

#include <msgpack.hpp>

#include "workflow/ids.hpp"

namespace pawl::engine::packed {

struct sink {
  std::string& out;
  void write(const char* data, std::size_t n) { out.append(data, n); }
};
using packer = msgpack::packer<sink>;

inline void put_text(packer& p, std::string_view s) {
  p.pack_str(static_cast<std::uint32_t>(s.size()));
  p.pack_str_body(s.data(), static_cast<std::uint32_t>(s.size()));
}

inline void put_bin(packer& p, std::string_view s) {
  p.pack_bin(static_cast<std::uint32_t>(s.size()));
  p.pack_bin_body(s.data(), static_cast<std::uint32_t>(s.size()));
}

/// Thrown by everything below, caught by the codec.
struct malformed {
  std::string what;
};

inline const msgpack::object& element(const msgpack::object& o, std::uint32_t n) {
  if (o.type != msgpack::type::ARRAY || n >= o.via.array.size) throw malformed{"an array is too short"};
  return o.via.array.ptr[n];
}

inline std::uint32_t size_of(const msgpack::object& o) {
  if (o.type != msgpack::type::ARRAY) throw malformed{"an array was expected"};
  return o.via.array.size;
}

/// Of a text or a binary; valid as long as the bytes that were unpacked.
inline std::string_view get_bytes(const msgpack::object& o) {
  if (o.type == msgpack::type::STR) return {o.via.str.ptr, o.via.str.size};
  if (o.type == msgpack::type::BIN) return {o.via.bin.ptr, o.via.bin.size};
  throw malformed{"text was expected"};
}

inline std::string get_text(const msgpack::object& o) { return std::string(get_bytes(o)); }

inline std::uint64_t get_uint(const msgpack::object& o, std::uint64_t max = std::numeric_limits<std::uint64_t>::max()) {
  if (o.type != msgpack::type::POSITIVE_INTEGER || o.via.u64 > max) throw malformed{"a number is out of range"};
  return o.via.u64;
}

inline std::uint32_t get_u32(const msgpack::object& o) {
  return static_cast<std::uint32_t>(get_uint(o, std::numeric_limits<std::uint32_t>::max()));
}

inline std::int64_t get_int(const msgpack::object& o) {
  if (o.type == msgpack::type::NEGATIVE_INTEGER) return o.via.i64;
  return static_cast<std::int64_t>(get_uint(o, std::numeric_limits<std::int64_t>::max()));
}

// decide and resolve let nothing through that is refused here.
inline milliseconds get_ms(const msgpack::object& o) {
  const auto v = get_int(o);
  if (v < 0 || v > longest_duration.count()) throw malformed{"a duration is out of range"};
  return milliseconds{v};
}

inline time_point get_time(const msgpack::object& o) {
  const auto v = get_int(o);
  if (v < 0 || v > to_micros(latest_time)) throw malformed{"a time is out of range"};
  return from_micros(v);
}

inline bool get_bool(const msgpack::object& o) {
  if (o.type != msgpack::type::BOOLEAN) throw malformed{"true or false was expected"};
  return o.via.boolean;
}

/// All of `bytes` as one value, called `what` in an error, with its lists and maps in `zone`. Texts and blobs refer to
/// `bytes` instead of being copied. Nothing of ours nests deeper than the limits; hostile bytes may not make the
/// parser's stack or zone large. The parser allocates an array when it has read its length, which so must not pass what
/// can follow. May throw what msgpack throws, a std::exception.
inline msgpack::object unpack_into(msgpack::zone& zone, std::string_view bytes, const char* what,
                                   std::size_t longest_array) {
  const msgpack::unpack_limit limits(std::min(bytes.size(), longest_array), 64, 1U << 28, 1U << 28, 16, 16);
  std::size_t offset = 0;
  bool refers = false;
  const auto value = msgpack::unpack(
      zone, bytes.data(), bytes.size(), offset, refers,
      [](msgpack::type::object_type, std::size_t, void*) { return true; }, nullptr, limits);
  if (offset != bytes.size()) throw malformed{std::string("bytes follow ") + what};
  return value;
}

inline constexpr std::size_t longest_array_of_ours = std::size_t{1} << 20;

/// As unpack_into(), with a zone of its own.
inline msgpack::object_handle unpack_whole(std::string_view bytes, const char* what = "the value",
                                           std::size_t longest_array = longest_array_of_ours) {
  auto zone = std::make_unique<msgpack::zone>();
  const auto value = unpack_into(*zone, bytes, what, longest_array);
  return {value, std::move(zone)};
}

}  // namespace pawl::engine::packed
