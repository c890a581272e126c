#pragma once

#include <string>

namespace pawl::node {

/// 128 bits of the kernel's randomness in 32 hex digits: for ids that nobody else may draw. Any thread.
std::string random_id();

}  // namespace pawl::node
