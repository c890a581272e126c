// expect: PAWL_FIELDS does not name every member
#include <pawl/pawl.hpp>

struct order {
  std::string id;
  std::string card;
};
#ifdef PAWL_OK
PAWL_FIELDS_OF(order, id, card)
#else
PAWL_FIELDS_OF(order, id)
#endif

const auto& d = pawl::descriptor_of<order>();
