#include "examples/census/census_workflow.hpp"

#include <string>
#include <vector>

namespace census {

namespace {

// Somebody rings a bell. Nobody opens at every fiftieth door, however often.
int ring(pawl::step_context&, const household& h) {
  if (h.number % 50 == 49) throw pawl::permanent_error("nobody opens door " + std::to_string(h.number), "nobody_home");
  return 1 + h.number % 4;
}

// One household: a workflow of its own, with its own id, history and retries.
pawl::task<int> ask(pawl::workflow_context& wf, household h) { co_return co_await wf.step("ring", ring, h); }

// What a child comes to is a value here, so that one door that stays shut does not end the census.
pawl::task<int> people_of(pawl::workflow_context& wf, household h) {
  bool nobody = false;
  try {
    co_return co_await wf.child("ask-household", ask, h);
  } catch (const pawl::child_failed& e) {
    nobody = e.code() == "nobody_home";
    if (!nobody) throw;
  }
  co_return nobody ? -1 : 0;
}

}  // namespace

pawl::task<counted> take(pawl::workflow_context& wf, survey s) {
  std::vector<household> all;
  for (int n = 0; n < s.households; ++n) all.push_back({n});
  wf.status("asks " + std::to_string(all.size()) + " households");
  counted out;
  out.households = s.households;
  for (const auto people : co_await pawl::each(all, static_cast<std::size_t>(s.at_once),
                                               [&](const household& h) { return people_of(wf, h); })) {
    if (people < 0)
      ++out.nobody_home;
    else
      out.people += people;
  }
  co_return out;
}

void add_to(pawl::registry& types) {
  types.add("take-census", {.version = 1}, take);
  types.add("ask-household", {.version = 1}, ask);
}

}  // namespace census
