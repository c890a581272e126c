#include "broker/trim_plan.hpp"

#include <algorithm>

namespace pawl::broker {

std::string_view text(trim_bound b) {
  switch (b) {
    case trim_bound::snapshots:
      return "too few snapshots";
    case trim_bound::snapshot:
      return "the oldest snapshot";
    case trim_bound::feed:
      return "the feed";
    case trim_bound::standby:
      return "a standby";
  }
  return "?";
}

trim_plan plan_trim(const trim_inputs& in) {
  trim_plan out;
  if (in.kept.empty() || in.kept.size() < in.to_keep) return out;
  const auto limit = [&](std::int64_t offset, trim_bound by) {
    if (offset >= out.journal_below) return;
    out.journal_below = std::max<std::int64_t>(offset, 0);
    out.bound = by;
  };
  out = {.journal_below = INT64_MAX, .commands_below = INT64_MAX, .bound = trim_bound::snapshot};
  for (const auto& p : in.kept) {
    limit(p.at.offset, trim_bound::snapshot);
    out.commands_below = std::min(out.commands_below, std::max<std::int64_t>(p.commands, 0));
  }
  if (in.feed)
    for (const auto& p : in.kept) limit(p.feed.offset, trim_bound::feed);
  for (const auto position : in.standbys)
    if (in.end - position <= in.standby_limit) limit(position - 1, trim_bound::standby);
  return out;
}

std::vector<std::int64_t> views_of(const ownership_fold& fold, std::int32_t partition) {
  std::vector<std::int64_t> out;
  for (const auto& [id, node] : fold.nodes()) {
    const auto n = static_cast<std::size_t>(partition);
    if (!node.live || n >= node.partitions.size()) continue;
    const auto& p = node.partitions[n];
    if (p.role && *p.role != partition_role::diverged) out.push_back(p.position);
  }
  return out;
}

}  // namespace pawl::broker
