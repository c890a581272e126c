#include "broker/ownership.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

namespace pawl::broker {

namespace {

// A decoded number may be anything; differences of these do not overflow.
std::int64_t bounded(std::int64_t ms) { return std::clamp(ms, -(std::int64_t{1} << 60), std::int64_t{1} << 60); }

struct pair {
  std::uint64_t score;
  std::size_t node;
  std::size_t partition;
};

// All pairs, the highest score first. The partition is hashed before it becomes a seed: as a bare number it would
// change the same bits as the last letter of a node's id does.
std::vector<pair> scored(const std::vector<std::string>& nodes, std::size_t partitions) {
  std::vector<pair> pairs;
  pairs.reserve(nodes.size() * partitions);
  for (std::size_t p = 0; p < partitions; ++p) {
    const auto seed = engine::stable_hash(std::to_string(p));
    for (std::size_t n = 0; n < nodes.size(); ++n) pairs.push_back({engine::stable_hash(nodes[n], seed), n, p});
  }
  std::sort(pairs.begin(), pairs.end(), [](const pair& a, const pair& b) {
    return std::tie(b.score, a.partition, a.node) < std::tie(a.score, b.partition, b.node);
  });
  return pairs;
}

constexpr auto nobody = static_cast<std::size_t>(-1);

// Leaders by partition. `absent` takes no part.
std::vector<std::size_t> filled(const std::vector<pair>& pairs, std::size_t nodes, std::size_t partitions,
                                std::size_t absent) {
  std::vector<std::size_t> leaders(partitions, nobody);
  const auto present = nodes - (absent < nodes ? 1 : 0);
  if (present == 0) return leaders;
  const auto share = partitions / present;
  auto one_more = partitions % present;  // nodes that lead one above the share
  std::vector<std::size_t> load(nodes, 0);
  for (const auto& p : pairs) {
    if (p.node == absent || leaders[p.partition] != nobody) continue;
    if (load[p.node] > share || (load[p.node] == share && one_more == 0)) continue;
    one_more -= load[p.node] == share ? 1 : 0;
    leaders[p.partition] = p.node;
    ++load[p.node];
  }
  return leaders;
}

}  // namespace

void clock_offset::measured(milliseconds log_time, std::int64_t sent_ms, std::int64_t append_ms) {
  const milliseconds now{bounded(sent_ms) - bounded(append_ms)};
  const auto age = began_ == milliseconds::min() ? clock_window : log_time - began_;
  if (age >= clock_window / 2) {
    older_ = age < clock_window ? newer_ : milliseconds::min();
    newer_ = now;
    began_ = log_time;
  }
  newer_ = std::max(newer_, now);
}

clock_state clock_offset::state() const {
  const auto v = value();
  if (v > clock_forbids || v < -clock_forbids) return clock_state::forbids;
  return v > clock_warns || v < -clock_warns ? clock_state::warns : clock_state::right;
}

ownership_fold::ownership_fold(ownership_settings settings, std::int64_t next, ownership_rules rules)
    : settings_(settings),
      rules_(rules),
      next_(next) {
  settings_.partitions = std::max(settings_.partitions, 0);
  places_.resize(static_cast<std::size_t>(settings_.partitions));
}

bool ownership_fold::read(std::int64_t offset, std::int64_t append_ms, const heartbeat& h) {
  if (offset < next_) return false;
  next_ = offset + 1;
  pass_time(append_ms);
  const bool counted = hear(offset, append_ms, h);
  ignored_ += counted ? 0 : 1;
  judge();
  return counted;
}

void ownership_fold::pass_time(std::int64_t append_ms) {
  append_ms = bounded(append_ms);
  auto gap = std::max(milliseconds{append_ms - last_append_.value_or(append_ms)}, milliseconds{0});
  if (rules_.gap_cap) gap = std::min(gap, longest_gap);
  last_append_ = append_ms;
  log_time_ += gap;
}

// The heartbeat's incarnation becomes the node's. False: it is an older one, and the newer one speaks.
bool ownership_fold::succeed(node_state& n, std::int64_t offset, const heartbeat& h) {
  auto& lives = n.lives;
  const auto known =
      std::find_if(lives.begin(), lives.end(), [&](const auto& l) { return l.incarnation == h.incarnation; });
  // No heartbeat was born behind itself.
  auto born = h.born >= 0 ? std::min(h.born, offset) : offset;
  if (known != lives.end()) born = std::min(known->born, born);
  const bool speaks = log_time_ - n.heard < settings_.session;
  if (rules_.incarnation && born < n.born && speaks) return false;
  if (known != lives.end()) lives.erase(known);
  if (lives.size() == most_lives) {
    const auto older = [](const auto& a, const auto& b) { return a.born < b.born; };
    lives.erase(std::min_element(lives.begin(), lives.end(), older));
  }
  lives.push_back({h.incarnation, born});
  n = node_state{
      .incarnation = h.incarnation, .born = born, .live = n.live, .since = log_time_, .lives = std::move(lives)};
  return true;
}

bool ownership_fold::hear(std::int64_t offset, std::int64_t append_ms, const heartbeat& h) {
  auto* n = enter(h.node);
  if (n == nullptr) return false;
  if (n->born < 0 || n->incarnation != h.incarnation) {
    if (!succeed(*n, offset, h)) return false;
  } else if (h.born >= 0 && h.born < n->born) {
    n->born = n->lives.back().born = h.born;  // this reader had begun behind its first heartbeat
  }
  n->name = h.name;
  n->address = h.address;
  n->health = h.health;
  n->runs = h.runs;
  n->definitions = h.definitions;
  n->reads = h.reads;
  n->heard = log_time_;
  n->clock.measured(log_time_, h.sent_ms, append_ms);
  auto before = std::exchange(n->partitions, std::vector<partition_standing>(places_.size()));
  before.resize(places_.size());
  for (const auto& r : h.partitions) {
    if (r.partition < 0 || r.partition >= settings_.partitions) continue;
    const auto k = static_cast<std::size_t>(r.partition);
    n->partitions[k] = {r.role, r.position, before[k].role == r.role ? before[k].since : offset};
  }
  return true;
}

node_state* ownership_fold::enter(const std::string& node) {
  if (const auto it = nodes_.find(node); it != nodes_.end()) return &it->second;
  if (nodes_.size() >= most_nodes) {
    auto oldest = nodes_.end();
    for (auto it = nodes_.begin(); it != nodes_.end(); ++it)
      if (!it->second.live && (oldest == nodes_.end() || it->second.heard < oldest->second.heard)) oldest = it;
    if (oldest == nodes_.end()) return nullptr;
    nodes_.erase(oldest);
  }
  return &nodes_[node];
}

void ownership_fold::judge() {
  std::vector<std::string> candidates;
  candidates.reserve(candidates_.size() + 1);
  for (auto it = nodes_.begin(); it != nodes_.end();) {
    auto& n = it->second;
    const auto silence = log_time_ - n.heard;
    const bool live = silence < settings_.session;
    if (live != n.live) n.since = log_time_;
    n.live = live;
    if (silence >= forgotten_after) {
      it = nodes_.erase(it);
      continue;
    }
    if (n.may_lead()) candidates.push_back(it->first);
    ++it;
  }
  if (candidates != candidates_) {
    candidates_ = std::move(candidates);
    arrange();
  }
  for (std::size_t p = 0; p < places_.size(); ++p) {
    auto present = find_leader(p);
    if (present == places_[p].present) continue;
    places_[p].present = std::move(present);
    places_[p].since = log_time_;
  }
}

void ownership_fold::arrange() {
  const auto nodes = candidates_.size();
  const auto pairs = scored(candidates_, places_.size());
  const auto leaders = filled(pairs, nodes, places_.size(), nobody);
  std::vector<std::vector<std::size_t>> order(places_.size());
  for (std::size_t absent = 0; absent < nodes; ++absent) {
    if (std::find(leaders.begin(), leaders.end(), absent) == leaders.end()) continue;
    const auto heirs = filled(pairs, nodes, places_.size(), absent);
    for (std::size_t p = 0; p < places_.size(); ++p) {
      if (leaders[p] != absent) continue;
      order[p].push_back(absent);
      if (heirs[p] != nobody) order[p].push_back(heirs[p]);
    }
  }
  for (const auto& x : pairs) {
    auto& o = order[x.partition];
    if (o[0] != x.node && (o.size() == 1 || o[1] != x.node)) o.push_back(x.node);
  }
  for (std::size_t p = 0; p < places_.size(); ++p) {
    auto& here = places_[p];
    std::vector<std::string> names;
    names.reserve(order[p].size());
    for (const auto n : order[p]) names.push_back(candidates_[n]);
    const bool same = names.empty() ? here.order.empty() : !here.order.empty() && names[0] == here.order[0];
    if (!same) here.since = log_time_;
    here.order = std::move(names);
  }
}

std::string ownership_fold::find_leader(std::size_t partition) const {
  const std::pair<const std::string, node_state>* found = nullptr;
  for (const auto& entry : nodes_) {
    const auto& n = entry.second;
    if (!n.live || n.partitions[partition].role != partition_role::leading) continue;
    if (found == nullptr || found->second.partitions[partition].since < n.partitions[partition].since) found = &entry;
  }
  return found == nullptr ? std::string{} : found->first;
}

const node_state* ownership_fold::find(std::string_view node) const {
  const auto it = nodes_.find(node);
  return it == nodes_.end() ? nullptr : &it->second;
}

const ownership_fold::place* ownership_fold::at(std::int32_t partition) const {
  return partition >= 0 && partition < settings_.partitions ? &places_[static_cast<std::size_t>(partition)] : nullptr;
}

std::span<const std::string> ownership_fold::order(std::int32_t partition) const {
  const auto* p = at(partition);
  return p == nullptr ? std::span<const std::string>{} : std::span<const std::string>{p->order};
}

std::string_view ownership_fold::should_lead(std::int32_t partition) const {
  const auto o = order(partition);
  return o.empty() ? std::string_view{} : std::string_view{o.front()};
}

std::span<const std::string> ownership_fold::standbys(std::int32_t partition) const {
  const auto o = order(partition);
  return o.empty() ? o : o.subspan(1, std::min(settings_.standbys, o.size() - 1));
}

std::string_view ownership_fold::present_leader(std::int32_t partition) const {
  const auto* p = at(partition);
  return p == nullptr ? std::string_view{} : std::string_view{p->present};
}

std::int64_t ownership_fold::position(std::string_view node, std::int32_t partition, const journal_end& end,
                                      std::string_view asking) const {
  const auto* n = find(node);
  const auto& s = n->partitions[static_cast<std::size_t>(partition)];
  const auto reported = s.role ? std::max<std::int64_t>(s.position, 0) : 0;
  return node == asking ? std::max(reported, end.own_view) : reported;
}

bool ownership_fold::within(std::string_view node, std::int32_t partition, const journal_end& end,
                            std::string_view asking) const {
  return end.offset - position(node, partition, end, asking) <= close_enough;
}

bool ownership_fold::diverged(std::string_view node, std::int32_t partition) const {
  return find(node)->partitions[static_cast<std::size_t>(partition)].role == partition_role::diverged;
}

std::string_view ownership_fold::announcer(std::int32_t partition, const journal_end& end,
                                           std::string_view asking) const {
  const auto present = end.released ? std::string_view{} : present_leader(partition);
  std::string_view first;
  for (const auto& node : order(partition)) {
    if (diverged(node, partition)) continue;
    if (first.empty()) {
      first = node;
      if (!present.empty()) break;
    }
    if (within(node, partition, end, asking)) return node;
  }
  if (present.empty()) return first;
  if (first.empty() || first == present) return {};
  return !rules_.catch_up || within(first, partition, end, asking) ? first : std::string_view{};
}

partition_status ownership_fold::explain(std::int32_t partition, const journal_end& end) const {
  const auto* p = at(partition);
  if (p == nullptr) return {};
  partition_status s{.leader = end.released ? std::string_view{} : std::string_view{p->present},
                     .should = should_lead(partition),
                     .announcer = announcer(partition, end),
                     .since = p->since,
                     .lasted = log_time_ - p->since};
  if (s.leader.empty())
    s.state = s.announcer.empty() ? partition_state::nobody : partition_state::vacant;
  else if (s.leader == s.should)
    s.state = partition_state::settled;
  else
    s.state = s.announcer.empty() ? partition_state::moving : partition_state::due;
  const auto who = s.state == partition_state::vacant ? s.announcer : s.should;
  if (!who.empty()) s.behind = std::max<std::int64_t>(end.offset - position(who, partition, end, {}), 0);
  return s;
}

read_formats ownership_fold::formats() const {
  std::optional<read_formats> lowest;
  for (const auto& [id, n] : nodes_) {
    if (!n.live) continue;
    if (!lowest) lowest = n.reads;
    lowest->journal = std::min(lowest->journal, n.reads.journal);
    lowest->commands = std::min(lowest->commands, n.reads.commands);
    lowest->snapshots = std::min(lowest->snapshots, n.reads.snapshots);
  }
  return lowest.value_or(read_formats{});
}

std::vector<std::string> ownership_fold::runners(std::string_view type) const {
  std::vector<std::string> found;
  for (const auto& [id, n] : nodes_)
    if (n.live && std::find(n.runs.begin(), n.runs.end(), type) != n.runs.end()) found.push_back(id);
  return found;
}

ownership::ownership(std::string node, engine::incarnation self, ownership_settings settings, std::int64_t next,
                     ownership_rules rules)
    : node_(std::move(node)),
      self_(self),
      rules_(rules),
      fold_(settings, next, rules) {
  refusals_.resize(static_cast<std::size_t>(fold_.settings().partitions));
}

heartbeat ownership::sign(heartbeat h) {
  h.node = node_;
  h.incarnation = self_;
  h.beat = ++signed_;
  h.born = born_;
  return h;
}

bool ownership::read(std::int64_t offset, std::int64_t append_ms, const heartbeat& h) {
  const bool counted = fold_.read(offset, append_ms, h);
  if (h.node != node_) return counted;
  if (h.incarnation == self_) {
    // Its birth is where it was first written, even if that came too late to count.
    if (born_ < 0) born_ = offset;
    own_read(h);
  }
  const auto* n = fold_.find(node_);
  if (!replaced_by_ && born_ >= 0 && n != nullptr && n->incarnation != self_ &&
      (n->born > born_ || !rules_.incarnation))
    replaced_by_ = replacement{n->incarnation, n->address};
  return counted;
}

void ownership::own_read(const heartbeat& h) {
  heard_ = std::max(heard_, h.beat);
  for (std::size_t p = 0; p < refusals_.size(); ++p) {
    auto& r = refusals_[p];
    if (r.in_a_row == 0) continue;
    const bool leads = std::any_of(h.partitions.begin(), h.partitions.end(), [&](const auto& x) {
      return std::cmp_equal(x.partition, p) && x.role == partition_role::leading;
    });
    r.steady = leads ? r.steady + 1 : 0;
    if (r.steady >= settled_after) r = {};
  }
}

bool ownership::heard() const {
  const auto* n = fold_.find(node_);
  return born_ >= 0 && n != nullptr && n->incarnation == self_ && n->live;
}

void ownership::refused(std::int32_t partition) {
  if (partition < 0 || partition >= fold_.settings().partitions) return;
  auto& r = refusals_[static_cast<std::size_t>(partition)];
  const auto wait = r.in_a_row < 8 ? std::min(std::uint64_t{1} << r.in_a_row, longest_wait) : longest_wait;
  ++r.in_a_row;
  r.until = signed_ + wait;
  r.steady = 0;
}

verdict ownership::consider(std::int32_t partition, const journal_end& end) const {
  if (replaced_by_) return verdict::replaced;
  if (rules_.own_heartbeat && !heard()) return verdict::unheard;
  const auto* n = fold_.find(node_);
  if (n == nullptr || !n->may_lead()) return verdict::unfit;
  if (partition < 0 || partition >= fold_.settings().partitions) return verdict::other;
  if (!end.released && fold_.present_leader(partition) == node_) return verdict::leads;
  if (rules_.own_heartbeat && heard_ < refusals_[static_cast<std::size_t>(partition)].until) return verdict::waiting;
  if (fold_.announcer(partition, end, node_) == node_) return verdict::announce;
  return fold_.should_lead(partition) == node_ ? verdict::catching_up : verdict::other;
}

bool ownership::should_follow(std::int32_t partition) const {
  if (replaced_by_ || !heard()) return false;
  const auto s = fold_.standbys(partition);
  return fold_.should_lead(partition) == node_ || std::find(s.begin(), s.end(), node_) != s.end();
}

std::string_view text(verdict v) {
  switch (v) {
    case verdict::announce:
      return "announces";
    case verdict::leads:
      return "leads";
    case verdict::unheard:
      return "waits for its own heartbeat to come back";
    case verdict::replaced:
      return "replaced by a newer incarnation";
    case verdict::unfit:
      return "may not lead: not healthy, or its clock is too far off";
    case verdict::waiting:
      return "waits for its own heartbeat to come back after a refused announcement";
    case verdict::catching_up:
      return "should lead and catches up; another leads until then";
    case verdict::other:
      return "another node's turn";
  }
  return "unknown";
}

std::string_view text(partition_state s) {
  switch (s) {
    case partition_state::settled:
      return "settled";
    case partition_state::moving:
      return "moving";
    case partition_state::due:
      return "due";
    case partition_state::vacant:
      return "vacant";
    case partition_state::nobody:
      return "nobody";
  }
  return "unknown";
}

std::string_view text(partition_role r) {
  switch (r) {
    case partition_role::standby:
      return "standby";
    case partition_role::catching_up:
      return "catching_up";
    case partition_role::announcing:
      return "announcing";
    case partition_role::leading:
      return "leading";
    case partition_role::releasing:
      return "releasing";
    case partition_role::diverged:
      return "diverged";
  }
  return "unknown";
}

std::string_view text(node_health h) {
  switch (h) {
    case node_health::ok:
      return "ok";
    case node_health::sick:
      return "sick";
    case node_health::leaving:
      return "leaving";
  }
  return "unknown";
}

}  // namespace pawl::broker
