#include "tests/broker/simulated_outbox.hpp"

#include <algorithm>

namespace pawl::broker::simulated {

void outbox_fold::take(const outbox_batch& b) {
  position = b.position;
  for (const auto& [to, m] : b.caused) {
    given[to] = m.number + 1;
    messages[{to, m.number}] = m;
  }
  for (const auto& a : b.acknowledged) {
    below[a.to] = a.below;
    messages.erase(messages.lower_bound({a.to, 0}), messages.lower_bound({a.to, a.below}));
  }
  for (const auto& m : b.received) {
    received[m.from].from = m.from;
    received[m.from].fold(m);
  }
}

outbox_leader::outbox_leader(outbox_world& world, std::int32_t partition, engine::reign reign, const outbox_fold& known)
    : world_(&world),
      partition_(partition),
      reign_(reign),
      outbox_(known.messages),
      inbox_(world.rules.outbox),
      read_(known.position),
      position_(known.position) {
  const auto at = [](const auto& map, std::int32_t q) {
    const auto it = map.find(q);
    return it == map.end() ? std::uint64_t{0} : it->second;
  };
  for (std::int32_t q = 0; q < world.partitions(); ++q) {
    const auto next = std::max<std::uint64_t>(1, at(known.given, q));
    const auto below = std::max<std::uint64_t>(1, at(known.below, q));
    lanes_.emplace(q, outbox_lane(next, std::min(next, below), world.rules.outbox));
    journaled_acks_[q] = at(known.below, q);
  }
  for (const auto& [q, r] : known.received) inbox_.restore(r);
}

void outbox_leader::read() {
  const auto& commands = world_->topics[static_cast<std::size_t>(partition_)];
  if (read_ >= commands.size()) return;
  const auto& m = commands[read_];
  if (!m.message) {
    to_forward_[read_] = m;
  } else {
    switch (inbox_.judge(m.message->from, m.message->number, m.message->reign)) {
      case inbox::verdict::apply:
        to_apply_[read_] = *m.message;
        marks_[read_] = inbox_.mark(m.message->from);
        break;
      case inbox::verdict::repeat:
        ++world_->totals.repeats;
        break;
      case inbox::verdict::early:
        ++world_->totals.early;
        break;
      case inbox::verdict::diverged:
        ++world_->totals.diverged;
        marks_[read_] = inbox_.mark(m.message->from);
    }
  }
  ++read_;
}

outbox_batch outbox_leader::decide(bool healing) {
  outbox_batch b;
  b.position = position_ + (read_ > position_ ? world_->pick(read_ - position_ + 1) : 0);
  for (std::size_t o = position_; o < b.position; ++o) {
    if (const auto it = to_apply_.find(o); it != to_apply_.end()) b.applied.push_back(it->second);
    const auto f = to_forward_.find(o);
    if (f == to_forward_.end()) continue;
    cause(b, f->second.belongs_to, f->second.what);
  }
  if (!healing && world_->chance(0.2)) {
    const auto to = static_cast<std::int32_t>(world_->pick(world_->topics.size()));
    if (to != partition_) cause(b, to, decided + ++world_->decisions);
  }
  for (const auto& [offset, m] : marks_)
    if (!world_->rules.marks_with_position || (offset >= position_ && offset < b.position)) b.received.push_back(m);
  for (auto& [q, lane] : lanes_)
    if (lane.acknowledged_below() > journaled_acks_[q]) b.acknowledged.push_back({q, lane.acknowledged_below()});
  // Not yet: a sender that did not wait would send now what may be lost.
  if (!world_->rules.outbox.durable_first) send(false);
  return b;
}

bool outbox_leader::has_something_to_say() const {
  return read_ > position_ || std::any_of(lanes_.begin(), lanes_.end(), [&](const auto& lane) {
           return lane.second.acknowledged_below() > std::max<std::uint64_t>(1, journaled_acks_.at(lane.first));
         });
}

void outbox_leader::committed(const outbox_batch& b) {
  world_->totals.applied += b.applied.size();
  for (auto& [q, lane] : lanes_) lane.committed();
  for (const auto& a : b.acknowledged) journaled_acks_[a.to] = a.below;
  position_ = b.position;
}

void outbox_leader::cause(outbox_batch& b, std::int32_t to, content what) {
  const packet m{.from = partition_, .number = lanes_.at(to).give(), .reign = reign_, .what = what};
  b.caused.emplace_back(to, m);
  outbox_[{to, m.number}] = m;
}

void outbox_leader::send(bool is_zombie) {
  for (auto& [q, lane] : lanes_) {
    if (world_->chance(0.4)) continue;
    while (const auto s = lane.next(4)) {
      wire_.push_back({q, outbox_.at({q, s->number}), *s});
      world_->totals.zombie_sends += is_zombie ? 1 : 0;
      if (world_->chance(0.3)) break;
    }
  }
}

void outbox_leader::network(bool healing) {
  if (!answers_.empty() && (wire_.empty() || world_->chance(0.5))) {
    const auto at = answers_.begin() + static_cast<std::ptrdiff_t>(world_->pick(answers_.size()));
    auto& lane = lanes_.at(at->first.to);
    at->second ? lane.acknowledged(at->first.sending) : lane.failed(at->first.sending);
    answers_.erase(at);
    return;
  }
  if (wire_.empty()) return;
  const auto w = wire_.front();
  wire_.pop_front();
  auto& log = world_->topics[static_cast<std::size_t>(w.to)];
  const double fate = healing ? 1 : std::uniform_real_distribution<>(0, 1)(world_->random);
  const bool there = fate >= 0.12;
  world_->totals.lost_sends += there ? 0 : 1;
  world_->totals.lost_acks += there && fate < 0.2 ? 1 : 0;
  if (there) log.push_back({.message = w.what});
  if (fate >= 0.2 && fate < 0.25) {
    ++world_->totals.duplicates;
    log.push_back({.message = w.what});
  }
  answers_.emplace_back(w, fate >= 0.2);
}

bool outbox_leader::quiet() const {
  return nothing_under_way() && position_ >= world_->topics[static_cast<std::size_t>(partition_)].size() &&
         std::all_of(lanes_.begin(), lanes_.end(), [](const auto& lane) { return lane.second.waiting() == 0; });
}

// ---- what must hold in the end

namespace {

using by_number = std::map<std::uint64_t, content>;
using by_pair = std::map<std::pair<std::int32_t, std::int32_t>, by_number>;

std::string name(std::pair<std::int32_t, std::int32_t> pair, std::uint64_t number) {
  return "message " + std::to_string(number) + " of " + std::to_string(pair.first) + " to " +
         std::to_string(pair.second);
}

// Whole, and in the order in which it was sent.
std::string check_order(std::pair<std::int32_t, std::int32_t> pair, const std::vector<packet>& order) {
  content last = 0;
  for (std::size_t k = 0; k < order.size(); ++k) {
    const auto& m = order[k];
    if (m.number != k + 1) return name(pair, m.number) + " is applied out of order";
    if (m.what >= decided) continue;
    if (m.what < last) return "command " + std::to_string(m.what) + " is overtaken";
    last = m.what;
  }
  return {};
}

std::string check_pair(std::pair<std::int32_t, std::int32_t> pair, const by_number& caused, const by_number& applied) {
  for (const auto& [number, what] : caused) {
    const auto it = applied.find(number);
    if (it == applied.end()) return name(pair, number) + " is never applied";
    if (it->second != what) return name(pair, number) + " is not what was sent";
  }
  return {};
}

// Each that came to a wrong partition was applied on its own.
std::string check_commands(const by_pair& applied, content commands) {
  std::map<content, int> times;
  for (const auto& [pair, numbers] : applied)
    for (const auto& [number, what] : numbers) ++times[what];
  for (content c = 1; c <= commands; ++c)
    if (times[c] != 1) return "command " + std::to_string(c) + " is applied " + std::to_string(times[c]) + " times";
  return {};
}

}  // namespace

std::string check_outbox(const std::vector<std::vector<outbox_batch>>& batches,
                         const std::map<std::pair<std::int32_t, std::int32_t>, bool>& ended, bool tails,
                         content commands) {
  by_pair caused, applied;
  std::map<std::pair<std::int32_t, std::int32_t>, std::vector<packet>> order;
  const auto partitions = static_cast<std::int32_t>(batches.size());
  for (std::int32_t p = 0; p < partitions; ++p)
    for (const auto& b : batches[static_cast<std::size_t>(p)]) {
      for (const auto& [to, m] : b.caused) caused[{p, to}][m.number] = m.what;
      for (const auto& m : b.applied) {
        if (!applied[{m.from, p}].emplace(m.number, m.what).second)
          return name({m.from, p}, m.number) + " is applied twice";
        order[{m.from, p}].push_back(m);
      }
    }
  for (std::int32_t p = 0; p < partitions; ++p)
    for (std::int32_t q = 0; q < partitions; ++q) {
      const auto pair = std::pair{p, q};
      if (const auto it = ended.find(pair); it != ended.end() && it->second) {
        if (!tails)
          return "the pair " + std::to_string(p) + " to " + std::to_string(q) + " ended, and nothing was lost";
        continue;
      }
      if (auto wrong = check_pair(pair, caused[pair], applied[pair]); !wrong.empty()) return wrong;
      if (tails) continue;
      if (applied[pair].size() != caused[pair].size()) return "more is applied than was sent";
      if (auto wrong = check_order(pair, order[pair]); !wrong.empty()) return wrong;
    }
  return tails ? std::string() : check_commands(applied, commands);
}

}  // namespace pawl::broker::simulated
