#include "tests/broker/simulated_nodes.hpp"

#include <algorithm>
#include <tuple>

namespace pawl::broker::simulated {

node_world::node_world(std::uint64_t seed, shape s, ownership_rules rules, node_totals& t)
    : random_(seed),
      nodes_(s.nodes),
      partitions_(s.partitions),
      nodes_totals_(t),
      prefix_(std::to_string(seed) + "-"),
      shape_(s),
      rules_(rules),
      truth_(settings(), 0, rules),
      current_(s.nodes),
      restart_at_(s.nodes, -1) {}

ownership_settings node_world::settings() const {
  return {.partitions = static_cast<std::int32_t>(shape_.partitions), .standbys = shape_.standbys};
}

void node_world::fail(const std::string& what) {
  if (wrong_.empty()) wrong_ = "at " + std::to_string(active_) + " ms: " + what;
}

void node_world::start_all() {
  for (std::size_t n = 0; n < nodes_; ++n) start(n, false);
}

std::string node_world::run() {
  while (wrong_.empty() && active_ < shape_.faults_until) {
    faults();
    advance();
  }
  heal();
  const auto healed = active_;
  std::int64_t settled = -1;
  std::string why = "not begun";
  while (wrong_.empty() && (settled < 0 || active_ < settled + stays_for)) {
    advance();
    why = not_in_place();
    if (!why.empty()) {
      if (active_ > healed + settles_within) break;
      settled = -1;
    } else if (settled < 0) {
      settled = active_;
    }
  }
  if (!wrong_.empty()) return wrong_;
  if (settled < 0) return "not settled: " + why;
  nodes_totals_.slowest = std::max(nodes_totals_.slowest, (settled - healed) / 300);
  nodes_totals_.ignored += truth_.ignored();
  return {};
}

void node_world::start(std::size_t node, bool keep_views) {
  const auto size = static_cast<std::int64_t>(log_.size());
  const bool late = size > 0 && chance(0.3);
  const auto from = late ? std::max<std::int64_t>(0, size - between(5, 200)) : 0;
  nodes_totals_.late_readers += late ? 1 : 0;
  // Random, as the real ones: a higher number says nothing.
  processes_.push_back(std::make_unique<process>(
      process{.node = node, .own = ownership(name(node), random_() | 1U, settings(), from, rules_)}));
  auto& p = *processes_.back();
  p.from_the_start = from == 0;
  p.next_beat = active_ + between(0, 300);
  p.last_stopped = active_;
  p.clock = between(-500, 500);
  p.beats_at_refusal.resize(partitions_);
  nodes_totals_.lost_views += keep_views ? 0 : 1;
  const auto before = current_[node];
  current_[node] = processes_.size() - 1;
  started(current_[node], keep_views ? std::optional(before) : std::nullopt);
}

void node_world::end(std::size_t k) {
  processes_[k]->alive = false;
  ended(k);
}

void node_world::faults() {
  for (std::size_t n = 0; n < nodes_; ++n)
    if (restart_at_[n] >= 0 && active_ >= restart_at_[n]) {
      restart_at_[n] = -1;
      start(n, !chance(0.3));
    }
  other_fault();
  if (!chance(0.06)) return;
  const auto node = pick(nodes_);
  auto& p = *processes_[current_[node]];
  const auto kind = pick(8);
  if (kind < 2) return broker_fault(kind == 0);
  if (!p.alive || restart_at_[node] >= 0) return;
  switch (kind) {
    case 2:
    case 3:
      p.paused_until = active_ + between(200, 8'000);
      ++nodes_totals_.pauses;
      return;
    case 4:
      end(current_[node]);
      restart_at_[node] = active_ + between(200, 6'000);
      ++nodes_totals_.crashes;
      return;
    case 5:  // taken for dead while it is only paused
      p.paused_until = active_ + between(500, 8'000);
      restart_at_[node] = active_ + between(200, 5'000);
      ++nodes_totals_.twins;
      return;
    case 6:
      p.health = chance(0.5) ? node_health::sick : node_health::leaving;
      ++(p.health == node_health::sick ? nodes_totals_.sick : nodes_totals_.leaving);
      p.health_until = active_ + between(500, 6'000);
      return;
    default:
      p.clock = (chance(0.5) ? 1 : -1) * between(11'000, 60'000);
      ++nodes_totals_.wrong_clocks;
  }
}

void node_world::broker_fault(bool outage) {
  // A second of log time each: more than two in a session would not be an outage but a broken broker.
  if (active_ < next_broker_fault_) return;
  next_broker_fault_ = active_ + 1'500;
  if (!outage) {
    broker_clock_ += chance(0.5) ? between(1'000, 4'000) : -between(1'000, 4'000);
    ++nodes_totals_.clock_sets;
    return;
  }
  away_ += between(60'000, 600'000);
  for (auto& m : way_) {  // each writer's own stay in their order
    m.arrives = std::max(m.arrives + between(0, 200), processes_[m.process]->held_up);
    processes_[m.process]->held_up = m.arrives;
    processes_[m.process]->arrives = std::max(processes_[m.process]->arrives, m.arrives);
  }
  ++nodes_totals_.outages;
}

void node_world::heal() {
  broker_clock_ = 0;
  for (std::size_t n = 0; n < nodes_; ++n) {
    restart_at_[n] = -1;
    if (!processes_[current_[n]]->alive) start(n, true);
  }
  for (auto& p : processes_) {
    p->paused_until = std::min(p->paused_until, active_);
    p->health = node_health::ok;
    p->clock = std::clamp<std::int64_t>(p->clock, -500, 500);
  }
  healed();
}

void node_world::advance() {
  active_ += tick;
  arrivals();
  pass();
  for (std::size_t k = 0; k < processes_.size() && wrong_.empty(); ++k) {
    auto& p = *processes_[k];
    if (!p.alive) continue;
    if (p.paused_until > active_)
      p.last_stopped = active_;
    else
      step(k);
  }
}

void node_world::arrivals() {
  std::sort(way_.begin(), way_.end(),
            [](const auto& a, const auto& b) { return std::tie(a.arrives, a.number) < std::tie(b.arrives, b.number); });
  while (!way_.empty() && way_.front().arrives <= active_) {
    auto m = std::move(way_.front());
    way_.pop_front();
    if (m.beat)
      append(std::move(m));
    else
      arrived(m);
  }
}

void node_world::append(on_its_way m) {
  const auto offset = static_cast<std::int64_t>(log_.size());
  auto& p = *processes_[m.process];
  if (p.first_offset < 0) p.first_offset = offset;
  log_.push_back({now() + broker_clock_ + m.arrives - active_, std::move(*m.beat), m.process});
  ++nodes_totals_.heartbeats;
  std::vector<bool> before(nodes_);
  std::vector<engine::incarnation> was(nodes_);
  for (std::size_t n = 0; n < nodes_; ++n)
    if (const auto* s = truth_.find(name(n))) before[n] = s->live, was[n] = s->incarnation;
  truth_.read(offset, log_.back().append_ms, log_.back().h);
  for (std::size_t n = 0; n < nodes_; ++n) {
    const auto* s = truth_.find(name(n));
    if (s == nullptr || s->live == before[n]) continue;
    if (s->live) {
      nodes_totals_.back += was[n] == s->incarnation ? 1 : 0;
      continue;
    }
    ++nodes_totals_.gone;
    const auto& lost = *processes_[current_[n]];
    if (running(current_[n]) && active_ - lost.last_stopped > 6'000)
      fail(name(n) + " was declared gone, and had spoken all along");
  }
  digests_.push_back(offset % 4 == 0 ? digest(truth_) : 0);
}

std::uint64_t node_world::digest(const ownership_fold& f) {
  std::uint64_t h = 0;
  for (const auto& [id, n] : f.nodes())
    if (n.live) h = engine::stable_hash(id, h) + n.incarnation + static_cast<std::uint64_t>(n.born);
  for (std::int32_t p = 0; p < f.settings().partitions; ++p) {
    for (const auto& id : f.order(p)) h = engine::stable_hash(id, h);
    h = engine::stable_hash(f.present_leader(p), h);
    h = engine::stable_hash(f.announcer(p, {.offset = 10'000}), h);
  }
  return h;
}

void node_world::step(std::size_t k) {
  auto& p = *processes_[k];
  if (!read_nodes(k, p)) return;
  if (p.health != node_health::ok && p.health_until <= active_) {
    if (p.health == node_health::leaving) {
      end(k);
      if (current_[p.node] == k && restart_at_[p.node] < 0) restart_at_[p.node] = active_ + between(100, 3'000);
      return;
    }
    p.health = node_health::ok;
  }
  for (std::size_t part = 0; part < partitions_; ++part) follow(k, part);
  if (active_ >= p.next_beat) beat(k, p);
  for (std::size_t part = 0; part < partitions_; ++part) act(k, part);
}

// False: it has exited.
bool node_world::read_nodes(std::size_t k, process& p) {
  const auto below = static_cast<std::int64_t>(log_.size()) - (chance(0.2) ? between(0, 3) : 0);
  while (p.own.fold().next_offset() < below) {
    const auto offset = p.own.fold().next_offset();
    const auto& e = log_[static_cast<std::size_t>(offset)];
    p.own.read(offset, e.append_ms, e.h);
    if (e.process == k) p.beats_read = std::max(p.beats_read, e.h.beat);
    if (p.from_the_start && offset % 4 == 0) {
      ++nodes_totals_.agreements;
      if (digest(p.own.fold()) != digests_[static_cast<std::size_t>(offset)])
        fail("readers disagree behind offset " + std::to_string(offset));
    }
    if (!p.own.replaced_by()) continue;
    ++nodes_totals_.replaced;
    if (newest(p.node) == k) fail(name(p.node) + ": the newest incarnation was told that it is replaced");
    end(k);
    return false;
  }
  return true;
}

std::size_t node_world::newest(std::size_t node) const {
  std::size_t found = current_[node];
  std::int64_t first = -1;
  for (std::size_t k = 0; k < processes_.size(); ++k)
    if (processes_[k]->node == node && processes_[k]->first_offset > first)
      first = processes_[k]->first_offset, found = k;
  return found;
}

void node_world::refuse(std::size_t k, std::size_t partition) {
  auto& p = *processes_[k];
  p.beats_at_refusal[partition] = p.beats;
  p.own.refused(static_cast<std::int32_t>(partition));
}

void node_world::beat(std::size_t k, process& p) {
  heartbeat h{.sent_ms = now() + p.clock, .address = "a-" + std::to_string(k), .health = p.health};
  for (std::size_t part = 0; part < partitions_; ++part)
    if (const auto r = report(k, part)) h.partitions.push_back(*r);
  p.arrives = std::max(p.arrives, active_ + between(0, longest_delay));
  way_.push_back({++sent_, p.arrives, k, p.own.sign(std::move(h))});
  p.beats = p.beats + 1;
  p.next_beat = active_ + 300;
}

void node_world::check_announcement(std::size_t k, std::size_t partition, std::int64_t behind,
                                    std::int64_t leader_since) {
  const auto& p = *processes_[k];
  if (p.first_offset < 0 || p.own.fold().next_offset() <= p.first_offset)
    return fail(name(p.node) + " announced before its own heartbeat had come back");
  const auto refused = p.beats_at_refusal[partition];
  if (refused > 0 && p.beats_read <= refused)
    return fail(name(p.node) + " announced again before a heartbeat made since the refusal had come back");
  // A leader that everybody has heard of for a while.
  const auto led = leader_of(partition);
  if (!led || *led == k || behind <= close_enough) return;
  const auto& leader = *processes_[*led];
  const bool steady = running(*led) && newest(leader.node) == *led && leader.health == node_health::ok &&
                      active_ - leader.last_stopped > 8'000 && active_ - leader_since > 2'000;
  if (steady && active_ - p.last_stopped > 8'000)
    fail(name(p.node) + " took a partition from a living leader, " + std::to_string(behind) + " behind");
}

// Why all is not as it should be; empty: it is.
std::string node_world::not_in_place() {
  for (std::size_t k = 0; k < processes_.size(); ++k)
    if (processes_[k]->alive != (newest(processes_[k]->node) == k)) return "two processes of one node live";
  for (std::size_t part = 0; part < partitions_; ++part) {
    const auto n = static_cast<std::int32_t>(part);
    const auto led = leader_of(part);
    if (!led || !processes_[*led]->alive) return "nobody leads";
    const auto leader = name(processes_[*led]->node);
    if (truth_.should_lead(n) != leader || truth_.present_leader(n) != leader)
      return leader + " should not lead, but " + std::string(truth_.should_lead(n)) + "; " +
             std::string(truth_.present_leader(n)) + " says that it leads";
    if (truth_.order(n).size() != nodes_) return "not all nodes may lead";
    for (std::size_t k = 0; k < processes_.size(); ++k) {
      const auto& p = *processes_[k];
      if (!p.alive) continue;
      const auto& f = p.own.fold();
      if (f.should_lead(n) != leader || f.present_leader(n) != leader) return name(p.node) + " sees another leader";
      if (leads(k, part) != (k == *led)) return "not one node leads";
      const auto v = p.own.consider(n, journal(k, part));
      if (v != (k == *led ? verdict::leads : verdict::other)) return name(p.node) + " " + std::string(text(v));
    }
  }
  return unsettled();
}

}  // namespace pawl::broker::simulated
