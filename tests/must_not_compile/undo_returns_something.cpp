// expect: an undo returns nothing
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
void release(pawl::step_context&, const std::optional<hold>&);
#else
bool release(pawl::step_context&, const std::optional<hold>&);
#endif

void wire(pawl::workflow<order>& w) {
  auto h = w.step("reserve", reserve, {}, w.input());
  w.undo(h, release);
}
