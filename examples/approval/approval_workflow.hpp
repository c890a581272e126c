// An approval that may wait days for a person: durable code with a signal, a reminder and a time limit.
#pragma once

#include <chrono>
#include <string>

#include <pawl/fields.hpp>
#include <pawl/registry.hpp>

namespace approval {

struct expense {
  std::string who;
  std::string what;
  double amount = 0;
  std::chrono::milliseconds remind_after{std::chrono::hours(24)};
  std::chrono::milliseconds give_up_after{std::chrono::hours(72)};
  PAWL_FIELDS(who, what, amount, (remind_after, std::chrono::hours(24)), (give_up_after, std::chrono::hours(72)))
};
struct decision {
  bool approved = false;
  std::string by;
  PAWL_FIELDS(approved, by)
};
struct outcome {
  bool paid = false;
  std::string why;
  int reminders = 0;
  PAWL_FIELDS(paid, why, reminders)
};

/// Adds the type `approve-expense`.
void add_to(pawl::registry& types);

}  // namespace approval
