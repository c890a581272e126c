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
int sum(pawl::step_context&, std::vector<int>);
#else
int sum(pawl::step_context&, std::span<const int>);
#endif

void wire(pawl::workflow<std::vector<int>>& w) { w.step("sum", sum, {}, w.input()); }
