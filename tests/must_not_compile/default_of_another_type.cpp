// expect: no viable conversion|cannot initialize
#include <pawl/pawl.hpp>

struct order {
  std::string id;
  int count = 0;
#ifdef PAWL_OK
  PAWL_FIELDS(id, (count, 1))
#else
  PAWL_FIELDS(id, (count, "one"))
#endif
};

std::string write(const order& o) { return pawl::encode(o); }
