// expect: deleted function
#include <pawl/pawl.hpp>

pawl::task<bool> code(pawl::workflow_context& wf) {
  const auto approved = co_await wf.signal<bool>("approved").within(std::chrono::hours(48));
#ifdef PAWL_OK
  if (approved.value_or(false)) co_return true;
#else
  if (approved) co_return true;
#endif
  co_return false;
}
