// expect: first parameter of a step is pawl::step_context&
#include <pawl/pawl.hpp>

struct order {
  std::string id;
  PAWL_FIELDS(id)
};
struct hold {
  std::string id;
  PAWL_FIELDS(id)
};

#ifdef PAWL_OK
hold reserve(pawl::step_context&, const order&);
#else
hold reserve(const order&);
#endif

void wire(pawl::workflow<order>& w) { w.step("reserve", reserve, {}, w.input()); }
