// expect: values of this type cannot be stored
#include <pawl/pawl.hpp>

struct inner {
  int a;
#ifdef PAWL_OK
  PAWL_FIELDS(a)
#endif
};
struct outer {
  inner i;
  PAWL_FIELDS(i)
};

std::string write(const outer& o) { return pawl::encode(o); }
