// expect: a base class counts as a member
#include <pawl/pawl.hpp>

struct base {
  int a;
  PAWL_FIELDS(a)
};
#ifdef PAWL_OK
struct derived {
  base b;
  int c;
  PAWL_FIELDS(b, c)
};
#else
struct derived : base {
  int c;
  PAWL_FIELDS(c)
};
#endif

std::string write(const derived& d) { return pawl::encode(d); }
