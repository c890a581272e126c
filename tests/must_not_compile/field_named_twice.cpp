// expect: names more than the members
#include <pawl/pawl.hpp>

struct order {
  std::string id;
  std::string card;
#ifdef PAWL_OK
  PAWL_FIELDS(id, card)
#else
  PAWL_FIELDS(id, card, id)
#endif
};

std::string write(const order& o) { return pawl::encode(o); }
