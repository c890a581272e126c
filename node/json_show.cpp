// msgpack to JSON for people. A cursor of our own: no length field is believed before the bytes are there, nothing is
// looked up, nesting is bounded.
#include <bit>
#include <cmath>
#include <utility>

#include "node/json_writer.hpp"

namespace pawl::node {

namespace {

struct undecodable {
  std::string_view why;
};

/// Says what it reads to a writer of json_writer.hpp.
template <class Writer>
class msgpack_reader {
 public:
  msgpack_reader(std::string_view bytes, Writer& out) : left_(bytes), out_(out) {}

  void read_all() {
    read(0);
    if (!left_.empty()) throw undecodable{"bytes follow the value"};
  }
  /// One value; what is behind it.
  std::string_view read_one(std::size_t depth) {
    read(depth);
    return left_;
  }

 private:
  void read(std::size_t depth);
  void read_special(unsigned head, std::size_t depth);
  void read_list(std::uint64_t size, std::size_t depth);
  void read_map(std::uint64_t size, std::size_t depth);
  void read_name(std::size_t depth);
  void read_extension(std::uint64_t size);

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
  void binary(std::uint64_t size) {
    out_.begin_object();
    out_.member("$bin", to_base64(take(size)));
    out_.end_object();
  }
  std::int64_t signed_number(std::uint64_t size) {
    const auto unused = 64 - 8 * size;
    return static_cast<std::int64_t>(number(size) << unused) >> unused;
  }
  void floating(double value) {
    if (std::isnan(value)) return out_.value("NaN");
    if (std::isinf(value)) return out_.value(value > 0 ? "Infinity" : "-Infinity");
    out_.value(value);
  }

  std::string_view left_;
  Writer& out_;
};

template <class Writer>
void msgpack_reader<Writer>::read(std::size_t depth) {
  if (depth > json_depth) throw undecodable{"nested too deep"};
  const unsigned head = static_cast<unsigned char>(take(1).front());
  if (head <= 0x7f) return out_.value(head);
  if (head <= 0x8f) return read_map(head & 0x0fU, depth);
  if (head <= 0x9f) return read_list(head & 0x0fU, depth);
  if (head <= 0xbf) return out_.value(take(head & 0x1fU));
  if (head >= 0xe0) return out_.value(static_cast<int>(head) - 256);
  return read_special(head, depth);
}

template <class Writer>
void msgpack_reader<Writer>::read_special(unsigned head, std::size_t depth) {
  switch (head) {
    case 0xc0:
      return out_.null();
    case 0xc2:
      return out_.value(false);
    case 0xc3:
      return out_.value(true);
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
      return out_.value(number(1U << (head - 0xcc)));
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
      return out_.value(signed_number(1U << (head - 0xd0)));
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
      return read_extension(1U << (head - 0xd4));
    case 0xd9:
    case 0xda:
    case 0xdb:
      return out_.value(take(number(1U << (head - 0xd9))));
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

template <class Writer>
void msgpack_reader<Writer>::read_list(std::uint64_t size, std::size_t depth) {
  if (size > left_.size()) throw undecodable{"the bytes end in the middle of a list"};
  out_.begin_list();
  for (; size > 0; --size) read(depth + 1);
  out_.end_list();
}

// Names are not looked up, so one that stands there twice is shown twice.
template <class Writer>
void msgpack_reader<Writer>::read_map(std::uint64_t size, std::size_t depth) {
  if (size > left_.size() / 2) throw undecodable{"the bytes end in the middle of a map"};
  out_.begin_object();
  for (; size > 0; --size) {
    read_name(depth + 1);
    read(depth + 1);
  }
  out_.end_object();
}

// What is no text is a name by its JSON.
template <class Writer>
void msgpack_reader<Writer>::read_name(std::size_t depth) {
  json_tree_writer tree;
  msgpack_reader<json_tree_writer> key(left_, tree);
  left_ = key.read_one(depth);
  const auto name = tree.take();
  out_.name(name.is_string() ? name.template get_ref<const std::string&>() : to_text(name));
}

template <class Writer>
void msgpack_reader<Writer>::read_extension(std::uint64_t size) {
  out_.begin_object();
  out_.member("$ext", signed_number(1));
  out_.member("data", to_base64(take(size)));
  out_.end_object();
}

template <class Writer>
void show(std::string_view msgpack, Writer& out) {
  if (msgpack.empty()) return out.null();
  msgpack_reader<Writer>(msgpack, out).read_all();
}

template <class Writer>
void show_undecodable(std::string_view bytes, std::string_view why, Writer& out) {
  out.begin_object();
  out.member("$undecodable", to_base64(bytes));
  out.member("why", why);
  out.end_object();
}

}  // namespace

json to_json(std::string_view msgpack) {
  json_tree_writer tree;
  try {
    show(msgpack, tree);
    return tree.take();
  } catch (const undecodable& e) {
    json_tree_writer instead;
    show_undecodable(msgpack, e.why, instead);
    return instead.take();
  }
}

void json_text_writer::msgpack(std::string_view bytes) {
  const auto before = std::pair{at_ - out_.data(), more_};
  try {
    show(bytes, *this);
  } catch (const undecodable& e) {
    at_ = out_.data() + before.first;
    more_ = before.second;
    show_undecodable(bytes, e.why, *this);
  }
}

}  // namespace pawl::node
