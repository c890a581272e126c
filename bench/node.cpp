// A node for what is measured on a cluster (bench/hand_over.py): the whole of pawl with two types of workflows.
//
//     chain     three trivial steps, as in closed_loop.hpp
//     parked    a step that asks to be tried again in an hour: its run stays open, and costs nothing
#include <pawl/pawl.hpp>

#include "bench/closed_loop.hpp"

namespace {

using namespace std::chrono_literals;

pawl::workflow<std::string> parked() {
  pawl::workflow<std::string> g{"parked", {}};
  g.step(
      "wait",
      [](pawl::step_context&, const std::string&) { throw pawl::step_error("not before an hour", "later", 1h); }, {},
      g.input());
  return g;
}

}  // namespace

int main(int argc, char** argv) {
  pawl::registry types;
  types.add(bench::chain(3));
  types.add(parked());
  return pawl::run(argc, argv, types);
}
