#include "broker/command_route.hpp"

#include "broker/command_codec.hpp"
#include "broker/outbox_desk.hpp"
#include "broker/partitioner.hpp"

namespace pawl::broker {

namespace {

using kind = command_route::kind;

command_route dead(std::string cause, std::string detail) {
  return {.what = kind::dead, .cause = std::move(cause), .detail = std::move(detail)};
}

std::string partition_text(std::int32_t p) { return "partition " + std::to_string(p); }

command_route of_another_partition(const incoming_command& m, const outbox_place& place, inbox& in) {
  const auto before = in.mark(place.from).what;
  const auto verdict = in.judge(place.from, place.number, place.reign);
  if (verdict == inbox::verdict::repeat) return {.what = kind::repeat};
  if (verdict == inbox::verdict::early) return {.what = kind::early};
  command_route r;
  if (verdict == inbox::verdict::diverged) {
    r = dead("outbox_diverged",
             "message " + std::to_string(place.number) + " of " + partition_text(place.from) +
                 " was applied under another reign: its journal has lost its tail; nothing of it is applied until it "
                 "is resynced");
    if (before == store::receive_mark::state::diverged) return r;
  } else if (const auto* stub = find_header(m.headers, stub_header)) {
    r = dead("refused", *stub);
  }
  r.mark = in.mark(place.from);
  return r;
}

// What is about a partition has no key.
std::optional<command_route> resync_of(const incoming_command& m, inbox& in) {
  const auto* type = find_header(m.headers, "content-type");
  if (m.key || type == nullptr || *type != msgpack_type) return std::nullopt;
  node_command c;
  std::string wrong;
  if (decode_command(m.value, c, wrong) != command_readable::yes) return std::nullopt;
  const auto* r = std::get_if<resync_command>(&c);
  if (r == nullptr) return std::nullopt;
  in.resync(r->from);
  return command_route{.what = kind::resync, .to = r->from, .mark = in.mark(r->from)};
}

}  // namespace

command_route route_command(const incoming_command& m, std::int32_t partition, std::int32_t partitions, inbox& in) {
  std::optional<command_route> applied;
  if (const auto* header = find_header(m.headers, outbox_header)) {
    const auto place = place_from_text(*header);
    if (!place) return dead("invalid", "the header pawl-outbox is not what a node writes");
    applied = of_another_partition(m, *place, in);
    if (applied->what != kind::hand_in) return *applied;
  } else if (auto r = resync_of(m, in)) {
    return *r;
  }
  const auto right = m.key && !m.key->empty() ? partition_of(*m.key, partitions) : partition;
  if (right == partition) return applied.value_or(command_route{});
  if (applied) {
    auto r = dead("wrong_partition", "it was sent here by another partition, and belongs to " + partition_text(right) +
                                         ": the number of partitions is not the same everywhere");
    r.mark = applied->mark;
    return r;
  }
  if (m.value.size() + m.key->size() > largest_forward)
    return dead("wrong_partition", "it belongs to " + partition_text(right) +
                                       ", where its producer did not put it, and is too large to be forwarded; `dlq "
                                       "replay` sends it there");
  return {.what = kind::forward, .to = right};
}

}  // namespace pawl::broker
