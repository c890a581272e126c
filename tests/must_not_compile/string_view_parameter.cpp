// expect: a parameter of a step is a string_view, span or pointer
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
hold reserve(pawl::step_context&, const std::string&);
#else
hold reserve(pawl::step_context&, std::string_view);
#endif

void wire(pawl::workflow<std::string>& w) { w.step("reserve", reserve, {}, w.input()); }
