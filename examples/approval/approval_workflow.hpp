// An approval that may wait days for a person: durable code with a signal, a reminder and a time limit.
#pragma once

#include <pawl/registry.hpp>

namespace approval {

/// Adds the type `approve-expense`.
void add_to(pawl::registry& types);

}  // namespace approval
