// A partition goes from one node to another while attempts run: they go on where they run, and their ends are recorded
// by whoever leads.
#include <gmock/gmock.h>

#include <deque>

#include "tests/actors/node_fixture.hpp"
#include "tests/actors/node_laws.hpp"

namespace pawl::test {
namespace {

using namespace std::chrono_literals;
using engine::event_kind;

constexpr engine::incarnation first = 11;
constexpr engine::incarnation second = 22;

/// Two nodes over one journal in memory; what one has to tell the other waits in `told`.
class hand_over : public ::testing::Test {
 protected:
  struct node {
    engine::incarnation incarnation = 0;
    std::unique_ptr<memory_journal> journal{};
    std::unique_ptr<actors::node_system> system{};
    std::mutex mutex{};
    std::deque<actors::orphan_end> told{};

    std::size_t said() {
      const std::lock_guard lock(mutex);
      return told.size();
    }
  };

  hand_over() {
    workflow<int> w{"w", {}};
    auto in = w.input();
    auto waited = w.step(
        "wait",
        [this](step_context&, const int& n) {
          ++begun_;
          gate_.pass();
          return n + 1;
        },
        {.timeout = timeout_, .retry = {.max_attempts = 2, .first_delay = 1ms}}, in);
    w.returns(waited);
    types_.add(w);
    make(a_, first);
    make(b_, second);
  }
  ~hand_over() override {
    gate_.open();
    for (auto* n : {&a_, &b_}) {
      // A node waits for what it has told to be where others find it.
      {
        const std::lock_guard lock(n->mutex);
        for (const auto& e : n->told) n->system->delivered(0, e.id);
      }
      n->system.reset();
    }
  }

  void make(node& n, engine::incarnation incarnation) {
    n.incarnation = incarnation;
    actors::node_options o;
    o.incarnation = incarnation;
    o.partition.word_patience = 50ms;
    o.log = [](log_level, std::string_view) {};
    o.on_orphan = [&n](const actors::orphan_end& e) {
      const std::lock_guard lock(n.mutex);
      n.told.push_back(e);
    };
    n.system = std::make_unique<actors::node_system>(types_, std::move(o));
  }
  void lead(node& n, std::uint64_t epoch, std::optional<std::vector<engine::incarnation>> living) {
    n.journal = std::make_unique<memory_journal>(store_, epoch);
    n.system->lead({.number = 0,
                    .journal = *n.journal,
                    .may_exist = [](std::string_view) { return true; },
                    .open_view = [s = store_] { return std::make_unique<memory_view>(s); },
                    .living = std::move(living)});
  }
  void leave(node& n) {
    n.system->leave(0);
    n.journal.reset();
  }
  reply_status start(node& n, const std::string& id) {
    auto replied = std::make_shared<std::promise<actors::command_reply>>();
    actors::command_request r;
    r.workflow_id = id;
    r.command.id = "start-" + id;
    engine::start_command c;
    c.facts.type = "w";
    c.input = encode(1);
    r.command.body = std::move(c);
    r.reply = actors::owed_reply([replied](const actors::command_reply& a) { replied->set_value(a); });
    n.system->submit(std::move(r));
    return test_node::get(replied->get_future()).state;
  }
  actors::run_result result(node& n, const std::string& id) {
    auto closed = std::make_shared<std::promise<actors::run_result>>();
    n.system->await_result(
        {.workflow_id = id, .run = 0, .on_result = [closed](const actors::run_result& x) { closed->set_value(x); }});
    return test_node::get(closed->get_future());
  }
  actors::command_reply take(node& n, const actors::orphan_end& e, engine::incarnation ran_in) {
    auto replied = std::make_shared<std::promise<actors::command_reply>>();
    n.system->take_end(
        0, {.uid = e.id.uid,
            .key = e.id.key,
            .incarnation = ran_in,
            .end = e.end,
            .details = e.details,
            .reply = actors::owed_reply([replied](const actors::command_reply& a) { replied->set_value(a); })});
    return test_node::get(replied->get_future());
  }
  /// What `from` has said is in the log, and `to` reads it.
  actors::command_reply deliver(node& from, node& to) {
    EXPECT_TRUE(eventually([&] { return from.said() > 0; }));
    actors::orphan_end e;
    {
      const std::lock_guard lock(from.mutex);
      e = from.told.front();
      from.told.pop_front();
    }
    from.system->delivered(0, e.id);
    return take(to, e, from.incarnation);
  }
  std::size_t count(const std::string& id, event_kind kind) {
    memory_view v(store_);
    const auto row = v.find(id);
    std::size_t n = 0;
    if (row)
      for (const auto& e : v.history(row->key).events) n += e.kind == kind ? 1 : 0;
    return n;
  }
  void begin_on_a(const std::string& id = "r") {
    lead(a_, 1, std::nullopt);
    ASSERT_EQ(start(a_, id), reply_status::recorded);
    ASSERT_TRUE(gate_.holds(1));
  }

