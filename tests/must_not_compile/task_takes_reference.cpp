// expect: parameters of a pawl::task are values of its own
#include <pawl/pawl.hpp>

struct order {
  std::string id;
  PAWL_FIELDS(id)
};

#ifdef PAWL_OK
pawl::task<void> code(pawl::workflow_context& wf, order) { co_await wf.sleep(std::chrono::hours(1)); }
#else
pawl::task<void> code(pawl::workflow_context& wf, const order&) { co_await wf.sleep(std::chrono::hours(1)); }
#endif
