// expect: the undo of a void step takes
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
#ifdef PAWL_OK
void unmail(pawl::step_context&, const order&);
#else
void unmail(pawl::step_context&, const order&, const std::optional<int>&);
#endif

void wire(pawl::workflow<order>& w) {
  auto m = w.step("mail", mail, {}, w.input());
  w.undo(m, unmail, w.input());
}
