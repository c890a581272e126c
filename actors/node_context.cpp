#include "actors/node_context.hpp"

namespace pawl::actors {

view_pool::lease view_pool::borrow() {
  if (ready_) ready_();
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

engine::version_choice node_context::choose(std::string_view type) const {
  const auto latest = types.latest(type);
  return engine::choose_version(marks.version(type), shared.fleet.common(type), latest ? latest->options.version : 0);
}

std::optional<engine::child_type> node_context::find_child_type(std::string_view type, std::uint32_t version) const {
  const auto of = [&](std::uint32_t v) -> std::optional<engine::child_type> {
    if (const auto found = types.find(type, v))
      return engine::child_type{.version = v, .digest = found->digest, .code = found->as_code() != nullptr};
    return shared.fleet.definition(type, v);
  };
  if (version != 0) return of(version);
  if (auto found = of(choose(type).version)) return found;
  if (auto found = of(shared.fleet.common(type))) return found;
  const auto latest = types.latest(type);
  return latest ? of(latest->options.version) : std::nullopt;
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
