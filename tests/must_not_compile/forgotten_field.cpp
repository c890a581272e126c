// expect: PAWL_FIELDS does not name every member
#include <pawl/pawl.hpp>

struct order {
  std::string id;
  std::optional<double> total;
#ifdef PAWL_OK
  PAWL_FIELDS(id, total)
#else
  PAWL_FIELDS(id)
#endif
};

std::string write(const order& o) { return pawl::encode(o); }
