#include "examples/order/effect_ledger.hpp"

#include <algorithm>
#include <stdexcept>

namespace payment {
namespace {

using nlohmann::json;

std::size_t number_of(const effect_kind& kind) { return static_cast<std::size_t>(&kind - effect_kinds.data()); }

std::string line_of(const effect_kind& kind, const std::string& key, fault spoiled_by, const effect* done) {
  json line{{"kind", kind.name}, {"key", key}, {"fault", name_of(spoiled_by)}};
  if (done) {
    line["effect"] = {{"id", done->id},
                      {"order_id", done->order_id},
                      {"body", done->body},
                      {"answer", done->answer},
                      {"takes_back", done->takes_back}};
  }
  return line.dump();
}

}  // namespace

const effect_kind* kind_named(std::string_view name) {
  auto found = std::find_if(effect_kinds.begin(), effect_kinds.end(), [&](const auto& k) { return k.name == name; });
  return found == effect_kinds.end() ? nullptr : &*found;
}

json effect::to_json() const {
  return {{"kind", kind},
          {"key", key},
          {"id", id},
          {"body", body},
          {"answer", answer},
          {"order_id", order_id},
          {"takes_back", takes_back},
          {"taken_back", taken_back}};
}

effect_ledger::effect_ledger(std::string file, bool idempotent)
    : idempotent_(idempotent),
      journal_(std::move(file), [this](std::string_view line) { replay(line); }) {}

std::uint64_t effect_ledger::requests_of(const std::string& key) const {
  auto found = keys_.find(key);
  return found == keys_.end() ? 0 : found->second.requests;
}

void effect_ledger::note(const effect_kind& kind, const std::string& key, fault spoiled_by) {
  journal_.append(line_of(kind, key, spoiled_by, nullptr), false);
  fold(kind, key, spoiled_by, std::nullopt);
}

std::variant<applied, refusal> effect_ledger::apply(const effect_kind& kind, const std::string& key, const json& body,
                                                    fault spoiled_by) {
  auto known = keys_.find(key);
  if (idempotent_ && known != keys_.end() && !known->second.effects.empty()) {
    const effect& before = effects_[known->second.effects.front()];
    const bool same = before.kind == kind.name && before.body == body;
    note(kind, key, spoiled_by);
    if (same) return applied{before.answer, true};
    return refusal{422, "key_reused",
                   "this Idempotency-Key was used for another request, the " + before.kind + " " + before.id +
                       "; a new request needs a new key"};
  }
  auto planned = plan(kind, key, body);
  if (auto* refused = std::get_if<refusal>(&planned)) {
    note(kind, key, spoiled_by);
    return *refused;
  }
  auto& done = std::get<effect>(planned);
  journal_.append(line_of(kind, key, spoiled_by, &done), true);
  auto answer = done.answer;
  fold(kind, key, spoiled_by, std::move(done));
  return applied{std::move(answer), false};
}

// What the effect would be; changes nothing.
std::variant<effect, refusal> effect_ledger::plan(const effect_kind& kind, const std::string& key,
                                                  const json& body) const {
  effect planned;
  planned.kind = kind.name;
  planned.key = key;
  planned.id = std::string(kind.id_prefix) + std::to_string(kinds_[number_of(kind)].effects + 1);
  planned.order_id = body.value("order_id", std::string());
  planned.body = body;
  planned.answer = {{std::string(kind.id_field), planned.id}};
  if (!kind.takes_back.empty()) {
    if (auto refused = find_what_to_take_back(planned)) return *refused;
    planned.answer["takes_back"] = planned.takes_back;
  }
  planned.answer["order_id"] = planned.order_id;
  if (kind.name == "charge") planned.answer["amount"] = body.at("amount");
  if (kind.name == "refund") {
    double amount = 0;
    for (const auto& id : planned.takes_back) amount += effects_[by_id_.at(id)].body.at("amount").get<double>();
    planned.answer["amount"] = amount;
  }
  return planned;
}

// By the id of one effect, which must exist and still stand; or by order, which takes back whatever stands. The latter
// may be nothing: an undo of a step whose outcome is unknown must be able to succeed.
std::optional<refusal> effect_ledger::find_what_to_take_back(effect& planned) const {
  const effect_kind& target = *kind_named(kind_named(planned.kind)->takes_back);
  if (auto id = planned.body.find(std::string(target.id_field)); id != planned.body.end()) {
    auto found = by_id_.find(id->get<std::string>());
    if (found == by_id_.end() || effects_[found->second].kind != target.name)
      return refusal{404, "not_found", "there is no " + std::string(target.name) + " " + id->get<std::string>()};
    const effect& one = effects_[found->second];
    if (!planned.order_id.empty() && planned.order_id != one.order_id)
      return refusal{409, "other_order", one.id + " belongs to another order, " + one.order_id};
    if (one.taken_back) return refusal{409, "taken_back_before", one.id + " was taken back before"};
    planned.order_id = one.order_id;
    planned.takes_back = {one.id};
    return std::nullopt;
  }
  if (auto found = by_order_.find(planned.order_id); found != by_order_.end()) {
    for (auto number : found->second)
      if (const effect& e = effects_[number]; e.kind == target.name && !e.taken_back)
        planned.takes_back.push_back(e.id);
  }
  return std::nullopt;
}

void effect_ledger::replay(std::string_view text) {
  const json line = json::parse(text);
  const effect_kind* kind = kind_named(line.at("kind").get<std::string>());
  const auto spoiled_by = fault_named(line.at("fault").get<std::string>());
  if (!kind || !spoiled_by) throw std::runtime_error("unknown kind or fault");
  const auto key = line.at("key").get<std::string>();
  std::optional<effect> done;
  if (auto e = line.find("effect"); e != line.end()) {
    done.emplace();
    done->kind = kind->name;
    done->key = key;
    done->id = e->at("id").get<std::string>();
    done->order_id = e->at("order_id").get<std::string>();
    done->body = e->at("body");
    done->answer = e->at("answer");
    done->takes_back = e->at("takes_back").get<std::vector<std::string>>();
  }
  fold(*kind, key, *spoiled_by, std::move(done));
}

// The only code that changes the state, live and on replay.
void effect_ledger::fold(const effect_kind& kind, const std::string& key, fault spoiled_by,
                         std::optional<effect> done) {
  auto& record = keys_[key];
  auto& count = kinds_[number_of(kind)];
  ++record.requests;
  ++count.requests;
  ++faults_[static_cast<std::size_t>(spoiled_by)];
  if (!done) return;
  ++count.effects;
  for (const auto& id : done->takes_back) {
    effect& target = effects_.at(by_id_.at(id));
    target.taken_back = true;
    ++kinds_[number_of(*kind_named(target.kind))].taken_back;
  }
  by_id_[done->id] = effects_.size();
  by_order_[done->order_id].push_back(effects_.size());
  record.effects.push_back(effects_.size());
  max_effects_per_key_ = std::max<std::uint64_t>(max_effects_per_key_, record.effects.size());
  effects_.push_back(std::move(*done));
}

json effect_ledger::stats(bool with_keys) const {
  json out{{"effects", json::object()}, {"standing", json::object()}, {"requests", json::object()},
           {"faults", json::object()},  {"keys", keys_.size()},       {"max_effects_per_key", max_effects_per_key_}};
  for (const auto& kind : effect_kinds) {
    const auto& count = kinds_[number_of(kind)];
    const std::string name(kind.name);
    out["effects"][name] = count.effects;
    out["requests"][name] = count.requests;
    const auto same = [&](const auto& k) { return k.takes_back == kind.name; };
    if (std::any_of(effect_kinds.begin(), effect_kinds.end(), same))
      out["standing"][name] = count.effects - count.taken_back;
  }
  for (std::size_t i = 1; i < fault_names.size(); ++i) out["faults"][std::string(fault_names[i])] = faults_[i];
  if (with_keys) {
    auto& requests = out["requests_per_key"] = json::object();
    for (const auto& [key, record] : keys_) requests[key] = record.requests;
  }
  return out;
}

json effect_ledger::list(const std::vector<std::size_t>* numbers) const {
  json out = json::array();
  if (numbers)
    for (auto number : *numbers) out.push_back(effects_[number].to_json());
  return out;
}

json effect_ledger::effects_of_key(const std::string& key) const {
  auto found = keys_.find(key);
  return list(found == keys_.end() ? nullptr : &found->second.effects);
}

json effect_ledger::effects_of_order(const std::string& order_id) const {
  auto found = by_order_.find(order_id);
  return list(found == by_order_.end() ? nullptr : &found->second);
}

}  // namespace payment
