// expect: a member function is no step
#include <pawl/pawl.hpp>

struct order {
  std::string id;
  PAWL_FIELDS(id)
};
struct hold {
  std::string id;
  PAWL_FIELDS(id)
};

struct service {
  hold reserve(pawl::step_context&, const order&) const;
};

void wire(pawl::workflow<order>& w, const service& s) {
#ifdef PAWL_OK
  w.step("reserve", [&s](pawl::step_context& c, const order& o) { return s.reserve(c, o); }, {}, w.input());
#else
  w.step("reserve", &service::reserve, {}, w.input());
#endif
}
