// A subscription that bills month by month, for years: durable code with updates that change it and queries that ask
// it.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include <pawl/fields.hpp>
#include <pawl/registry.hpp>

namespace subscription {

/// How it stands, and in the end how it went.
struct account {
  std::string plan;
  int months_billed = 0;
  double billed = 0;
  bool cancelled = false;
  PAWL_FIELDS(plan, months_billed, billed, cancelled)
};
struct contract {
  std::string customer;
  std::string plan;
  int months = 36;
  std::chrono::milliseconds month{std::chrono::hours(24 * 30)};
  int months_a_run = 12;  ///< then it continues as new, with an empty history
  /// Of a run that continues: what was before, and when it all began, since 1970.
  std::optional<account> so_far{};
  std::optional<std::chrono::milliseconds> began{};
  PAWL_FIELDS(customer, plan, (months, 36), (month, std::chrono::hours(24 * 30)), (months_a_run, 12), so_far, began)
};
struct new_plan {
  std::string plan;
  PAWL_FIELDS(plan)
};
/// What holds from which month on.
struct agreed {
  std::string plan;
  double price = 0;
  int from_month = 0;
  PAWL_FIELDS(plan, price, from_month)
};
/// Adds the type `subscription`.
void add_to(pawl::registry& types);

}  // namespace subscription
