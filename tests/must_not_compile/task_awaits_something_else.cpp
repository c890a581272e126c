// expect: workflow code awaits steps, timers, signals and pawl::task only
#include <coroutine>

#include <pawl/pawl.hpp>

pawl::task<void> code(pawl::workflow_context& wf) {
#ifdef PAWL_OK
  co_await wf.sleep(std::chrono::hours(1));
#else
  (void)wf;
  co_await std::suspend_always();
#endif
}
