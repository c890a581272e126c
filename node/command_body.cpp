#include "node/command_body.hpp"

#include "config/nearest_name.hpp"
#include "node/present.hpp"
#include "node/random_id.hpp"

#include <pawl/pawl.hpp>

namespace pawl::node {

enum class closed_id_choice { reject, allow_if_failed, allow };
PAWL_ENUM(closed_id_choice, reject, allow_if_failed, allow)

struct signal_body {
  static constexpr std::string_view pawl_name = "a signal";
  std::string name;
  any_value input;
  PAWL_FIELDS(name, (input, any_value{}))
};

struct update_body {
  static constexpr std::string_view pawl_name = "an update";
  std::string name;
  any_value input;
  PAWL_FIELDS(name, (input, any_value{}))
};

struct query_body {
  static constexpr std::string_view pawl_name = "a query";
  std::string name;
  any_value input;
  PAWL_FIELDS(name, (input, any_value{}))
};

/// The body, apart from its input, whose type follows from the others.
struct start_body {
  static constexpr std::string_view pawl_name = "a start";
  std::string type;
  std::optional<std::string> id;
  std::optional<std::uint32_t> version;
  any_value input;
  std::optional<std::uint64_t> delay_ms;
  std::optional<std::string> start_at;
  std::optional<std::uint64_t> deadline_ms;
  closed_id_choice closed_id = closed_id_choice::reject;
  std::optional<signal_body> signal;
  PAWL_FIELDS(type, id, version, (input, any_value{}), delay_ms, start_at, deadline_ms,
              (closed_id, closed_id_choice::reject), signal)
};

struct mark_body {
  static constexpr std::string_view pawl_name = "a mark";
  std::optional<std::uint32_t> version;
  bool clear = false;
  bool force = false;
  PAWL_FIELDS(version, (clear, false), (force, false))
};

struct reason_body {
  static constexpr std::string_view pawl_name = "this command";
  std::string reason;
  PAWL_FIELDS((reason, ""))
};

struct reset_body {
  static constexpr std::string_view pawl_name = "a reset";
  std::uint64_t to = 0;
  std::optional<std::uint32_t> run;
  std::optional<std::uint32_t> version;
  bool signals = true;
  std::string reason;
  PAWL_FIELDS(to, run, version, (signals, true), (reason, ""))
};

struct fork_body {
  static constexpr std::string_view pawl_name = "a fork";
  std::string id;
  std::uint64_t to = 0;
  std::optional<std::uint32_t> run;
  std::optional<std::uint32_t> version;
  bool signals = true;
  PAWL_FIELDS(id, to, run, version, (signals, true))
};

struct skip_body {
  static constexpr std::string_view pawl_name = "skip";
  std::string step;
  any_value result;
  bool undo = false;
  PAWL_FIELDS(step, (result, any_value{}), (undo, false))
};

namespace {

/// Bytes of the UTF-8 character that begins with `first`, its lowest code point, and the first byte's share of it.
struct utf8_form {
  std::size_t size;
  std::uint32_t lowest;
  std::uint32_t bits;
};
utf8_form utf8_form_of(unsigned char first) {
  if (first < 0x80) return {1, 0, first};
  if ((first & 0xe0U) == 0xc0) return {2, 0x80, first & 0x1fU};
  if ((first & 0xf0U) == 0xe0) return {3, 0x800, first & 0x0fU};
  if ((first & 0xf8U) == 0xf0) return {4, 0x10000, first & 0x07U};
  return {0, 0, 0};
}

using definition_ptr = std::shared_ptr<const pawl::detail::workflow_definition>;

problem invalid(std::string detail, std::string mend = {}) {
  return {.status = 422, .code = "invalid", .detail = std::move(detail), .mend = std::move(mend)};
}

problem invalid(const json_error& e) {
  return {.status = 422, .code = "invalid", .detail = e.path + ": " + e.message, .mend = e.mend};
}

std::optional<problem> find_type(const registry& types, const start_body& b, const engine::version_choice& chosen,
                                 definition_ptr& out) {
  out = types.find(b.type, chosen.version);
  if (out) return std::nullopt;
  if (const auto versions = types.versions(b.type); !versions.empty()) {
    std::string known;
    for (const auto v : versions) known += (known.empty() ? "" : ", ") + std::to_string(v);
    const bool marked = chosen.why == engine::version_reason::marked;
    return problem{.status = 404,
                   .code = "no_such_version",
                   .detail = "this node has no version " + std::to_string(chosen.version) + " of workflow type '" +
                             b.type + "'" + (marked ? ", which is marked for new runs" : ""),
                   .mend = "it has " + known + (marked ? "; name one, or mark another with `types use`" : "")};
  }
  const auto known = types.types();
  const auto nearest = config::nearest_name(b.type, known);
  return problem{.status = 404,
                 .code = "no_such_type",
                 .detail = "this node has no workflow type '" + b.type.substr(0, 160) + "'",
                 .mend = nearest ? "did you mean '" + *nearest + "'?" : "GET /v1/types lists them"};
}

std::optional<problem> read_times(const start_body& b, engine::start_facts& facts) {
  if (b.delay_ms && b.start_at) return invalid("delay_ms and start_at are both there", "give one of them");
  const auto now = std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
  if (b.delay_ms) {
    if (*b.delay_ms > static_cast<std::uint64_t>(engine::longest_duration.count()))
      return invalid("delay_ms is more than 2,000 years");
    if (*b.delay_ms > 0) facts.start_at = now + engine::milliseconds(static_cast<std::int64_t>(*b.delay_ms));
  }
  if (b.start_at) {
    facts.start_at = time_from_text(*b.start_at);
    if (!facts.start_at)
      return invalid("start_at is '" + b.start_at->substr(0, 80) + "'",
                     "give a time as in 2026-03-05T10:00:00Z or 2026-03-05T10:00:00.250+01:00");
  }
  if (b.deadline_ms) {
    if (*b.deadline_ms > static_cast<std::uint64_t>(engine::longest_duration.count()))
      return invalid("deadline_ms is more than 2,000 years");
    facts.deadline = engine::milliseconds(static_cast<std::int64_t>(*b.deadline_ms));
  }
  return std::nullopt;
}

/// A signal, an update or a query.
template <class Body>
std::optional<problem> take_named(Body b, const engine::limits& limits, std::string& name, std::string& input) {
  constexpr auto what = Body::pawl_name.substr(Body::pawl_name.find(' ') + 1);
  if (b.name.empty() || b.name.size() > max_name_length || !is_utf8_text(b.name))
    return invalid("the name of " + std::string(Body::pawl_name) + " has 1 to 128 bytes of printable text");
  name = std::move(b.name);
  input = encode(b.input);
  if (input.size() > limits.payload)
    return problem{.status = 413,
                   .code = "too_large",
                   .detail = "the " + std::string(what) + " has " + std::to_string(input.size()) +
                             " bytes as msgpack, limits.payload is " + std::to_string(limits.payload),
                   .mend = "put what is large elsewhere and give its address",
                   .setting = "limits.payload"};
  return std::nullopt;
}

template <class Body>
std::optional<problem> read_named(const json& body, const engine::limits& limits, std::string& name,
                                  std::string& input) {
  const auto encoded = encode_json(body, &descriptor_of<Body>(), "body");
  if (!encoded) return invalid(encoded.error());
  return take_named(decode<Body>(encoded.value()), limits, name, input);
}

engine::closed_id_policy policy_of(closed_id_choice c) {
  if (c == closed_id_choice::allow) return engine::closed_id_policy::allow;
  return c == closed_id_choice::reject ? engine::closed_id_policy::reject : engine::closed_id_policy::allow_if_failed;
}

}  // namespace

problem too_long(std::string_view what, std::size_t size, std::size_t limit) {
  return {.status = 413,
          .code = "too_large",
          .detail = "the " + std::string(what) + " has " + std::to_string(size) + " bytes, limits.id_length is " +
                    std::to_string(limit),
          .mend = "use a shorter one",
          .setting = "limits.id_length"};
}

bool is_utf8_text(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto form = utf8_form_of(static_cast<unsigned char>(text[i]));
    if (form.size == 0 || form.size > text.size() - i) return false;
    auto point = form.bits;
    for (std::size_t k = 1; k < form.size; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xc0U) != 0x80) return false;
      point = point << 6 | (next & 0x3fU);
    }
    const bool control = point < 0x20 || point == 0x7f;
    if (control || point < form.lowest || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return false;
    i += form.size;
  }
  return true;
}

