#include "broker/view_lag.hpp"

#include <utility>

#include "store/recent_ids.hpp"
#include "store/view.hpp"

namespace pawl::broker {

void view_lag::behind(const store::record& r) {
  const std::lock_guard lock(mutex_);
  for (const auto& change : r.runs)
    if (change.created) begun_.insert(store::hash_of(change.created->workflow_id));
  behind_ = true;
}

void view_lag::even() {
  {
    const std::lock_guard lock(mutex_);
    ++times_;
    begun_.clear();
    failure_.clear();
    behind_ = false;
  }
  shown_.notify_all();
}

void view_lag::failed(std::string why) {
  {
    const std::lock_guard lock(mutex_);
    failure_ = std::move(why);
  }
  shown_.notify_all();
}

void view_lag::wait() {
  if (!behind_) return;
  std::unique_lock lock(mutex_);
  if (!behind_) return;
  const auto now = times_;
  shown_.wait(lock, [&] { return times_ != now || !failure_.empty(); });
  if (times_ == now) throw store::view_error(failure_);
}

bool view_lag::may_begin(std::string_view workflow_id) const {
  if (!behind_) return false;
  const std::lock_guard lock(mutex_);
  return begun_.contains(store::hash_of(workflow_id));
}

}  // namespace pawl::broker
