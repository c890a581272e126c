#pragma once

#include <cstdint>
#include <string>

namespace pawl::node {

/// 128 bits of the kernel's randomness in 32 hex digits: for ids that nobody else may draw. Any thread.
std::string random_id();
/// 64 of them; never 0.
std::uint64_t random_number();

}  // namespace pawl::node
