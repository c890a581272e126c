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

}  // namespace pawl::actors
