#include <pawl/run.hpp>

#include "examples/census/census_workflow.hpp"

int main(int argc, char** argv) {
  pawl::registry types;
  census::add_to(types);
  return pawl::run(argc, argv, types);
}
