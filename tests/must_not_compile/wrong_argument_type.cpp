// expect: another type than the handle wired to it
#include <pawl/pawl.hpp>

struct order {
  std::string id;
  PAWL_FIELDS(id)
};
struct hold {
  std::string id;
  PAWL_FIELDS(id)
};

hold reserve(pawl::step_context&, const order&);
int charge(pawl::step_context&, const order&, const hold&);

void wire(pawl::workflow<order>& w) {
  auto h = w.step("reserve", reserve, {}, w.input());
#ifdef PAWL_OK
  w.step("charge", charge, {}, w.input(), h);
#else
  w.step("charge", charge, {}, h, w.input());
#endif
}
