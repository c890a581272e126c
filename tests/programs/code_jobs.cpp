// A node whose workflows are durable code, for tests/scripts.
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>

#include <pawl/pawl.hpp>

namespace {

using namespace std::chrono_literals;

std::string rest(pawl::step_context& ctx, const int& ms, const std::string& word) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
  while (std::chrono::steady_clock::now() < end && !ctx.stop_token().stop_requested()) std::this_thread::sleep_for(5ms);
  if (ctx.stop_token().stop_requested()) throw pawl::step_error("told to stop", "stopped");
  return word;
}
void kill_process(pawl::step_context&) { std::abort(); }
void take_back(pawl::step_context&, const std::string&, const std::optional<std::string>&) {}

// The arguments of its second step follow from what came before it, so that a child process has to follow too.
pawl::task<std::string> rests(pawl::workflow_context& wf, int ms) {
  const auto first = co_await wf.step("first", rest, 1, "after " + std::to_string(wf.random(1000)));
  const auto second = co_await wf.step("second", rest, {.timeout = 60s}, ms, first + ", rested");
  co_return second == first + ", rested" ? "rested" : "mixed up";
}

pawl::task<void> aborts(pawl::workflow_context& wf) {
  co_await wf.step("before", rest, 1, "x").undo(take_back, "x");
  co_await wf.step("kill", kill_process, {.timeout = 60s});
}

pawl::task<int> is_slow(pawl::workflow_context& wf, int ms) {
  co_await wf.step("before", rest, 1, "x");
  std::this_thread::sleep_for(std::chrono::milliseconds(ms));  // what code must not do
  co_await wf.step("after", rest, 1, "x");
  co_return ms;
}

}  // namespace

int main(int argc, char** argv) {
  pawl::registry types;
  types.add("rests", {}, rests).add("aborts", {}, aborts).add("is-slow", {}, is_slow);
  return pawl::run(argc, argv, types);
}
