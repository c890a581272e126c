// msgpack to JSON for people. A cursor of our own: no length field is believed before the bytes are there, nothing is
// looked up, nesting is bounded.
#include <bit>
#include <cmath>

#include "node/json_codec.hpp"

namespace pawl::node {

namespace {

struct undecodable {
  std::string_view why;
};

class msgpack_reader {
 public:
  explicit msgpack_reader(std::string_view bytes) : left_(bytes) {}

  json read_all() {
    auto out = read(0);
    if (!left_.empty()) throw undecodable{"bytes follow the value"};
    return out;
  }

 private:
  json read(std::size_t depth);
  json read_special(unsigned head, std::size_t depth);
  json read_list(std::uint64_t size, std::size_t depth);
  json read_map(std::uint64_t size, std::size_t depth);
  json read_extension(std::uint64_t size);

  std::string_view take(std::uint64_t size) {
    if (size > left_.size()) throw undecodable{"the bytes end in the middle of a value"};
    const auto out = left_.substr(0, static_cast<std::size_t>(size));
    left_.remove_prefix(static_cast<std::size_t>(size));
    return out;
  }
  std::uint64_t number(std::uint64_t size) {
    std::uint64_t value = 0;
    for (const char c : take(size)) value = value << 8 | static_cast<unsigned char>(c);
    return value;
  }
  json text(std::uint64_t size) { return std::string(take(size)); }
  json binary(std::uint64_t size) { return json{{"$bin", to_base64(take(size))}}; }
  json signed_number(std::uint64_t size) {
    const auto unused = 64 - 8 * size;
    return static_cast<std::int64_t>(number(size) << unused) >> unused;
  }
  static json floating(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
    return value;
  }

  std::string_view left_;
};

json msgpack_reader::read(std::size_t depth) {
  if (depth > json_depth) throw undecodable{"nested too deep"};
  const unsigned head = static_cast<unsigned char>(take(1).front());
  if (head <= 0x7f) return head;
  if (head <= 0x8f) return read_map(head & 0x0fU, depth);
  if (head <= 0x9f) return read_list(head & 0x0fU, depth);
  if (head <= 0xbf) return text(head & 0x1fU);
  if (head >= 0xe0) return static_cast<int>(head) - 256;
  return read_special(head, depth);
}

json msgpack_reader::read_special(unsigned head, std::size_t depth) {
  switch (head) {
    case 0xc0:
      return nullptr;
    case 0xc2:
      return false;
    case 0xc3:
      return true;
    case 0xc4:
    case 0xc5:
    case 0xc6:
      return binary(number(1U << (head - 0xc4)));
    case 0xc7:
    case 0xc8:
    case 0xc9:
      return read_extension(number(1U << (head - 0xc7)));
    case 0xca:
      return floating(std::bit_cast<float>(static_cast<std::uint32_t>(number(4))));
    case 0xcb:
      return floating(std::bit_cast<double>(number(8)));
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
      return number(1U << (head - 0xcc));
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
      return signed_number(1U << (head - 0xd0));
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
      return read_extension(1U << (head - 0xd4));
    case 0xd9:
    case 0xda:
    case 0xdb:
      return text(number(1U << (head - 0xd9)));
    case 0xdc:
    case 0xdd:
      return read_list(number(head == 0xdc ? 2 : 4), depth);
    case 0xde:
    case 0xdf:
      return read_map(number(head == 0xde ? 2 : 4), depth);
    default:
      throw undecodable{"the byte c1 is not msgpack"};
  }
}

json msgpack_reader::read_list(std::uint64_t size, std::size_t depth) {
  if (size > left_.size()) throw undecodable{"the bytes end in the middle of a list"};
  auto out = json::array();
  auto& elements = out.get_ref<json::array_t&>();
  for (; size > 0; --size) elements.push_back(read(depth + 1));
  return out;
}

// Names are not looked up, so one that stands there twice is shown twice.
json msgpack_reader::read_map(std::uint64_t size, std::size_t depth) {
  if (size > left_.size() / 2) throw undecodable{"the bytes end in the middle of a map"};
  auto out = json::object();
  json::object_t::Container& members = out.get_ref<json::object_t&>();
  for (; size > 0; --size) {
    auto key = read(depth + 1);
    auto name = key.is_string() ? std::move(key.get_ref<std::string&>()) : to_text(key);
    members.emplace_back(std::move(name), read(depth + 1));
  }
  return out;
}

json msgpack_reader::read_extension(std::uint64_t size) {
  const auto type = signed_number(1);
  return json{{"$ext", type}, {"data", to_base64(take(size))}};
}

}  // namespace

json to_json(std::string_view msgpack) {
  if (msgpack.empty()) return nullptr;
  try {
    return msgpack_reader(msgpack).read_all();
  } catch (const undecodable& e) {
    return json{{"$undecodable", to_base64(msgpack)}, {"why", e.why}};
  }
}

}  // namespace pawl::node
