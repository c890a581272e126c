// expect: values of this type cannot be stored
#include <pawl/pawl.hpp>

struct order {
#ifdef PAWL_OK
  std::string id;
#else
  const char* id;
#endif
  PAWL_FIELDS(id)
};

std::string write(const order& o) { return pawl::encode(o); }