  std::chrono::milliseconds timeout_ = 60s;
  registry types_;
  gate gate_;
  std::atomic<int> begun_{0};
  std::shared_ptr<memory_store> store_ = std::make_shared<memory_store>();
  node a_;
  node b_;
};

class short_hand_over : public hand_over {
 protected:
  short_hand_over() {
    types_ = {};
    workflow<int> w{"w", {}};
    auto in = w.input();
    w.returns(w.step(
        "wait",
        [this](step_context&, const int& n) {
          if (++begun_ == 1) gate_.pass();
          return n + 1;
        },
        {.timeout = 300ms, .retry = {.max_attempts = 2, .first_delay = 1ms}}, in));
    types_.add(w);
  }
};

TEST_F(hand_over, an_attempt_goes_on_where_it_runs_and_the_next_leader_records_its_end) {
  begin_on_a();
  leave(a_);
  lead(b_, 2, std::vector{first, second});
  b_.system->take_held(0, {.epoch = 1, .incarnation = first, .attempts = a_.system->held(0)});
  gate_.open();
  EXPECT_EQ(deliver(a_, b_).state, reply_status::recorded);
  EXPECT_EQ(result(b_, "r").phase, phase::completed);
  EXPECT_EQ(begun_, 1) << "it was not started again";
  EXPECT_EQ(count("r", event_kind::attempt_started), 1U);
  EXPECT_EQ(count("r", event_kind::attempt_completed), 1U);
}

TEST_F(hand_over, an_end_that_nobody_waits_for_is_answered_and_changes_nothing) {
  begin_on_a();
  leave(a_);
  lead(b_, 2, std::vector{first, second});
  gate_.open();
  EXPECT_TRUE(eventually([&] { return a_.said() == 1; }));
  const auto e = a_.told.front();
  EXPECT_EQ(take(b_, e, 33).state, reply_status::recorded) << "another incarnation ran it";
  auto other = e;
  other.id.uid.serial += 1;
  EXPECT_EQ(take(b_, other, first).state, reply_status::recorded) << "of a run that was lost";
  other = e;
  other.id.key += 1000;
  EXPECT_EQ(take(b_, other, first).state, reply_status::recorded);
  other = e;
  other.end.attempt += 1;
  EXPECT_EQ(take(b_, other, first).state, reply_status::recorded);
  EXPECT_EQ(count("r", event_kind::attempt_completed), 0U);
  EXPECT_EQ(take(b_, e, first).state, reply_status::recorded);
  EXPECT_EQ(count("r", event_kind::attempt_completed), 1U);
  EXPECT_EQ(take(b_, e, first).state, reply_status::recorded) << "told twice";
  EXPECT_EQ(result(b_, "r").phase, phase::completed);
  EXPECT_EQ(count("r", event_kind::attempt_completed), 1U);
}

TEST_F(hand_over, only_a_node_that_is_known_to_be_gone_has_lost_its_attempts) {
  begin_on_a();
  leave(a_);
  lead(b_, 2, std::nullopt);
  // What is known of a run says that it was loaded.
  ASSERT_TRUE(eventually([&] {
    auto p = std::make_shared<std::promise<actors::node_status>>();
    b_.system->status([p](const actors::node_status& s) { p->set_value(s); });
    return test_node::get(p->get_future()).partition.loaded == 1;
  }));
  b_.system->set_living(0, {first, second});
  EXPECT_EQ(count("r", event_kind::attempt_lost), 0U);
  b_.system->set_living(0, {second});
  ASSERT_TRUE(eventually([&] { return count("r", event_kind::attempt_lost) == 1; }));
  ASSERT_TRUE(eventually([&] { return begun_ == 2; })) << "it is tried again here";
  gate_.open();
  EXPECT_EQ(deliver(a_, b_).state, reply_status::recorded) << "too late, and refused";
  EXPECT_EQ(result(b_, "r").phase, phase::completed);
  EXPECT_EQ(count("r", event_kind::attempt_completed), 1U);
}

TEST_F(hand_over, what_a_node_recorded_and_does_not_hold_never_began) {
  lead(a_, 5, std::nullopt);
  store_->fail_if = [](const store::record&) { return planned_failure{store::append_status::deposed, true}; };
  EXPECT_EQ(start(a_, "r"), reply_status::unknown);
  EXPECT_EQ(store_->failures_fired, 1U);
  store_->fail_if = nullptr;
  leave(a_);
  ASSERT_EQ(count("r", event_kind::attempt_started), 1U) << "on record, although nobody told its leader";
  EXPECT_TRUE(a_.system->held(0).empty());
  lead(b_, 6, std::vector{first, second});
  b_.system->take_held(0, {.epoch = 4, .incarnation = first, .attempts = {}});
  b_.system->take_held(0, {.epoch = 5, .incarnation = 33, .attempts = {}});
  ASSERT_TRUE(eventually([&] {
    auto p = std::make_shared<std::promise<actors::node_status>>();
    b_.system->status([p](const actors::node_status& s) { p->set_value(s); });
    return test_node::get(p->get_future()).partition.loaded == 1;
  }));
  EXPECT_EQ(count("r", event_kind::attempt_not_begun), 0U) << "what was said of an earlier time says nothing";
  b_.system->take_held(0, {.epoch = 5, .incarnation = first, .attempts = {}});
  gate_.open();
  EXPECT_EQ(result(b_, "r").phase, phase::completed);
  EXPECT_EQ(count("r", event_kind::attempt_not_begun), 1U);
  EXPECT_EQ(begun_, 1);
}

TEST_F(hand_over, led_again_before_its_word_is_read_it_waits_for_that_and_starts_nothing_anew) {
  begin_on_a();
  leave(a_);
  gate_.open();
  ASSERT_TRUE(eventually([&] { return a_.said() == 1; }));
  const auto e = a_.told.front();
  a_.system->delivered(0, e.id);
  EXPECT_THAT(a_.system->held(0), ::testing::ElementsAre(e.id)) << "that it was here is kept in mind";
  lead(a_, 2, std::vector{first});
  EXPECT_EQ(take(a_, e, first).state, reply_status::recorded);
  EXPECT_EQ(result(a_, "r").phase, phase::completed);
  EXPECT_EQ(begun_, 1);
  EXPECT_EQ(count("r", event_kind::attempt_started), 1U);
}

TEST_F(hand_over, led_again_while_it_runs_or_its_word_is_not_out_it_is_adopted) {
  begin_on_a();
  leave(a_);
  gate_.open();
  ASSERT_TRUE(eventually([&] { return a_.said() == 1; }));
  const auto e = a_.told.front();
  lead(a_, 2, std::vector{first});
  EXPECT_EQ(result(a_, "r").phase, phase::completed);
  a_.system->delivered(0, e.id);
  EXPECT_EQ(take(a_, e, first).state, reply_status::recorded);
  EXPECT_EQ(begun_, 1);
  EXPECT_EQ(count("r", event_kind::attempt_completed), 1U);
}

TEST_F(hand_over, heartbeat_details_that_nobody_recorded_come_with_the_end) {
  types_ = {};
  workflow<int> w{"w", {}};
  auto in = w.input();
  w.returns(w.step(
      "wait",
      [this](step_context& c, const int& n) {
        if (++begun_ > 1) return c.last_details<int>().value_or(0);
        gate_.pass();
        c.heartbeat(41 + n);
        throw std::runtime_error("half way");
      },
      {.timeout = 60s, .retry = {.max_attempts = 2, .first_delay = 1ms}}, in));
  types_.add(w);
  begin_on_a();
  leave(a_);
  lead(b_, 2, std::vector{first, second});
  gate_.open();
  EXPECT_EQ(deliver(a_, b_).state, reply_status::recorded);
  const auto r = result(b_, "r");
  EXPECT_EQ(r.phase, phase::completed);
  EXPECT_EQ(decode<int>(r.payload), 42);
}

TEST_F(short_hand_over, a_node_that_never_tells_is_not_waited_for_without_end) {
  begin_on_a();
  leave(a_);
  lead(b_, 2, std::vector{first, second});
  EXPECT_EQ(result(b_, "r").phase, phase::completed);
  EXPECT_EQ(count("r", event_kind::attempt_timed_out), 1U);
  EXPECT_EQ(begun_, 2);
}

TEST_F(short_hand_over, a_node_times_its_attempts_out_although_another_leads) {
  begin_on_a();
  leave(a_);
  ASSERT_TRUE(eventually([&] { return a_.said() == 1; }));
  EXPECT_EQ(a_.told.front().end.end, engine::attempt_end::timed_out);
}

TEST_F(hand_over, a_drain_gives_attempts_of_partitions_that_were_left_their_grace_and_tells_of_those_it_interrupts) {
  begin_on_a();
  leave(a_);
  EXPECT_EQ(a_.system->running_attempts(), 1U);
  std::atomic<bool> told{false};
  std::thread courier([&] {
    told = eventually([&] { return a_.said() == 1; });
    if (told) a_.system->delivered(0, a_.told.front().id);
  });
  const auto drained = a_.system->drain(10ms);
  courier.join();
  EXPECT_TRUE(told);
  EXPECT_EQ(drained.interrupted, 1U);
  EXPECT_EQ(a_.told.front().end.end, engine::attempt_end::interrupted);
  lead(b_, 2, std::vector{second});
  gate_.open();
  EXPECT_EQ(result(b_, "r").phase, phase::completed);
}

}  // namespace
}  // namespace pawl::test
