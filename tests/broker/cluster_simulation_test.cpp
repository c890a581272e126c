// A whole cluster under one seed: nodes that heartbeat, share partitions and take them over (simulated_nodes.hpp); of
// each partition a journal with its fence, snapshots and trim, which may lose its end (simulated_journal.hpp); and the
// messages that the partitions send each other (simulated_outbox.hpp). Here nobody announces itself but who should by
// what it has heard, and nothing is sent but what a batch that counts has caused.
//
// What must hold is what holds in each of the three, all the time, and in the end, when all has healed: each partition
// is led by the node that should, every node has the state that the log makes of its records, and every message and
// every command of another partitioner was applied once, in order. Each rule of each of the three is taken away in
// turn.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/broker/seeds.hpp"
#include "tests/broker/simulated_journal.hpp"
#include "tests/broker/simulated_nodes.hpp"

namespace pawl::broker {
namespace {

using namespace simulated;

constexpr std::size_t cluster_nodes = 3;
constexpr std::size_t cluster_partitions = 2;
/// A record of these short journals stands for so many, where it matters whether a view is close to the end.
constexpr std::int64_t record_stands_for = 40;
constexpr int steps_a_tick = 4;
constexpr std::int64_t faults_end = 12'000;

struct cluster_rules {
  ownership_rules ownership{};
  trim_rules journal{};  // and the fence's
  outbox_simulation_rules outbox{};
};

struct cluster_totals {
  node_totals nodes{};
  journal_totals journal{};
  outbox_totals outbox{};
  std::uint64_t with_tails = 0, zombies = 0, commands = 0;
};

class cluster;

/// One partition's journal, and who leads it sends and takes messages.
class partition_world : public journal_world {
 public:
  partition_world(cluster& all, std::size_t number, std::mt19937_64& random, trim_rules rules, journal_totals& t)
      : journal_world(random, rules, t),
        all_(all),
        number_(number) {}

  /// The newest leader that counts, as everybody who knows everything has it.
  std::optional<std::size_t> leader() const;
  std::int64_t leader_since = 0;
  bool quiet_outbox() const;
  std::vector<outbox_batch> batches() const;
  void network(bool healing);
  void step_leader(std::size_t k);
  bool is_announcing(std::size_t k) const { return seats_[k].fence.now() == fence::standing::announcing; }
  bool is_leading(std::size_t k) const { return seats_[k].begun && seats_[k].fence.now() == fence::standing::leading; }

 protected:
  bool announces(seat& n) override;
  bool decide(seat& n, entry& e) override;
  void committed(seat& n, const entry& e) override;
  void began_to_lead(seat& n) override;
  void leads_no_more(seat& n) override;
  bool is_stopped(const seat& n) const override;
  bool releases(const seat& n) const override;

 private:
  std::size_t index(const seat& n) const {
    for (std::size_t k = 0; k < seats_.size(); ++k)
      if (&seats_[k] == &n) return k;
    return seats_.size();
  }

  cluster& all_;
  std::size_t number_;
  std::map<std::size_t, outbox_leader> leaders_;  // by process, that lead or believe so
  std::map<std::uint64_t, std::size_t> reigns_;  // whose it is
  std::deque<outbox_leader> zombies_;
};

class cluster : public node_world {
 public:
  cluster(std::uint64_t seed, const cluster_rules& rules, cluster_totals& t)
      : node_world(seed,
                   {.nodes = cluster_nodes,
                    .partitions = cluster_partitions,
                    .standbys = cluster_nodes - 1,
                    .faults_until = faults_end},
                   rules.ownership, t.nodes),
        tails_(seed % 2 == 0),
        totals_(t) {
    outbox_.random.seed(seed * 3 + 1);
    outbox_.rules = rules.outbox;
    outbox_.topics.resize(cluster_partitions);
    outbox_.totals = t.outbox;
    for (std::size_t p = 0; p < cluster_partitions; ++p)
      partitions_here_.push_back(std::make_unique<partition_world>(*this, p, random_, rules.journal, t.journal));
    t.with_tails += tails_ ? 1 : 0;
    start_all();
  }

  std::string run_to_the_end() {
    auto wrong = run();
    totals_.outbox = outbox_.totals;
    totals_.commands += contents_;
    if (!wrong.empty()) return wrong;
    std::vector<std::vector<outbox_batch>> batches;
    std::map<std::pair<std::int32_t, std::int32_t>, bool> ended;
    for (std::size_t p = 0; p < cluster_partitions; ++p) {
      batches.push_back(partitions_here_[p]->batches());
      const auto& known = partitions_here_[p]->truth(partitions_here_[p]->end()).outbox;
      if (!known) continue;
      for (const auto& [q, r] : known->received)
        ended[{q, static_cast<std::int32_t>(p)}] = r.what == store::receive_mark::state::diverged;
    }
    return check_outbox(batches, ended, tails_, contents_);
  }

