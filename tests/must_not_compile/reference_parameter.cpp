// expect: non-const reference: what it changes would be lost
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
hold reserve(pawl::step_context&, order&);
#endif

void wire(pawl::workflow<order>& w) { w.step("reserve", reserve, {}, w.input()); }
