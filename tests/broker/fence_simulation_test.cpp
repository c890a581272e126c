// The fence under one seed: nodes that all want to lead one partition, over a log with delays, lost appends, lost
// acknowledgements, duplicates, crashes and pauses (a node that is not stepped is one that was stopped and continued).
//
// What must hold: a node acts on a record of its own only if every reader accepts that record, and only if it was
// decided on the state that the readers have there. Taking away any rule of the fence breaks it within a few seeds.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <deque>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "broker/fence.hpp"
#include "tests/broker/seeds.hpp"

namespace pawl::broker {
namespace {

struct written {
  stamp s;
  std::uint64_t on = 0;       // how many batches the writer had folded when it decided this one
  bool accepted = false;      // by every reader
  std::uint64_t before = 0;   // how many batches the readers have folded before it
};

struct totals {
  std::uint64_t acted = 0;
  std::uint64_t skipped = 0;
  std::uint64_t led = 0;
  std::uint64_t gaps = 0;
  std::uint64_t lost_records = 0;
  std::uint64_t lost_acks = 0;
  std::uint64_t duplicates = 0;
  std::uint64_t crashes = 0;
};

class world {
 public:
  world(std::uint64_t seed, fence_rules rules, totals& t) : random_(seed), rules_(rules), totals_(t) {
    for (int k = 0; k < 3; ++k) nodes_.push_back(node{fence({}, 0, rules), 0, {}, {}});
  }

  /// What went wrong; empty: nothing.
  std::string run() {
    for (int k = 0; k < 400 && wrong_.empty(); ++k) {
      network();
      step(nodes_[pick(nodes_.size())]);
    }
    for (std::size_t offset = 0; offset < log_.size() && wrong_.empty(); ++offset) {
      const auto& w = log_[offset];
      totals_.skipped += w.accepted ? 0 : 1;
      if (w.accepted && w.s.kind != record_kind::announcement && w.before != w.on)
        wrong_ = "offset " + std::to_string(offset) + ": readers accept what was decided on another state";
    }
    return wrong_;
  }

 private:
  struct answer {
    written w;
    std::optional<std::int64_t> offset;  // none: failed, or the acknowledgement was lost
  };
  struct node {
    broker::fence fence;
    std::uint64_t batches = 0;  // folded
    std::deque<answer> answers{};
    std::optional<answer> held{};  // acknowledged behind a gap
  };
  struct append {
    std::size_t node;
    written w;
  };

  std::size_t pick(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random_); }
  bool chance(double p) { return std::uniform_real_distribution<>(0, 1)(random_) < p; }

  // Delivers an append that is under way; those of one writer and reign in their order.
  void network() {
    if (under_way_.empty() || !chance(0.5)) return;
    const auto chosen = under_way_[pick(under_way_.size())];
    for (auto it = under_way_.begin(); it != under_way_.end(); ++it) {
      if (it->node != chosen.node || it->w.s.reign != chosen.w.s.reign) continue;
      auto a = *it;
      under_way_.erase(it);
      std::optional<std::int64_t> offset;
      if (chance(0.03)) {
        ++totals_.lost_records;
      } else {
        put(a.w);
        offset = static_cast<std::int64_t>(log_.size()) - 1;
        if (chance(0.05)) offset.reset(), ++totals_.lost_acks;
        if (chance(0.02)) put(a.w), ++totals_.duplicates;  // a retry of what had arrived after all
      }
      nodes_[a.node].answers.push_back({a.w, offset});
      return;
    }
  }

  void put(written w) {
    w.before = truth_batches_;
    w.accepted = truth_.apply(w.s, rules_);
    if (w.accepted && w.s.kind != record_kind::announcement) ++truth_batches_;
    log_.push_back(w);
  }

  void read(node& n, std::int64_t below) {
    while (n.fence.next_offset() < below && n.fence.next_offset() < static_cast<std::int64_t>(log_.size())) {
      const auto at = n.fence.next_offset();
      const auto& w = log_[static_cast<std::size_t>(at)];
      if (n.fence.read(at, w.s) && w.s.kind != record_kind::announcement) ++n.batches;
    }
  }

  void step(node& n) {
    const double dice = std::uniform_real_distribution<>(0, 1)(random_);
    if (dice < 0.02) {
      ++totals_.crashes;
      n = node{fence({}, 0, rules_), 0, {}, {}};
      return;
    }
    switch (n.fence.now()) {
      case fence::standing::following:
        return follow(n);
      case fence::standing::announcing:
        return await_announcement(n);
      case fence::standing::leading:
        return lead(n, dice);
    }
  }

  // Reads, though not always to the end: another may lead whom it has not heard of.
  void follow(node& n) {
    n.answers.clear();
    n.held.reset();
    read(n, n.fence.next_offset() + 1 + static_cast<std::int64_t>(pick(20)));
    if (n.fence.next_offset() + static_cast<std::int64_t>(pick(3)) < static_cast<std::int64_t>(log_.size())) return;
    if (!chance(0.2)) return;
    under_way_.push_back({index(n), {.s = n.fence.announce({++reigns_, 0})}});
  }

  void await_announcement(node& n) {
    for (const auto& a : n.answers)
      if (a.w.s.reign == n.fence.own() && !a.offset) {
        n.fence.lost();
        return;
      }
    read(n, INT64_MAX);
    totals_.led += n.fence.now() == fence::standing::leading ? 1 : 0;
  }

