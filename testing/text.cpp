// Histories and wants for people.
#include <algorithm>
#include <array>
#include <cstdio>

#include <msgpack.hpp>

#include "testing/world.hpp"

namespace pawl::testing::detail {

using engine::event;
using engine::event_kind;

namespace {

/// Values are cut after so many bytes of text; a history is to be looked at.
constexpr std::size_t longest_value = 200;

void put_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      std::array<char, 8> buffer{};
      std::snprintf(buffer.data(), buffer.size(), "\\u%04x", static_cast<unsigned>(c));
      out += buffer.data();
    } else {
      out += c;
    }
  }
  out += '"';
}

void put(std::string& out, const msgpack::object& o) {
  switch (o.type) {
    case msgpack::type::NIL:
      out += "null";
      return;
    case msgpack::type::BOOLEAN:
      out += o.via.boolean ? "true" : "false";
      return;
    case msgpack::type::POSITIVE_INTEGER:
      out += std::to_string(o.via.u64);
      return;
    case msgpack::type::NEGATIVE_INTEGER:
      out += std::to_string(o.via.i64);
      return;
    case msgpack::type::FLOAT32:
    case msgpack::type::FLOAT64: {
      std::array<char, 40> buffer{};
      std::snprintf(buffer.data(), buffer.size(), "%.15g", o.via.f64);
      out += buffer.data();
      return;
    }
    case msgpack::type::STR:
      return put_string(out, {o.via.str.ptr, o.via.str.size});
    case msgpack::type::ARRAY:
      out += '[';
      for (std::uint32_t n = 0; n < o.via.array.size; ++n) {
        if (n > 0) out += ',';
        put(out, o.via.array.ptr[n]);
      }
      out += ']';
      return;
    case msgpack::type::MAP:
      out += '{';
      for (std::uint32_t n = 0; n < o.via.map.size; ++n) {
        if (n > 0) out += ',';
        put(out, o.via.map.ptr[n].key);
        out += ':';
        put(out, o.via.map.ptr[n].val);
      }
      out += '}';
      return;
    default:
      out += "<bytes>";
  }
}

std::string elapsed(engine::time_point from, engine::time_point to) {
  auto ms = std::chrono::duration_cast<engine::milliseconds>(to - from).count();
  if (ms < 1000) return std::to_string(ms) + "ms";
  std::string out;
  for (const auto& [unit, size] : {std::pair{'d', 86'400'000LL}, {'h', 3'600'000LL}, {'m', 60'000LL}}) {
    if (ms < size) continue;
    out += std::to_string(ms / size) + unit;
    ms %= size;
  }
  if (ms > 0) {
    std::array<char, 32> buffer{};
    std::snprintf(buffer.data(), buffer.size(), ms % 1000 == 0 ? "%.0fs" : "%.3fs", static_cast<double>(ms) / 1000);
    out += buffer.data();
  }
  return out;
}

std::string line_of(const event& e, engine::time_point began) {
  std::array<char, 64> head{};
  std::snprintf(head.data(), head.size(), "%5llu  %-14s  %-21s", static_cast<unsigned long long>(e.seq),
                ("+" + elapsed(began, e.at)).c_str(), std::string(to_text(e.kind)).c_str());
  std::string out = head.data();
  if (e.start) out += "  " + e.start->type + " version " + std::to_string(e.start->version);
  if (!e.name.empty()) out += std::string("  ") + (e.undo ? "undo of " : "") + e.name;
  if (e.attempt > 1) out += " #" + std::to_string(e.attempt);
  if (!e.cause.empty()) out += "  " + e.cause;
  if (e.error) out += "  " + e.error->code + ": " + e.error->message;
  if (e.due) out += "  due +" + elapsed(began, *e.due);
  if (!e.payload.empty() && e.payload != "\xc0") out += "  " + value_text(e.payload);
  return out;
}

}  // namespace

std::string value_text(std::string_view bytes) {
  std::string out;
  try {
    const auto whole = msgpack::unpack(bytes.data(), bytes.size());
    put(out, whole.get());
  } catch (const std::exception&) {
    out = "<" + std::to_string(bytes.size()) + " bytes>";
  }
  if (out.size() > longest_value) out = out.substr(0, longest_value) + "...";
  return out;
}

std::string history_text(const std::vector<event>& history) {
  std::string out;
  for (const auto& e : history) out += line_of(e, history.front().at) + "\n";
  return out;
}

std::vector<std::string> wants_text(const engine::instance& i) {
  std::vector<std::string> out;
  if (is_closed(i.phase) || !i.program) return out;
  const auto quoted = [](std::string_view name) { return "'" + std::string(name) + "'"; };
  for (const auto& w : i.program->wants()) {
    using engine::want_kind;
    if (w.kind == want_kind::step) out.push_back("step " + quoted(i.program->step(w.step).name));
    if (w.kind == want_kind::signal) out.push_back("signal " + quoted(w.text));
    if (w.kind == want_kind::update) out.push_back("update " + quoted(w.text));
    if (w.kind == want_kind::timer) out.push_back("timer " + quoted(w.text) + " in " + elapsed(i.last_time, w.due));
    if (w.kind == want_kind::finish) out.emplace_back("its end");
    if (w.kind == want_kind::fail) out.push_back("its end, failed: " + w.error->message);
    if (w.kind == want_kind::broken) out.push_back("nothing: " + w.error->message);
  }
  for (const auto& c : i.calls)
    out.push_back(c.is_message ? "the answer of '" + c.workflow_id + "'" : "child '" + c.workflow_id + "'");
  return out;
}

std::string in_words(const std::vector<std::string>& list) {
  std::string out;
  for (const auto& one : list) out += (out.empty() ? "" : ", ") + one;
  return out.empty() ? "nothing" : out;
}

}  // namespace pawl::testing::detail
