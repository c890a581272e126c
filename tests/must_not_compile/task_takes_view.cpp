// expect: parameters of a pawl::task are values of its own
#include <pawl/pawl.hpp>

#ifdef PAWL_OK
pawl::task<void> code(pawl::workflow_context& wf, std::string) { co_await wf.sleep(std::chrono::hours(1)); }
#else
pawl::task<void> code(pawl::workflow_context& wf, std::string_view) { co_await wf.sleep(std::chrono::hours(1)); }
#endif
