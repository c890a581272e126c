// expect: the result of a step must be storable: give the struct PAWL_FIELDS
#include <pawl/pawl.hpp>

struct order {
  std::string id;
  PAWL_FIELDS(id)
};
struct hold {
  std::string id;
  PAWL_FIELDS(id)
};

struct plain {
  int a;
#ifdef PAWL_OK
  PAWL_FIELDS(a)
#endif
};
plain make(pawl::step_context&, const order&);

void wire(pawl::workflow<order>& w) { w.step("make", make, {}, w.input()); }
