// expect: values of this type cannot be stored
#include <pawl/pawl.hpp>

#ifdef PAWL_OK
using type = std::optional<int>;
#else
using type = std::optional<std::optional<int>>;
#endif

std::string write(const type& o) { return pawl::encode(o); }