std::optional<problem> check_workflow_id(const std::string& id, std::size_t limit) {
  if (id.empty()) return invalid("a workflow id is at least one character long", "leave it out, and one is made");
  if (id.size() > limit) return too_long("workflow id", id.size(), limit);
  if (!is_utf8_text(id)) return invalid("the workflow id has control characters in it", "use printable text");
  return std::nullopt;
}

namespace {

engine::version_choice version_of(const start_body& b, const std::string& workflow_id, const registry& types,
                                  const version_chooser& choose) {
  if (b.version) return {.version = *b.version};
  if (choose) return choose(workflow_id, b.type);
  const auto latest = types.latest(b.type);
  return engine::choose_version(0, 0, latest ? latest->options.version : 0);
}

}  // namespace

std::optional<problem> read_start(json body, const registry& types, const engine::limits& limits, start_request& out,
                                  const version_chooser& choose) {
  if (!body.is_object()) return invalid("the body is not a JSON object");
  json input = nullptr;
  bool has_input = false;
  if (const auto it = body.find("input"); it != body.end()) {
    has_input = true;
    input = std::move(*it);
    *it = nullptr;
  }
  const auto encoded = encode_json(body, &descriptor_of<start_body>(), "body");
  if (!encoded) return invalid(encoded.error().path + ": " + encoded.error().message, encoded.error().mend);
  const auto b = decode<start_body>(encoded.value());
  out.workflow_id = b.id ? *b.id : "w-" + random_id();
  const auto chosen = version_of(b, out.workflow_id, types, choose);
  auto& facts = out.command.facts;
  facts.workflow_id = out.workflow_id;
  facts.type = b.type;
  facts.version = chosen.version;
  definition_ptr definition;
  if (auto wrong = find_type(types, b, chosen, definition)) return wrong;
  if (auto wrong = check_workflow_id(out.workflow_id, limits.id_length)) return wrong;
  out.closed_id = policy_of(b.closed_id);
  facts.digest = definition->digest;
  facts.code = definition->as_code() != nullptr;
  if (auto wrong = read_times(b, facts)) return wrong;
  if (facts.deadline.count() == 0 && definition->options.deadline) facts.deadline = *definition->options.deadline;
  if (b.signal) {
    if (!facts.code)
      return invalid("workflow type '" + facts.type + "' is a graph of steps, which takes no signals", "leave it out");
    auto& signal = out.command.signal.emplace();
    if (auto wrong = take_named(*b.signal, limits, signal.name, signal.payload)) return wrong;
  }
  auto payload = encode_json(input, definition->input, "input");
  if (!payload) {
    auto mend = payload.error().mend;
    if (!has_input) mend = "give the input of '" + facts.type + "'" + (mend.empty() ? "" : "; " + mend);
    return invalid(payload.error().path + ": " + payload.error().message, mend);
  }
  out.command.input = std::move(payload).value();
  if (out.command.input.size() > limits.payload)
    return problem{.status = 413,
                   .code = "too_large",
                   .detail = "the input has " + std::to_string(out.command.input.size()) +
                             " bytes as msgpack, limits.payload is " + std::to_string(limits.payload),
                   .mend = "put what is large elsewhere and give its address",
                   .workflow_id = facts.workflow_id,
                   .setting = "limits.payload"};
  return std::nullopt;
}

