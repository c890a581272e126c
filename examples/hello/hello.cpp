#include "examples/hello/hello_workflow.hpp"

int main(int argc, char** argv) {
  pawl::registry types;
  types.add(hello::workflow());
  return pawl::run(argc, argv, types);  // this binary is now a node and its whole command line
}
