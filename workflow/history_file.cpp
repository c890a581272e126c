#include "workflow/history_file.hpp"

#include "workflow/event_codec.hpp"
#include "workflow/packed.hpp"

namespace pawl::engine {

namespace {

using namespace packed;

constexpr std::string_view mark = "pawl-history";

/// The next value of a sequence; moves `offset` behind it.
msgpack::object_handle next(std::string_view bytes, std::size_t& offset) {
  if (offset >= bytes.size()) throw malformed{"it ends in the middle: it is not whole"};
  const auto left = bytes.size() - offset;
  const msgpack::unpack_limit limits(std::min<std::size_t>(left, 16), 8, std::size_t{1} << 28, std::size_t{1} << 28, 8,
                                     8);
  return msgpack::unpack(
      bytes.data(), bytes.size(), offset, [](msgpack::type::object_type, std::size_t, void*) { return true; }, nullptr,
      limits);
}

stored_event get_stored(const msgpack::object& o) {
  stored_event s;
  s.seq = get_uint(element(o, 0));
  s.at = get_int(element(o, 1));
  s.kind = static_cast<std::uint8_t>(get_uint(element(o, 2), 255));
  s.name = get_text(element(o, 3));
  s.attempt = get_u32(element(o, 4));
  s.body = get_text(element(o, 5));
  return s;
}

void read(std::string_view bytes, history_file& out) {
  std::size_t offset = 0;
  {
    const auto head = next(bytes, offset);
    if (head->type != msgpack::type::ARRAY || get_text(element(head.get(), 0)) != mark)
      throw malformed{"it does not begin as an exported history does"};
    const auto version = get_uint(element(head.get(), 1));
    if (version != history_file_version)
      throw malformed{"it has format " + std::to_string(version) + ", and this binary reads format " +
                      std::to_string(history_file_version)};
    out.written_by = get_text(element(head.get(), 2));
  }
  while (true) {
    const auto value = next(bytes, offset);
    if (value->type == msgpack::type::POSITIVE_INTEGER) {
      if (value->via.u64 != out.events.size())
        throw malformed{"it holds " + std::to_string(out.events.size()) + " events and says " +
                        std::to_string(value->via.u64)};
      if (offset != bytes.size()) throw malformed{"bytes follow its end"};
      return;
    }
    const auto stored = get_stored(value.get());
    if (auto wrong = read_stored(stored, out.events.emplace_back()); !wrong.empty())
      throw malformed{"event " + std::to_string(stored.seq) + ": " + wrong};
  }
}

}  // namespace

std::string read_stored(const stored_event& s, event& out) {
  out.kind = static_cast<event_kind>(s.kind);
  out.seq = s.seq;
  out.at = from_micros(s.at);
  out.name = s.name;
  out.attempt = s.attempt;
  if (!is_known(out.kind)) return "its kind " + std::to_string(s.kind) + " is not known to this binary";
  return decode_body(s.body, out);
}

std::string write_history_file(const std::vector<stored_event>& events, std::string_view written_by) {
  std::string out;
  sink s{out};
  packer p{s};
  p.pack_array(3);
  put_text(p, mark);
  p.pack_uint32(history_file_version);
  put_text(p, written_by);
  for (const auto& e : events) {
    p.pack_array(6);
    p.pack_uint64(e.seq);
    p.pack_int64(e.at);
    p.pack_uint8(e.kind);
    put_text(p, e.name);
    p.pack_uint32(e.attempt);
    put_bin(p, e.body);
  }
  p.pack_uint64(events.size());
  return out;
}

std::string read_history_file(std::string_view bytes, history_file& out) {
  out = {};
  try {
    read(bytes, out);
    return {};
  } catch (const malformed& m) {
    return m.what;
  } catch (const msgpack::insufficient_bytes&) {
    return "it ends in the middle: it is not whole";
  } catch (const std::exception& x) {
    return std::string("it cannot be read: ") + x.what();
  }
}

}  // namespace pawl::engine
