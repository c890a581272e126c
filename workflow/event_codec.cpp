#include "workflow/event_codec.hpp"

#include "workflow/packed.hpp"

namespace pawl::engine {

namespace {

using namespace packed;

// Keys of the map. Stored: never reuse or change one.
enum key : std::uint8_t {
  k_step = 0,
  k_undo = 1,
  k_command = 2,
  k_payload = 3,
  k_error = 4,
  k_cause = 5,
  k_due = 6,
  k_start = 7,
  k_begun = 8,
  k_order = 9,
  k_number = 10,
  k_child = 11,
  k_target = 12,
  k_answers = 14,
};

void put_error(packer& p, const failure& f) {
  p.pack_array(4);
  put_text(p, f.code);
  put_text(p, f.message);
  p.pack(f.permanent);
  if (f.retry_in)
    p.pack_int64(f.retry_in->count());
  else
    p.pack_nil();
}

void put_uid(packer& p, const run_uid& uid) {
  p.pack_array(3);
  p.pack_uint64(uid.reign.high);
  p.pack_uint64(uid.reign.low);
  p.pack_uint64(uid.serial);
}

void put_start(packer& p, const start_facts& s) {
  p.pack_array(s.origin ? 13 : s.parent ? 12 : s.code ? 11 : 10);
  put_text(p, s.workflow_id);
  put_text(p, s.type);
  p.pack_uint32(s.version);
  p.pack_uint64(s.digest);
  p.pack_uint32(s.run);
  p.pack_uint64(s.uid.reign.high);
  p.pack_uint64(s.uid.reign.low);
  p.pack_uint64(s.uid.serial);
  if (s.start_at)
    p.pack_int64(to_micros(*s.start_at));
  else
    p.pack_nil();
  p.pack_int64(s.deadline.count());
  if (!s.code && !s.parent && !s.origin) return;
  p.pack(s.code);
  if (s.parent) {
    p.pack_array(3);
    put_text(p, s.parent->workflow_id);
    put_uid(p, s.parent->uid);
    p.pack_uint32(s.parent->number);
  } else if (s.origin) {
    p.pack_nil();
  }
  if (!s.origin) return;
  const bool keeps = s.origin->kind != origin_kind::continued;
  p.pack_array(keeps ? 7 : 3);
  p.pack_uint8(static_cast<std::uint8_t>(s.origin->kind));
  put_uid(p, s.origin->uid);
  p.pack_uint64(s.origin->seq);
  if (!keeps) return;
  put_text(p, s.origin->workflow_id);
  p.pack_uint32(s.origin->run);
  p.pack_array(static_cast<std::uint32_t>(s.origin->earlier.size()));
  for (const auto& part : s.origin->earlier) {
    p.pack_array(4);
    put_uid(p, part.uid);
    p.pack_uint64(part.seq);
    put_text(p, part.workflow_id);
    p.pack_uint32(part.run);
  }
  p.pack_int64(s.origin->longer.count());
}

void put_child(packer& p, const child_facts& c) {
  p.pack_array(7);
  put_text(p, c.workflow_id);
  p.pack_uint32(c.version);
  p.pack_uint64(c.digest);
  p.pack(c.code);
  p.pack_uint8(static_cast<std::uint8_t>(c.policy));
  p.pack(c.detached);
  p.pack_int64(c.deadline.count());
}

void put_begun(packer& p, const attempt_facts& b) {
  p.pack_array(b.epoch == 0 ? 9 : 10);
  p.pack_int64(b.policy.timeout.count());
  p.pack_int64(b.policy.heartbeat.count());
  p.pack_int64(b.policy.deadline.count());
  p.pack_uint32(b.policy.max_attempts);
  p.pack_int64(b.policy.first_delay.count());
  p.pack_double(b.policy.factor);
  p.pack_int64(b.policy.max_delay.count());
  p.pack_uint8(static_cast<std::uint8_t>((b.policy.exhausted == when_exhausted::pause ? 1 : 0) |
                                         (b.policy.undo == undo_when::completed ? 2 : 0) | (b.in_child ? 4 : 0) |
                                         (b.may_still_run ? 8 : 0)));
  p.pack_uint64(b.incarnation);
  if (b.epoch != 0) p.pack_uint64(b.epoch);
}

failure get_error(const msgpack::object& o) {
  failure f;
  f.code = get_text(element(o, 0));
  f.message = get_text(element(o, 1));
  f.permanent = get_bool(element(o, 2));
  if (!element(o, 3).is_nil()) f.retry_in = get_ms(element(o, 3));
  return f;
}

run_uid get_uid(const msgpack::object& o) {
  return {.reign = {get_uint(element(o, 0)), get_uint(element(o, 1))}, .serial = get_uint(element(o, 2))};
}

child_facts get_child(const msgpack::object& o) {
  child_facts c;
  c.workflow_id = get_text(element(o, 0));
  c.version = get_u32(element(o, 1));
  c.digest = get_uint(element(o, 2));
  c.code = get_bool(element(o, 3));
  c.policy = static_cast<child_policy>(get_uint(element(o, 4), static_cast<std::uint64_t>(child_policy::abandon)));
  c.detached = get_bool(element(o, 5));
  c.deadline = get_ms(element(o, 6));
  return c;
}

std::vector<kept_part> get_kept(const msgpack::object& o) {
  std::vector<kept_part> out;
  const auto n = size_of(o);
  if (n > most_kept_parts) throw malformed{"a run has events of more runs than can be"};
  for (std::uint32_t k = 0; k < n; ++k)
    out.push_back({.uid = get_uid(element(element(o, k), 0)),
                   .seq = get_uint(element(element(o, k), 1)),
                   .workflow_id = get_text(element(element(o, k), 2)),
                   .run = get_u32(element(element(o, k), 3))});
  return out;
}

start_facts get_start(const msgpack::object& o) {
  start_facts s;
  s.workflow_id = get_text(element(o, 0));
  s.type = get_text(element(o, 1));
  s.version = get_u32(element(o, 2));
  s.digest = get_uint(element(o, 3));
  s.run = get_u32(element(o, 4));
  s.uid.reign.high = get_uint(element(o, 5));
  s.uid.reign.low = get_uint(element(o, 6));
  s.uid.serial = get_uint(element(o, 7));
  if (!element(o, 8).is_nil()) s.start_at = get_time(element(o, 8));
  s.deadline = get_ms(element(o, 9));
  if (size_of(o) > 10) s.code = get_bool(element(o, 10));
  if (size_of(o) > 11 && !element(o, 11).is_nil()) {
    const auto& back = element(o, 11);
    s.parent = return_address{.workflow_id = get_text(element(back, 0)),
                              .uid = get_uid(element(back, 1)),
                              .number = get_u32(element(back, 2))};
  }
  if (size_of(o) > 12) {
    const auto& from = element(o, 12);
    // A kind of a later version is kept out: what it means for the run is not known.
    s.origin = run_origin{
        .kind = static_cast<origin_kind>(get_uint(element(from, 0), static_cast<std::uint64_t>(last_origin_kind))),
        .uid = get_uid(element(from, 1)),
        .seq = get_uint(element(from, 2))};
    if (s.origin->kind != origin_kind::continued) {
      s.origin->workflow_id = get_text(element(from, 3));
      s.origin->run = get_u32(element(from, 4));
      s.origin->earlier = get_kept(element(from, 5));
      s.origin->longer = get_ms(element(from, 6));
    }
  }
  return s;
}

// The packer writes a double without a fraction as an integer: 2.0 comes back as 2.
double get_factor(const msgpack::object& o) {
  const bool real = o.type == msgpack::type::FLOAT64 || o.type == msgpack::type::FLOAT32;
  const double v = real ? o.via.f64 : static_cast<double>(get_uint(o));
  if (!(v >= 0.0 && v <= largest_factor)) throw malformed{"a factor is out of range"};
  return v;
}

attempt_facts get_begun(const msgpack::object& o) {
  attempt_facts b;
  b.policy.timeout = get_ms(element(o, 0));
  b.policy.heartbeat = get_ms(element(o, 1));
  b.policy.deadline = get_ms(element(o, 2));
  b.policy.max_attempts = get_u32(element(o, 3));
  b.policy.first_delay = get_ms(element(o, 4));
  b.policy.factor = get_factor(element(o, 5));
  b.policy.max_delay = get_ms(element(o, 6));
  const auto flags = get_uint(element(o, 7), 255);
  b.policy.exhausted = (flags & 1U) != 0 ? when_exhausted::pause : when_exhausted::compensate;
  b.policy.undo = (flags & 2U) != 0 ? undo_when::completed : undo_when::may_have_run;
  b.in_child = (flags & 4U) != 0;
  b.may_still_run = (flags & 8U) != 0;
  b.incarnation = get_uint(element(o, 8));
  if (o.via.array.size > 9) b.epoch = get_uint(element(o, 9));
  return b;
}

void get_member(std::uint64_t k, const msgpack::object& o, event& e) {
  switch (k) {
    case k_step:
      e.step = get_u32(o);
      break;
    case k_undo:
      e.undo = get_bool(o);
      break;
    case k_command:
      e.command_id = get_text(o);
      break;
    case k_payload:
      e.payload = get_text(o);
      break;
    case k_error:
      e.error = get_error(o);
      break;
    case k_cause:
      e.cause = get_text(o);
      break;
    case k_due:
      e.due = get_time(o);
      break;
    case k_start:
      e.start = get_start(o);
      break;
    case k_begun:
      e.begun = get_begun(o);
      break;
    case k_order:
      if (o.type != msgpack::type::ARRAY) throw malformed{"an array was expected"};
      for (std::uint32_t n = 0; n < o.via.array.size; ++n) e.order.push_back(get_u32(o.via.array.ptr[n]));
      break;
    case k_number:
      e.number = get_u32(o);
      break;
    case k_child:
      e.child = get_child(o);
      break;
    case k_target:
      e.target = get_text(o);
      break;
    case k_answers:
      e.answers = get_uint(o);
      break;
    default:
      break;
  }
}

}  // namespace

void encode_body(const event& e, std::string& out) {
  const bool has_step = e.step != no_step;
  const std::uint32_t n = (has_step ? 1U : 0U) + (e.undo ? 1U : 0U) + (e.command_id.empty() ? 0U : 1U) +
                          (e.payload.empty() ? 0U : 1U) + (e.error ? 1U : 0U) + (e.cause.empty() ? 0U : 1U) +
                          (e.due ? 1U : 0U) + (e.start ? 1U : 0U) + (e.begun ? 1U : 0U) + (e.order.empty() ? 0U : 1U) +
                          (e.number != 0 ? 1U : 0U) + (e.child ? 1U : 0U) + (e.target.empty() ? 0U : 1U) +
                          (e.answers != 0 ? 1U : 0U);
  if (n == 0) return;
  sink s{out};
  packer p{s};
  p.pack_map(n);
  if (has_step) p.pack_uint8(k_step), p.pack_uint32(e.step);
  if (e.undo) p.pack_uint8(k_undo), p.pack_true();
  if (!e.command_id.empty()) p.pack_uint8(k_command), put_text(p, e.command_id);
  if (!e.payload.empty()) p.pack_uint8(k_payload), put_bin(p, e.payload);
  if (e.error) p.pack_uint8(k_error), put_error(p, *e.error);
  if (!e.cause.empty()) p.pack_uint8(k_cause), put_text(p, e.cause);
  if (e.due) p.pack_uint8(k_due), p.pack_int64(to_micros(*e.due));
  if (e.start) p.pack_uint8(k_start), put_start(p, *e.start);
  if (e.begun) p.pack_uint8(k_begun), put_begun(p, *e.begun);
  if (!e.order.empty()) {
    p.pack_uint8(k_order);
    p.pack_array(static_cast<std::uint32_t>(e.order.size()));
    for (const auto k : e.order) p.pack_uint32(k);
  }
  if (e.number != 0) p.pack_uint8(k_number), p.pack_uint32(e.number);
  if (e.child) p.pack_uint8(k_child), put_child(p, *e.child);
  if (!e.target.empty()) p.pack_uint8(k_target), put_text(p, e.target);
  if (e.answers != 0) p.pack_uint8(k_answers), p.pack_uint64(e.answers);
}

std::string decode_body(std::string_view body, event& e) {
  if (body.empty()) return {};
  try {
    // To make one costs as much as to read a small body.
    thread_local msgpack::zone zone;
    zone.clear();
    const auto o = unpack_into(zone, body, "the event's body", longest_array_of_ours);
    if (o.type != msgpack::type::MAP) return "an event's body is a map";
    for (std::uint32_t n = 0; n < o.via.map.size; ++n) {
      const auto& entry = o.via.map.ptr[n];
      get_member(get_uint(entry.key), entry.val, e);
    }
    return {};
  } catch (const malformed& m) {
    return m.what;
  } catch (const std::exception& x) {
    return x.what();
  }
}

}  // namespace pawl::engine
