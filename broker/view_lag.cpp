#include "broker/view_lag.hpp"

#include <algorithm>

#include "store/recent_ids.hpp"
#include "store/view.hpp"

namespace pawl::broker {

std::uint64_t view_lag::behind(const store::record& r) {
  const std::lock_guard lock(mutex_);
  ++newest_;
  for (const auto& change : r.runs) {
    if (!change.created) continue;
    const auto hash = store::hash_of(change.created->workflow_id);
    begun_[hash] = newest_;
    order_.emplace_back(newest_, hash);
  }
  behind_ = true;
  return newest_;
}

// With the lock.
void view_lag::show(std::uint64_t upto) {
  upto_ = std::max(upto_, upto);
  for (; !order_.empty() && order_.front().first <= upto_; order_.pop_front())
    if (const auto b = begun_.find(order_.front().second); b != begun_.end() && b->second <= upto_) begun_.erase(b);
  if (upto_ >= awaited_upto_) awaited_ = false;
  behind_ = upto_ < newest_;
}

void view_lag::shows(std::uint64_t upto) {
  {
    const std::lock_guard lock(mutex_);
    show(upto);
  }
  shown_.notify_all();
}

void view_lag::even() {
  {
    const std::lock_guard lock(mutex_);
    failure_.clear();
    show(newest_);
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
  const auto wanted = newest_;
  awaited_upto_ = wanted;
  awaited_ = true;
  lock.unlock();
  hurry_();
  lock.lock();
  const bool told = shown_.wait_for(lock, most, [&] { return upto_ >= wanted || !failure_.empty(); });
  if (!told)
    throw store::view_error("the view has not been written for " + std::to_string(most.count()) +
                            " ms; look at the disk of the data directory");
  if (upto_ < wanted) throw store::view_error(failure_);
}

bool view_lag::may_begin(std::string_view workflow_id) const {
  if (!behind_) return false;
  const std::lock_guard lock(mutex_);
  return begun_.contains(store::hash_of(workflow_id));
}

}  // namespace pawl::broker
