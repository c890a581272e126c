// expect: cannot be called with pawl::step_context& and the values of these handles
#include <pawl/pawl.hpp>

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
  w.step("name", [](auto&, const auto& o) { return o.id; }, {}, w.input());
#else
  w.step("name", [](auto&, const auto& o, const auto&) { return o.id; }, {}, w.input());
#endif
}
