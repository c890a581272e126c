#include "broker/outbox.hpp"

#include <algorithm>

namespace pawl::broker {

std::optional<outbox_lane::sending> outbox_lane::next(std::size_t window) {
  if (!may_send() || sent_.size() >= window) return std::nullopt;
  const sending s{next_++, round_};
  sent_[s.number] = {.round = s.round};
  return s;
}

void outbox_lane::acknowledged(const sending& s) {
  const auto it = sent_.find(s.number);
  // Of a send before the one that counts: that one's own answer comes.
  if (it == sent_.end() || it->second.round != s.round) return;
  it->second.acknowledged = true;
  if (!rules_.whole_prefix) acknowledged_below_ = std::max(acknowledged_below_, s.number + 1);
  while (!sent_.empty() && sent_.begin()->second.acknowledged) {
    acknowledged_below_ = std::max(acknowledged_below_, sent_.begin()->first + 1);
    sent_.erase(sent_.begin());
  }
}

void outbox_lane::failed(const sending& s) {
  const auto it = sent_.find(s.number);
  if (it == sent_.end() || it->second.round != s.round) return;
  ++round_;
  if (!rules_.all_behind) {
    // Only this one: what follows it stays as it is.
    it->second = {.round = round_};
    sent_.erase(it);
    if (s.number + 1 == next_) next_ = s.number;
    return;
  }
  sent_.erase(it, sent_.end());
  next_ = s.number;
}

void outbox_lane::all_failed() {
  ++round_;
  sent_.clear();
  next_ = acknowledged_below_;
}

// A number that was given twice: the journal of the sender has lost its tail, and with it what the first was about.
inbox::verdict inbox::among_applied(const store::receive_state& s, std::uint64_t number,
                                    const engine::reign& reign) const {
  for (const auto& t : s.stretches)
    if (number >= t.first && number <= t.last)
      return t.reign == reign || !rules_.reign ? verdict::repeat : verdict::diverged;
  return verdict::repeat;
}

inbox::verdict inbox::judge(std::int32_t from, std::uint64_t number, const engine::reign& reign) {
  using state = store::receive_mark::state;
  auto& s = states_[from];
  s.from = from;
  const auto last = s.number();
  if (s.what == state::diverged)
    return number <= last && among_applied(s, number, reign) == verdict::repeat ? verdict::repeat : verdict::diverged;
  if (s.what == state::in_order && number <= last && rules_.once) {
    const auto v = among_applied(s, number, reign);
    if (v == verdict::diverged) s.what = state::diverged;
    return v;
  }
  if (s.what == state::in_order && number > last + 1 && rules_.next_only) return verdict::early;
  s.fold({.from = from, .number = number, .reign = reign});
  return verdict::apply;
}

void inbox::resync(std::int32_t from) {
  states_[from].from = from;
  states_[from].fold({.from = from, .what = store::receive_mark::state::any});
}

store::receive_mark inbox::mark(std::int32_t from) const {
  const auto it = states_.find(from);
  if (it == states_.end()) return {.from = from};
  const auto& s = it->second;
  return {.from = from,
          .number = s.number(),
          .reign = s.stretches.empty() ? engine::reign{} : s.stretches.back().reign,
          .what = s.what};
}

}  // namespace pawl::broker
