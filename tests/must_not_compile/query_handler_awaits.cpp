// expect: a query handler does not await
#include <pawl/pawl.hpp>

int twice(pawl::step_context&, const int& n) { return 2 * n; }

pawl::task<void> code(pawl::workflow_context& wf) {
#ifdef PAWL_OK
  auto q = wf.on_query("q", [&] { return 1; });
#else
  auto q = wf.on_query("q", [&] { return wf.step("twice", twice, 1); });
#endif
  co_await wf.sleep(std::chrono::hours(1));
}
