#include <pawl/run.hpp>

#include "examples/subscription/subscription_workflow.hpp"

int main(int argc, char** argv) {
  pawl::registry types;
  subscription::add_to(types);
  return pawl::run(argc, argv, types);
}
