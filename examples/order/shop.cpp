// A node and its whole command line, for the order workflow: what a user's own program looks like.
#include "examples/order/order_workflow.hpp"

int main(int argc, char** argv) {
  pawl::registry types;
  shop::add_fulfil_order(types, shop::service_url_from_environment());
  return pawl::run(argc, argv, types);
}
