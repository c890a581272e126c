// expect: a parameter of a step is a string_view, span or pointer
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
hold reserve(pawl::step_context&, const order*);
#endif

void wire(pawl::workflow<order>& w) { w.step("reserve", reserve, {}, w.input()); }
