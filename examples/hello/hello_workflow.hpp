// The smallest workflow: one step, which greets.
#pragma once

#include <pawl/pawl.hpp>

#include <string>

namespace hello {

struct person {
  std::string name;
  PAWL_FIELDS(name)
};

inline std::string greet(pawl::step_context&, const person& p) { return "Hello, " + p.name + "!"; }

inline pawl::workflow<person> workflow() {
  pawl::workflow<person> w("hello");
  w.returns(w.step("greet", greet, w.input()));
  return w;
}

}  // namespace hello
