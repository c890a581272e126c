// expect: an operation is awaited once
#include <pawl/pawl.hpp>

pawl::task<void> code(pawl::workflow_context& wf) {
  auto s = wf.sleep(std::chrono::hours(1));
#ifdef PAWL_OK
  co_await std::move(s);
#else
  co_await s;
#endif
}
