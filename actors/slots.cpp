#include "actors/slots.hpp"

#include <algorithm>

namespace pawl::actors {

void slot::release() noexcept {
  if (auto* l = std::exchange(ledger_, nullptr)) l->give_back(ask_);
}

bool slot_ledger::fits(const slot_ask& ask) const {
  if (closed_ || taken_ >= capacity_ || (ask.in_child && children_ >= child_capacity_)) return false;
  if (ask.max_concurrent == 0) return true;
  const auto it = of_step_.find(ask.step);
  return it == of_step_.end() || it->second < ask.max_concurrent;
}

slot slot_ledger::take(const slot_ask& ask) {
  ++taken_;
  if (ask.in_child) ++children_;
  if (ask.max_concurrent > 0) ++of_step_[ask.step];
  return {this, ask};
}

slot slot_ledger::try_take(const slot_ask& ask) {
  const std::lock_guard lock(mutex_);
  return fits(ask) ? take(ask) : slot{};
}

void slot_ledger::wait(const slot_ask& ask, grant_function grant) {
  slot granted;
  {
    const std::lock_guard lock(mutex_);
    if (!fits(ask)) {
      if (!closed_) waiting_.push_back({ask, std::move(grant)});
      return;
    }
    granted = take(ask);
  }
  grant(std::move(granted));
}

void slot_ledger::give_back(const slot_ask& ask) noexcept {
  grant_function grant;
  slot granted;
  {
    const std::lock_guard lock(mutex_);
    --taken_;
    if (ask.in_child) --children_;
    if (ask.max_concurrent > 0) {
      const auto it = of_step_.find(ask.step);
      if (--it->second == 0) of_step_.erase(it);
    }
    // The first in line whose kind is free: those ahead of it wait for their own step's limit or for a child.
    const auto next = std::find_if(waiting_.begin(), waiting_.end(), [&](const waiter& w) { return fits(w.ask); });
    if (next == waiting_.end()) return;
    granted = take(next->ask);
    grant = std::move(next->grant);
    waiting_.erase(next);
  }
  grant(std::move(granted));
}

void slot_ledger::forget_waiting() {
  std::deque<waiter> dropped;
  const std::lock_guard lock(mutex_);
  dropped.swap(waiting_);
}

void slot_ledger::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  waiting_.clear();
}

slot_stats slot_ledger::stats() const {
  const std::lock_guard lock(mutex_);
  return {.capacity = capacity_, .taken = taken_, .children = children_, .waiting = waiting_.size()};
}

}  // namespace pawl::actors
