#include "broker/journal_codec.hpp"

#include <zlib.h>

#include "workflow/packed.hpp"

namespace pawl::broker {

namespace {

using namespace engine::packed;

std::uint32_t crc_of(std::string_view bytes) {
  return static_cast<std::uint32_t>(
      ::crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())));
}

std::string sealed(const stamp& s, std::string_view body, std::uint32_t format, std::uint32_t* crc = nullptr) {
  const auto sum = crc_of(body);
  if (crc != nullptr) *crc = sum;
  std::string out;
  out.reserve(body.size() + 64);
  sink to{out};
  packer p{to};
  p.pack_array(8);
  p.pack_uint32(format);
  p.pack_uint8(static_cast<std::uint8_t>(s.kind));
  p.pack_uint64(s.epoch);
  p.pack_uint64(s.reign.high);
  p.pack_uint64(s.reign.low);
  p.pack_uint64(s.seq);
  p.pack_uint32(sum);
  put_bin(p, body);
  return out;
}

// ---- writing

void put_created(packer& p, const store::run_header& h) {
  p.pack_array(9);
  put_text(p, h.workflow_id);
  p.pack_uint32(h.run);
  p.pack_uint64(h.uid.reign.high);
  p.pack_uint64(h.uid.reign.low);
  p.pack_uint64(h.uid.serial);
  put_text(p, h.type);
  p.pack_uint32(h.version);
  p.pack_int64(h.started_at);
  put_text(p, h.start_command);
}

void put_summary(packer& p, const store::run_summary& s) {
  p.pack_array(4);
  p.pack_uint8(static_cast<std::uint8_t>(s.phase));
  p.pack(s.paused);
  p.pack_int64(s.wake_at);
  p.pack_int64(s.closed_at);
}

void put_event(packer& p, const store::event_row& e) {
  p.pack_array(7);
  p.pack_uint64(e.seq);
  p.pack_int64(e.at);
  p.pack_uint8(static_cast<std::uint8_t>(e.kind));
  put_text(p, e.step);
  p.pack_uint32(e.attempt);
  p.pack(e.undo);
  put_bin(p, e.body);
}

void put_change(packer& p, const store::run_change& c) {
  p.pack_array(5);
  p.pack_int64(c.key);
  p.pack_uint64(c.last_seq);
  if (c.created)
    put_created(p, *c.created);
  else
    p.pack_nil();
  if (c.summary)
    put_summary(p, *c.summary);
  else
    p.pack_nil();
  p.pack_array(static_cast<std::uint32_t>(c.events.size()));
  for (const auto& e : c.events) put_event(p, e);
}

void put_heartbeat(packer& p, const store::heartbeat_row& h) {
  p.pack_array(4);
  p.pack_int64(h.key);
  p.pack_uint32(h.step);
  p.pack(h.undo);
  put_bin(p, h.details);
}

void put_outcome(packer& p, const store::outcome_row& o) {
  p.pack_array(6);
  put_text(p, o.workflow_id);
  put_text(p, o.command_id);
  p.pack_uint8(static_cast<std::uint8_t>(o.outcome.result));
  p.pack_uint64(o.outcome.seq);
  put_text(p, o.outcome.message);
  p.pack_int64(o.at);
}

void put_point(packer& p, const store::log_point& at) {
  p.pack_array(6);
  p.pack_int64(at.offset);
  p.pack_uint64(at.epoch);
  p.pack_uint64(at.reign.high);
  p.pack_uint64(at.reign.low);
  p.pack_uint64(at.seq);
  p.pack(at.released);
}

void put_reign(packer& p, const engine::reign& r) {
  p.pack_uint64(r.high);
  p.pack_uint64(r.low);
}

void put_message(packer& p, const store::outbox_row& m) {
  p.pack_array(3);
  p.pack_int32(m.to);
  p.pack_uint64(m.number);
  put_bin(p, m.message);
}

void put_ack(packer& p, const store::outbox_ack& a) {
  p.pack_array(2);
  p.pack_int32(a.to);
  p.pack_uint64(a.below);
}

void put_mark(packer& p, const store::receive_mark& m) {
  p.pack_array(5);
  p.pack_int32(m.from);
  p.pack_uint64(m.number);
  put_reign(p, m.reign);
  p.pack_uint8(static_cast<std::uint8_t>(m.what));
}

void put_type_mark(packer& p, const engine::type_mark& m) {
  p.pack_array(5);
  put_text(p, m.type);
  p.pack_uint32(m.version);
  p.pack_uint64(m.revision);
  p.pack_int64(m.at);
  put_text(p, m.by);
}

