#include "broker/view_lag.hpp"

#include <string>
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
    awaited_ = behind_ = false;
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

void view_lag::wait(std::chrono::milliseconds most) {
  if (!behind_) return;
  std::unique_lock lock(mutex_);
  if (!behind_) return;
  awaited_ = true;
  const auto now = times_;
  const bool told = shown_.wait_for(lock, most, [&] { return times_ != now || !failure_.empty(); });
  if (!told)
    throw store::view_error("the view has not been written for " + std::to_string(most.count()) +
                            " ms; look at the disk of the data directory");
  if (times_ == now) throw store::view_error(failure_);
}

bool view_lag::may_begin(std::string_view workflow_id) const {
  if (!behind_) return false;
  const std::lock_guard lock(mutex_);
  return begun_.contains(store::hash_of(workflow_id));
}

}  // namespace pawl::broker
