#include "broker/command_codec.hpp"

#include <new>
#include <stdexcept>
#include <utility>

#include <pawl/registry.hpp>

#include "workflow/event_codec.hpp"
#include "workflow/packed.hpp"

namespace pawl::broker {

namespace {

using namespace engine::packed;

enum class kind : std::uint8_t {
  start = 1,
  cancel,
  kill,
  pause,
  resume,
  skip,
  attempt_result,
  held_attempts,
  resync,
  signal,
  call_ended,
  update = 13,
  reset = 14,
  use_version = 15,
  branch = 16,  // a start that brings events along
};
constexpr auto last_kind = static_cast<std::uint64_t>(kind::branch);
constexpr bool is_used(std::uint64_t k) { return k > 0 && k <= last_kind && k != 12; }
/// More than anybody will mark; what SQLite and every reader count with goes further.
constexpr std::uint64_t most_revisions = std::uint64_t{1} << 62;
/// More events than a history may have.
constexpr std::size_t most_kept_events = 10'000'000;

/// What the address in a command is for. The numbers are sent.
enum class address_use : std::uint8_t {
  answer = 0,      ///< who is told what was decided
  parent = 1,      ///< the same, and who is told how the run ends that it starts
  child_of = 2,    ///< only for the run that this call has started
};

// ---- writing

void put_uid(packer& p, const engine::run_uid& uid) {
  p.pack_array(3);
  p.pack_uint64(uid.reign.high);
  p.pack_uint64(uid.reign.low);
  p.pack_uint64(uid.serial);
}

void put_address(packer& p, const engine::return_address& a, address_use use) {
  p.pack_array(4);
  put_text(p, a.workflow_id);
  put_uid(p, a.uid);
  p.pack_uint32(a.number);
  p.pack_uint8(static_cast<std::uint8_t>(use));
}

void put_head(packer& p, kind k, std::string_view id, const std::optional<engine::run_uid>& target,
              std::uint32_t arguments, std::uint32_t format = 1, bool addressed = false) {
  p.pack_array(addressed ? 6 : 5);
  p.pack_uint32(format);
  p.pack_uint8(static_cast<std::uint8_t>(k));
  put_text(p, id);
  if (target)
    put_uid(p, *target);
  else
    p.pack_nil();
  p.pack_array(arguments);
}

bool is_addressed(const engine::command& c) { return c.back || c.only_child_of; }

// Behind the arguments.
void put_address_of(packer& p, const engine::command& c) {
  const auto* start = std::get_if<engine::start_command>(&c.body);
  if (c.only_child_of)
    put_address(p, *c.only_child_of, address_use::child_of);
  else if (c.back)
    put_address(p, *c.back, start != nullptr && start->facts.parent ? address_use::parent : address_use::answer);
}

void put_start(packer& p, const engine::start_command& c, engine::closed_id_policy closed_id) {
  put_text(p, c.facts.type);
  p.pack_uint32(c.facts.version);
  put_bin(p, c.input);
  if (c.facts.start_at)
    p.pack_int64(engine::to_micros(*c.facts.start_at));
  else
    p.pack_nil();
  p.pack_int64(c.facts.deadline.count());
  p.pack_uint8(static_cast<std::uint8_t>(closed_id));
  if (c.facts.digest == 0 && !c.signal) return;
  p.pack_uint64(c.facts.digest);
  p.pack(c.facts.code);
  if (!c.signal) return;
  put_text(p, c.signal->name);
  put_bin(p, c.signal->payload);
}

void put_failure(packer& p, const std::optional<engine::failure>& f) {
  if (!f) {
    p.pack_nil();
    return;
  }
  p.pack_array(4);
  put_text(p, f->code);
  put_text(p, f->message);
  p.pack(f->permanent);
  if (f->retry_in)
    p.pack_int64(f->retry_in->count());
  else
    p.pack_nil();
}

struct asked_writer {
  packer& p;
  const asked_command& of;
  void head(kind k, std::uint32_t arguments, std::uint32_t format = 1) const {
    const bool addressed = is_addressed(of.command);
    put_head(p, k, of.command.id, of.target, arguments, addressed ? addressed_format : format, addressed);
  }
  void reason(kind k, const std::string& why) const {
    head(k, 1);
    put_text(p, why);
  }

