#include "node/command_reader.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "config/nearest_name.hpp"
#include "config/setting.hpp"
#include "node/answer.hpp"

namespace pawl::node {
namespace {

using mistake = std::optional<message_mistake>;
using kind = broker::command_verdict::kind;

constexpr std::array verbs{"start", "cancel", "kill", "pause", "resume", "skip", "signal", "update", "reset"};
constexpr std::string_view all_verbs = "it is start, cancel, kill, pause, resume, skip, signal, update or reset";

std::string text_of(const problem& p) { return p.detail + (p.mend.empty() ? "" : "; " + p.mend); }

// A type or version that is not here is invalid too: the causes say what is wrong with the message.
message_mistake mistake_of(const problem& p) {
  return {p.code == "too_large" || p.code == "bad_json" ? p.code : "invalid", text_of(p)};
}

/// "application/json", without parameters and in lower case.
std::string media_type(std::string_view content_type) {
  auto type = content_type.substr(0, content_type.find(';'));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) type.remove_suffix(1);
  while (!type.empty() && (type.front() == ' ' || type.front() == '\t')) type.remove_prefix(1);
  return broker::lower_case(type);
}

mistake check_key(const broker::incoming_command& m, const command_limits& limits) {
  if (!m.key) return message_mistake{"bad_key", "the message has no key; the key is the workflow id"};
  if (m.key->size() > limits.engine.id_length)
    return message_mistake{"bad_key", text_of(too_long("key", m.key->size(), limits.engine.id_length))};
  if (m.key->empty()) return message_mistake{"bad_key", "the key is empty; it is the workflow id"};
  if (!is_utf8_text(*m.key))
    return message_mistake{"bad_key", "the key is not UTF-8 text without control characters; it is the workflow id"};
  return std::nullopt;
}

mistake check_value(const broker::incoming_command& m, const command_limits& limits) {
  if (m.value.size() > limits.value)
    return message_mistake{"too_large", "the value has " + std::to_string(m.value.size()) + " bytes, " +
                                            std::to_string(limits.value) + " are taken with this limits.payload"};
  return std::nullopt;
}

/// What every command may have, taken out of the body: all of them at once, since each erasing would copy the names
/// that follow.
struct common_members {
  std::optional<std::string> command, command_id, id;
};
mistake take_common(json& body, common_members& out) {
  auto& all = body.get_ref<json::object_t&>();
  json::object_t rest;
  rest.reserve(all.size() + 1);  // a start gets its id again
  for (auto& [name, value] : all) {
    auto* const into = name == "command"      ? &out.command
                       : name == "command_id" ? &out.command_id
                       : name == "id"         ? &out.id
                                              : nullptr;
    if (into == nullptr)
      rest.emplace_back(name, std::move(value));
    else if (!value.is_string())
      return message_mistake{"invalid", "body." + name + ": expected a string"};
    else
      *into = std::move(value.get_ref<std::string&>());
  }
  body = std::move(rest);
  return std::nullopt;
}

mistake check_command_id(const std::string& id, std::size_t limit) {
  if (id.size() > limit) return mistake_of(too_long("command id", id.size(), limit));
  if (id.empty() || !is_utf8_text(id))
    return message_mistake{"invalid", "the command id: it is empty or has control characters in it"};
  return std::nullopt;
}

// What was a dead letter, or on another partition, is the command that it was.
mistake take_command_id(const broker::incoming_command& m, std::optional<std::string> id, std::size_t limit,
                        message_command& out) {
  if (!id)
    if (const auto* first = broker::find_header(m.headers, broker::origin_header)) id = *first;
  out.command.id = id.value_or(m.source);
  return id ? check_command_id(*id, limit) : std::nullopt;
}

mistake read_start_of(json body, const registry& types, const command_limits& limits, const version_chooser& choose,
                      message_command& out) {
  body["id"] = out.workflow_id;
  start_request start;
  if (const auto wrong = read_start(std::move(body), types, limits.engine, start, choose)) {
    auto m = mistake_of(*wrong);
    m.of_start = true;
    const auto& facts = start.command.facts;
    if (wrong->code == "no_such_type" || wrong->code == "no_such_version")
      m.type = facts.type, m.version = facts.version;
    return m;
  }
  out.command.body = std::move(start.command);
  out.closed_id = start.closed_id;
  return std::nullopt;
}

mistake read_verb(const std::string& verb, json body, const engine::limits& limits, message_command& out) {
  std::optional<problem> wrong;
  if (verb == "resume") {
    out.command.body = engine::resume_command{};
    wrong = read_resume(body);
  } else if (verb == "skip") {
    wrong = read_skip(std::move(body), out.skip.emplace());
  } else if (verb == "signal") {
    engine::signal_command signal;
    wrong = read_signal(std::move(body), limits, signal);
    out.command.body = std::move(signal);
  } else if (verb == "update") {
    engine::update_command update;
    wrong = read_update(std::move(body), limits, update);
    out.command.body = std::move(update);
  } else if (verb == "reset") {
    engine::reset_command reset;
    wrong = read_reset(body, reset);
    out.command.body = std::move(reset);
  } else {
    std::string reason;
    wrong = read_reason(body, reason);
    if (verb == "cancel")
      out.command.body = engine::cancel_command{std::move(reason)};
    else if (verb == "kill")
      out.command.body = engine::kill_command{std::move(reason)};
    else
      out.command.body = engine::pause_command{std::move(reason)};
  }
  return wrong ? mistake(mistake_of(*wrong)) : std::nullopt;
}

message_mistake no_such_verb(const std::optional<std::string>& verb) {
  if (!verb) return {"invalid", "body.command: missing; " + std::string(all_verbs)};
  const auto nearest = config::nearest_name(*verb, std::vector<std::string>(verbs.begin(), verbs.end()));
  return {"invalid", "body.command: there is no command " + config::in_quotes(*verb) +
                         (nearest ? "; did you mean '" + *nearest + "'?" : "; " + std::string(all_verbs))};
}

}  // namespace

