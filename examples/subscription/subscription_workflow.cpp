#include "examples/subscription/subscription_workflow.hpp"

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <variant>

#include <pawl/pawl.hpp>

namespace subscription {
namespace {

const std::map<std::string, double> prices{{"basic", 10}, {"gold", 25}, {"platinum", 60}};

std::optional<double> price_of(const std::string& plan) {
  const auto at = prices.find(plan);
  return at == prices.end() ? std::nullopt : std::optional(at->second);
}

// In real life these talk to a bank and to a mail server, and send their idempotency key along.

void charge(pawl::step_context& c, const std::string& customer, const double& amount, const int& month) {
  c.log(pawl::log_level::info,
        "charges " + customer + " " + std::to_string(amount) + " for month " + std::to_string(month));
}
void write_mail(pawl::step_context& c, const std::string& customer, const std::string& text) {
  c.log(pawl::log_level::info, "mail to " + customer + ": " + text);
}

pawl::task<account> subscribe(pawl::workflow_context& wf, contract c) {
  account a = c.so_far.value_or(account{.plan = c.plan});
  if (!price_of(a.plan)) throw pawl::failure("there is no plan '" + c.plan + "'", "no_such_plan");
  // They look at `a` as it is whenever somebody asks, between two awaits.
  const auto status = wf.on_query("status", [&] { return a; });
  const auto forecast =
      wf.on_query("forecast", [&](int months) { return a.billed + months * price_of(a.plan).value_or(0); });

  const auto now = std::chrono::floor<std::chrono::milliseconds>(wf.now());
  const auto began = c.began ? std::chrono::sys_time<std::chrono::milliseconds>(*c.began) : now;
  const int until = a.months_billed + c.months_a_run;
  while (a.months_billed < c.months && !a.cancelled) {
    wf.status("month " + std::to_string(a.months_billed + 1) + " of " + std::to_string(c.months) + ", " + a.plan);
    const auto ends = began + (a.months_billed + 1) * c.month;
    auto next = co_await pawl::any(wf.update<new_plan, agreed>("change-plan"), wf.update<void, account>("cancel"),
                                   wf.sleep_until(ends));

    if (auto* change = std::get_if<0>(&next)) {
      const auto& plan = change->input().plan;
      const auto price = price_of(plan);
      if (!price) {
        change->refuse("there is no plan '" + plan + "'", "no_such_plan");
      } else if (plan == a.plan) {
        change->refuse("the plan is '" + plan + "' already", "no_change");
      } else {
        co_await wf.step("confirm", write_mail, c.customer, "from now on you have the plan " + plan);
        a.plan = plan;
        change->answer({.plan = plan, .price = *price, .from_month = a.months_billed + 1});
      }
    } else if (auto* cancel = std::get_if<1>(&next)) {
      a.cancelled = true;
      cancel->answer(a);
    } else {
      const double amount = price_of(a.plan).value_or(0);
      co_await wf.step("charge", charge, c.customer, amount, a.months_billed + 1);
      a.billed += amount;
      ++a.months_billed;
      if (a.months_billed >= until && a.months_billed < c.months) {
        auto next_years = c;
        next_years.so_far = a;
        next_years.began = began.time_since_epoch();
        co_await wf.continue_as_new(next_years);
      }
    }
  }
  co_await wf.step("farewell", write_mail, c.customer, "thank you");
  co_return a;
}

}  // namespace

void add_to(pawl::registry& types) { types.add("subscription", {.version = 1}, subscribe); }

}  // namespace subscription