  void lead(node& n, double dice) {
    if (n.held) {
      read(n, *n.held->offset);
      auto a = *n.held;
      n.held.reset();
      return acknowledge(n, a);
    }
    while (!n.answers.empty()) {
      auto a = n.answers.front();
      n.answers.pop_front();
      if (a.w.s.reign != n.fence.own() || a.w.s.kind == record_kind::announcement) continue;
      busy_[index(n)] = false;
      if (!a.offset) return n.fence.lost();
      acknowledge(n, a);
      if (n.fence.now() != fence::standing::leading || n.held) return;
    }
    if (dice < 0.1) return read(n, INT64_MAX);  // the tail that a leader reads as well
    if (dice > 0.7) return;
    const bool waits = busy_[index(n)] && busy_reign_[index(n)] == n.fence.own();
    if (waits) return;
    const auto s = n.fence.next(record_kind::batch);
    busy_[index(n)] = true;
    busy_reign_[index(n)] = n.fence.own();
    under_way_.push_back({index(n), {.s = s, .on = n.batches}});
  }

  void acknowledge(node& n, const answer& a) {
    const bool was_read = n.fence.next_offset() > *a.offset;
    switch (n.fence.acknowledged(*a.offset, a.w.s)) {
      case fence::ack::stale:
        return;
      case fence::ack::gap:
        ++totals_.gaps;
        n.held = a;
        return;
      case fence::ack::in_place:
        break;
    }
    if (!was_read) ++n.batches;
    ++totals_.acted;  // here the effects leave
    const auto& w = log_[static_cast<std::size_t>(*a.offset)];
    if (!w.accepted)
      wrong_ = "offset " + std::to_string(*a.offset) + ": acted on a record that readers skip";
    else if (w.before != w.on)
      wrong_ = "offset " + std::to_string(*a.offset) + ": acted on what was decided on another state";
  }

  std::size_t index(const node& n) const { return static_cast<std::size_t>(&n - nodes_.data()); }

  std::mt19937_64 random_;
  const fence_rules rules_;
  totals& totals_;
  std::vector<node> nodes_;
  std::vector<append> under_way_;
  std::vector<written> log_;
  fold truth_;
  std::uint64_t truth_batches_ = 0;
  std::uint64_t reigns_ = 0;
  bool busy_[3] = {};
  engine::reign busy_reign_[3];
  std::string wrong_;
};

TEST(full_fence_simulation, holds) {
  const auto [first, seeds] = seeds_to_run(5000);
  totals t;
  for (auto seed = first; seed < first + seeds; ++seed)
    ASSERT_EQ(world(seed, {}, t).run(), "")
        << "again: PAWL_SEED=" << seed << " test_broker --gtest_filter=full_fence_simulation.holds";
  std::printf(
      "%llu seeds from %llu: acted on %llu, skipped by readers %llu, led %llu times, gaps %llu; lost records %llu, "
      "lost "
      "acknowledgements %llu, duplicates %llu, crashes %llu\n",
      static_cast<unsigned long long>(seeds), static_cast<unsigned long long>(first),
      static_cast<unsigned long long>(t.acted), static_cast<unsigned long long>(t.skipped),
      static_cast<unsigned long long>(t.led), static_cast<unsigned long long>(t.gaps),
      static_cast<unsigned long long>(t.lost_records), static_cast<unsigned long long>(t.lost_acks),
      static_cast<unsigned long long>(t.duplicates), static_cast<unsigned long long>(t.crashes));
  if (seeds < 1000) return;
  EXPECT_GT(t.acted, seeds * 5);
  EXPECT_GT(t.skipped, seeds / 2) << "no zombie has written: the fence was not tried";
  EXPECT_GT(t.led, seeds);
  EXPECT_GT(t.gaps, seeds / 20);
  EXPECT_GT(t.lost_records, seeds / 2);
  EXPECT_GT(t.lost_acks, seeds / 2);
  EXPECT_GT(t.duplicates, seeds / 2);
  EXPECT_GT(t.crashes, seeds);
}

class without_a_rule : public ::testing::TestWithParam<std::pair<const char*, fence_rules>> {};

TEST_P(without_a_rule, the_simulation_notices) {
  constexpr std::uint64_t seeds = 200;
  totals t;
  std::uint64_t caught = 0;
  std::uint64_t first = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    if (world(seed, GetParam().second, t).run().empty()) continue;
    if (caught++ == 0) first = seed;
  }
  std::printf("without %s: %llu of %llu seeds, the first is %llu\n", GetParam().first,
              static_cast<unsigned long long>(caught), static_cast<unsigned long long>(seeds),
              static_cast<unsigned long long>(first));
  EXPECT_GT(caught, 0U);
}

INSTANTIATE_TEST_SUITE_P(rules, without_a_rule,
                         ::testing::Values(std::pair{"epoch", fence_rules{.epoch = false}},
                                           std::pair{"seq", fence_rules{.seq = false}},
                                           std::pair{"announcement", fence_rules{.announcement = false}},
                                           std::pair{"contiguity", fence_rules{.contiguity = false}}),
                         [](const auto& p) { return std::string(p.param.first); });

}  // namespace
}  // namespace pawl::broker
