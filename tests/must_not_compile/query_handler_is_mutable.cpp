// expect: a query handler changes nothing: no mutable lambda
#include <pawl/pawl.hpp>

pawl::task<void> code(pawl::workflow_context& wf) {
#ifdef PAWL_OK
  auto q = wf.on_query("q", [n = 1] { return n; });
#else
  auto q = wf.on_query("q", [n = 1]() mutable { return ++n; });
#endif
  co_await wf.sleep(std::chrono::hours(1));
}