 private:
  friend class partition_world;

  partition_world& part(std::size_t p) { return *partitions_here_[p]; }
  const partition_world& part(std::size_t p) const { return *partitions_here_[p]; }

  void started(std::size_t k, std::optional<std::size_t> views_of) override {
    slow_.push_back(chance(0.3));
    for (auto& p : partitions_here_) {
      auto& seats = p->seats();
      seats.resize(k + 1);
      if (!views_of) continue;
      seats[k].view = seats[*views_of].view;
      seats[k].has_view = seats[*views_of].has_view;
    }
  }

  void ended(std::size_t k) override {
    for (auto& p : partitions_here_) {
      p->step_down(p->seats()[k]);
      p->seats()[k].gone = true;
    }
  }

  void pass() override {
    for (std::size_t p = 0; p < cluster_partitions; ++p) {
      if (!part(p).wrong().empty()) fail("partition " + std::to_string(p) + ": " + part(p).wrong());
      for (int k = 0; k < 3; ++k) part(p).network(healed_);
      if (healed_ || !chance(0.3)) continue;
      const auto to = static_cast<std::int32_t>((p + 1) % cluster_partitions);
      outbox_.topics[p].push_back({.message = {}, .belongs_to = to, .what = ++contents_});
    }
  }

  void other_fault() override {
    if (!chance(0.03)) return;
    auto& p = part(pick(cluster_partitions));
    switch (pick(4)) {
      case 0:
        p.damage_snapshot();
        return;
      case 1:
        for (auto& n : p.seats())
          if (n.leads) n.feed_stalls = static_cast<int>(pick(150));
        ++totals_.journal.stalls;
        return;
      default:
        if (tails_ && p.may_lose_end()) p.lose_end();
    }
  }

  void follow(std::size_t k, std::size_t p) override {
    // Some take long to read what they have to follow.
    if (slow_[k] && !healed_ && !part(p).seats()[k].leads && !chance(0.15)) return;
    for (int n = 0; n < (slow_[k] && !healed_ ? 1 : steps_a_tick); ++n) part(p).step(part(p).seats()[k]);
    part(p).step_leader(k);
  }
  void act(std::size_t, std::size_t) override {}

  std::optional<partition_report> report(std::size_t k, std::size_t p) const override {
    const auto& journal_of = part(p);
    const auto& n = journal_of.seats()[k];
    const auto position = n.begun ? n.fence.next_offset() : n.view.at + 1;
    auto role = (journal_of.end() - position) * record_stands_for > close_enough ? partition_role::catching_up
                                                                                 : partition_role::standby;
    if (n.begun && journal_of.is_announcing(k)) role = partition_role::announcing;
    if (journal_of.is_leading(k)) role = partition_role::leading;
    return partition_report{static_cast<std::int32_t>(p), role, position * record_stands_for};
  }

  journal_end journal(std::size_t k, std::size_t p) const override {
    const auto& n = part(p).seats()[k];
    return {part(p).end() * record_stands_for, n.begun && n.fence.folded().released,
            n.fence.next_offset() * record_stands_for};
  }
  std::optional<std::size_t> leader_of(std::size_t p) const override { return part(p).leader(); }
  bool leads(std::size_t k, std::size_t p) const override { return part(p).is_leading(k); }

  // All look back, as where somebody announces itself anew.
  void healed() override {
    healed_ = true;
    for (auto& p : partitions_here_) {
      p->be_quiet();
      for (auto& n : p->seats()) {
        n.feed_stalls = 0;
        if (n.leads) p->step_down(n);
      }
    }
  }

  std::string unsettled() override {
    for (std::size_t p = 0; p < cluster_partitions; ++p) {
      const auto in = "partition " + std::to_string(p);
      if (!part(p).settled()) return in + ": " + part(p).standing();
      if (!part(p).quiet_outbox()) return in + ": messages are under way";
    }
    return {};
  }

