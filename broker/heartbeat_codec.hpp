// The bytes of a heartbeat on `<ns>.nodes`; docs/cluster.md describes them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "broker/ownership.hpp"

namespace pawl::broker {

inline constexpr std::uint32_t heartbeat_format = 1;
/// Bytes of one; what a node says above it is cut: types first.
inline constexpr std::size_t largest_heartbeat = std::size_t{256} * 1024;

std::string encode(const heartbeat& h);
/// Never throws; false: not a heartbeat of this format, and `wrong` says why. Elements that are added at the end by a
/// later version are ignored.
bool decode(std::string_view bytes, heartbeat& out, std::string& wrong);

}  // namespace pawl::broker
