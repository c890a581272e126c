#include "examples/approval/approval_workflow.hpp"

#include <chrono>
#include <optional>
#include <string>

#include <pawl/pawl.hpp>

namespace approval {
namespace {

// In real life these talk to somebody: a ledger, a mail server, a bank. Each sends its idempotency key along.

std::string reserve_budget(pawl::step_context& c, const expense& e) {
  c.log(pawl::log_level::info, "reserves " + std::to_string(e.amount) + " for " + e.what);
  return "budget of " + e.who;
}
void give_back(pawl::step_context& c, const expense& e, const std::optional<std::string>&) {
  c.log(pawl::log_level::info, "gives back " + std::to_string(e.amount));
}
void write_mail(pawl::step_context& c, const std::string& to, const std::string& text) {
  c.log(pawl::log_level::info, "mail to " + to + ": " + text);
}
void pay(pawl::step_context& c, const expense& e, const std::string& from) {
  c.log(pawl::log_level::info, "pays " + std::to_string(e.amount) + " from " + from);
}

pawl::task<outcome> approve_expense(pawl::workflow_context& wf, expense e) {
  const auto budget = co_await wf.step("reserve", reserve_budget, e).undo(give_back, e);
  co_await wf.step("ask", write_mail, "boss", e.who + " asks for " + e.what);

  outcome out;
  wf.status("waits for a decision");
  auto answer = co_await wf.signal<decision>("decision").within(e.remind_after);
  if (answer.timed_out()) {
    out.reminders = 1;
    wf.status("waits for a decision, reminded");
    co_await wf.step("remind", write_mail, "boss", e.who + " still asks for " + e.what);
    answer = co_await wf.signal<decision>("decision").within(e.give_up_after);
  }
  if (answer.timed_out()) throw pawl::failure("nobody decided in time", "no_decision");  // gives the budget back

  const auto decided = std::move(answer).value();
  wf.status(decided.approved ? "approved by " + decided.by : "refused by " + decided.by);
  if (!decided.approved) throw pawl::failure("refused by " + decided.by, "refused");
  co_await wf.step("pay", pay, e, budget);
  out.paid = true;
  out.why = "approved by " + decided.by;
  co_return out;
}

}  // namespace

void add_to(pawl::registry& types) { types.add("approve-expense", {.version = 1}, approve_expense); }

}  // namespace approval
