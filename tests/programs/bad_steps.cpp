// A node whose steps misbehave, for tests/scripts.
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>

#include <pawl/pawl.hpp>

namespace {

using namespace std::chrono_literals;

struct nap {
  int ms = 0;
  PAWL_FIELDS(ms)
};

std::string sleep_well(pawl::step_context& ctx, const nap& n) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(n.ms);
  while (std::chrono::steady_clock::now() < end && !ctx.stop_token().stop_requested()) std::this_thread::sleep_for(5ms);
  if (ctx.stop_token().stop_requested()) throw pawl::step_error("told to stop", "stopped");
  return "slept";
}

std::string kill_process(pawl::step_context&, const nap& n) {
  std::this_thread::sleep_for(std::chrono::milliseconds(n.ms));
  std::abort();
}

// Deaf to its stop_token.
std::string hang(pawl::step_context&, const nap&) {
  for (;;) std::this_thread::sleep_for(1h);
}

}  // namespace

int main(int argc, char** argv) {
  pawl::registry types;
  const auto add = [&](const char* type, auto* f, const pawl::step_options& options) {
    pawl::workflow<nap> g{type, {}};
    auto in = g.input();
    g.returns(g.step("work", f, options, in));
    types.add(g);
  };
  add("sleeps", sleep_well, {.timeout = 60s});
  add("aborts", kill_process, {.timeout = 60s});
  add("hangs", hang, {.timeout = 300ms, .retry = {.max_attempts = 2, .first_delay = 10ms}});
  return pawl::run(argc, argv, types);
}
