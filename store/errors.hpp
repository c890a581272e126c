// What goes wrong with a store before it is open.
#pragma once

#include <stdexcept>

namespace pawl::store {

/// Thrown where a data directory or its database cannot be used. The text names the file, says what happened and what
/// to do about it.
class store_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace pawl::store