  void operator()(const engine::start_command& c) const {
    if (!c.kept.empty()) return branch(c);
    const bool checked = c.facts.digest != 0;
    head(kind::start, c.signal ? 10 : checked ? 8 : 6, checked ? checked_start_format : 1);
    put_start(p, c, of.closed_id);
  }
  // Its facts are in the first of the events.
  void branch(const engine::start_command& c) const {
    head(kind::branch, 2, addressed_format);
    p.pack_uint8(static_cast<std::uint8_t>(of.closed_id));
    p.pack_array(static_cast<std::uint32_t>(c.kept.size()));
    std::string body;
    for (const auto& e : c.kept) {
      p.pack_array(5);
      p.pack_uint8(static_cast<std::uint8_t>(e.kind));
      p.pack_int64(engine::to_micros(e.at));
      p.pack_uint32(e.attempt);
      put_text(p, e.name);
      body.clear();
      encode_body(e, body);
      put_bin(p, body);
    }
  }
  void operator()(const engine::reset_command& c) const {
    head(kind::reset, 5, addressed_format);
    p.pack_uint64(c.seq);
    p.pack_uint32(c.run);
    p.pack_uint32(c.version);
    p.pack(c.signals);
    put_text(p, c.reason);
  }
  void operator()(const engine::cancel_command& c) const { reason(kind::cancel, c.reason); }
  void operator()(const engine::kill_command& c) const { reason(kind::kill, c.reason); }
  void operator()(const engine::pause_command& c) const { reason(kind::pause, c.reason); }
  void operator()(const engine::resume_command&) const { head(kind::resume, 0); }
  void operator()(const engine::skip_command& c) const {
    head(kind::skip, 3);
    put_text(p, c.step);
    put_bin(p, c.result);
    p.pack(c.undo);
  }
  void operator()(const engine::signal_command& c) const {
    head(kind::signal, 2);
    put_text(p, c.name);
    put_bin(p, c.payload);
  }
  void operator()(const engine::call_ended& c) const {
    put_head(p, kind::call_ended, of.command.id, c.run, 4, addressed_format);
    p.pack_uint32(c.number);
    p.pack_uint8(static_cast<std::uint8_t>(c.end));
    put_bin(p, c.payload);
    put_failure(p, c.error);
  }
  void operator()(const engine::update_command& c) const {
    head(kind::update, 2);
    put_text(p, c.name);
    put_bin(p, c.payload);
  }
  // What a node says to itself is no command to another; attempts have a kind of their own.
  template <class Other>
  void operator()(const Other&) const {
    throw std::invalid_argument("not a command that is sent");
  }
};

struct writer {
  packer& p;

