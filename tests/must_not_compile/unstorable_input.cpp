// expect: the input of a workflow must be storable
#include <pawl/pawl.hpp>

struct plain {
  int a;
#ifdef PAWL_OK
  PAWL_FIELDS(a)
#endif
};

void wire() { pawl::workflow<plain> w("plain"); }
