// A node that is a checked build in every preset: its code reads the clock, for tests/scripts.
#include <chrono>

#include <pawl/pawl.hpp>

namespace {

using namespace std::chrono_literals;

int count(pawl::step_context&, const int& n) { return n + 1; }

pawl::task<int> reads_clock(pawl::workflow_context& wf, int n) {
  n = co_await wf.step("count", count, n);
  const auto now = std::chrono::system_clock::now();
  co_return co_await wf.step("count", count, n + static_cast<int>(now.time_since_epoch().count() % 7));
}

pawl::task<int> is_right(pawl::workflow_context& wf, int n) {
  n = co_await wf.step("count", count, n);
  const auto now = wf.now();
  co_return co_await wf.step("count", count, n + static_cast<int>(now.time_since_epoch().count() % 7));
}

}  // namespace

int main(int argc, char** argv) {
  pawl::registry types;
  types.add("reads-clock", {}, reads_clock).add("is-right", {}, is_right);
  return pawl::run(argc, argv, types);
}
