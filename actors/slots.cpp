#include "actors/slots.hpp"

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

slot_ledger::ticket slot_ledger::wait(const slot_ask& ask, grant_function grant) {
  slot granted;
  {
    const std::lock_guard lock(mutex_);
    if (!fits(ask)) {
      if (closed_) return 0;
      waiting_[ask].emplace(++last_ticket_, std::move(grant));
      return last_ticket_;
    }
    granted = take(ask);
  }
  grant(std::move(granted));
  return 0;
}

void slot_ledger::cancel(const slot_ask& ask, ticket t) {
  grant_function dropped;
  const std::lock_guard lock(mutex_);
  const auto line = waiting_.find(ask);
  if (line == waiting_.end()) return;
  if (auto node = line->second.extract(t)) dropped = std::move(node.mapped());
  if (line->second.empty()) waiting_.erase(line);
}

// Under the lock. The first in line whose kind is free: those ahead of it wait for their own step's limit or for a
// child.
bool slot_ledger::next_in_line(slot& granted, grant_function& grant) {
  auto first = waiting_.end();
  for (auto line = waiting_.begin(); line != waiting_.end(); ++line)
    if (fits(line->first) && (first == waiting_.end() || line->second.begin()->first < first->second.begin()->first))
      first = line;
  if (first == waiting_.end()) return false;
  granted = take(first->first);
  grant = std::move(first->second.begin()->second);
  first->second.erase(first->second.begin());
  if (first->second.empty()) waiting_.erase(first);
  return true;
}

void slot_ledger::give_back(const slot_ask& ask) noexcept {
  {
    const std::lock_guard lock(mutex_);
    --taken_;
    if (ask.in_child) --children_;
    if (ask.max_concurrent > 0) {
      const auto it = of_step_.find(ask.step);
      if (--it->second == 0) of_step_.erase(it);
    }
    // A grant that is dropped comes back here from within the loop below, which then goes on: no recursion, however
    // many in line are gone.
    if (std::exchange(granting_, true)) return;
  }
  for (;;) {
    slot granted;
    grant_function grant;
    {
      const std::lock_guard lock(mutex_);
      if (!next_in_line(granted, grant)) {
        granting_ = false;
        return;
      }
    }
    grant(std::move(granted));
  }
}

void slot_ledger::forget_waiting() {
  decltype(waiting_) dropped;
  const std::lock_guard lock(mutex_);
  dropped.swap(waiting_);
}

void slot_ledger::close() {
  decltype(waiting_) dropped;
  const std::lock_guard lock(mutex_);
  closed_ = true;
  dropped.swap(waiting_);
}

slot_stats slot_ledger::stats() const {
  const std::lock_guard lock(mutex_);
  std::size_t waiting = 0;
  for (const auto& line : waiting_) waiting += line.second.size();
  return {.capacity = capacity_, .taken = taken_, .children = children_, .waiting = waiting};
}

}  // namespace pawl::actors
