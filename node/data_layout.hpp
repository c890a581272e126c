// Where the files of a node are in its data directory: `pawl.db` of a node without a broker, or `pN/pawl.db`, the view
// of partition N of a namespace on Kafka.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace pawl::node {

/// "<data_dir>/p3".
std::string partition_directory(const std::string& data_dir, std::int32_t partition);

/// Those that hold a view, by number. Empty as well when the directory cannot be read.
std::vector<std::pair<std::int32_t, std::string>> partition_directories(const std::string& data_dir);

}  // namespace pawl::node
