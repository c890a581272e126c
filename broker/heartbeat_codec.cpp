#include "broker/heartbeat_codec.hpp"

#include <algorithm>

#include "workflow/packed.hpp"

namespace pawl::broker {

namespace {

using namespace engine::packed;

constexpr std::size_t definition_bytes = 11;  // at most

partition_report get_report(const msgpack::object& o) {
  partition_report r;
  r.partition = static_cast<std::int32_t>(get_uint(element(o, 0), INT32_MAX));
  const auto role = get_uint(element(o, 1), static_cast<std::uint64_t>(partition_role::diverged));
  if (role == 0) throw malformed{"a role is out of range"};
  r.role = static_cast<partition_role>(role);
  r.position = get_int(element(o, 2));
  return r;
}

heartbeat get_heartbeat(const msgpack::object& o) {
  heartbeat h;
  h.node = get_text(element(o, 1));
  h.incarnation = get_uint(element(o, 2));
  h.beat = get_uint(element(o, 3));
  h.born = get_int(element(o, 4));
  h.sent_ms = get_int(element(o, 5));
  h.name = get_text(element(o, 6));
  h.address = get_text(element(o, 7));
  const auto health = get_uint(element(o, 8), static_cast<std::uint64_t>(node_health::leaving));
  if (health == 0) throw malformed{"a health is out of range"};
  h.health = static_cast<node_health>(health);
  h.reads.journal = get_u32(element(o, 9));
  const auto& runs = element(o, 10);
  for (std::uint32_t k = 0; k < size_of(runs); ++k) h.runs.push_back(get_text(runs.via.array.ptr[k]));
  const auto& reports = element(o, 11);
  for (std::uint32_t k = 0; k < size_of(reports); ++k) h.partitions.push_back(get_report(reports.via.array.ptr[k]));
  // Of a version that did not say so: the first.
  if (size_of(o) > 12) {
    h.reads.commands = get_u32(element(element(o, 12), 0));
    h.reads.snapshots = get_u32(element(element(o, 12), 1));
  }
  if (size_of(o) > 13) {
    const auto& definitions = element(o, 13);
    for (std::uint32_t k = 0; k < size_of(definitions); ++k) {
      const auto& d = definitions.via.array.ptr[k];
      h.definitions.push_back({.digest = get_uint(element(d, 0)), .code = get_bool(element(d, 1))});
    }
  }
  return h;
}

}  // namespace

std::string encode(const heartbeat& h) {
  std::string out;
  sink to{out};
  packer p{to};
  p.pack_array(h.definitions.empty() ? 13 : 14);
  p.pack_uint32(heartbeat_format);
  put_text(p, h.node);
  p.pack_uint64(h.incarnation);
  p.pack_uint64(h.beat);
  p.pack_int64(h.born);
  p.pack_int64(h.sent_ms);
  put_text(p, h.name);
  put_text(p, h.address);
  p.pack_uint8(static_cast<std::uint8_t>(h.health));
  p.pack_uint32(h.reads.journal);
  std::size_t bytes = 0;
  std::uint32_t types = 0;
  for (const auto& t : h.runs) {
    bytes += t.size() + 5 + (h.definitions.empty() ? 0 : definition_bytes);
    if (bytes > largest_heartbeat / 2) break;
    ++types;
  }
  p.pack_array(types);
  for (std::uint32_t k = 0; k < types; ++k) put_text(p, h.runs[k]);
  p.pack_array(static_cast<std::uint32_t>(h.partitions.size()));
  for (const auto& r : h.partitions) {
    p.pack_array(3);
    p.pack_int32(r.partition);
    p.pack_uint8(static_cast<std::uint8_t>(r.role));
    p.pack_int64(r.position);
  }
  p.pack_array(2);
  p.pack_uint32(h.reads.commands);
  p.pack_uint32(h.reads.snapshots);
  if (h.definitions.empty()) return out;
  const auto definitions = std::min(types, static_cast<std::uint32_t>(h.definitions.size()));
  p.pack_array(definitions);
  for (std::uint32_t k = 0; k < definitions; ++k) {
    p.pack_array(2);
    p.pack_uint64(h.definitions[k].digest);
    p.pack(h.definitions[k].code);
  }
  return out;
}

bool decode(std::string_view bytes, heartbeat& out, std::string& wrong) {
  try {
    if (bytes.size() > 2 * largest_heartbeat) throw malformed{"it is too large"};
    const auto handle = unpack_whole(bytes, "the heartbeat");
    const auto format = get_u32(element(handle.get(), 0));
    if (format != heartbeat_format) throw malformed{"it is of format " + std::to_string(format)};
    out = get_heartbeat(handle.get());
    if (out.node.empty() || out.incarnation == 0) throw malformed{"it names no node"};
    return true;
  } catch (const malformed& m) {
    wrong = m.what;
  } catch (const std::exception& e) {
    wrong = e.what();
  }
  return false;
}

}  // namespace pawl::broker
