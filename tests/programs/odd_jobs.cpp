// A node with workflows that end in every way there is, for the tests of the command line in tests/scripts.
#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>

#include <pawl/pawl.hpp>

namespace {

using namespace std::chrono_literals;

struct job {
  std::string gate;   // a file; the step goes on when it is there
  int failures = 0;   // attempts that fail
  std::string text;
  PAWL_FIELDS((gate, ""), (failures, 0), (text, ""))
};

// Heeds its stop_token, so that a drain may interrupt it.
std::string wait_for_gate(pawl::step_context& ctx, const job& j) {
  while (!j.gate.empty() && !std::filesystem::exists(j.gate)) {
    if (ctx.stop_token().stop_requested()) throw pawl::step_error("told to stop", "stopped");
    std::this_thread::sleep_for(2ms);
  }
  return j.text;
}

std::string fail_at_first(pawl::step_context& ctx, const job& j) {
  if (ctx.attempt() <= static_cast<std::uint32_t>(j.failures))
    throw pawl::step_error("attempt " + std::to_string(ctx.attempt()) + " is meant to fail", "flaky");
  return j.text;
}

std::string refuse(pawl::step_context&, const job&, const std::string&) {
  throw pawl::permanent_error("it can not be done", "refused");
}
void take_back(pawl::step_context&, const job&, const std::optional<std::string>&) {}

std::string hang(pawl::step_context&, const job&) {
  for (;;) std::this_thread::sleep_for(1h);
}

}  // namespace

int main(int argc, char** argv) {
  pawl::registry types;
  {
    pawl::workflow<job> g{"gated"};
    g.returns(g.step("wait", wait_for_gate, {.timeout = 120s}, g.input()));
    types.add(g);
  }
  {
    pawl::workflow<job> g{"flaky"};
    g.returns(g.step("try", fail_at_first, {.retry = {.first_delay = 5ms, .max_delay = 20ms}}, g.input()));
    types.add(g);
  }
  {
    pawl::workflow<job> g{"refused"};
    const auto prepared = g.step("prepare", wait_for_gate, {}, g.input());
    g.undo(prepared, take_back, g.input());
    g.returns(g.step("refuse", refuse, g.input(), prepared));
    types.add(g);
  }
  {
    pawl::workflow<job> g{"stuck"};
    const auto tried =
        g.step("try", fail_at_first,
               {.retry = {.max_attempts = 2, .first_delay = 1ms}, .exhausted = pawl::when_exhausted::pause}, g.input());
    g.returns(tried);
    types.add(g);
  }
  {
    pawl::workflow<job> g{"hangs"};
    g.returns(g.step("hang", hang, {.timeout = 120s}, g.input()));
    types.add(g);
  }
  return pawl::run(argc, argv, types);
}
