// Requests taken apart: encodings, parameters, bodies, command ids.
#include <charconv>

#include "node/api_call.hpp"
#include "node/command_body.hpp"
#include "node/random_id.hpp"

namespace pawl::node {

namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

bool percent_decode(std::string_view text, bool plus, std::string& out) {
  out.clear();
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0) return false;
      out += static_cast<char>(high << 4 | low);
      i += 2;
    } else {
      out += plus && text[i] == '+' ? ' ' : text[i];
    }
  }
  return true;
}

// ---- parameters

void query_reader::refuse(std::string detail, std::string mend) {
  if (!wrong_)
    wrong_ = problem{.status = 400, .code = "bad_request", .detail = std::move(detail), .mend = std::move(mend)};
}

std::uint64_t query_reader::number(std::string_view name, std::uint64_t fallback, std::uint64_t lowest,
                                   std::uint64_t highest) {
  const auto it = query_.find(name);
  if (it == query_.end()) return fallback;
  const auto& text = it->second;
  std::uint64_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error == std::errc() && end == text.data() + text.size() && out >= lowest && out <= highest) return out;
  refuse("the parameter '" + std::string(name) + "' is '" + text.substr(0, 80) + "'",
         "give a whole number from " + std::to_string(lowest) + " to " + std::to_string(highest));
  return fallback;
}

bool query_reader::flag(std::string_view name) {
  const auto value = text(name);
  if (has(name) && value != "true" && value != "false")
    refuse("the parameter '" + std::string(name) + "' is '" + value.substr(0, 80) + "'", "give true or false");
  return value == "true";
}

std::string query_reader::text(std::string_view name) const {
  const auto it = query_.find(name);
  return it == query_.end() ? std::string() : it->second;
}

std::chrono::milliseconds query_reader::wait() {
  return std::chrono::milliseconds(number("wait_ms", 0, 0, static_cast<std::uint64_t>(longest_wait.count())));
}

// ---- bodies and command ids

std::optional<json> api::state::body_of(const api_call& call) {
  if (call.request.body.empty()) return json::object();
  auto parsed = parse_json(call.request.body);
  if (!parsed) {
    const auto& e = parsed.error();
    call.answer->send({.status = 400, .code = "bad_json", .detail = e.text(), .mend = "send one JSON object in UTF-8"});
    return std::nullopt;
  }
  return std::move(parsed).value();
}

bool api::state::set_command_id(api_call& call) {
  const auto it = call.request.headers.find("idempotency-key");
  call.command_id = it == call.request.headers.end() ? random_id() : it->second;
  const auto& id = call.command_id;
  if (id.size() > options.limits.id_length) {
    call.answer->send(too_long("command id (Idempotency-Key)", id.size(), options.limits.id_length));
    return false;
  }
  if (id.empty() || !is_utf8_text(id)) {
    call.answer->send({.status = 400,
                       .code = "bad_request",
                       .detail = "the header Idempotency-Key is empty or not UTF-8 text",
                       .mend = "give any id that is yours alone, or leave it out"});
    return false;
  }
  return true;
}

}  // namespace pawl::node
