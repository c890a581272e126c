#include "examples/order/payment_api.hpp"

#include <algorithm>
#include <charconv>
#include <stdexcept>

namespace payment {
namespace {

using nlohmann::json;

constexpr int deepest_body = 32;
constexpr std::size_t longest_key = 1024;

// An object, or what is wrong with it. The depth is limited because a json is compared and printed recursively.
std::optional<std::string> read_object(std::string_view text, json& out) {
  const auto shallow = [](int depth, json::parse_event_t, json&) {
    if (depth > deepest_body) throw std::length_error("nested too deep");
    return true;
  };
  try {
    out = json::parse(text, shallow);
  } catch (const std::length_error& e) {
    return "the body is " + std::string(e.what());
  } catch (const json::exception& e) {
    return "the body is not JSON: " + std::string(e.what());
  }
  if (!out.is_object()) return "the body must be a JSON object";
  return std::nullopt;
}

bool has_text(const json& body, std::string_view field) {
  auto found = body.find(std::string(field));
  return found != body.end() && found->is_string() && !found->get_ref<const std::string&>().empty();
}

std::optional<std::string> mistake_in(const effect_kind& kind, const json& body) {
  if (!kind.takes_back.empty()) {
    const auto id_field = std::string(kind_named(kind.takes_back)->id_field);
    for (const auto& field : {id_field, std::string("order_id")})
      if (body.contains(field) && !has_text(body, field)) return field + " must be a text that is not empty";
    if (!body.contains(id_field) && !body.contains("order_id")) return id_field + " or order_id is required";
    return std::nullopt;
  }
  if (!has_text(body, "order_id")) return "order_id is required, a text that is not empty";
  if (kind.name == "charge") {
    if (!has_text(body, "card")) return "card is required, a text that is not empty";
    auto amount = body.find("amount");
    if (amount == body.end() || !amount->is_number() || amount->get<double>() <= 0)
      return "amount is required, a number above 0";
  }
  return std::nullopt;
}

std::optional<std::string> mistake_in_key(const std::optional<std::string>& key) {
  if (!key) return "the header Idempotency-Key is required";
  const auto visible = [](char c) { return c >= 0x20 && c < 0x7f; };
  if (key->empty() || key->size() > longest_key || !std::all_of(key->begin(), key->end(), visible))
    return "Idempotency-Key must be 1 to " + std::to_string(longest_key) + " visible ASCII characters";
  return std::nullopt;
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned char byte = 0;
    if (text[i] == '%' && i + 2 < text.size()) {
      auto [end, ec] = std::from_chars(text.data() + i + 1, text.data() + i + 3, byte, 16);
      if (ec == std::errc() && end == text.data() + i + 3) {
        out += static_cast<char>(byte);
        i += 2;
        continue;
      }
    }
    out += text[i] == '+' ? ' ' : text[i];
  }
  return out;
}

std::optional<std::string> query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const auto end = std::min(query.find('&'), query.size());
    const auto pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const auto equals = std::min(pair.find('='), pair.size());
    if (pair.substr(0, equals) == name) return percent_decoded(pair.substr(std::min(equals + 1, pair.size())));
  }
  return std::nullopt;
}

answer not_allowed(std::string allow) {
  auto out = problem(405, "method_not_allowed", "this address takes " + allow);
  out.allow = std::move(allow);
  return out;
}

}  // namespace

answer problem(unsigned status, std::string_view code, std::string detail) {
  return {.status = status,
          .body = {{"type", "urn:payment:" + std::string(code)},
                   {"title", code},
                   {"status", status},
                   {"detail", std::move(detail)}}};
}

answer payment_api::handle(const request& asked) {
  const auto question = std::min(asked.target.find('?'), asked.target.size());
  const auto path = asked.target.substr(0, question);
  const auto query = asked.target.substr(std::min(question + 1, asked.target.size()));
  for (const auto& kind : effect_kinds)
    if (path == kind.path) return asked.method == "POST" ? do_effect(kind, asked) : not_allowed("POST");
  if (path == "/faults") {
    if (asked.method == "GET") return {.body = faults_.to_json()};
    return asked.method == "POST" ? change_faults(asked) : not_allowed("GET, POST");
  }
  if (path == "/stats")
    return asked.method == "GET" ? answer{.body = ledger_.stats(query_value(query, "keys") != "false")}
                                 : not_allowed("GET");
  if (path == "/effects") return asked.method == "GET" ? show_effects(query) : not_allowed("GET");
  return problem(404, "no_such_address", "there is nothing at " + std::string(path));
}

// Input is checked before a fault is drawn: what is wrong is wrong on every try, and draws nothing.
answer payment_api::do_effect(const effect_kind& kind, const request& asked) {
  if (auto wrong = mistake_in_key(asked.idempotency_key)) return problem(400, "bad_key", *wrong);
  const std::string& key = *asked.idempotency_key;
  json body;
  if (auto wrong = read_object(asked.body, body)) return problem(400, "bad_json", *wrong);
  if (auto wrong = mistake_in(kind, body)) return problem(400, "bad_request", *wrong);
  const fault drawn = faults_.draw(key, ledger_.requests_of(key) + 1);
  switch (drawn) {
    case fault::none:
    case fault::drop_after:
      break;
    case fault::fail:
      ledger_.note(kind, key, drawn);
      return problem(500, "failed", "injected failure");
    case fault::hang:
      ledger_.note(kind, key, drawn);
      return {.how = answer::way::hang, .body = {}};
    case fault::unavailable:
    case fault::throttle: {
      ledger_.note(kind, key, drawn);
      auto out = drawn == fault::throttle ? problem(429, "throttled", "too many requests")
                                          : problem(503, "unavailable", "down for a moment");
      out.retry_after = faults_.retry_after;
      return out;
    }
  }
  return perform(kind, key, body, drawn);
}

answer payment_api::perform(const effect_kind& kind, const std::string& key, const json& body, fault drawn) {
  answer out;
  // A card that never works, so that an order can fail for good.
  if (kind.name == "charge" && body.at("card").get_ref<const std::string&>().starts_with("tok_declined")) {
    ledger_.note(kind, key, drawn);
    out = problem(402, "card_declined", "the bank declined the card; another try will not help");
  } else {
    auto result = ledger_.apply(kind, key, body, drawn);
    if (const auto* refused = std::get_if<refusal>(&result)) {
      out = problem(refused->status, refused->code, refused->detail);
    } else {
      auto& done = std::get<applied>(result);
      out = {.status = done.replayed ? 200u : 201u, .body = std::move(done.answer), .replayed = done.replayed};
    }
  }
  if (drawn == fault::drop_after) out.how = answer::way::drop;
  return out;
}

answer payment_api::show_effects(std::string_view query) const {
  if (auto key = query_value(query, "key")) return {.body = {{"effects", ledger_.effects_of_key(*key)}}};
  if (auto order = query_value(query, "order_id")) return {.body = {{"effects", ledger_.effects_of_order(*order)}}};
  return problem(400, "bad_request", "ask for ?key=... or ?order_id=...");
}

answer payment_api::change_faults(const request& asked) {
  json changes;
  if (auto wrong = read_object(asked.body, changes)) return problem(400, "bad_json", *wrong);
  if (auto wrong = faults_.change(changes)) return problem(400, "bad_request", *wrong);
  return {.body = faults_.to_json()};
}

}  // namespace payment
