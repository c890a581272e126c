// expect: PAWL_FIELDS does not name every member
#include <pawl/pawl.hpp>

struct inner {
  std::vector<int> a;
  std::map<std::string, int> b;
#ifdef PAWL_OK
  PAWL_FIELDS(a, (b, {}))
#else
  PAWL_FIELDS((b, {}))
#endif
};

auto read(std::string_view b) { return pawl::decode<std::vector<inner>>(b); }
