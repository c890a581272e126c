#pragma once

#include <string>
#include <vector>

#include <pawl/pawl.hpp>

namespace census {

struct survey {
  int households = 1000;
  int at_once = 200;  ///< so many are asked side by side
  PAWL_FIELDS((households, 1000), (at_once, 200))
};

struct household {
  int number = 0;
  PAWL_FIELDS(number)
};

struct counted {
  int households = 0;
  int people = 0;
  int nobody_home = 0;
  PAWL_FIELDS(households, people, nobody_home)
};

pawl::task<counted> take(pawl::workflow_context& wf, survey s);

void add_to(pawl::registry& types);

}  // namespace census
