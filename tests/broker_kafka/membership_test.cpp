// Nodes hear of each other through a real Kafka.
#include "broker/membership.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>

#include "tests/broker_kafka/kafka_fixture.hpp"

namespace pawl::broker {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class members : public on_kafka {
 protected:
  struct node {
    std::mutex mutex;
    std::string replaced;
    std::atomic<bool> leads{false};
    std::atomic<node_health> health{node_health::ok};
    std::atomic<std::int64_t> clock_ms{0};  // ahead of the machine's
    std::string warned;
    std::unique_ptr<membership> m;
    std::string told() {
      const std::lock_guard lock(mutex);
      return replaced;
    }
    std::string warnings() {
      const std::lock_guard lock(mutex);
      return warned;
    }
    bool announces() const { return m->consider(0, {}) == verdict::announce; }
  };

  std::unique_ptr<node> join(const std::string& id, engine::incarnation incarnation) {
    auto n = std::make_unique<node>();
    n->m = std::make_unique<membership>(
        membership_options{.client = client(),
                           .topic = name_space + ".nodes",
                           .node = id,
                           .incarnation = incarnation,
                           .ownership = {.partitions = 1, .standbys = 1, .session = 1'500ms},
                           .report =
                               [n = n.get()] {
                                 heartbeat h;
                                 h.address = "127.0.0.1:1";
                                 h.health = n->health;
                                 h.partitions = {{.partition = 0,
                                                  .role = n->leads ? partition_role::leading : partition_role::standby,
                                                  .position = 0}};
                                 return h;
                               },
                           .replaced =
                               [n = n.get()](const std::string& why) {
                                 const std::lock_guard lock(n->mutex);
                                 n->replaced = why;
                               },
                           .warn =
                               [n = n.get()](const std::string& text) {
                                 const std::lock_guard lock(n->mutex);
                                 n->warned += text + "\n";
                               },
                           .wall_ms =
                               [n = n.get()] {
                                 const auto now = std::chrono::system_clock::now().time_since_epoch();
                                 return std::chrono::duration_cast<milliseconds>(now).count() + n->clock_ms;
                               }});
    return n;
  }
  static std::size_t live(const node& n) {
    return n.m->look([](const ownership& o) {
      return std::count_if(o.fold().nodes().begin(), o.fold().nodes().end(),
                           [](const auto& x) { return x.second.live; });
    });
  }
};

TEST_F(members, one_of_two_is_to_announce_and_the_other_takes_over_when_it_is_gone) {
  auto a = join("a", 11);
  auto b = join("b", 22);
  ASSERT_TRUE(eventually([&] { return live(*a) == 2 && live(*b) == 2 && a->announces() != b->announces(); }));
  auto& first = a->announces() ? *a : *b;
  auto& second = a->announces() ? *b : *a;
  EXPECT_TRUE(first.m->lives(11) && first.m->lives(22) && !first.m->lives(33));
  first.leads = true;
  first.m->beat_now();
  ASSERT_TRUE(eventually([&] { return first.m->consider(0, {}) == verdict::leads; }));
  EXPECT_NE(second.m->consider(0, {}), verdict::announce);
  const auto gone = std::chrono::steady_clock::now();
  first.m.reset();
  ASSERT_TRUE(eventually([&] { return second.announces(); }));
  EXPECT_FALSE(second.m->has_others());
  const auto took = std::chrono::steady_clock::now() - gone;
  EXPECT_GE(took, 1'000ms) << "before the session was over";
  EXPECT_LE(took, 4'000ms);
}

TEST_F(members, who_is_leaving_is_not_placed_any_more) {
  auto a = join("a", 11);
  auto b = join("b", 22);
  ASSERT_TRUE(eventually([&] { return live(*a) == 2 && live(*b) == 2 && a->announces() != b->announces(); }));
  auto& first = a->announces() ? *a : *b;
  auto& second = a->announces() ? *b : *a;
  first.health = node_health::leaving;
  first.m->beat_now();
  EXPECT_TRUE(eventually([&] { return second.announces() && first.m->consider(0, {}) == verdict::unfit; }, 2s))
      << "it is heard of at once, not after a session";
}

TEST_F(members, who_ends_says_once_more_what_it_leads) {
  auto a = join("a", 11);
  auto b = join("b", 22);
  ASSERT_TRUE(eventually([&] { return live(*a) == 2 && live(*b) == 2 && a->announces() != b->announces(); }));
  EXPECT_TRUE(a->m->has_others() && b->m->has_others());
  auto& first = a->announces() ? *a : *b;
  auto& second = a->announces() ? *b : *a;
  const auto leader = [&] {
    return second.m->look([](const ownership& o) { return std::string(o.fold().present_leader(0)); });
  };
  first.leads = true;
  first.m->beat_now();
  ASSERT_TRUE(eventually([&] { return !leader().empty(); }));
  first.leads = false;  // and ends before the next heartbeat is due
  first.m.reset();
  EXPECT_TRUE(eventually([&] { return leader().empty(); }, 1s)) << "not only after a session";
}

// By the brokers' clock, which all go by. The one with the wrong clock says so in its own log, once.
TEST_F(members, a_clock_that_is_off_is_told_and_one_that_is_far_off_does_not_lead) {
  auto a = join("a", 11);
  auto b = join("b", 22);
  ASSERT_TRUE(eventually([&] { return live(*a) == 2 && live(*b) == 2 && a->announces() != b->announces(); }));
  auto& first = a->announces() ? *a : *b;
  auto& second = a->announces() ? *b : *a;
  first.clock_ms = 3'000;
  ASSERT_TRUE(eventually([&] { return first.warnings().find("ahead of the brokers'") != std::string::npos; }));
  EXPECT_TRUE(first.announces()) << "it may lead";
  EXPECT_TRUE(eventually([&] {
    const auto offset = second.m->look(
        [&](const ownership& o) { return o.fold().find(&first == a.get() ? "a" : "b")->clock.value().count(); });
    return offset > 2'000 && offset < 4'000;
  })) << "the others hear of it with its next heartbeat";
  first.clock_ms = 300'000;
  ASSERT_TRUE(eventually([&] { return second.announces() && first.m->consider(0, {}) == verdict::unfit; }));
  EXPECT_THAT(first.warnings(), HasSubstr("it leads nothing until that is less than 10 s"));
  EXPECT_FALSE(second.m->has_others());
  const auto told = first.warnings();
  EXPECT_EQ(std::count(told.begin(), told.end(), '\n'), 2) << told;
  first.clock_ms = 0;
  EXPECT_TRUE(eventually([&] { return second.m->has_others() && !second.announces(); }))
      << "once the window of the last measurements has passed it leads again";
  EXPECT_TRUE(eventually([&] { return first.warnings().find("right again") != std::string::npos; }))
      << "and says so when it has read that heartbeat itself: " << first.warnings();
  EXPECT_EQ(second.warnings(), "");
}

TEST_F(members, a_copied_node_id_ends_the_older_process_and_names_the_clash) {
  auto a = join("a", 11);
  ASSERT_TRUE(eventually([&] { return a->announces(); }));
  auto copy = join("a", 12);
  ASSERT_TRUE(eventually([&] { return !a->told().empty(); }));
  EXPECT_THAT(a->told(), HasSubstr("incarnation 12 at 127.0.0.1:1"));
  EXPECT_TRUE(eventually([&] { return copy->announces(); }));
  EXPECT_EQ(a->m->consider(0, {}), verdict::replaced);
  EXPECT_EQ(copy->told(), "");
}

TEST_F(members, garbage_among_the_heartbeats_is_passed) {
  kafka_producer raw(client(), {});
  raw.send(name_space + ".nodes", 0, "x", "this is no heartbeat", {});
  ASSERT_TRUE(raw.flush(10s));
  auto a = join("a", 11);
  ASSERT_TRUE(eventually([&] { return a->announces(); }));
  EXPECT_EQ(a->m->stats().garbage, 1U);
}

}  // namespace
}  // namespace pawl::broker
