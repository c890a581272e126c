// expect: is_same_v<hold, std::optional<hold>>
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
void release(pawl::step_context&, const order&, const hold&);
#endif

void wire(pawl::workflow<order>& w) {
  auto h = w.step("reserve", reserve, {}, w.input());
  w.undo(h, release, w.input());
}
