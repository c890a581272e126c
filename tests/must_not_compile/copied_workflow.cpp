// expect: deleted constructor
#include <pawl/pawl.hpp>

struct order {
  std::string id;
  PAWL_FIELDS(id)
};
struct hold {
  std::string id;
  PAWL_FIELDS(id)
};

void take(pawl::workflow<order> w);

void wire(pawl::workflow<order>& w) {
#ifdef PAWL_OK
  take(std::move(w));
#else
  take(w);
#endif
}
