// expect: is_same_v<int, double>.*another type than the handle
#include <pawl/pawl.hpp>

struct order {
  std::string id;
  PAWL_FIELDS(id)
};
struct hold {
  std::string id;
  PAWL_FIELDS(id)
};

double price(pawl::step_context&, const order&);
#ifdef PAWL_OK
void charge(pawl::step_context&, double);
#else
void charge(pawl::step_context&, int);
#endif

void wire(pawl::workflow<order>& w) {
  auto p = w.step("price", price, {}, w.input());
  w.step("charge", charge, {}, p);
}
