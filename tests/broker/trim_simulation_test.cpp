// Snapshots and the trimmed journal under one seed: nodes that fold one partition's journal into views and lead it in
// turn, write snapshots and trim below them, while nodes are paused and killed, views are lost, snapshots are damaged,
// the feed stands still, and the log loses its end.
//
// What must hold: who leads has the state that the log makes of its records, and so has everybody soon after somebody
// has announced itself; who leads finds the records that the feed has not had and the commands that are not dealt with;
// a standby that is close is not overtaken by the trim; and whoever has no view finds a snapshot to start from. For
// that, between two losses (of a snapshot, or of the end of the log) at least two snapshots are written, and the end
// that is lost is younger than the oldest of those kept: what two copies are for.
//
// Not tried, since it goes wrong: the end is lost, is written again, and nobody can tell by what it has read last. So
// it is where all that a reader loses are records that it has skipped (an announcement in their place is never read),
// and where a whole reign is in the end that is lost, while its leader is stopped or a record of it is still under way
// (to the brokers its producer is then a new one, and takes any number).
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <random>
#include <string>

#include "tests/broker/seeds.hpp"
#include "tests/broker/simulated_journal.hpp"

namespace pawl::broker {
namespace {

using namespace simulated;

class world : journal_world {
 public:
  world(std::uint64_t seed, trim_rules rules, journal_totals& t) : journal_world(dice_, rules, t), dice_(seed) {
    seats_.resize(3);
  }

  std::string run() {
    for (int k = 0; k < 2'500 && wrong().empty(); ++k) {
      faults();
      step(seats_[pick(seats_.size())]);
    }
    // Nothing is wrong any more, and nothing new is decided; somebody announces itself, so that all look back.
    for (auto& n : seats_) {
      n.paused = n.feed_stalls = 0;
      step_down(n);
    }
    be_quiet();
    for (int k = 0; k < 3'000 && wrong().empty() && !settled(); ++k) step(seats_[pick(seats_.size())]);
    if (wrong().empty() && !settled()) fail("the nodes do not come to the end of the log: " + standing());
    return wrong();
  }

 private:
  bool announces(seat& n) override {
    return n.fence.next_offset() + 1 >= end() && chance(0.05) && !(quiet() && somebody_leads());
  }
  bool decide(seat& n, entry& e) override {
    e.commands = n.view.commands + static_cast<std::int64_t>(pick(4));
    return !quiet();
  }

  void faults() {
    if (!chance(0.03)) return;
    auto& n = seats_[pick(seats_.size())];
    switch (pick(5)) {
      case 0:
        n.paused = static_cast<int>(pick(chance(0.3) ? 400 : 40));
        ++totals_.pauses;
        return;
      case 1: {
        const bool keeps = chance(0.5);
        const auto view = n.view;
        totals_.lost_views += n.has_view && !keeps ? 1 : 0;
        n = seat{};
        if (keeps) n.view = view, n.has_view = view.at >= 0;
        return;
      }
      case 2:
        n.feed_stalls = static_cast<int>(pick(150));
        ++totals_.stalls;
        return;
      case 3:
        damage_snapshot();
        return;
      default:
        if (may_lose_end()) lose_end();
    }
  }

  std::mt19937_64 dice_;
};

TEST(full_trim_simulation, holds) {
  const auto [first, seeds] = seeds_to_run(5'000);
  journal_totals t;
  for (auto seed = first; seed < first + seeds; ++seed)
    ASSERT_EQ(world(seed, {}, t).run(), "")
        << "again: PAWL_SEED=" << seed << " test_broker --gtest_filter=full_trim_simulation.holds";
  const struct {
    const char* what;
    std::uint64_t count;
    std::uint64_t floor;
  } counts[] = {{"counted", t.counted, seeds * 200},
                {"skipped", t.skipped, seeds / 4},
                {"led", t.led, seeds},
                {"snapshots", t.snapshots, seeds * 5},
                {"trims", t.trims, seeds * 2},
                {"records trimmed", t.trimmed, seeds * 50},
                {"restored", t.restored, seeds / 2},
                {"views below the trim", t.below, seeds / 20},
                {"lost views", t.lost_views, seeds},
                {"damaged snapshots", t.damaged, seeds / 2},
                {"lost ends", t.lost_ends, seeds / 2},
                {"views rebuilt", t.rebuilt, seeds / 2},
                {"pauses", t.pauses, seeds},
                {"stalls of the feed", t.stalls, seeds},
                {"lost records", t.lost_appends, seeds / 2},
                {"lost acknowledgements", t.lost_acks, seeds / 2},
                {"records twice", t.duplicates, seeds / 10},
                {"noticed by looking back", t.noticed_late, seeds / 100}};
  std::printf("%llu seeds from %llu", static_cast<unsigned long long>(seeds), static_cast<unsigned long long>(first));
  for (const auto& c : counts) std::printf("; %s %llu", c.what, static_cast<unsigned long long>(c.count));
  std::printf("\n");
  if (seeds < 1000) return;
  for (const auto& c : counts) EXPECT_GE(c.count, c.floor) << c.what << ": not tried";
}

class without_a_trim_rule : public ::testing::TestWithParam<std::pair<const char*, trim_rules>> {};

TEST_P(without_a_trim_rule, the_simulation_notices) {
  constexpr std::uint64_t seeds = 2'000;
  journal_totals t;
  std::string how;
  std::uint64_t seed = 1;
  for (; seed <= seeds && how.empty(); ++seed) how = world(seed, GetParam().second, t).run();
  ASSERT_NE(how, "") << "none of " << seeds << " seeds notices";
  std::printf("without %s, seed %llu: %s\n", GetParam().first, static_cast<unsigned long long>(seed - 1), how.c_str());
}

INSTANTIATE_TEST_SUITE_P(
    rules, without_a_trim_rule,
    ::testing::Values(std::pair{"two_are_kept", trim_rules{.two_are_kept = false}},
                      std::pair{"feed_is_waited_for", trim_rules{.feed_is_waited_for = false}},
                      std::pair{"standbys_are_waited_for", trim_rules{.standbys_are_waited_for = false}},
                      std::pair{"commands_of_the_oldest", trim_rules{.commands_of_the_oldest = false}},
                      std::pair{"snapshots_are_checked", trim_rules{.snapshots_are_checked = false}},
                      std::pair{"snapshots_fit", trim_rules{.snapshots_fit = false}},
                      std::pair{"views_fit", trim_rules{.views_fit = false}},
                      std::pair{"below_the_trim_restores", trim_rules{.below_the_trim_restores = false}},
                      std::pair{"producers_are_in_sequence", trim_rules{.producers_are_in_sequence = false}},
                      std::pair{"views_look_back", trim_rules{.views_look_back = false}}),
    [](const auto& p) { return std::string(p.param.first); });

}  // namespace
}  // namespace pawl::broker