std::optional<problem> read_signal(json body, const engine::limits& limits, engine::signal_command& out) {
  return read_named<signal_body>(body, limits, out.name, out.payload);
}

std::optional<problem> read_update(json body, const engine::limits& limits, engine::update_command& out) {
  return read_named<update_body>(body, limits, out.name, out.payload);
}

std::optional<problem> read_query(json body, const engine::limits& limits, std::string& name, std::string& input) {
  return read_named<query_body>(body, limits, name, input);
}

std::optional<problem> read_use(const json& body, use_body& out) {
  const auto encoded = encode_json(body, &descriptor_of<mark_body>(), "body");
  if (!encoded) return invalid(encoded.error());
  const auto b = decode<mark_body>(encoded.value());
  if (b.version.has_value() == b.clear)
    return invalid(b.clear ? "version and clear are both there" : "neither version nor clear is there",
                   R"(give {"version": 2}, or {"clear": true} to take the mark away)");
  if (b.version == 0U) return invalid("a version is at least 1", R"(give {"clear": true} to take the mark away)");
  out = {.version = b.version, .force = b.force};
  return std::nullopt;
}

std::optional<problem> read_reason(const json& body, std::string& reason) {
  const auto encoded = encode_json(body, &descriptor_of<reason_body>(), "body");
  if (!encoded) return invalid(encoded.error());
  reason = decode<reason_body>(encoded.value()).reason;
  return std::nullopt;
}

