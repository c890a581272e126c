// expect: a pawl::task is a free function whose first parameter is pawl::workflow_context&
#include <pawl/pawl.hpp>

#ifdef PAWL_OK
pawl::task<void> code(pawl::workflow_context& wf) { co_await wf.sleep(std::chrono::hours(1)); }
#else
const auto code = [](pawl::workflow_context& wf) -> pawl::task<void> { co_await wf.sleep(std::chrono::hours(1)); };
#endif
