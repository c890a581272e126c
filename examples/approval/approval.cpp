#include <pawl/run.hpp>

#include "examples/approval/approval_workflow.hpp"

int main(int argc, char** argv) {
  pawl::registry types;
  approval::add_to(types);
  return pawl::run(argc, argv, types);
}
