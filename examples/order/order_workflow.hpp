// Fulfilment of an order: reserve, charge, then email and ship side by side; undone newest first when a step fails for
// good. The outside world is the payment service of this folder, spoken to over HTTP.
#pragma once

#include <string>

#include <pawl/pawl.hpp>

namespace shop {

struct order {
  std::string id;
  double total = 0;
  std::string currency;
  std::string card;
  PAWL_FIELDS(id, total, (currency, "EUR"), card)
};

struct hold {
  std::string reservation_id;
  PAWL_FIELDS(reservation_id)
};

struct receipt {
  std::string charge_id;
  double amount = 0;
  PAWL_FIELDS(charge_id, amount)
};

/// Adds `fulfil-order`, whose steps talk to the service at `service_url` (http://host:port).
void add_fulfil_order(pawl::registry& types, std::string service_url);

/// The address in the environment variable ORDER_SERVICE_URL, or http://127.0.0.1:8099.
std::string service_url_from_environment();

}  // namespace shop