std::optional<problem> read_resume(const json& body) {
  if (body.is_object() && body.empty()) return std::nullopt;
  return invalid("body: resume takes no fields", "send no body");
}

std::optional<problem> read_reset(const json& body, engine::reset_command& out) {
  const auto encoded = encode_json(body, &descriptor_of<reset_body>(), "body");
  if (!encoded) return invalid(encoded.error());
  auto b = decode<reset_body>(encoded.value());
  if (b.to == 0) return invalid("body.to: events are numbered from 1", "`history` shows them");
  out = {.seq = b.to,
         .run = b.run.value_or(0),
         .version = b.version.value_or(0),
         .signals = b.signals,
         .reason = std::move(b.reason)};
  return std::nullopt;
}

std::optional<problem> read_fork(const json& body, const engine::limits& limits, fork_request& out) {
  const auto encoded = encode_json(body, &descriptor_of<fork_body>(), "body");
  if (!encoded) return invalid(encoded.error());
  auto b = decode<fork_body>(encoded.value());
  if (b.to == 0) return invalid("body.to: events are numbered from 1", "`history` shows them");
  if (auto wrong = check_workflow_id(b.id, limits.id_length)) return wrong;
  out = {.workflow_id = std::move(b.id),
         .seq = b.to,
         .run = b.run.value_or(0),
         .version = b.version.value_or(0),
         .signals = b.signals};
  return std::nullopt;
}

std::optional<problem> read_skip(json body, skip_request& out) {
  if (body.is_object())
    if (const auto it = body.find("result"); it != body.end()) out.result = std::exchange(*it, nullptr);
  const auto encoded = encode_json(body, &descriptor_of<skip_body>(), "body");
  if (!encoded) return invalid(encoded.error());
  auto b = decode<skip_body>(encoded.value());
  out.step = std::move(b.step);
  out.undo = b.undo;
  return std::nullopt;
}

std::optional<problem> read_skip_result(const skip_request& r, const pawl::detail::workflow_definition* definition,
                                        engine::skip_command& out) {
  out.step = r.step;
  out.undo = r.undo;
  const pawl::detail::step_definition* step = nullptr;
  const auto* graph = definition != nullptr ? definition->as_graph() : nullptr;
  // The type of a step of code shows only where the code runs.
  if (definition != nullptr && graph == nullptr) {
    auto encoded = encode_json(r.result, nullptr, "result");
    if (!encoded) return invalid(encoded.error());
    out.result = std::move(encoded).value();
  }
  if (graph != nullptr)
    for (const auto& s : graph->steps)
      if (s.name == r.step) step = &s;
  if (step == nullptr) return std::nullopt;
  const auto& nothing = descriptor_of<std::monostate>();
  const auto* type = r.undo || step->result == nullptr ? &nothing : step->result;
  auto encoded = encode_json(r.result, type, "result");
  if (!encoded) return invalid(encoded.error());
  out.result = std::move(encoded).value();
  return std::nullopt;
}

}  // namespace pawl::node