  void operator()(const asked_command& c) const {
    std::visit(asked_writer{p, c}, c.command.body);
    put_address_of(p, c.command);
  }
  void operator()(const attempt_result& r) const {
    put_head(p, kind::attempt_result, {}, r.run, r.details ? 9 : 8);
    p.pack_int64(r.key);
    p.pack_uint64(r.incarnation);
    p.pack_uint32(r.end.step);
    p.pack(r.end.undo);
    p.pack_uint32(r.end.attempt);
    p.pack_uint8(static_cast<std::uint8_t>(r.end.end));
    put_bin(p, r.end.result);
    put_failure(p, r.end.error);
    if (r.details) put_bin(p, *r.details);
  }
  void operator()(const held_attempts& h) const {
    put_head(p, kind::held_attempts, {}, {}, 3);
    p.pack_uint64(h.epoch);
    p.pack_uint64(h.incarnation);
    p.pack_array(static_cast<std::uint32_t>(h.list.size()));
    for (const auto& a : h.list) {
      p.pack_array(5);
      put_uid(p, a.run);
      p.pack_int64(a.key);
      p.pack_uint32(a.step);
      p.pack(a.undo);
      p.pack_uint32(a.attempt);
    }
  }
  void operator()(const resync_command& r) const {
    put_head(p, kind::resync, {}, {}, 1);
    p.pack_int32(r.from);
  }
  void operator()(const use_version_command& c) const {
    put_head(p, kind::use_version, c.mark.by, {}, 4, addressed_format);
    put_text(p, c.mark.type);
    p.pack_uint32(c.mark.version);
    p.pack_uint64(c.mark.revision);
    p.pack_int64(c.mark.at);
  }
};

// ---- reading

engine::run_uid get_uid(const msgpack::object& o) {
  return {.reign = {get_uint(element(o, 0)), get_uint(element(o, 1))}, .serial = get_uint(element(o, 2))};
}

std::string get_value(const msgpack::object& o, const char* what) {
  auto bytes = get_text(o);
  if (bytes.empty()) return bytes;
  std::size_t end = 0;
  msgpack::null_visitor nobody;
  if (!msgpack::parse(bytes.data(), bytes.size(), end, nobody) || end != bytes.size())
    throw malformed{std::string(what) + " is not one msgpack value"};
  return bytes;
}

engine::start_command get_start(const msgpack::object& o, std::uint32_t format, engine::closed_id_policy& closed_id) {
  engine::start_command c;
  c.facts.type = get_text(element(o, 0));
  c.facts.version = get_u32(element(o, 1));
  c.input = get_value(element(o, 2), "the input");
  if (!element(o, 3).is_nil()) c.facts.start_at = get_time(element(o, 3));
  c.facts.deadline = get_ms(element(o, 4));
  closed_id = static_cast<engine::closed_id_policy>(
      get_uint(element(o, 5), static_cast<std::uint64_t>(engine::closed_id_policy::allow)));
  if (format >= checked_start_format) {
    c.facts.digest = get_uint(element(o, 6));
    c.facts.code = get_bool(element(o, 7));
  }
  if (size_of(o) > 9)
    c.signal =
        engine::signal_command{.name = get_text(element(o, 8)), .payload = get_value(element(o, 9), "the signal")};
  return c;
}

std::optional<engine::failure> get_failure(const msgpack::object& o) {
  if (o.is_nil()) return std::nullopt;
  engine::failure f;
  f.code = get_text(element(o, 0));
  f.message = get_text(element(o, 1));
  f.permanent = get_bool(element(o, 2));
  if (!element(o, 3).is_nil()) f.retry_in = get_ms(element(o, 3));
  return f;
}

attempt_result get_attempt(const msgpack::object& target, const msgpack::object& o) {
  attempt_result r;
  r.run = get_uid(target);
  r.key = get_int(element(o, 0));
  r.incarnation = get_uint(element(o, 1));
  r.end.step = get_u32(element(o, 2));
  r.end.undo = get_bool(element(o, 3));
  r.end.attempt = get_u32(element(o, 4));
  r.end.end = static_cast<engine::attempt_end>(
      get_uint(element(o, 5), static_cast<std::uint64_t>(engine::attempt_end::not_begun)));
  r.end.result = get_text(element(o, 6));
  r.end.error = get_failure(element(o, 7));
  if (size_of(o) > 8) r.details = get_text(element(o, 8));
  return r;
}

held_attempts get_held(const msgpack::object& o) {
  held_attempts h;
  h.epoch = get_uint(element(o, 0));
  h.incarnation = get_uint(element(o, 1));
  const auto& list = element(o, 2);
  const auto n = size_of(list);
  if (n > most_held_attempts) throw malformed{"more attempts than a node can hold"};
  h.list.reserve(n);
  for (std::uint32_t k = 0; k < n; ++k) {
    const auto& a = list.via.array.ptr[k];
    h.list.push_back({.run = get_uid(element(a, 0)),
                      .key = get_int(element(a, 1)),
                      .step = get_u32(element(a, 2)),
                      .undo = get_bool(element(a, 3)),
                      .attempt = get_u32(element(a, 4))});
  }
  return h;
}

engine::call_ended get_call_ended(const msgpack::object& run, const msgpack::object& o) {
  engine::call_ended c;
  c.run = get_uid(run);
  c.number = get_u32(element(o, 0));
  c.end =
      static_cast<engine::call_end>(get_uint(element(o, 1), static_cast<std::uint64_t>(engine::call_end::accepted)));
  c.payload = get_value(element(o, 2), "the result");
  c.error = get_failure(element(o, 3));
  return c;
}

void get_address(const msgpack::object& o, engine::command& c) {
  const engine::return_address a{
      .workflow_id = get_text(element(o, 0)), .uid = get_uid(element(o, 1)), .number = get_u32(element(o, 2))};
  switch (static_cast<address_use>(get_uint(element(o, 3), static_cast<std::uint64_t>(address_use::child_of)))) {
    case address_use::child_of:
      c.only_child_of = a;
      return;
    case address_use::parent:
      if (auto* start = std::get_if<engine::start_command>(&c.body)) start->facts.parent = a;
      [[fallthrough]];
    case address_use::answer:
      c.back = a;
  }
}

engine::start_command get_branch(const msgpack::object& o, engine::closed_id_policy& closed_id) {
  closed_id = static_cast<engine::closed_id_policy>(
      get_uint(element(o, 0), static_cast<std::uint64_t>(engine::closed_id_policy::allow)));
  const auto& list = element(o, 1);
  const auto n = size_of(list);
  if (n == 0 || n > most_kept_events) throw malformed{"a start brings one event along, or more"};
  engine::start_command c;
  for (std::uint32_t k = 0; k < n; ++k) {
    const auto& row = element(list, k);
    engine::event e;
    e.kind = static_cast<engine::event_kind>(get_uint(element(row, 0), engine::last_event_kind));
    e.seq = k + 1;
    e.at = get_time(element(row, 1));
    e.attempt = get_u32(element(row, 2));
    e.name = get_text(element(row, 3));
    if (auto wrong = decode_body(get_text(element(row, 4)), e); !wrong.empty())
      throw malformed{"event " + std::to_string(e.seq) + ": " + wrong};
    c.kept.push_back(std::move(e));
  }
  const auto& first = c.kept.front();
  if (first.kind != engine::event_kind::run_started || !first.start)
    throw malformed{"the events of a start do not begin with a start"};
  c.facts = *first.start;
  c.input = first.payload;
  return c;
}

engine::reset_command get_reset(const msgpack::object& o) {
  return {.seq = get_uint(element(o, 0)),
          .run = get_u32(element(o, 1)),
          .version = get_u32(element(o, 2)),
          .signals = get_bool(element(o, 3)),
          .reason = get_text(element(o, 4))};
}

asked_command get_asked(kind k, const msgpack::object& whole) {
  asked_command c;
  c.command.id = get_text(element(whole, 2));
  const auto& o = element(whole, 4);
  switch (k) {
    case kind::start:
      c.command.body = get_start(o, get_u32(element(whole, 0)), c.closed_id);
      break;
    case kind::branch:
      c.command.body = get_branch(o, c.closed_id);
      break;
    case kind::reset:
      c.command.body = get_reset(o);
      break;
    case kind::cancel:
      c.command.body = engine::cancel_command{get_text(element(o, 0))};
      break;
    case kind::kill:
      c.command.body = engine::kill_command{get_text(element(o, 0))};
      break;
    case kind::pause:
      c.command.body = engine::pause_command{get_text(element(o, 0))};
      break;
    case kind::resume:
      c.command.body = engine::resume_command{};
      break;
    case kind::signal:
      c.command.body =
          engine::signal_command{.name = get_text(element(o, 0)), .payload = get_value(element(o, 1), "the signal")};
      break;
    case kind::call_ended:
      c.command.body = get_call_ended(element(whole, 3), o);
      return c;
    case kind::update:
      c.command.body =
          engine::update_command{.name = get_text(element(o, 0)), .payload = get_value(element(o, 1), "the update")};
      break;
    default:
      c.command.body = engine::skip_command{.step = get_text(element(o, 0)),
                                            .result = get_value(element(o, 1), "the result"),
                                            .undo = get_bool(element(o, 2))};
  }
  if (!element(whole, 3).is_nil()) c.target = get_uid(element(whole, 3));
  if (size_of(whole) > 5) get_address(element(whole, 5), c.command);
  return c;
}

use_version_command get_use_version(const msgpack::object& whole) {
  const auto& o = element(whole, 4);
  use_version_command c{{.type = get_text(element(o, 0)),
                         .version = get_u32(element(o, 1)),
                         .revision = get_uint(element(o, 2)),
                         .at = get_int(element(o, 3)),
                         .by = get_text(element(whole, 2))}};
  if (c.mark.type.empty() || c.mark.type.size() > max_name_length)
    throw malformed{"the type of a mark has 1 to " + std::to_string(max_name_length) + " bytes"};
  if (c.mark.revision == 0 || c.mark.revision > most_revisions)
    throw malformed{"the revision of a mark is from 1 to " + std::to_string(most_revisions)};
  return c;
}

command_readable get(const msgpack::object& o, node_command& out, std::string& wrong) {
  const auto format = get_u32(element(o, 0));
  const auto number = get_uint(element(o, 1), 255);
  if (format == 0 || number == 0) throw malformed{"format and kind are not 0"};
  if (format > command_format || !is_used(number)) {
    wrong = "a command of format " + std::to_string(format) + " and kind " + std::to_string(number) +
            "; this version reads formats up to " + std::to_string(command_format) + " and kinds up to " +
            std::to_string(last_kind);
    return command_readable::newer;
  }
  const auto k = static_cast<kind>(number);
  const auto& arguments = element(o, 4);
  if (k == kind::attempt_result)
    out = get_attempt(element(o, 3), arguments);
  else if (k == kind::held_attempts)
    out = get_held(arguments);
  else if (k == kind::resync)
    out = resync_command{static_cast<std::int32_t>(get_uint(element(arguments, 0), 0x7fffffff))};
  else if (k == kind::use_version)
    out = get_use_version(o);
  else
    out = get_asked(k, o);
  return command_readable::yes;
}

}  // namespace

std::string encode_command(const node_command& c) {
  std::string out;
  sink to{out};
  packer p{to};
  std::visit(writer{p}, c);
  return out;
}

command_readable decode_command(std::string_view bytes, node_command& out, std::string& wrong) {
  try {
    const auto handle = unpack_whole(bytes, "the command");
    return get(handle.get(), out, wrong);
  } catch (const malformed& m) {
    wrong = m.what;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& x) {
    wrong = x.what();
  }
  return command_readable::malformed;
}

}  // namespace pawl::broker
