// expect: last, const std::optional<R>& with R the result of the step
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
#ifdef PAWL_OK
void release(pawl::step_context&, const order&, const std::optional<hold>&);
#else
void release(pawl::step_context&, const order&);
#endif

void wire(pawl::workflow<order>& w) {
  auto h = w.step("reserve", reserve, {}, w.input());
  w.undo(h, release, w.input());
}
