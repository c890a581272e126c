// The payment service's HTTP interface, without the HTTP: a request in, what to answer out.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "examples/order/effect_ledger.hpp"
#include "examples/order/fault_plan.hpp"

namespace payment {

struct request {
  std::string_view method;
  std::string_view target;  ///< path and query
  std::optional<std::string> idempotency_key;
  std::string_view body;
};

struct answer {
  enum class way { reply, hang, drop };
  way how = way::reply;
  unsigned status = 200;
  nlohmann::json body;  ///< for hang and drop: not to be sent
  bool replayed = false;
  std::optional<std::chrono::seconds> retry_after{};
  std::string allow{};  ///< for 405
};

/// A problem+json answer (RFC 9457); its content type follows from the status.
answer problem(unsigned status, std::string_view code, std::string detail);

class payment_api {
 public:
  payment_api(effect_ledger& ledger, fault_plan& faults) : ledger_(ledger), faults_(faults) {}

  /// Answers any request. Throws journal_error when the effect could not be recorded: then the process must end.
  answer handle(const request& asked);

 private:
  answer do_effect(const effect_kind& kind, const request& asked);
  answer perform(const effect_kind& kind, const std::string& key, const nlohmann::json& body, fault drawn);
  answer show_effects(std::string_view query) const;
  answer change_faults(const request& asked);

  effect_ledger& ledger_;
  fault_plan& faults_;
};

}  // namespace payment
