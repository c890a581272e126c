// expect: a step returns a reference, view or pointer
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
std::string name(pawl::step_context&, const order&);
#else
std::string_view name(pawl::step_context&, const order&);
#endif

void wire(pawl::workflow<order>& w) { w.step("name", name, {}, w.input()); }
