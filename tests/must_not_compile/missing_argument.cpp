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

int charge(pawl::step_context&, const order&, const hold&);
hold reserve(pawl::step_context&, const order&);

void wire(pawl::workflow<order>& w) {
  auto h = w.step("reserve", reserve, {}, w.input());
#ifdef PAWL_OK
  w.step("charge", charge, {}, w.input(), h);
#else
  w.step("charge", charge, {}, w.input());
#endif
  (void)h;
}
