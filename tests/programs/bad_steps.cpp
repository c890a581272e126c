// A node whose steps misbehave, for tests/scripts.
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <optional>
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

// Leaves word of which process it ran in.
struct mark {
  std::string file;
  PAWL_FIELDS(file)
};

std::string leave_mark(pawl::step_context&, const mark& m) {
  std::ofstream(m.file, std::ios::app) << ::getpid() << std::endl;
  return m.file;
}

// Three steps that are undone when one of them can't be done.
struct trip {
  int ms = 0;        // that each step takes
  int fails_at = 0;  // the step, 1 to 3, that can't be done; 0: none
  int flaky = 0;     // attempts of each step, and of its undo, that fail first
  PAWL_FIELDS((ms, 0), (fails_at, 0), (flaky, 0))
};

std::string leg(pawl::step_context& ctx, const trip& t, int number) {
  sleep_well(ctx, {.ms = t.ms});
  if (t.fails_at == number) throw pawl::permanent_error("it is meant to fail", "refused");
  if (ctx.attempt() <= static_cast<std::uint32_t>(t.flaky)) throw pawl::step_error("this attempt is meant to", "flaky");
  return "leg " + std::to_string(number);
}
std::string first_leg(pawl::step_context& ctx, const trip& t) { return leg(ctx, t, 1); }
std::string second_leg(pawl::step_context& ctx, const trip& t, const std::string&) { return leg(ctx, t, 2); }
std::string third_leg(pawl::step_context& ctx, const trip& t, const std::string&) { return leg(ctx, t, 3); }
void take_back(pawl::step_context& ctx, const trip& t, const std::optional<std::string>&) {
  if (ctx.attempt() <= static_cast<std::uint32_t>(t.flaky)) throw pawl::step_error("this attempt is meant to", "flaky");
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
  {
    pawl::workflow<mark> g{"marks", {}};
    auto in = g.input();
    g.returns(g.step("mark", leave_mark, {}, in));
    types.add(g);
  }
  {
    const pawl::step_options options{.timeout = 60s, .retry = {.first_delay = 10ms, .max_delay = 100ms}};
    pawl::workflow<trip> g{"trip", {}};
    auto in = g.input();
    auto first = g.step("first", first_leg, options, in);
    auto second = g.step("second", second_leg, options, in, first);
    auto third = g.step("third", third_leg, options, in, second);
    for (auto done : {first, second, third}) g.undo(done, take_back, options, in);
    g.returns(third);
    types.add(g);
  }
  return pawl::run(argc, argv, types);
}
