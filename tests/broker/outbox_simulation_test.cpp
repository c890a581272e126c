// The outbox under one seed: partitions that send each other messages, with leaders that change, zombies that go on
// sending, lost batches, lost sends, lost acknowledgements, duplicates, and journals that lose their tails.
//
// Messages are caused by commands that are on the wrong partition, each of which is there once, and by decisions. What
// must hold when all is quiet again: every command was applied once, on its partition, those of one partition in their
// order, and every message once. Where a
// journal has lost its tail, a pair may have ended, and says so; if it has not, both sides agree about every number.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "broker/outbox.hpp"
#include "tests/broker/seeds.hpp"
#include "tests/broker/simulated_outbox.hpp"

namespace pawl::broker {
namespace {

using namespace simulated;

constexpr std::size_t partitions = 3;

struct totals {
  outbox_totals messages{};
  std::uint64_t leaders = 0, lost_batches = 0, unknown_batches = 0, lost_tails = 0;
};
using rules = outbox_simulation_rules;

class world {
 public:
  world(std::uint64_t seed, rules r, bool tails, totals& t) : tails_(tails), totals_(t), journals_(partitions) {
    shared_.random.seed(seed);
    shared_.rules = r;
    shared_.topics.resize(partitions);
    shared_.totals = t.messages;
    for (std::size_t p = 0; p < partitions; ++p) lead(p);
  }

