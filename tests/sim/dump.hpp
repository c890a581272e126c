// Everything that an instance holds, as text: two instances are the same state when their dumps are equal.
#pragma once

#include <string>

#include "workflow/instance.hpp"

namespace pawl::sim {

std::string dump(const engine::instance& i);
std::string dump(const engine::event& e);

}  // namespace pawl::sim
