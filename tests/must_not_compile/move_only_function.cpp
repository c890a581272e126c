// expect: the function of a step is copied
#include <pawl/pawl.hpp>

#include <memory>

struct order {
  std::string id;
  PAWL_FIELDS(id)
};
struct hold {
  std::string id;
  PAWL_FIELDS(id)
};

void wire(pawl::workflow<order>& w) {
#ifdef PAWL_OK
  auto n = std::make_shared<int>(5);
#else
  auto n = std::make_unique<int>(5);
#endif
  w.step("count", [n = std::move(n)](pawl::step_context&, const order&) { return *n; }, {}, w.input());
}
