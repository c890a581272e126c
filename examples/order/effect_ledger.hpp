// What the payment service did in the world, and for which idempotency key. Everything it does is one mechanism: an
// effect of some kind, done once a key, some of which take earlier ones back. The state is a fold over the journal's
// lines, so that a restarted service knows what a killed one did.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include <nlohmann/json.hpp>

#include "examples/order/effect_journal.hpp"
#include "examples/order/fault_plan.hpp"

namespace payment {

struct effect_kind {
  std::string_view name;
  std::string_view path;
  std::string_view id_field;
  std::string_view id_prefix;
  std::string_view takes_back;  ///< the kind whose effects it reverses; empty: none
};

inline constexpr std::array<effect_kind, 6> effect_kinds = {{
    {"charge", "/charges", "charge_id", "ch_", ""},
    {"refund", "/refunds", "refund_id", "re_", "charge"},
    {"reservation", "/reservations", "reservation_id", "rs_", ""},
    {"release", "/reservations/release", "release_id", "rl_", "reservation"},
    {"email", "/emails", "email_id", "em_", ""},
    {"shipment", "/shipments", "shipment_id", "sh_", ""},
}};

const effect_kind* kind_named(std::string_view name);

struct effect {
  std::string kind;
  std::string key;
  std::string id;
  std::string order_id;
  nlohmann::json body;    ///< as it was asked
  nlohmann::json answer;  ///< as it was answered, and will be again under the same key
  std::vector<std::string> takes_back;
  bool taken_back = false;

  nlohmann::json to_json() const;
};

struct applied {
  nlohmann::json answer;
  bool replayed;  ///< the key had its effect before; nothing was done now
};

struct refusal {
  unsigned status;
  std::string_view code;
  std::string detail;
};

/// Not thread-safe. Memory grows with what it has seen: a service for examples and tests, not for years.
class effect_ledger {
 public:
  /// Reads the journal in `file` (empty: memory only). `idempotent` = false is a planted bug: a repeated key does its
  /// effect again. Throws journal_error.
  effect_ledger(std::string file, bool idempotent);

  /// How many requests under `key` were noted or applied so far.
  std::uint64_t requests_of(const std::string& key) const;

  /// Records a request that a fault spoiled before anything was done. Throws journal_error.
  void note(const effect_kind& kind, const std::string& key, fault spoiled_by);

  /// Does the effect, once a key, and returns when it is on disk. `spoiled_by` is what will happen to the answer.
  /// Throws journal_error, and then nobody may be answered.
  std::variant<applied, refusal> apply(const effect_kind& kind, const std::string& key, const nlohmann::json& body,
                                       fault spoiled_by);

  /// `with_keys` adds the number of requests of every key, which costs a pass over all of them.
  nlohmann::json stats(bool with_keys) const;

  nlohmann::json effects_of_key(const std::string& key) const;
  nlohmann::json effects_of_order(const std::string& order_id) const;

 private:
  struct key_record {
    std::uint64_t requests = 0;
    std::vector<std::size_t> effects;
  };
  struct kind_count {
    std::uint64_t requests = 0, effects = 0, taken_back = 0;
  };

  std::variant<effect, refusal> plan(const effect_kind& kind, const std::string& key, const nlohmann::json& body) const;
  std::optional<refusal> find_what_to_take_back(effect& planned) const;
  nlohmann::json list(const std::vector<std::size_t>* numbers) const;
  void replay(std::string_view line);
  void fold(const effect_kind& kind, const std::string& key, fault spoiled_by, std::optional<effect> done);

  const bool idempotent_;
  std::vector<effect> effects_;
  std::unordered_map<std::string, std::size_t> by_id_;
  std::unordered_map<std::string, std::vector<std::size_t>> by_order_;
  std::unordered_map<std::string, key_record> keys_;
  std::array<kind_count, effect_kinds.size()> kinds_{};
  std::array<std::uint64_t, fault_names.size()> faults_{};
  std::uint64_t max_effects_per_key_ = 0;
  effect_journal journal_;  // last: reading it fills what is above
};

}  // namespace payment
