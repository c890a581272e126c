// expect: values of this type cannot be stored
#include <pawl/pawl.hpp>

#ifdef PAWL_OK
using type = std::chrono::milliseconds;
#else
using type = std::chrono::microseconds;
#endif

std::string write(const type& o) { return pawl::encode(o); }