  outbox_world outbox_;
  const bool tails_;
  bool healed_ = false;
  cluster_totals& totals_;
  content contents_ = 0;
  std::vector<bool> slow_;  // by process
  std::vector<std::unique_ptr<partition_world>> partitions_here_;
};

std::optional<std::size_t> partition_world::leader() const {
  const auto& known = truth(end()).known;
  if (known.released) return std::nullopt;
  const auto it = reigns_.find(known.reign.high);
  if (it == reigns_.end()) return std::nullopt;
  return it->second;
}

bool partition_world::announces(seat& n) {
  const auto k = index(n);
  const auto number = static_cast<std::int32_t>(number_);
  if (!all_.processes_[k]->own.should_announce(number, all_.journal(k, number_))) return false;
  all_.check_announcement(k, number_, (end() - n.fence.next_offset()) * record_stands_for, leader_since);
  ++all_.nodes_totals_.announced;
  return true;
}

bool partition_world::decide(seat& n, entry& e) {
  auto& l = leaders_.at(index(n));
  if (quiet() && !l.has_something_to_say()) return false;
  const auto says = std::make_shared<outbox_batch>(l.decide(quiet()));
  e.commands = static_cast<std::int64_t>(says->position);
  e.says = says;
  return true;
}

void partition_world::committed(seat& n, const entry& e) {
  if (const auto it = leaders_.find(index(n)); it != leaders_.end() && e.says) it->second.committed(*e.says);
}

void partition_world::began_to_lead(seat& n) {
  const auto k = index(n);
  reigns_[n.fence.own().high] = k;
  leader_since = all_.active();
  const auto known = n.view.outbox ? *n.view.outbox : outbox_fold{};
  leaders_.insert_or_assign(k, outbox_leader(all_.outbox_, static_cast<std::int32_t>(number_), n.fence.own(), known));
}

// What it has committed may still be under way, and is sent on.
void partition_world::leads_no_more(seat& n) {
  const auto k = index(n);
  if (const auto it = leaders_.find(k); it != leaders_.end()) {
    zombies_.push_back(std::move(it->second));
    leaders_.erase(it);
    ++all_.totals_.zombies;
  }
  if (all_.processes_[k]->alive) all_.refuse(k, number_);
}

bool partition_world::is_stopped(const seat& n) const { return !all_.running(index(n)); }

bool partition_world::releases(const seat& n) const { return all_.processes_[index(n)]->health != node_health::ok; }

void partition_world::step_leader(std::size_t k) {
  const auto it = leaders_.find(k);
  if (it == leaders_.end()) return;
  for (int n = 0; n < 3; ++n) it->second.read();
  it->second.send(false);
}

void partition_world::network(bool healing) {
  for (auto& [k, l] : leaders_) l.network(healing);
  for (auto& z : zombies_) {
    if (chance(0.4)) z.send(true);
    z.network(healing);
  }
  std::erase_if(zombies_, [&](const outbox_leader& z) { return z.nothing_under_way() && (healing || chance(0.2)); });
}

bool partition_world::quiet_outbox() const {
  return zombies_.empty() && leaders_.size() == 1 && leaders_.begin()->second.quiet();
}

std::vector<outbox_batch> partition_world::batches() const {
  std::vector<outbox_batch> out;
  for (std::int64_t offset = 0; offset < end(); ++offset)
    if (record(offset).says && truth(offset + 1).at == offset) out.push_back(*record(offset).says);
  return out;
}

TEST(full_cluster_simulation, holds) {
  const auto [first, seeds] = seeds_to_run(5'000);
  cluster_totals t;
  for (auto seed = first; seed < first + seeds; ++seed)
    ASSERT_EQ(cluster(seed, {}, t).run_to_the_end(), "")
        << "again: PAWL_SEED=" << seed << " test_broker --gtest_filter=full_cluster_simulation.holds";
  const struct {
    const char* what;
    std::uint64_t count;
    std::uint64_t floor;
  } counts[] = {{"counted", t.journal.counted, seeds * 100},
                {"skipped", t.journal.skipped, seeds / 4},
                {"led", t.journal.led, seeds * 4},
                {"acted on", t.journal.acted, seeds * 50},
                {"snapshots", t.journal.snapshots, seeds * 2},
                {"records trimmed", t.journal.trimmed, seeds * 10},
                {"restored", t.journal.restored, seeds / 2},
                {"lost records", t.journal.lost_appends, seeds / 10},
                {"lost acknowledgements", t.journal.lost_acks, seeds / 2},
                {"records twice", t.journal.duplicates, seeds / 10},
                {"damaged snapshots", t.journal.damaged, seeds / 20},
                {"lost ends", t.journal.lost_ends, seeds / 10},
                {"views rebuilt", t.journal.rebuilt, seeds / 10},
                {"stalls of the feed", t.journal.stalls, seeds / 4},
                {"messages applied", t.outbox.applied, seeds * 10},
                {"repeats", t.outbox.repeats, seeds},
                {"too early", t.outbox.early, seeds / 10},
                {"refused as diverged", t.outbox.diverged, seeds / 20},
                {"lost sends", t.outbox.lost_sends, seeds},
                {"duplicates", t.outbox.duplicates, seeds / 2},
                {"sent by deposed leaders", t.outbox.zombie_sends, seeds / 10},
                {"deposed leaders", t.zombies, seeds},
                {"pauses", t.nodes.pauses, seeds / 2},
                {"crashes", t.nodes.crashes, seeds / 4},
                {"restarts of a paused node", t.nodes.twins, seeds / 4},
                {"broker outages", t.nodes.outages, seeds / 4},
                {"declared gone", t.nodes.gone, seeds / 4},
                {"announcements", t.nodes.announced, seeds * 4}};
  std::printf("%llu seeds from %llu; settled at the latest %lld heartbeats after the last fault",
              static_cast<unsigned long long>(seeds), static_cast<unsigned long long>(first),
              static_cast<long long>(t.nodes.slowest));
  for (const auto& c : counts) std::printf("; %s %llu", c.what, static_cast<unsigned long long>(c.count));
  std::printf("\n");
  if (seeds < 1000) return;
  for (const auto& c : counts) EXPECT_GE(c.count, c.floor) << c.what << ": not tried";
}

struct guard {
  const char* name;
  void (*take_away)(cluster_rules&);
};

class without_a_guard : public ::testing::TestWithParam<guard> {};

TEST_P(without_a_guard, the_simulation_notices) {
  constexpr std::uint64_t seeds = 2'000;
  cluster_rules rules;
  GetParam().take_away(rules);
  cluster_totals t;
  std::string how;
  std::uint64_t seed = 1;
  for (; seed <= seeds && how.empty(); ++seed) {
    try {
      how = cluster(seed, rules, t).run_to_the_end();
    } catch (const std::out_of_range&) {
      how = "what is to be sent is not there";
    }
  }
  ASSERT_NE(how, "") << "none of " << seeds << " seeds notices";
  std::printf("without %s, seed %llu: %s\n", GetParam().name, static_cast<unsigned long long>(seed - 1), how.c_str());
}

INSTANTIATE_TEST_SUITE_P(
    full_guards, without_a_guard,
    ::testing::Values(
        guard{"epoch", [](cluster_rules& r) { r.journal.fence.epoch = false; }},
        guard{"seq", [](cluster_rules& r) { r.journal.fence.seq = false; }},
        guard{"announcement", [](cluster_rules& r) { r.journal.fence.announcement = false; }},
        guard{"contiguity", [](cluster_rules& r) { r.journal.fence.contiguity = false; }},
        guard{"gap_cap", [](cluster_rules& r) { r.ownership.gap_cap = false; }},
        guard{"incarnation", [](cluster_rules& r) { r.ownership.incarnation = false; }},
        guard{"own_heartbeat", [](cluster_rules& r) { r.ownership.own_heartbeat = false; }},
        guard{"catch_up", [](cluster_rules& r) { r.ownership.catch_up = false; }},
        guard{"two_are_kept", [](cluster_rules& r) { r.journal.two_are_kept = false; }},
        guard{"feed", [](cluster_rules& r) { r.journal.feed_is_waited_for = false; }},
        guard{"standbys", [](cluster_rules& r) { r.journal.standbys_are_waited_for = false; }},
        guard{"commands", [](cluster_rules& r) { r.journal.commands_of_the_oldest = false; }},
        guard{"snapshots_are_checked", [](cluster_rules& r) { r.journal.snapshots_are_checked = false; }},
        guard{"snapshots_fit", [](cluster_rules& r) { r.journal.snapshots_fit = false; }},
        guard{"views_fit", [](cluster_rules& r) { r.journal.views_fit = false; }},
        guard{"below_the_trim_restores", [](cluster_rules& r) { r.journal.below_the_trim_restores = false; }},
        guard{"producers_are_in_sequence", [](cluster_rules& r) { r.journal.producers_are_in_sequence = false; }},
        guard{"views_look_back", [](cluster_rules& r) { r.journal.views_look_back = false; }},
        guard{"durable_first", [](cluster_rules& r) { r.outbox.outbox.durable_first = false; }},
        guard{"all_behind", [](cluster_rules& r) { r.outbox.outbox.all_behind = false; }},
        guard{"whole_prefix", [](cluster_rules& r) { r.outbox.outbox.whole_prefix = false; }},
        guard{"next_only", [](cluster_rules& r) { r.outbox.outbox.next_only = false; }},
        guard{"once", [](cluster_rules& r) { r.outbox.outbox.once = false; }},
        guard{"reign", [](cluster_rules& r) { r.outbox.outbox.reign = false; }},
        guard{"marks_with_position", [](cluster_rules& r) { r.outbox.marks_with_position = false; }}),
    [](const auto& p) { return std::string(p.param.name); });

}  // namespace
}  // namespace pawl::broker