namespace {

mistake read_json(const broker::incoming_command& m, const registry& types, const command_limits& limits,
                  const version_chooser& choose, message_command& out) {
  auto parsed = parse_json(m.value);
  if (!parsed) return message_mistake{"bad_json", parsed.error().text()};
  auto body = std::move(parsed).value();
  if (!body.is_object()) return message_mistake{"invalid", "the value is not a JSON object"};
  common_members common;
  if (auto wrong = take_common(body, common)) return wrong;
  auto& [verb, command_id, id] = common;
  if (!verb || std::find(verbs.begin(), verbs.end(), *verb) == verbs.end()) return no_such_verb(verb);
  if (id && *id != *m.key)
    return message_mistake{"invalid", "body.id: it is " + config::in_quotes(*id) + ", and the key is " +
                                          config::in_quotes(*m.key) + "; they are the same, or there is no id"};
  if (auto wrong = take_command_id(m, std::move(command_id), limits.engine.id_length, out)) return wrong;
  if (*verb == "start") return read_start_of(std::move(body), types, limits, choose, out);
  return read_verb(*verb, std::move(body), limits.engine, out);
}

// Its writer has held the input against the type; whether it is too large is for the one who takes it.
mistake take_asked(const broker::incoming_command& m, broker::asked_command asked, const command_limits& limits,
                   message_command& out) {
  auto id = std::move(asked.command.id);
  if (auto wrong =
          take_command_id(m, id.empty() ? std::nullopt : std::optional(std::move(id)), limits.engine.id_length, out))
    return wrong;
  if (auto* start = std::get_if<engine::start_command>(&asked.command.body)) {
    start->facts.workflow_id = out.workflow_id;
    if (start->input.size() > limits.engine.payload)
      return message_mistake{"too_large", "the input has " + std::to_string(start->input.size()) +
                                              " bytes, limits.payload is " + std::to_string(limits.engine.payload)};
  }
  if (auto* skip = std::get_if<engine::skip_command>(&asked.command.body))
    out.skip = skip_request{
        .step = skip->step, .undo = skip->undo, .result = skip->result.empty() ? json(nullptr) : to_json(skip->result)};
  out.command.body = std::move(asked.command.body);
  out.command.back = std::move(asked.command.back);
  out.command.only_child_of = std::move(asked.command.only_child_of);
  out.closed_id = asked.closed_id;
  out.target = asked.target;
  return std::nullopt;
}

mistake read_msgpack(const broker::incoming_command& m, const command_limits& limits, message_command& out) {
  broker::node_command read;
  std::string wrong;
  switch (broker::decode_command(m.value, read, wrong)) {
    case broker::command_readable::malformed:
      return message_mistake{"bad_msgpack", wrong};
    case broker::command_readable::newer:
      return message_mistake{"newer", wrong};
    case broker::command_readable::yes:
      break;
  }
  if (auto* held = std::get_if<broker::held_attempts>(&read)) {
    out.held = std::move(*held);
    return std::nullopt;
  }
  if (auto* use = std::get_if<broker::use_version_command>(&read)) {
    out.mark = std::move(use->mark);
    return std::nullopt;
  }
  if (auto bad = check_key(m, limits)) return bad;
  out.workflow_id = *m.key;
  if (auto* attempt = std::get_if<broker::attempt_result>(&read)) {
    out.attempt = std::move(*attempt);
    return std::nullopt;
  }
  if (auto* asked = std::get_if<broker::asked_command>(&read)) return take_asked(m, std::move(*asked), limits, out);
  return message_mistake{"invalid", "a resync has no key"};
}

}  // namespace

