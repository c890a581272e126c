#include "actors/node_context.hpp"

namespace pawl::actors {

view_pool::lease view_pool::borrow() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      auto v = std::move(idle_.back());
      idle_.pop_back();
      return {*this, std::move(v)};
    }
  }
  return {*this, open_()};
}

void view_pool::give_back(std::unique_ptr<store::view> v) {
  const std::lock_guard lock(mutex_);
  if (v && idle_.size() < kept) idle_.push_back(std::move(v));
}

store::run_row newest_life(store::view& view, store::run_row row) {
  while (row.summary.phase == engine::phase::continued) {
    auto next = view.find(row.header.workflow_id, row.header.run + 1);
    if (!next) break;
    row = std::move(*next);
  }
  return row;
}

std::optional<store::run_row> started_before(store::view& view, std::string_view workflow_id,
                                             std::string_view command_id, std::uint32_t below) {
  constexpr std::uint32_t looked_at = 100;
  if (command_id.empty()) return std::nullopt;
  const auto lowest = below > looked_at ? below - looked_at : 1;
  for (auto run = below; run-- > lowest;)
    if (auto row = view.find(workflow_id, run); row && row->header.start_command == command_id) return row;
  return std::nullopt;
}

}  // namespace pawl::actors