template <class T, class Put>
void put_all(packer& p, const std::vector<T>& all, Put put) {
  p.pack_array(static_cast<std::uint32_t>(all.size()));
  for (const auto& one : all) put(p, one);
}

// ---- reading

store::run_header get_created(const msgpack::object& o) {
  store::run_header h;
  h.workflow_id = get_text(element(o, 0));
  h.run = get_u32(element(o, 1));
  h.uid.reign.high = get_uint(element(o, 2));
  h.uid.reign.low = get_uint(element(o, 3));
  h.uid.serial = get_uint(element(o, 4));
  h.type = get_text(element(o, 5));
  h.version = get_u32(element(o, 6));
  h.started_at = get_int(element(o, 7));
  h.start_command = get_text(element(o, 8));
  return h;
}

store::run_summary get_summary(const msgpack::object& o) {
  store::run_summary s;
  const auto phase = get_uint(element(o, 0), static_cast<std::uint64_t>(engine::phase::continued));
  if (phase == 0) throw malformed{"a phase is out of range"};
  s.phase = static_cast<engine::phase>(phase);
  s.paused = get_bool(element(o, 1));
  s.wake_at = get_int(element(o, 2));
  s.closed_at = get_int(element(o, 3));
  return s;
}

store::event_row get_event(const msgpack::object& o) {
  store::event_row e;
  e.seq = get_uint(element(o, 0));
  e.at = get_int(element(o, 1));
  // A kind that this version does not know is for the history to refuse, run by run (docs/history.md).
  e.kind = static_cast<engine::event_kind>(get_uint(element(o, 2), 255));
  e.step = get_text(element(o, 3));
  e.attempt = get_u32(element(o, 4));
  e.undo = get_bool(element(o, 5));
  e.body = get_text(element(o, 6));
  return e;
}

template <class T, class Get>
void get_all(const msgpack::object& o, std::vector<T>& all, Get get) {
  const auto n = size_of(o);
  all.reserve(n);
  for (std::uint32_t k = 0; k < n; ++k) all.push_back(get(o.via.array.ptr[k]));
}

store::run_change get_change(const msgpack::object& o) {
  store::run_change c;
  c.key = get_int(element(o, 0));
  c.last_seq = get_uint(element(o, 1));
  if (!element(o, 2).is_nil()) c.created = get_created(element(o, 2));
  if (!element(o, 3).is_nil()) c.summary = get_summary(element(o, 3));
  get_all(element(o, 4), c.events, get_event);
  return c;
}

store::heartbeat_row get_heartbeat(const msgpack::object& o) {
  return {.key = get_int(element(o, 0)),
          .step = get_u32(element(o, 1)),
          .undo = get_bool(element(o, 2)),
          .details = get_text(element(o, 3))};
}

store::outcome_row get_outcome(const msgpack::object& o) {
  store::outcome_row out;
  out.workflow_id = get_text(element(o, 0));
  out.command_id = get_text(element(o, 1));
  out.outcome.result = static_cast<engine::command_result>(
      get_uint(element(o, 2), static_cast<std::uint64_t>(engine::command_result::ignored)));
  out.outcome.seq = get_uint(element(o, 3));
  out.outcome.message = get_text(element(o, 4));
  out.at = get_int(element(o, 5));
  return out;
}

store::log_point get_point(const msgpack::object& o) {
  return {.offset = get_int(element(o, 0)),
          .epoch = get_uint(element(o, 1)),
          .reign = {get_uint(element(o, 2)), get_uint(element(o, 3))},
          .seq = get_uint(element(o, 4)),
          .released = get_bool(element(o, 5))};
}

std::int32_t get_partition(const msgpack::object& o) { return static_cast<std::int32_t>(get_uint(o, 0x7fffffff)); }

store::outbox_ack get_ack(const msgpack::object& o) {
  return {.to = get_partition(element(o, 0)), .below = get_uint(element(o, 1))};
}

store::receive_mark get_mark(const msgpack::object& o) {
  return {.from = get_partition(element(o, 0)),
          .number = get_uint(element(o, 1)),
          .reign = {get_uint(element(o, 2)), get_uint(element(o, 3))},
          .what = static_cast<store::receive_mark::state>(
              get_uint(element(o, 4), static_cast<std::uint64_t>(store::receive_mark::state::any)))};
}

engine::type_mark get_type_mark(const msgpack::object& o) {
  return {.type = get_text(element(o, 0)),
          .version = get_u32(element(o, 1)),
          .revision = get_uint(element(o, 2)),
          .at = get_int(element(o, 3)),
          .by = get_text(element(o, 4))};
}