  std::string run() {
    for (int k = 0; k < 700; ++k) {
      if (k < 500 && shared_.chance(0.25)) arrive();
      step(shared_.pick(partitions), false);
    }
    // Everything heals; what the zombies still have under way comes too.
    for (int k = 0; k < 60'000 && !quiet(); ++k) step(shared_.pick(partitions), true);
    totals_.messages = shared_.totals;
    if (!quiet()) return "it does not come to rest";
    std::map<std::pair<std::int32_t, std::int32_t>, bool> ended;
    for (std::int32_t p = 0; p < shared_.partitions(); ++p)
      for (std::int32_t q = 0; q < shared_.partitions(); ++q)
        ended[{q, p}] =
            leaders_.at(static_cast<std::size_t>(p)).inbox().mark(q).what == store::receive_mark::state::diverged;
    return check_outbox(journals_, ended, tails_, contents_);
  }

 private:
  void arrive() {
    const auto p = shared_.pick(partitions);
    const auto to = static_cast<std::int32_t>((p + 1 + shared_.pick(partitions - 1)) % partitions);
    shared_.topics[p].push_back({.message = {}, .belongs_to = to, .what = ++contents_});
  }

  void lead(std::size_t p) {
    ++totals_.leaders;
    outbox_fold known;
    for (const auto& b : journals_[p]) known.take(b);
    outbox_leader l(shared_, static_cast<std::int32_t>(p), {.high = ++reigns_, .low = 7}, known);
    if (leaders_.contains(p)) zombies_.push_back(std::move(leaders_.at(p)));
    leaders_.insert_or_assign(p, std::move(l));
  }

  void step(std::size_t p, bool healing) {
    auto& l = leaders_.at(p);
    switch (shared_.pick(6)) {
      case 0:
        return l.read();
      case 1:
        return append(p, healing);
      case 2:
        return l.send(false);
      case 3:
        return l.network(healing);
      case 4:
        if (!zombies_.empty()) return zombie(healing);
        return;
      default:
        if (healing) return;
        if (shared_.chance(0.1)) return lead(p);
        if (tails_ && shared_.chance(0.03)) return lose_tail(p);
    }
  }

  // What failed is known by who leads next.
  void append(std::size_t p, bool healing) {
    auto& l = leaders_.at(p);
    const auto b = l.decide(healing);
    const double fate = healing ? 1 : std::uniform_real_distribution<>(0, 1)(shared_.random);
    if (fate < 0.06) {
      ++totals_.lost_batches;
      return lead(p);
    }
    journals_[p].push_back(b);
    if (fate < 0.12) {
      ++totals_.unknown_batches;
      return lead(p);
    }
    l.committed(b);
  }

  // Who led once does not know better: what it has committed it still sends.
  void zombie(bool healing) {
    const auto k = shared_.pick(zombies_.size());
    auto& z = zombies_[k];
    if (shared_.chance(0.4)) z.send(true);
    z.network(healing);
    if (z.nothing_under_way() && (healing || shared_.chance(0.2)))
      zombies_.erase(zombies_.begin() + static_cast<std::ptrdiff_t>(k));
  }

  void lose_tail(std::size_t p) {
    auto& j = journals_[p];
    if (j.empty()) return;
    ++totals_.lost_tails;
    j.resize(j.size() - std::min<std::size_t>(j.size(), 1 + shared_.pick(3)));
    lead(p);
  }

  bool quiet() const {
    return zombies_.empty() &&
           std::all_of(leaders_.begin(), leaders_.end(), [](const auto& l) { return l.second.quiet(); });
  }

  outbox_world shared_;
  bool tails_;
  totals& totals_;
  std::uint64_t reigns_ = 0;
  content contents_ = 0;
  std::vector<std::vector<outbox_batch>> journals_;
  std::map<std::size_t, outbox_leader> leaders_;
  std::vector<outbox_leader> zombies_;
};

std::string run_one(std::uint64_t seed, rules r, bool tails, totals& t) {
  try {
    return world(seed, r, tails, t).run();
  } catch (const std::out_of_range&) {
    return "what is to be sent is not there";
  }
}

// 0: none.
std::uint64_t first_failure(rules r, std::uint64_t most) {
  totals t;
  for (std::uint64_t seed = 1; seed <= most; ++seed)
    for (const bool tails : {false, true})
      if (!run_one(seed, r, tails, t).empty()) return seed;
  return 0;
}

TEST(outbox_simulation, every_message_is_applied_once_in_order) {
  const auto range = seeds_to_run(5'000);
  totals t;
  for (auto seed = range.first; seed < range.first + range.count; ++seed) {
    const bool tails = seed % 2 == 0;
    const auto wrong = run_one(seed, {}, tails, t);
    ASSERT_EQ(wrong, "") << "seed " << seed << (tails ? " with" : " without")
                         << " lost tails; again with: PAWL_SEED=" << seed
                         << " test_broker --gtest_filter=outbox_simulation.every_message*";
  }
  std::printf(
      "seeds %llu..%llu: %llu applied, %llu repeats, %llu early, %llu diverged; %llu leaders, %llu batches lost, "
      "%llu unknown, %llu tails; %llu sends lost, %llu acks, %llu duplicates, %llu by zombies\n",
      static_cast<unsigned long long>(range.first), static_cast<unsigned long long>(range.first + range.count - 1),
      static_cast<unsigned long long>(t.messages.applied), static_cast<unsigned long long>(t.messages.repeats),
      static_cast<unsigned long long>(t.messages.early), static_cast<unsigned long long>(t.messages.diverged),
      static_cast<unsigned long long>(t.leaders), static_cast<unsigned long long>(t.lost_batches),
      static_cast<unsigned long long>(t.unknown_batches), static_cast<unsigned long long>(t.lost_tails),
      static_cast<unsigned long long>(t.messages.lost_sends), static_cast<unsigned long long>(t.messages.lost_acks),
      static_cast<unsigned long long>(t.messages.duplicates), static_cast<unsigned long long>(t.messages.zombie_sends));
  if (range.count < 1'000) return;
  for (const auto n : {t.messages.applied, t.messages.repeats, t.messages.early, t.messages.diverged, t.lost_batches,
                       t.unknown_batches, t.lost_tails, t.messages.lost_sends, t.messages.lost_acks,
                       t.messages.duplicates, t.messages.zombie_sends})
    EXPECT_GT(n, range.count / 10);
}

TEST(outbox_simulation, every_rule_is_needed) {
  const auto without = [](auto change) {
    rules r;
    change(r);
    return first_failure(r, 200);
  };
  EXPECT_NE(without([](rules& r) { r.outbox.durable_first = false; }), 0U);
  EXPECT_NE(without([](rules& r) { r.outbox.all_behind = false; }), 0U);
  EXPECT_NE(without([](rules& r) { r.outbox.whole_prefix = false; }), 0U);
  EXPECT_NE(without([](rules& r) { r.outbox.next_only = false; }), 0U);
  EXPECT_NE(without([](rules& r) { r.outbox.once = false; }), 0U);
  EXPECT_NE(without([](rules& r) { r.outbox.reign = false; }), 0U);
  EXPECT_NE(without([](rules& r) { r.marks_with_position = false; }), 0U);
}

}  // namespace
}  // namespace pawl::broker
