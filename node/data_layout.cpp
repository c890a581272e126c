#include "node/data_layout.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "store/data_directory.hpp"

namespace pawl::node {

std::string partition_directory(const std::string& data_dir, std::int32_t partition) {
  return data_dir + "/p" + std::to_string(partition);
}

std::vector<std::pair<std::int32_t, std::string>> partition_directories(const std::string& data_dir) {
  std::vector<std::pair<std::int32_t, std::string>> out;
  std::error_code wrong;
  for (const auto& entry : std::filesystem::directory_iterator(data_dir, wrong)) {
    const auto name = entry.path().filename().string();
    std::int32_t number = 0;
    if (name.size() < 2 || name[0] != 'p') continue;
    const auto* end = name.data() + name.size();
    const auto read = std::from_chars(name.data() + 1, end, number);
    if (read.ec != std::errc() || read.ptr != end || number < 0) continue;
    if (std::filesystem::exists(store::database_file(entry.path().string()), wrong))
      out.emplace_back(number, entry.path().string());
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace pawl::node
