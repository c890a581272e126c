// expect: one handle for each parameter
#include <pawl/pawl.hpp>

struct order {
  std::string id;
  PAWL_FIELDS(id)
};
struct hold {
  std::string id;
  PAWL_FIELDS(id)
};

void ping(pawl::step_context&);

void wire(pawl::workflow<order>& w) {
#ifdef PAWL_OK
  w.step("ping", ping, {});
#else
  w.step("ping", ping, {}, w.input());
#endif
}
