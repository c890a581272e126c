// expect: a struct with PAWL_FIELDS is an aggregate
#include <pawl/pawl.hpp>

struct order {
#ifndef PAWL_OK
  order() {}
#endif
  std::string id;
  PAWL_FIELDS(id)
};

std::string write(const order& o) { return pawl::encode(o); }