std::optional<message_mistake> read_message(const broker::incoming_command& m, const registry& types,
                                            const command_limits& limits, message_command& out,
                                            const version_chooser& choose) {
  const auto* header = broker::find_header(m.headers, "content-type");
  const auto type = header != nullptr ? media_type(*header) : std::string(broker::json_type);
  if (type == broker::msgpack_type) return read_msgpack(m, limits, out);
  if (auto wrong = check_key(m, limits)) return wrong;
  if (type != broker::json_type)
    return message_mistake{"bad_content_type", "the header content-type is " + config::in_quotes(*header) +
                                                   "; this version reads application/json and application/msgpack"};
  if (auto wrong = check_value(m, limits)) return wrong;
  out.workflow_id = *m.key;
  return read_json(m, types, limits, choose, out);
}

broker::command_verdict verdict_on(const actors::command_reply& r) {
  using status = actors::command_reply::status;
  switch (r.state) {
    case status::recorded:
      return {.what = kind::dealt_with};
    case status::invalid:
      return {.what = kind::dead, .cause = "invalid", .detail = r.message};
    case status::busy:
      return {.what = kind::full};
    case status::unavailable:
    case status::unknown:
      break;
  }
  return {.what = kind::again};
}

namespace {

/// Whether this very command has started a run. May throw store::view_error.
bool was_applied(actors::node_system& system, const message_command& start) {
  const auto view = system.borrow_view(start.workflow_id);
  const auto row = view->find(start.workflow_id);
  return row && (row->header.start_command == start.command.id ||
                 actors::started_before(*view, start.workflow_id, start.command.id, row->header.run));
}

}  // namespace

broker::command_handler make_command_handler(const registry& types, actors::node_system& system, command_limits limits,
                                             peer_sinks peers, runs_elsewhere_function runs_elsewhere) {
  version_chooser choose = [&system](const std::string& workflow_id, const std::string& type) {
    return system.choose_version(workflow_id, type);
  };
  return [&types, &system, limits, peers = std::move(peers), elsewhere = std::move(runs_elsewhere),
          choose = std::move(choose)](const broker::incoming_command& m, broker::command_done done) {
    const auto dead = [&](const message_mistake& wrong) {
      done({.what = kind::dead, .cause = wrong.cause, .detail = config::printable(wrong.detail, 900)});
    };
    message_command read;
    try {
      if (const auto wrong = read_message(m, types, limits, read, choose)) {
        // Binaries are being replaced: it waits in its key's line until this partition is led by one that has the type.
        if (!wrong->type.empty() && elsewhere && elsewhere(wrong->type, wrong->version))
          return done({.what = kind::again});
        // One that was applied before may not fit the version that new runs get by now.
        if (wrong->of_start && was_applied(system, read)) return done({});
        return dead(*wrong);
      }
    } catch (const std::bad_alloc&) {
      throw;  // tried again
    } catch (const store::view_error&) {
      return done({.what = kind::again});
    } catch (const std::exception& e) {
      // A defect of ours, which must not stand in the way of what follows.
      return dead({"invalid", std::string("it cannot be read: ") + e.what()});
    }
    if (read.attempt || read.held || read.mark) {
      if (read.attempt && peers.ended) return peers.ended(read.workflow_id, std::move(*read.attempt), std::move(done));
      if (read.held && peers.held) return peers.held(std::move(*read.held), std::move(done));
      if (read.mark && peers.marked) return peers.marked(std::move(*read.mark), std::move(done));
      return dead({"invalid", "this node takes nothing of that kind from others"});
    }
    if (read.target) {
      const auto row = system.borrow_view()->find(read.workflow_id);
      if (!row || row->header.uid != *read.target)
        return dead(
            {"invalid", "it is for run " + to_text(*read.target) + ", which is not the newest of this workflow"});
    }
    if (read.skip) {
      // What the run's definition is, or that there is no run, is on record: earlier commands of this key are done.
      const auto row = system.borrow_view(read.workflow_id)->find(read.workflow_id);
      const auto graph = row ? types.find(row->header.type, row->header.version) : nullptr;
      engine::skip_command skip;
      if (const auto wrong = read_skip_result(*read.skip, graph.get(), skip)) return dead(mistake_of(*wrong));
      read.command.body = std::move(skip);
    }
    actors::command_request r;
    r.workflow_id = std::move(read.workflow_id);
    r.command = std::move(read.command);
    r.closed_id = read.closed_id;
    r.reply = actors::owed_reply([done](const actors::command_reply& reply) { done(verdict_on(reply)); });
    system.submit(std::move(r));
  };
}

}  // namespace pawl::node
