#include <pawl/run.hpp>

#include "examples/saga/saga_workflow.hpp"

int main(int argc, char** argv) {
  pawl::registry types;
  saga::add_to(types);
  return pawl::run(argc, argv, types);
}
