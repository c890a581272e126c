// expect: an argument of wf.step cannot be converted to the parameter that it is for
#include <pawl/pawl.hpp>

int twice(pawl::step_context&, const int& n) { return 2 * n; }

pawl::task<int> code(pawl::workflow_context& wf) {
#ifdef PAWL_OK
  co_return co_await wf.step("twice", twice, 5);
#else
  co_return co_await wf.step("twice", twice, std::string("5"));
#endif
}
