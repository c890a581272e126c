// expect: a step is wired with handles
#include <pawl/pawl.hpp>

struct order {
  std::string id;
  PAWL_FIELDS(id)
};
struct hold {
  std::string id;
  PAWL_FIELDS(id)
};

int add(pawl::step_context&, const order&, int);

void wire(pawl::workflow<order>& w) {
#ifdef PAWL_OK
  w.step("add", [](pawl::step_context& c, const order& o) { return add(c, o, 5); }, {}, w.input());
#else
  w.step("add", add, {}, w.input(), 5);
#endif
}
