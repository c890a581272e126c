// expect: called by several threads at once
#include <pawl/pawl.hpp>

struct order {
  std::string id;
  PAWL_FIELDS(id)
};
struct hold {
  std::string id;
  PAWL_FIELDS(id)
};

void wire(pawl::workflow<order>& w) {
#ifdef PAWL_OK
  w.step("count", [n = 0](pawl::step_context&, const order&) { return n + 1; }, {}, w.input());
#else
  w.step("count", [n = 0](pawl::step_context&, const order&) mutable { return ++n; }, {}, w.input());
#endif
}