broker::batch get_batch(const msgpack::object& o, const engine::reign& reign) {
  broker::batch b;
  b.position = get_int(element(o, 0));
  b.feed = get_point(element(o, 1));
  get_all(element(o, 2), b.changes.runs, get_change);
  get_all(element(o, 3), b.changes.heartbeats, get_heartbeat);
  get_all(element(o, 4), b.changes.outcomes, get_outcome);
  auto& outbox = b.changes.outbox;
  get_all(element(o, 5), outbox.messages, [&](const msgpack::object& m) {
    return store::outbox_row{.to = get_partition(element(m, 0)),
                             .number = get_uint(element(m, 1)),
                             .reign = reign,
                             .message = get_text(element(m, 2))};
  });
  get_all(element(o, 6), outbox.acknowledged, get_ack);
  get_all(element(o, 7), outbox.received, get_mark);
  if (size_of(o) > 8) get_all(element(o, 8), b.changes.marks, get_type_mark);
  return b;
}

announcer get_announcer(const msgpack::object& o) {
  return {.node_id = get_text(element(o, 0)),
          .incarnation = get_uint(element(o, 1)),
          .reads_format = get_u32(element(o, 2))};
}

// The stamp; `body` is what it stands for. Throws.
readable get_stamp(const msgpack::object& o, journal_record& out, std::string_view& body, std::string& wrong) {
  const auto format = get_u32(element(o, 0));
  const auto kind = get_uint(element(o, 1), 255);
  if (format == 0 || kind == 0) throw malformed{"format and kind are not 0"};
  if (format != journal_format || kind > static_cast<std::uint64_t>(record_kind::barrier)) {
    wrong = "a record of format " + std::to_string(format) + " and kind " + std::to_string(kind) +
            "; this version reads format " + std::to_string(journal_format) + " and kinds up to " +
            std::to_string(static_cast<int>(record_kind::barrier)) + ": start a newer version";
    return readable::newer;
  }
  out.stamp = {.kind = static_cast<record_kind>(kind),
               .epoch = get_uint(element(o, 2)),
               .reign = {get_uint(element(o, 3)), get_uint(element(o, 4))},
               .seq = get_uint(element(o, 5))};
  out.crc = get_u32(element(o, 6));
  body = get_bytes(element(o, 7));
  if (crc_of(body) != out.crc) throw malformed{"the checksum is wrong"};
  return readable::yes;
}

template <class Then>
readable guarded(std::string_view bytes, journal_record& out, std::string& wrong, Then then) {
  try {
    const auto handle = unpack_whole(bytes, "the record", 64);
    std::string_view body;
    const auto r = get_stamp(handle.get(), out, body, wrong);
    if (r == readable::yes) then(body);
    return r;
  } catch (const malformed& m) {
    wrong = m.what;
  } catch (const std::exception& x) {
    wrong = x.what();
  }
  return readable::garbage;
}

}  // namespace

std::string encode(const stamp& s, const announcer& who, std::uint32_t format) {
  std::string body;
  sink to{body};
  packer p{to};
  p.pack_array(3);
  put_text(p, who.node_id);
  p.pack_uint64(who.incarnation);
  p.pack_uint32(who.reads_format);
  return sealed(s, body, format);
}

std::string encode(const stamp& s, const batch& what, std::uint32_t* crc, std::uint32_t format) {
  std::string body;
  sink to{body};
  packer p{to};
  const auto& marks = what.changes.marks;  // seldom: only where there are any
  p.pack_array(marks.empty() ? 8 : 9);
  p.pack_int64(what.position);
  put_point(p, what.feed);
  put_all(p, what.changes.runs, put_change);
  put_all(p, what.changes.heartbeats, put_heartbeat);
  put_all(p, what.changes.outcomes, put_outcome);
  put_all(p, what.changes.outbox.messages, put_message);
  put_all(p, what.changes.outbox.acknowledged, put_ack);
  put_all(p, what.changes.outbox.received, put_mark);
  if (!marks.empty()) put_all(p, marks, put_type_mark);
  return sealed(s, body, format, crc);
}

std::string encode(const stamp& s, std::uint32_t* crc, std::uint32_t format) { return sealed(s, {}, format, crc); }

readable decode(std::string_view bytes, journal_record& out, std::string& wrong) {
  return guarded(bytes, out, wrong, [&](std::string_view body) {
    if (out.stamp.kind == record_kind::announcement)
      out.announced = get_announcer(unpack_whole(body).get());
    else if (out.stamp.kind == record_kind::batch)
      out.batch = get_batch(unpack_whole(body).get(), out.stamp.reign);
  });
}

readable decode_stamp(std::string_view bytes, journal_record& out, std::string& wrong) {
  return guarded(bytes, out, wrong, [](std::string_view) {});
}

}  // namespace pawl::broker
