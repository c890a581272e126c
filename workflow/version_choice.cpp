#include "workflow/version_choice.hpp"

#include <algorithm>
#include <charconv>
#include <tuple>
#include <utility>

namespace pawl::engine {

bool is_newer(const type_mark& a, const type_mark& b) {
  return std::tie(a.revision, a.at, a.by) > std::tie(b.revision, b.at, b.by);
}

bool fold(type_marks& all, type_mark m) {
  const auto it = all.find(m.type);
  if (it == all.end()) {
    auto type = m.type;
    all.emplace(std::move(type), std::move(m));
    return true;
  }
  if (!is_newer(m, it->second)) return false;
  it->second = std::move(m);
  return true;
}

runnable_types runnable_from(const std::vector<std::string>& entries) {
  runnable_types out;
  for (const auto& e : entries) {
    const auto slash = e.rfind('/');
    if (slash == std::string::npos || slash == 0) continue;
    std::uint32_t version = 0;
    const auto* end = e.data() + e.size();
    const auto read = std::from_chars(e.data() + slash + 1, end, version);
    if (read.ec != std::errc{} || read.ptr != end || version == 0) continue;
    out[e.substr(0, slash)].push_back(version);
  }
  for (auto& [type, versions] : out) std::sort(versions.begin(), versions.end());
  return out;
}

std::uint32_t common_version(const std::vector<const runnable_types*>& nodes, std::string_view type) {
  std::vector<std::uint32_t> common;
  bool first = true;
  for (const auto* node : nodes) {
    const auto it = node->find(type);
    if (it == node->end()) continue;
    if (std::exchange(first, false)) {
      common = it->second;
      continue;
    }
    std::erase_if(common,
                  [&](std::uint32_t v) { return !std::binary_search(it->second.begin(), it->second.end(), v); });
  }
  return common.empty() ? 0 : common.back();
}

std::string_view to_text(version_reason r) {
  switch (r) {
    case version_reason::none:
      return "none";
    case version_reason::marked:
      return "marked";
    case version_reason::common:
      return "common";
    case version_reason::local:
      return "local";
  }
  return "none";
}

version_choice choose_version(std::uint32_t marked, std::uint32_t common, std::uint32_t own) {
  if (marked != 0) return {marked, version_reason::marked};
  if (common != 0) return {common, version_reason::common};
  if (own != 0) return {own, version_reason::local};
  return {};
}

}  // namespace pawl::engine
