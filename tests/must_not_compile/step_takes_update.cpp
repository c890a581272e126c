// expect: a parameter of a step is a pawl::update
#include <pawl/pawl.hpp>

#ifdef PAWL_OK
int use(pawl::step_context&, const int& n) { return n; }
#else
int use(pawl::step_context&, const pawl::update<int, int>& u) { return u.input(); }
#endif

pawl::task<void> code(pawl::workflow_context& wf) {
  auto u = co_await wf.update<int, int>("n");
#ifdef PAWL_OK
  co_await wf.step("use", use, u.input());
#else
  co_await wf.step("use", use, std::move(u));
#endif
}
