// expect: the input of a workflow must be storable
#include <memory>

#include <pawl/pawl.hpp>

#ifdef PAWL_OK
pawl::task<void> code(pawl::workflow_context& wf, int) { co_await wf.sleep(std::chrono::hours(1)); }
#else
pawl::task<void> code(pawl::workflow_context& wf, std::unique_ptr<int>) { co_await wf.sleep(std::chrono::hours(1)); }
#endif

void wire(pawl::registry& types) { types.add("code", {}, code); }
