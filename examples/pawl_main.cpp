// The stock binary: a node and its command line, with every example registered.
#if defined(__clang__)  // durable code: see pawl/task.hpp
#include "examples/approval/approval_workflow.hpp"
#include "examples/census/census_workflow.hpp"
#include "examples/saga/saga_workflow.hpp"
#include "examples/subscription/subscription_workflow.hpp"
#endif
#include "examples/hello/hello_workflow.hpp"
#include "examples/order/order_workflow.hpp"

int main(int argc, char** argv) {
  pawl::registry types;
  types.add(hello::workflow());
#if defined(__clang__)
  approval::add_to(types);
  census::add_to(types);
  saga::add_to(types);
  subscription::add_to(types);
#endif
  shop::add_fulfil_order(types, shop::service_url_from_environment());
  return pawl::run(argc, argv, types);
}
