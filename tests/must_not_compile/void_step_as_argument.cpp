// expect: a void step has no value to hand over: put its handle into .after
#include <pawl/pawl.hpp>

struct order {
  std::string id;
  PAWL_FIELDS(id)
};
struct hold {
  std::string id;
  PAWL_FIELDS(id)
};

void mail(pawl::step_context&, const order&);
void ship(pawl::step_context&, const order&);

void wire(pawl::workflow<order>& w) {
  auto m = w.step("mail", mail, {}, w.input());
#ifdef PAWL_OK
  w.step("ship", ship, {.after = {m}}, w.input());
#else
  w.step("ship", ship, {}, w.input(), m);
#endif
}
