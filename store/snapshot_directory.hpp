// A snapshot_store in a directory of a file system, which the nodes share (a network mount; on one machine any path).
//
//     written to <name>.<random>.part --> synced --> read back and compared --> renamed to <name> --> directory synced
#pragma once

#include <memory>
#include <string>

#include "store/snapshot_store.hpp"

namespace pawl::store {

/// Makes the directory where it is missing. Throws store_error where it cannot be written.
std::unique_ptr<snapshot_store> open_snapshot_directory(const std::string& path);

}  // namespace pawl::store
